"""Pictures derived from a dynamic series: a phase minus the first one, and the maximum of that over the slices.

They are for looking at only: no model is given them, and nothing is measured on them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from core.records import Image, Refused, Window

_ZERO = 32768  # the pixel that stands for no difference
_LARGEST = 32767
_DARKER, _BRIGHTER = 0.1, 0.5  # how far the display reaches below and above zero, in widths of the source's window


def subtraction(later: Image, first: Image, width: float) -> Image:
    """`later` - `first`, pixel by pixel, in the modality's unit; `pixels` (H, W) uint16 with 32768 for no difference.

    Values are exact where both pictures have one slope and their differences fit into 16 bits; else they are rounded to the
    finest step that fits. `width` is that of the source's display in the modality's unit; the result is shown from a tenth
    of it below zero to half of it above. Raises `Refused` where the pictures do not lie over each other.
    """
    check_alike(later, first)
    return _picture(_difference(later, first), _step(later, first), width, first)


def maximum_intensity(slices: Iterable[tuple[Image, Image]], width: float) -> Image:
    """The largest of the subtractions of all slices at each pixel; `slices` has (later, first) of each, taken one by one.

    Otherwise as `subtraction`. Raises `Refused` where there are no slices, or they do not lie over each other.
    """
    largest: np.ndarray | None = None
    like, step = None, np.inf
    for later, first in slices:
        check_alike(later, first)
        check_alike(first, like := like or first)
        values, step = _difference(later, first), min(step, _step(later, first))
        largest = values if largest is None else np.maximum(largest, values, out=largest)
    if largest is None or like is None:
        raise Refused("A projection needs at least one slice.")
    return _picture(largest, step, width, replace(like, slice=None))


def check_alike(one: Image, other: Image) -> None:
    """Raise `Refused` unless both are grey and have one size, spacing and orientation."""
    if one.is_colour or other.is_colour:
        raise Refused("Colour pictures cannot be subtracted.")
    if one.pixels.shape != other.pixels.shape:
        sizes = " and ".join(f"{image.pixels.shape[0]} × {image.pixels.shape[1]}" for image in (one, other))
        raise Refused(f"The phases cannot be subtracted: their pictures have {sizes} pixels.")
    if (one.spacing_mm is None) != (other.spacing_mm is None) or (
        one.spacing_mm and other.spacing_mm and not np.allclose(one.spacing_mm, other.spacing_mm, rtol=1e-3)
    ):
        raise Refused("The phases cannot be subtracted: their pixels have different spacings.")
    if one.orientation != other.orientation:
        raise Refused("The phases cannot be subtracted: their pictures have different orientations.")


def _step(later: Image, first: Image) -> float:
    return min(abs(later.slope), abs(first.slope)) or 1.0


def _difference(later: Image, first: Image) -> np.ndarray:
    """(H, W) float64 in the modality's unit: exact for whole slopes and intercepts."""
    return (later.pixels * later.slope + later.intercept) - (first.pixels * first.slope + first.intercept)


def _picture(values: np.ndarray, step: float, width: float, like: Image) -> Image:
    step *= max(1, int(np.ceil(float(np.abs(values).max()) / step / _LARGEST)))
    pixels = (np.rint(values / step) + _ZERO).astype(np.uint16)
    center = _ZERO + (_BRIGHTER - _DARKER) / 2 * width / step
    window = Window(center, (_BRIGHTER + _DARKER) * width / step, "LINEAR_EXACT")
    return Image(
        pixels, window, like.laterality, like.view, spacing_mm=like.spacing_mm, slope=step, intercept=-_ZERO * step,
        series=like.series, slice=like.slice, orientation=like.orientation,
    )  # fmt: skip
