"""Prediction -> Heatmap: Grad-CAM, Integrated Gradients, Occlusion and LIME behind one function, `explain`."""

from core.explain.case import Cancelled
from core.explain.files import load_heatmap, save_heatmap
from core.explain.gradcam import predict_with_gradcam
from core.explain.methods import METHODS, Method, Request, explain, get_method
from core.explain.overlay import display_scale, overlay_png

__all__ = [
    "METHODS",
    "Cancelled",
    "Method",
    "Request",
    "display_scale",
    "explain",
    "get_method",
    "load_heatmap",
    "overlay_png",
    "predict_with_gradcam",
    "save_heatmap",
]
