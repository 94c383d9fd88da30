"""PNG, JPEG and TIFF -> images, through Pillow with its doors narrowed."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from core.reading import limits
from core.reading.grey import picture_window, to_stored
from core.records import Image, StudyRejected

# Process-wide on purpose: `warnings.catch_warnings` is not safe between threads.
Pillow.MAX_IMAGE_PIXELS = limits.PICTURE_PIXELS
warnings.filterwarnings("error", category=Pillow.DecompressionBombWarning)

_UNKNOWN = "UnidentifiedImageError"  # none of Pillow's readers wants it
_PHOTOMETRIC, _BITS = 262, 258  # tags of TIFF 6.0
_GREY_MODES = ("L", "I;16", "I;16B", "I;16L", "I;16N", "I", "F")


def read_picture(data: bytes, kind: str) -> tuple[Image, ...]:
    """The images of a PNG, JPEG (one) or TIFF (one per page), pixels as stored, EXIF orientation honoured.

    8 and 16 bit grey, RGB, palette; transparency is laid over black. `kind` is png, jpeg or tiff.
    Raises `StudyRejected` for damaged, cut-off, animated or too large files.
    """
    title = kind.upper()
    try:
        with Pillow.open(io.BytesIO(data), formats=[title]) as picture:
            return tuple(_pages(picture, title))
    except (Pillow.DecompressionBombError, Pillow.DecompressionBombWarning):
        raise StudyRejected(
            f"The picture has more than {limits.PICTURE_PIXELS // 10**6} million pixels.",
            "Cut out the region of interest or export it smaller.",
        ) from None
    except StudyRejected:
        raise
    except Exception as error:
        kind = type(error).__name__
        unread = ", or stores its pixels in a way that is not read here" if title == "TIFF" and kind == _UNKNOWN else ""
        raise StudyRejected(
            f"The {title} file is damaged or cut off{unread} ({kind}).",
            "Export it again, as 8 or 16 bit." if unread else "Export or copy it again.",
        ) from error


def _pages(picture: Pillow.Image, title: str) -> Iterator[Image]:
    if title == "PNG" and getattr(picture, "is_animated", False):
        raise StudyRejected("The PNG file is an animation.", "Export its frames as separate pictures.")
    samples = 0
    for page in range(limits.FRAMES + 1):
        if page:
            try:
                picture.seek(page)
            except EOFError:
                return
        limits.check_geometry(picture.height, picture.width, frames=page + 1)
        if picture.width * picture.height > limits.PICTURE_PIXELS:
            raise Pillow.DecompressionBombError
        image = _to_image(picture, page)
        samples += image.pixels.size
        limits.check_geometry(1, 1, channels=max(samples, 1))
        yield image
        if title != "TIFF":  # the further frames of a JPEG (MPO) are previews
            return


def _to_image(picture: Pillow.Image, page: int) -> Image:
    picture.load()
    low_is_bright = _low_is_bright(picture)
    upright = ImageOps.exif_transpose(picture)
    values = _pixels(upright)
    if low_is_bright:
        values = _turned_over(values, picture.tag_v2.get(_BITS, (16,))[0])  # type: ignore[attr-defined]
    if values.ndim == 3:
        return Image(pixels=values, frame=page)
    stored = to_stored(values)
    return Image(
        pixels=stored.pixels,
        window=picture_window(stored.pixels),
        frame=page,
        slope=stored.slope,
        intercept=stored.intercept,
    )


def _low_is_bright(picture: Pillow.Image) -> bool:
    """A TIFF in which 0 is white (WhiteIsZero). Pillow turns bitmaps and 8 bits over by itself, nothing deeper."""
    deep = picture.mode in _GREY_MODES and picture.mode != "L"
    return deep and picture.format == "TIFF" and picture.tag_v2.get(_PHOTOMETRIC) == 0  # type: ignore[attr-defined]


def _turned_over(values: np.ndarray, bits: int) -> np.ndarray:
    """Grey values of that many bits with their order reversed; numbers without a top (signed, float) change their sign."""
    if values.dtype.kind == "u" and bits <= 16:
        return ((1 << bits) - 1 - values.astype(np.int32)).astype(np.uint16)
    return -values.astype(np.float64 if values.dtype.kind == "f" else np.int64)


def _pixels(picture: Pillow.Image) -> np.ndarray:
    """Grey values (H, W) of any number type, or uint8 RGB (H, W, 3)."""
    mode = picture.mode
    if mode in _GREY_MODES:
        return np.array(picture)
    if mode == "1":
        return np.array(picture.convert("L"))
    if mode == "LA":
        grey, alpha = (np.asarray(band, dtype=np.uint16) for band in picture.split())
        return np.rint(grey * (alpha / 255)).astype(np.uint8)
    if mode in ("P", "RGB", "RGBA", "PA") and (mode.endswith("A") or "transparency" in picture.info):
        black = Pillow.new("RGBA", picture.size, (0, 0, 0, 255))
        return np.array(Pillow.alpha_composite(black, picture.convert("RGBA")).convert("RGB"))
    if mode in ("P", "RGB", "RGBX", "CMYK", "YCbCr"):
        return np.array(picture.convert("RGB"))
    raise StudyRejected(f"The picture's colours are stored as {mode}, which is not read here.", "Export it as RGB PNG.")
