"""Prediction -> Heatmap: twelve methods behind one function, `explain`; the class-activation family comes with the prediction."""

from core.explain.case import Cancelled, Watch
from core.explain.files import load_heatmap, save_heatmap
from core.explain.gradcam import predict_with_gradcam
from core.explain.methods import Request, explain
from core.explain.overlay import display_scale, overlay, overlay_png
from core.explain.registry import METHODS, Method, get_method

__all__ = [
    "METHODS",
    "Cancelled",
    "Method",
    "Request",
    "Watch",
    "display_scale",
    "explain",
    "get_method",
    "load_heatmap",
    "overlay",
    "overlay_png",
    "predict_with_gradcam",
    "save_heatmap",
]
