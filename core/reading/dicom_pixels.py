"""Encoded DICOM pixels -> images under the records' intensity contract."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels import get_decoder
from pydicom.pixels.processing import apply_color_lut

from core.reading import limits, pydicom_plugin
from core.reading.codestream import check_frame
from core.reading.dicom_facts import first, frame_time_ms, laterality, orientation, spacing_mm, view
from core.reading.dicom_grey import GREY_KEYWORDS, grey_scale, padding_mask
from core.reading.grey import grey_image, shown_alike
from core.records import Image, StudyRejected

pydicom_plugin.register()

PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_PALETTE = tuple(
    f"{prefix}{colour}PaletteColorLookupTable{part}"
    for colour in ("Red", "Green", "Blue")
    for prefix, part in (("", "Descriptor"), ("", "Data"), ("Segmented", "Data"))
)
PIXEL_KEYWORDS = (
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPresentation",
    "ExtendedOffsetTable", "ExtendedOffsetTableLengths", *GREY_KEYWORDS, *_PALETTE, *PIXELS,
)  # fmt: skip

_RETIRED = (
    "YBR_PARTIAL_422",
    "YBR_PARTIAL_420",
    "HSV",
    "ARGB",
    "CMYK",
)  # up to 2003; PS3.3 C.7.6.3.1.2 names them still
_Span = tuple[float, float] | None
_HINT = "Export it again, uncompressed if possible."


@dataclass(frozen=True)
class _Layout:
    """The geometry that a header announces."""

    rows: int
    columns: int
    frames: int
    samples: int
    bits_allocated: int
    photometric: str

    @property
    def sample_bytes(self) -> int:
        return -(-self.bits_allocated // 8)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one decoded frame."""
        return (self.rows, self.columns) if self.samples == 1 else (self.rows, self.columns, self.samples)


def decode_images(dataset: Dataset) -> tuple[Image, ...]:
    """Every frame of a data set as an `Image`; raises `StudyRejected` before decoding what exceeds or contradicts."""
    layout = _layout(dataset)
    frames = _decoded(dataset, layout)
    span = None
    if layout.frames > 1 and layout.bits_allocated > 16:
        frames = list(frames)  # all are needed for the scale that they share
        span = (min(frame.min() for frame in frames), max(frame.max() for frame in frames))
    images = tuple(_image(dataset, layout, frame, index, span) for index, frame in enumerate(frames))
    if len(images) != layout.frames:
        raise StudyRejected(f"The DICOM file announces {layout.frames} frames but holds {len(images)}.", _HINT)
    return shown_alike(images)


def _layout(dataset: Dataset) -> _Layout:
    photometric = str(dataset.get("PhotometricInterpretation") or "").strip()
    is_float = "PixelData" not in dataset
    layout = _Layout(
        rows=_whole(dataset, "Rows"),
        columns=_whole(dataset, "Columns"),
        frames=_whole(dataset, "NumberOfFrames", 1),
        samples=_whole(dataset, "SamplesPerPixel", 1),
        bits_allocated=_whole(dataset, "BitsAllocated"),
        photometric=photometric,
    )
    limits.check_geometry(
        layout.rows, layout.columns, frames=layout.frames, channels=layout.samples, sample_bytes=layout.sample_bytes
    )
    grey = photometric in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
    colour = photometric in ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT") and not is_float
    if photometric in _RETIRED:
        raise StudyRejected(
            f"The DICOM file's colour model is {photometric}, which the standard has retired and nobody decodes alike.",
            "Export it as RGB.",
        )
    if not (grey and layout.samples == 1) and not (colour and layout.samples == 3):
        named = photometric if grey or colour else "not known here" if photometric else "missing"
        raise StudyRejected(
            f"The DICOM file's colour model is {named}, with {layout.samples} samples per pixel.", _HINT
        )
    stored = _whole(dataset, "BitsStored", layout.bits_allocated)
    if not 1 <= stored <= layout.bits_allocated:
        raise StudyRejected(f"The DICOM header's BitsStored is {stored}, which cannot be.", _HINT)
    if layout.bits_allocated not in (1, 8, 16, 32, 64) or (colour and layout.bits_allocated not in (8, 16)):
        raise StudyRejected(f"The DICOM file stores {layout.bits_allocated} bits per value, not read here.", _HINT)
    return layout


def _whole(dataset: Dataset, keyword: str, default: int | None = None) -> int:
    """A whole number that decoding depends on; refused where it is absent (without default) or unreadable."""
    try:
        value = first(dataset.get(keyword))
        if value is None and default is not None:
            return default
        return int(value)
    except Exception:
        raise StudyRejected(f"The DICOM header's {keyword} is missing or not a number.", _HINT) from None


