"""Small pictures of a run's cases in one file, so that a dashboard can show what a number is made of.

`thumbnails.zip` holds one stored PNG per case, named by its place (`000000.png` …): any of them is read without the others.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image as PILImage

from core.datasets import Case
from core.records import Image, Refused

EDGE = 96  # pixels, of the longer side
MOST_CASES = 20_000
_MOST_BYTES = 64 * 1024  # of one PNG: 96 × 96 RGB is 27 kB before compression
_SOME_DAY = (1980, 1, 1, 0, 0, 0)  # so that equal pictures make equal files


def thumbnail(image: Image, edge: int = EDGE, kind: str = "PNG") -> bytes:
    """A PNG (or JPEG) of the image through its window, 8 bit, its longer side at most `edge` pixels; small ones keep their size."""
    pixels = image.pixels
    if image.window is not None:
        levels = np.arange(np.iinfo(pixels.dtype).max + 1)
        pixels = np.round(image.window.apply(levels) * 255).astype(np.uint8)[pixels]  # (H, W)
    picture = PILImage.fromarray(pixels)
    picture.thumbnail((edge, edge), PILImage.Resampling.BOX)
    out = io.BytesIO()
    picture.save(out, kind, **({"quality": 90} if kind == "JPEG" else {}))
    return out.getvalue()


def picture_cases(cases: Sequence[Case]) -> Iterator[tuple[bytes, str, str]]:
    """PNG, laterality and view of each case, in order; four are read at a time."""

    def one(case: Case) -> tuple[bytes, str, str]:
        image = case.load()
        return thumbnail(image), image.laterality, image.view

    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        yield from pool.map(one, cases)


def write_thumbnails(path: Path, pictures: Iterable[bytes]) -> str:
    """Write one PNG per case, all or nothing, and give the file's SHA-256 (hex)."""
    draft = path.with_name(path.name + ".part")
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:
        for place, picture in enumerate(pictures):
            archive.writestr(zipfile.ZipInfo(_name(place), _SOME_DAY), picture)
    os.replace(draft, path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Thumbnails:
    """An open file of thumbnails; its pictures can be asked for from several threads."""

    def __init__(self, path: Path) -> None:
        try:
            self._archive = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise Refused(f"The pictures of this run cannot be read ({type(error).__name__}).") from error

    def __getitem__(self, place: int) -> bytes | None:
        """The PNG of the case at that place, or None where there is none, or none that can be read."""
        try:
            info = self._archive.getinfo(_name(place))
            if info.file_size > _MOST_BYTES or info.compress_type != zipfile.ZIP_STORED:
                return None
            return self._archive.read(info)
        except (KeyError, OSError, zipfile.BadZipFile):
            return None


def _name(place: int) -> str:
    return f"{place:06}.png"
