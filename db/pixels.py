"""Pixels outside the database: one gzip file per picture, named after its content, so a picture is kept once.

The files hold raw little-endian samples, row by row, and can be sent to a browser as they are (`Content-Encoding: gzip`).
"""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np

from core import settings
from core.records import Image, full_range_window
from db.engine import StoreError
from db.files import checked_hash, whole_file


def pixel_path(pixel_hash: str) -> Path:
    """Where the pixels with that `Image.content_hash` are kept; `ValueError` if it is not a SHA-256 in hex."""
    return settings.home() / "pixels" / checked_hash(pixel_hash)[:2] / f"{pixel_hash}.gz"


def put_pixels(image: Image) -> str:
    """Keep an image's pixels and give their content hash; a file that is already there stays.

    Raises `StoreError` when the disk fails.
    """
    pixel_hash = image.content_hash
    path = pixel_path(pixel_hash)
    if not path.exists():
        samples = np.ascontiguousarray(image.pixels, dtype=image.pixels.dtype.newbyteorder("<"))
        with whole_file(path) as file:
            file.write(gzip.compress(samples, compresslevel=1, mtime=0))
    return pixel_hash


def remove_drafts(older_than_seconds: float = 3600.0) -> int:
    """Delete half-written files that a killed process left behind, and say how many; a younger one may be in the making."""
    count, oldest = 0, time.time() - older_than_seconds
    for draft in (*(settings.home() / "pixels").glob("*/.*.gz.*"), *(settings.home() / "copies").glob("*/.*")):
        with suppress(FileNotFoundError):  # somebody else was faster
            if draft.stat().st_mtime < oldest:
                draft.unlink()
                count += 1
    return count


def put_all(images: Iterable[Image]) -> list[str]:
    """`put_pixels` for each. Call it before `db.engine.write()`: a large study then does not keep other writers waiting."""
    return [put_pixels(image) for image in images]


def load_pixels(pixel_hash: str, shape: tuple[int, ...], dtype: str | np.dtype) -> np.ndarray:
    """The pixels kept under that hash, as an array of `shape` (H, W) or (H, W, 3) and `dtype` (uint8 or uint16).

    Raises `StoreError` when the file is missing, damaged, or not what the hash says.
    """
    stored = np.dtype(dtype).newbyteorder("<")
    size = int(np.prod(shape)) * stored.itemsize
    try:
        with gzip.open(pixel_path(pixel_hash)) as file:
            data = file.read(size + 1)  # never more than the row promises
    except FileNotFoundError as error:
        raise StoreError("The pixels of this image are missing from the store; upload the study again.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged() from error
    if len(data) != size:
        raise _damaged()
    pixels = np.frombuffer(data, dtype=stored).reshape(shape).astype(dtype, copy=False)
    window = full_range_window(pixels) if pixels.ndim == 2 else None
    if Image(pixels, window).content_hash != pixel_hash:
        raise _damaged()
    return pixels


def _damaged() -> StoreError:
    return StoreError("The pixels of this image are damaged in the store; restore them from a backup.")