def _decoded(dataset: Dataset, layout: _Layout) -> Iterator[np.ndarray]:
    """Frames as pydicom decodes them, colours as RGB; each has the announced shape."""
    syntax = dataset.file_meta.TransferSyntaxUID
    dataset, shift = _with_low_bits(dataset, layout)
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        name = syntax.name if syntax in uid.UID_dictionary else "an unknown transfer syntax"
        raise StudyRejected(f"The DICOM file is encoded as {name}, which is not read here.", _HINT) from None
    if syntax.is_encapsulated:
        _check_encapsulated(dataset, layout)
        plugin = pydicom_plugin.NAME if syntax == uid.RLELossless else ""  # see there why
        frames = (frame for frame, _ in decoder.iter_array(dataset, decoding_plugin=plugin))
    else:
        _check_native(dataset, layout)
        # One call per frame: pydicom's iterator forgets the subsampling of YBR_FULL_422 after the first.
        frames = (decoder.as_array(dataset, index=index)[0] for index in range(layout.frames))
    try:
        for frame in frames:
            if frame.shape != layout.shape:
                raise StudyRejected(f"A decoded frame is {frame.shape}, the header announces {layout.shape}.", _HINT)
            yield frame >> shift if shift else frame
    except RuntimeError as error:  # pydicom's sum of what its decoders said
        raise StudyRejected(
            "The DICOM file's compressed pixels are damaged and could not be decoded.", _HINT
        ) from error


def _with_low_bits(dataset: Dataset, layout: _Layout) -> tuple[Dataset, int]:
    """The data set as pydicom decodes it whole, and how far its values then stand above the lowest bit (PS3.5 8.1.1)."""
    stored = _whole(dataset, "BitsStored", layout.bits_allocated)
    high = _whole(dataset, "HighBit", stored - 1)
    if "PixelData" not in dataset or not stored <= high < layout.bits_allocated:
        return dataset, 0
    whole = copy.copy(dataset)
    whole.BitsStored = high + 1
    return whole, high + 1 - stored


def _check_encapsulated(dataset: Dataset, layout: _Layout) -> None:
    """Hold every compressed frame to the header before any is decoded."""
    count = 0
    offsets = None
    if "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset:
        offsets = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    announced = (layout.rows, layout.columns, layout.samples)
    frames = generate_frames(dataset.PixelData, number_of_frames=layout.frames, extended_offsets=offsets)
    for frame in frames:
        check_frame(frame, dataset.file_meta.TransferSyntaxUID, announced, layout.sample_bytes)
        count += 1
        if count > layout.frames:
            break
    if count != layout.frames:
        raise StudyRejected(f"The DICOM file announces {layout.frames} frames but holds {count} or more.", _HINT)


def _check_native(dataset: Dataset, layout: _Layout) -> None:
    """Uncompressed pixels must fill their frames, and not another one."""
    keyword = next(name for name in PIXELS if name in dataset)
    held = len(dataset.get_item(keyword).value)
    bits = layout.rows * layout.columns * layout.samples * layout.bits_allocated
    if layout.photometric == "YBR_FULL_422":
        bits = bits * 2 // 3
    needed = -(-bits * layout.frames // 8)
    if held < needed:
        raise StudyRejected(
            f"The DICOM file holds {held:,} of {needed:,} bytes of pixels; it is cut off.", "Copy or export it again."
        )
    if held - needed >= max(bits // 8, 2):
        raise StudyRejected(
            f"The DICOM file holds {held:,} bytes of pixels where its header announces {needed:,}.", _HINT
        )


def _image(dataset: Dataset, layout: _Layout, frame: np.ndarray, index: int, span: _Span) -> Image:
    if layout.photometric == "PALETTE COLOR":
        image = Image(pixels=_palette_colours(dataset, frame))
    elif layout.samples == 3:
        image = Image(pixels=_eight_bits(frame, _whole(dataset, "BitsStored", layout.bits_allocated)))
    else:
        values, scale = grey_scale(dataset, frame, index)
        image = grey_image(values, replace(scale, span=span), padding_mask(dataset, frame))
    return replace(
        image,
        laterality=laterality(dataset, index),
        view=view(dataset),
        frame=index,
        spacing_mm=spacing_mm(dataset, index),
        orientation=orientation(dataset, index),
        frame_time_ms=frame_time_ms(dataset, index) if layout.frames > 1 else None,
    )


def _eight_bits(frame: np.ndarray, bits_stored: int) -> np.ndarray:
    """Colours as uint8: the most significant eight of the stored bits."""
    if frame.dtype.kind != "u":
        raise StudyRejected("The DICOM file's colours are signed numbers.", _HINT)
    return (frame >> max(bits_stored - 8, 0)).astype(np.uint8)


def _palette_colours(dataset: Dataset, frame: np.ndarray) -> np.ndarray:
    """Palette indices (H, W) as RGB uint8 (H, W, 3); indices beyond the table take its last colour (PS3.3 C.7.6.3.1.5)."""
    entries, lowest, depth = (int(value) for value in dataset.RedPaletteColorLookupTableDescriptor)
    entries = entries or 65536
    lowest -= 65536 if frame.dtype.kind == "i" and lowest >= 32768 else 0
    colours = apply_color_lut(np.arange(lowest, lowest + entries).reshape(1, -1), dataset)[0, :, :3]
    if depth > 8 and colours.max() > 255:  # some writers announce 16 bits and fill 8
        colours = colours >> 8
    return colours.astype(np.uint8)[np.clip(frame.astype(np.int32) - lowest, 0, entries - 1)]
