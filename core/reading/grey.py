"""Grey values as the records want them: unsigned, larger is brighter, with a window in pixel units."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from core.records import Image, StudyRejected, VoiFunction, Window, full_range_window
from core.window import WHITE


@dataclass(frozen=True)
class ValueWindow:
    """A window as a file states it, in modality units."""

    center: float
    width: float
    function: VoiFunction = "LINEAR"
    explanation: str = ""


@dataclass(frozen=True)
class ValueTable:
    """A VOI look-up table: brightness `levels` (N,) uint16, 65535 is white, of the modality values from `lowest` on."""

    lowest: float
    levels: np.ndarray
    explanation: str = ""


@dataclass(frozen=True)
class GreyScale:
    """How stored values are meant (DICOM PS3.3 C.7.6.3, C.11.1, C.11.2): modality value = stored * slope + intercept.

    `low_is_bright` is MONOCHROME1. `choices` are the windows and tables that the file offers. `span` has the smallest and
    largest value of all frames of the file, so that its frames are scaled alike.
    """

    bits_stored: int = 16
    slope: float = 1.0
    intercept: float = 0.0
    low_is_bright: bool = False
    choices: tuple[ValueWindow | ValueTable, ...] = ()
    span: tuple[float, float] | None = None


@dataclass(frozen=True)
class Stored:
    """Pixels that a record can hold, uint8 or uint16 (H, W): original value = pixel * slope + intercept."""

    pixels: np.ndarray
    slope: float = 1.0
    intercept: float = 0.0


def to_stored(values: np.ndarray, span: tuple[float, float] | None = None) -> Stored:
    """Any real numbers (H, W) as uint8 or uint16; `span` (smallest, largest) holds for several pictures of one scale.

    uint8 and uint16 stay; other integers are shifted when they span less than 65,536 levels; everything else is scaled
    linearly to 0–65535. Raises `StudyRejected` where a value is not finite.
    """
    values = values.astype(np.uint8) if values.dtype == bool else values
    if values.dtype.kind == "u" and values.dtype.itemsize <= 2:
        return Stored(values.astype(values.dtype.newbyteorder("="), copy=False))
    low, high = span or (values.min(), values.max())
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


def pixel_window(window: ValueWindow | ValueTable, slope: float, intercept: float) -> Window | None:
    """A window in modality units as one in pixel units (value = pixel * slope + intercept), showing the same picture.

    A negative slope belongs to inverted pixels and mirrors the window. LINEAR's half-level offsets (PS3.3 C.11.2.1.2.1)
    scale with the slope. None for a window that cannot be used.
    """
    if isinstance(window, ValueTable):
        return _pixel_table(window, slope, intercept)
    function = window.function
    if function == "LINEAR" and window.width < 1:  # not allowed by the standard, but written for fractional values
        function = "LINEAR_EXACT"
    if function == "LINEAR":
        center = (window.center - 0.5 - intercept) / slope + 0.5
        width = (window.width - 1) / abs(slope) + 1
        if slope < 0 and width == 1:  # a step: the level on its edge is black, so mirrored it is white
            center -= 1e-3
    else:
        center, width = (window.center - intercept) / slope, window.width / abs(slope)
    usable = np.isfinite(center) and np.isfinite(width) and width > 0
    return Window(center, width, function, window.explanation) if usable else None


def _pixel_table(table: ValueTable, slope: float, intercept: float) -> Window:
    """Entry i stands for the modality value lowest + i, and for what lies less than half a step from it."""
    entries = len(table.levels)
    center = (table.lowest + (entries - 1) / 2 - intercept) / slope
    levels = table.levels if slope > 0 else WHITE - table.levels[::-1]
    return Window(center, entries / abs(slope), "TABLE", table.explanation, levels.astype("<u2").tobytes())


def grey_image(values: np.ndarray, scale: GreyScale, padding: np.ndarray | None = None) -> Image:
    """Stored values (H, W) of any integer or float type as an `Image`, larger is brighter.

    Values are inverted where small modality values are bright, or where a negative slope turns the scale over.
    Without a stated window the picture's own range is shown, less the pixels (H, W) where `padding` is True.
    """
    if values.dtype.kind == "i" and values.dtype.itemsize <= 2:
        stored = signed_to_stored(values, scale.bits_stored)
    else:
        stored = to_stored(values, scale.span)
    pixels = stored.pixels
    slope, intercept = scale.slope * stored.slope, scale.slope * stored.intercept + scale.intercept
    if scale.low_is_bright != (scale.slope < 0):
        top = 2**scale.bits_stored - 1 if scale.bits_stored <= 16 else 65535
        top = top if pixels.max() <= top else int(np.iinfo(pixels.dtype).max)
        top = min(top, int(np.iinfo(pixels.dtype).max))
        pixels = (top - pixels.astype(np.int32)).astype(pixels.dtype)
        slope, intercept = -slope, slope * top + intercept
    stated = tuple(w for choice in scale.choices if (w := pixel_window(choice, slope, intercept)))
    window = stated[0] if stated else range_window(pixels, padding)
    return Image(pixels=pixels, window=window, slope=slope, intercept=intercept, windows=stated)


def shown_alike(images: tuple[Image, ...]) -> tuple[Image, ...]:
    """Frames of one file: where it states no window and they share a scale, one range for all, so that a film does not flicker."""
    scales = {(image.slope, image.intercept, image.pixels.dtype) for image in images}
    windows = [image.window for image in images if image.window and not image.windows]
    if len(images) < 2 or len(scales) > 1 or len(windows) < len(images):
        return images
    low = min(window.center - window.width / 2 for window in windows)
    high = max(window.center + window.width / 2 for window in windows)
    common = Window(center=(low + high) / 2, width=high - low, function="LINEAR_EXACT")
    return tuple(replace(image, window=common) for image in images)
