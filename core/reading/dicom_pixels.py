"""Encoded DICOM pixels -> images under the records' intensity contract."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.multival import MultiValue
from pydicom.pixels import get_decoder
from pydicom.pixels.processing import apply_color_lut

from core.reading import limits, pydicom_plugin
from core.reading.codestream import check_frame
from core.reading.dicom_facts import first, group, laterality, number, spacing_mm, text, view
from core.reading.grey import GreyScale, ValueWindow, grey_image
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
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit",
    "RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "VOILUTFunction", "ModalityLUTSequence",
    "PixelPresentation", "ExtendedOffsetTable", "ExtendedOffsetTableLengths", *_PALETTE, *PIXELS,
)  # fmt: skip

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
    images = tuple(_image(dataset, layout, frame, index) for index, frame in enumerate(frames))
    if len(images) != layout.frames:
        raise StudyRejected(f"The DICOM file announces {layout.frames} frames but holds {len(images)}.", _HINT)
    return images


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
            yield frame
    except RuntimeError as error:  # pydicom's sum of what its decoders said
        raise StudyRejected(
            "The DICOM file's compressed pixels are damaged and could not be decoded.", _HINT
        ) from error


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


def _image(dataset: Dataset, layout: _Layout, frame: np.ndarray, index: int) -> Image:
    if layout.photometric == "PALETTE COLOR":
        image = Image(pixels=_palette_colours(dataset, frame))
    elif layout.samples == 3:
        image = Image(pixels=_eight_bits(frame, _whole(dataset, "BitsStored", layout.bits_allocated)))
    else:
        values, scale = _grey_scale(dataset, layout, frame, index)
        image = grey_image(values, scale)
    return replace(
        image,
        laterality=laterality(dataset, index),
        view=view(dataset),
        frame=index,
        spacing_mm=spacing_mm(dataset, index),
    )


def _eight_bits(frame: np.ndarray, bits_stored: int) -> np.ndarray:
    """Colours as uint8: the most significant eight of the stored bits."""
    if frame.dtype.kind != "u":
        raise StudyRejected("The DICOM file's colours are signed numbers.", _HINT)
    return (frame >> max(bits_stored - 8, 0)).astype(np.uint8)


def _palette_colours(dataset: Dataset, frame: np.ndarray) -> np.ndarray:
    """Palette indices (H, W) as RGB uint8 (H, W, 3); indices beyond the table take its last colour (PS3.3 C.7.6.3.1.5)."""
    entries, lowest, depth = (int(value) for value in dataset.RedPaletteColorLookupTableDescriptor)
    last = lowest + (entries or 65536) - 1
    colours = apply_color_lut(np.clip(frame.astype(np.int32), lowest, last), dataset)[..., :3]
    if depth > 8 and colours.max() > 255:  # some writers announce 16 bits and fill 8
        colours = colours >> 8
    return colours.astype(np.uint8)


def _grey_scale(dataset: Dataset, layout: _Layout, frame: np.ndarray, index: int) -> tuple[np.ndarray, GreyScale]:
    """Values with the scale that they are on: stored values, or the outputs of a modality look-up table."""
    owner = group(dataset, "PixelValueTransformationSequence", index)
    slope, intercept = _rescale(owner, "RescaleSlope", 1.0), _rescale(owner, "RescaleIntercept", 0.0)
    if slope == 0:
        raise StudyRejected("The DICOM header's RescaleSlope is 0.", "Export the file again.")
    scale = GreyScale(
        bits_stored=_whole(dataset, "BitsStored", layout.bits_allocated),
        slope=slope,
        intercept=intercept,
        low_is_bright=layout.photometric == "MONOCHROME1",
        window=_window(group(dataset, "FrameVOILUTSequence", index), is_float=frame.dtype.kind == "f"),
        padding=_padding(dataset),
    )
    if tables := dataset.get("ModalityLUTSequence"):
        values, bits = _through_table(frame, tables[0])
        return values, replace(scale, bits_stored=bits, slope=1.0, intercept=0.0, padding=None)
    return frame, scale


def _rescale(owner: Dataset, keyword: str, default: float) -> float:
    if first(owner.get(keyword)) is None:
        return default
    value = number(owner, keyword, float("nan"))
    if np.isnan(value):
        raise StudyRejected(f"The DICOM header's {keyword} is not a number.", "Export the file again.")
    return value


def _window(owner: Dataset, *, is_float: bool) -> ValueWindow | None:
    """The first window that a header states; None where there is none or it cannot be read."""
    center, width = number(owner, "WindowCenter", float("nan")), number(owner, "WindowWidth", 0.0)
    if np.isnan(center) or width <= 0:
        return None
    stated = text(owner, "VOILUTFunction")
    if stated == "SIGMOID":
        return ValueWindow(center, width, "SIGMOID")
    exact = stated == "LINEAR_EXACT" or is_float  # LINEAR's half levels mean nothing to fractions
    return ValueWindow(center, width, "LINEAR_EXACT" if exact else "LINEAR")


def _padding(dataset: Dataset) -> tuple[float, float] | None:
    """The closed range of stored values that pad the picture (PS3.3 C.7.5.1.1.2)."""
    value = number(dataset, "PixelPaddingValue", float("nan"))
    if np.isnan(value):
        return None
    limit = number(dataset, "PixelPaddingRangeLimit", value)
    return min(value, limit), max(value, limit)


def _through_table(frame: np.ndarray, item: Dataset) -> tuple[np.ndarray, int]:
    """Stored values through a modality look-up table (PS3.3 C.11.1.1): uint16 (H, W) and the bits of its entries."""
    entries, lowest, bits = (int(value) for value in item.LUTDescriptor)
    data: Any = item.LUTData
    is_list = isinstance(data, MultiValue | list)
    table = np.array(data, dtype=np.uint16) if is_list else np.frombuffer(data, dtype="<u2")
    if table.size < (entries or 65536):
        raise StudyRejected("The DICOM file's modality look-up table is shorter than it says.", "Export it again.")
    position = np.clip(frame.astype(np.int64) - lowest, 0, (entries or 65536) - 1)
    return table[position], bits
