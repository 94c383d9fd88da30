"""Grey values as the records want them: unsigned, larger is brighter, with a window in pixel units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.records import Image, StudyRejected, VoiFunction, Window, full_range_window


@dataclass(frozen=True)
class ValueWindow:
    """A window as a file states it, in modality units."""

    center: float
    width: float
    function: VoiFunction = "LINEAR"


@dataclass(frozen=True)
class GreyScale:
    """How stored values are meant (DICOM PS3.3 C.7.6.3, C.11.1, C.11.2): modality value = stored * slope + intercept.

    `low_is_bright` is MONOCHROME1. `padding` is the closed range of stored values that are no picture.
    """

    bits_stored: int = 16
    slope: float = 1.0
    intercept: float = 0.0
    low_is_bright: bool = False
    window: ValueWindow | None = None
    padding: tuple[float, float] | None = None


@dataclass(frozen=True)
class Stored:
    """Pixels that a record can hold, uint8 or uint16 (H, W): original value = pixel * slope + intercept."""

    pixels: np.ndarray
    slope: float = 1.0
    intercept: float = 0.0


def to_stored(values: np.ndarray) -> Stored:
    """Any real numbers (H, W) as uint8 or uint16.

    uint8 and uint16 stay; other integers are shifted when they span less than 65,536 levels; everything else is scaled
    linearly to 0–65535. Raises `StudyRejected` where a value is not finite.
    """
    values = values.astype(np.uint8) if values.dtype == bool else values
    if values.dtype.kind == "u" and values.dtype.itemsize <= 2:
        return Stored(values.astype(values.dtype.newbyteorder("="), copy=False))
    low, high = values.min(), values.max()
    if values.dtype.kind in "iu" and int(high) - int(low) < 2**16:
        base = int(low) if low < 0 or high >= 2**16 else 0
        return Stored((values - values.dtype.type(base)).astype(np.uint16), 1.0, float(base))
    span = float(high) - float(low)
    if not np.isfinite(span):
        raise StudyRejected("The picture holds values that are not finite numbers.", "Export it with finite values.")
    step = span / 65535 or 1.0
    scaled = (values.astype(np.float64) - float(low)) / step
    return Stored(np.rint(scaled).astype(np.uint16), step, float(low))


def signed_to_stored(values: np.ndarray, bits: int) -> Stored:
    """Signed integers of at most 16 bits (H, W), all shifted by 2^(bits-1), so that frames of a file stay comparable."""
    half = 1 << (bits - 1)
    if values.min() < -half or values.max() >= half:  # the header understates its bits
        half = 1 << (8 * values.dtype.itemsize - 1)
    kind = np.uint8 if half <= 128 else np.uint16
    return Stored((values.astype(np.int32) + half).astype(kind), 1.0, float(-half))


def range_window(pixels: np.ndarray, padding: np.ndarray | None = None) -> Window:
    """The window from the smallest pixel (black) to the largest (white), leaving out the pixels where `padding` is True."""
    seen = pixels if padding is None or padding.all() else pixels[~padding]
    low, high = int(seen.min()), int(seen.max())
    width = max(high - low, 1)
    return Window(center=low + width / 2, width=float(width), function="LINEAR_EXACT")


def picture_window(pixels: np.ndarray) -> Window:
    """The window of a picture that states none: every level for 8 bits, smallest to largest pixel for 16."""
    return full_range_window(pixels) if pixels.dtype == np.uint8 else range_window(pixels)


def pixel_window(window: ValueWindow, slope: float, intercept: float) -> Window | None:
    """A window in modality units as one in pixel units (value = pixel * slope + intercept), showing the same picture.

    A negative slope belongs to inverted pixels and mirrors the window. LINEAR's half-level offsets (PS3.3 C.11.2.1.2.1)
    scale with the slope. None for a window that cannot be used.
    """
    function = window.function
    if function == "LINEAR" and window.width < 1:  # not allowed by the standard, but written for fractional values
        function = "LINEAR_EXACT"
    if function == "LINEAR":
        center = (window.center - 0.5 - intercept) / slope + 0.5
        width = (window.width - 1) / abs(slope) + 1
    else:
        center, width = (window.center - intercept) / slope, window.width / abs(slope)
    usable = np.isfinite(center) and np.isfinite(width) and width > 0
    return Window(center, width, function) if usable else None


def grey_image(values: np.ndarray, scale: GreyScale) -> Image:
    """Stored values (H, W) of any integer or float type as an `Image`, larger is brighter.

    Values are inverted where small modality values are bright, or where a negative slope turns the scale over.
    """
    if values.dtype.kind == "i" and values.dtype.itemsize <= 2:
        stored = signed_to_stored(values, scale.bits_stored)
    else:
        stored = to_stored(values)
    pixels = stored.pixels
    slope, intercept = scale.slope * stored.slope, scale.slope * stored.intercept + scale.intercept
    if scale.low_is_bright != (scale.slope < 0):
        top = 2**scale.bits_stored - 1 if scale.bits_stored <= 16 else 65535
        top = top if pixels.max() <= top else int(np.iinfo(pixels.dtype).max)
        top = min(top, int(np.iinfo(pixels.dtype).max))
        pixels = (top - pixels.astype(np.int32)).astype(pixels.dtype)
        slope, intercept = -slope, slope * top + intercept
    window = pixel_window(scale.window, slope, intercept) if scale.window else None
    if window is None:
        low, high = scale.padding or (1, 0)
        window = range_window(pixels, (values >= low) & (values <= high))
    return Image(pixels=pixels, window=window, slope=slope, intercept=intercept)
