"""How finely a heatmap really sees, whatever grid its values are painted on: for captions and labels."""

from __future__ import annotations

from core.explain.registry import METHODS
from core.records import Heatmap


def resolution(heatmap: Heatmap) -> str:
    """Its grid as "7 × 7"; of methods that cover parts, what they cover: "windows of 32 × 32 every 16 pixels", "50 superpixels"."""
    facts = heatmap.parameters
    if "superpixels" in facts:
        return f"{facts['superpixels']} superpixels"
    if covers_windows(heatmap):
        (height, width), (down, right) = facts["window"], facts["stride"]
        return f"windows of {height} × {width} every {down if down == right else f'{down} and {right}'} pixels"
    height, width = heatmap.values.shape
    return f"{height} × {width}"


def covers_windows(heatmap: Heatmap) -> bool:
    """Whether it was made by covering one window after the other."""
    return "window" in heatmap.parameters and "stride" in heatmap.parameters


def is_painted(heatmap: Heatmap) -> bool:
    """Whether the grid of its values is finer than what the method covers: no value is one of a pixel."""
    return "superpixels" in heatmap.parameters or covers_windows(heatmap)


def caveat(heatmap: Heatmap) -> str:
    """What the map is not, in a few words with its true resolution."""
    seen = resolution(heatmap)
    method = METHODS.get(heatmap.method)
    if "superpixels" in heatmap.parameters:
        return f"Its edges are those of {seen}; not a lesion outline."
    if covers_windows(heatmap):
        return f"No finer than its {seen}; not a lesion outline."
    if method and method.on_layer:
        return f"On a coarse grid, {seen}; not a lesion outline."
    return f"Fine-grained and noisy, {seen}; not a lesion outline."
