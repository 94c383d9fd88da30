"""Images of studies without their pixels: the record, the row, and what leads from one to the other."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from core.records import Image, Window
from db.pixels import load_pixels
from db.tables import ImageRow


@dataclass(frozen=True)
class ImageSummary:
    """An image without its pixels: height and width in pixels, `bits` (8 or 16) per sample, the rest as `Image` has it."""

    pixel_hash: str
    height: int
    width: int
    colour: bool
    bits: int
    window: Window | None
    laterality: str
    view: str
    frame: int
    spacing_mm: tuple[float, float] | None
    slope: float
    intercept: float
    windows: tuple[Window, ...] = ()
    series: int = 0
    phase: int | None = None
    slice: int | None = None
    frame_time_ms: float | None = None
    orientation: tuple[str, str] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the pixels: (H, W), or (H, W, 3) for colour."""
        return (self.height, self.width, 3) if self.colour else (self.height, self.width)


def load_image(summary: ImageSummary) -> Image:
    """The image with its pixels. Raises `StoreError` when they are missing or damaged."""
    return Image(
        pixels=load_pixels(summary.pixel_hash, summary.shape, f"uint{summary.bits}"),
        window=summary.window,
        laterality=summary.laterality,  # type: ignore[arg-type]
        view=summary.view,
        frame=summary.frame,
        spacing_mm=summary.spacing_mm,
        slope=summary.slope,
        intercept=summary.intercept,
        windows=summary.windows,
        series=summary.series,
        phase=summary.phase,
        slice=summary.slice,
        frame_time_ms=summary.frame_time_ms,
        orientation=summary.orientation,
    )


def image_row(study_id: str, position: int, image: Image, pixel_hash: str) -> ImageRow:
    """The row of an image whose pixels are kept under `pixel_hash`."""
    height, width = image.pixels.shape[:2]
    return ImageRow(
        study_id=study_id,
        position=position,
        pixel_hash=pixel_hash,
        height=height,
        width=width,
        colour=image.is_colour,
        bits=8 * image.pixels.dtype.itemsize,
        window=None if image.window is None else _packed(image.window),
        laterality=image.laterality,
        view=image.view,
        frame=image.frame,
        spacing_mm=None if image.spacing_mm is None else list(image.spacing_mm),
        slope=image.slope,
        intercept=image.intercept,
        windows=[_packed(window) for window in image.windows],
        series=image.series,
        phase=image.phase,
        slice=image.slice,
        frame_time_ms=image.frame_time_ms,
        orientation=None if image.orientation is None else list(image.orientation),
    )


def image_summary(row: ImageRow) -> ImageSummary:
    """The record of a row."""
    return ImageSummary(
        row.pixel_hash, row.height, row.width, row.colour, row.bits,
        None if row.window is None else _unpacked(row.window),
        row.laterality, row.view, row.frame,
        None if row.spacing_mm is None else (row.spacing_mm[0], row.spacing_mm[1]),
        row.slope, row.intercept, tuple(_unpacked(window) for window in row.windows),
        row.series, row.phase, row.slice, row.frame_time_ms,
        None if row.orientation is None else (row.orientation[0], row.orientation[1]),
    )  # fmt: skip


def _packed(window: Window) -> dict[str, Any]:
    """A window as JSON; a table is packed, since thousands of its numbers would make a long row."""
    return asdict(window) | {"table": base64.b64encode(zlib.compress(window.table)).decode() if window.table else ""}


def _unpacked(values: Mapping[str, Any]) -> Window:
    table = values.get("table", "")
    return Window(**{**values, "table": zlib.decompress(base64.b64decode(table)) if table else b""})
