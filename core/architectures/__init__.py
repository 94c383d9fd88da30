"""The registry of network structures: name -> constructor, input size and the layer whose maps a heatmap shows."""

from core.architectures.libraries import skeleton
from core.architectures.registry import ARCHITECTURES, CLASSICAL, Architecture, get_architecture

__all__ = ["ARCHITECTURES", "CLASSICAL", "Architecture", "get_architecture", "skeleton"]
