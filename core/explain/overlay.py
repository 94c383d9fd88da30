"""A heatmap laid over its image as a PNG that says on itself what it is."""

from __future__ import annotations

import io
import json
import textwrap

import numpy as np
import torch
from PIL import Image as PILImage
from PIL import ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from core.colours import colours
from core.explain.provenance import NOTICE, provenance
from core.explain.registry import METHODS
from core.explain.resolution import resolution
from core.preprocess import display_values
from core.records import Heatmap, Image, Refused

NARROWEST = 240  # pixels; smaller images stand on a wider ground, so that the caption stays legible


def display_scale(heatmap: Heatmap) -> float:
    """The raw value shown in full colour when there is no reference distribution: this map's own largest |value|.

    It is per picture: two maps shown with it cannot be compared by colour. 0 for a map without any evidence.
    """
    return float(np.abs(heatmap.values).max())


def overlay(
    image: Image, heatmap: Heatmap, *, opacity: float = 0.5, threshold: float = 0.0, scale: float | None = None
) -> np.ndarray:
    """The image through its window with the map over it: (H, W, 3) uint8.

    The map is stretched over the whole image (bilinear). `scale` is the raw value of full colour, by default
    `display_scale`; larger values stay at full colour. Colour covers `opacity` (0–1) of the image at full scale and fades
    in proportion towards 0, so no evidence leaves the image as it is; below `threshold`, a share of `scale` (0–1),
    nothing is painted. Raises `Refused` for values outside these ranges.
    """
    if not (0 <= opacity <= 1 and 0 <= threshold <= 1) or (scale is not None and not 0 < scale < np.inf):
        raise Refused("An overlay needs an opacity and a threshold from 0 to 1, and a scale above 0.")
    shown = display_values(image)
    grey = np.repeat(shown[..., None], 3, axis=2) if shown.ndim == 2 else shown  # (H, W, 3)
    full = scale or display_scale(heatmap) or 1.0  # an empty map stays empty at any scale
    share = np.clip(_stretched(heatmap.values, shown.shape[:2]) / full, -1, 1)  # (H, W)
    cover = (opacity * np.abs(share) * (np.abs(share) >= threshold))[..., None]
    mixed = grey * (1 - cover) + colours(share, heatmap.signed) * cover
    return np.round(mixed * 255).astype(np.uint8)


def overlay_png(
    image: Image, heatmap: Heatmap, *, opacity: float = 0.5, threshold: float = 0.0, scale: float | None = None
) -> bytes:
    """PNG bytes of `overlay`, with a caption strip beneath that says what it is, and its `provenance` as the text `Heatmap`."""
    drawn = overlay(image, heatmap, opacity=opacity, threshold=threshold, scale=scale)
    said = PngInfo()
    facts = provenance(heatmap, opacity=opacity, threshold=threshold, full_colour=scale or display_scale(heatmap))
    said.add_text("Heatmap", json.dumps(facts, default=dict))
    out = io.BytesIO()
    _with_caption(PILImage.fromarray(drawn), caption(heatmap, scale)).save(out, format="PNG", pnginfo=said)
    return out.getvalue()


def caption(heatmap: Heatmap, scale: float | None = None) -> str:
    """Method, class, grid, largest raw value, what full colour is, and the notice, as drawn beneath an overlay."""
    title = METHODS[heatmap.method].title if heatmap.method in METHODS else heatmap.method
    parts = [title, heatmap.target_class, resolution(heatmap)]
    parts.append(f"max {'±' if heatmap.signed else ''}{_short(display_scale(heatmap))}")
    if scale is not None:
        parts.append(f"full colour at {_short(scale)}")
    elif heatmap.values.any():
        parts.append("full colour is its own maximum")
    return " · ".join([*parts, NOTICE.lower()])


def _short(value: float) -> str:
    digits, exponent = f"{value:.2e}".split("e")
    return f"{digits}e{int(exponent)}"


def _stretched(values: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    grid = torch.from_numpy(values)[None, None]  # (1, 1, h, w)
    # Antialiased like the preprocessing: it only matters where the map is finer than the image.
    return torch.nn.functional.interpolate(grid, size=size, mode="bilinear", align_corners=False, antialias=True)[
        0, 0
    ].numpy()


def _with_caption(picture: PILImage.Image, text: str) -> PILImage.Image:
    """The picture with the text on a black strip beneath, on as many lines as it needs."""
    width = max(picture.width, NARROWEST)
    points = min(40, max(12, width // 50))
    font = ImageFont.load_default(size=points)
    text = text.replace("×", "x")  # Pillow's own font has no multiplication sign
    lines = textwrap.wrap(text, int(0.9 * (width - points) * len(text) / font.getlength(text)))
    line = int(points * 1.4)
    canvas = PILImage.new("RGB", (width, picture.height + line * len(lines) + points // 2))
    canvas.paste(picture, (0, 0))
    pen = ImageDraw.Draw(canvas)
    for row, words in enumerate(lines):
        pen.text((points // 2, picture.height + row * line + points // 4), words, font=font, fill=(235, 235, 235))
    return canvas
