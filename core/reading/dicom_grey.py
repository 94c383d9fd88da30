"""What a DICOM header says about grey values: modality and VOI transformations, polarity, padding."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from core.reading.dicom_facts import first, group, number, text
from core.reading.grey import GreyScale, ValueTable, ValueWindow
from core.records import StudyRejected
from core.window import WHITE

GREY_KEYWORDS = (
    "PixelPaddingValue", "PixelPaddingRangeLimit", "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence",
    "WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction", "VOILUTSequence", "PresentationLUTShape",
)  # fmt: skip

# What windows are called by those who make scanners. Anything else in that free text could be a patient's name.
_WORDS = {
    "ABDOMEN", "AORTA", "BONE", "BRAIN", "BREAST", "CHEST", "CONTRAST", "DEFAULT", "HARD", "HARDER", "HEAD", "HIGH", "LINEAR",
    "LIVER", "LOW", "LUNG", "MEDIASTINUM", "MEDIUM", "NARROW", "NORMAL", "OPTIMAL", "PELVIS", "SHARP", "SIGMOID", "SMOOTH",
    "SOFT", "SOFTER", "SPINE", "STANDARD", "TABLE", "TISSUE", "USER", "WIDE", "WINDOW",
}  # fmt: skip


def grey_scale(dataset: Dataset, frame: np.ndarray, index: int) -> tuple[np.ndarray, GreyScale]:
    """Values (H, W) of one frame with the scale that they are on: stored values, or the outputs of a modality table."""
    owner = group(dataset, "PixelValueTransformationSequence", index)
    slope, intercept = _rescale(owner, "RescaleSlope", 1.0), _rescale(owner, "RescaleIntercept", 0.0)
    if slope == 0:
        raise StudyRejected("The DICOM header's RescaleSlope is 0.", "Export the file again.")
    bits = int(number(dataset, "BitsStored", 8 * frame.dtype.itemsize))
    if tables := dataset.get("ModalityLUTSequence"):
        frame, bits = _through_modality_table(frame, tables[0])
        slope, intercept = 1.0, 0.0
    return frame, GreyScale(
        bits_stored=bits,
        slope=slope,
        intercept=intercept,
        low_is_bright=_low_is_bright(dataset),
        choices=_choices(
            group(dataset, "FrameVOILUTSequence", index),
            is_float=frame.dtype.kind == "f",
            below_zero=frame.dtype.kind == "i" or intercept < 0,
        ),
    )


def padding_mask(dataset: Dataset, frame: np.ndarray) -> np.ndarray | None:
    """True where stored values (H, W) pad the picture (PS3.3 C.7.5.1.1.2: a value, or all from it to a limit), or None."""
    value = number(dataset, "PixelPaddingValue", float("nan"))
    if np.isnan(value):
        return None
    limit = number(dataset, "PixelPaddingRangeLimit", value)
    mask = (frame >= min(value, limit)) & (frame <= max(value, limit))
    return mask if mask.any() else None


def _low_is_bright(dataset: Dataset) -> bool:
    """The presentation LUT shape has the last word (PS3.3 C.11.6.1.2), else the photometric interpretation."""
    shape = text(dataset, "PresentationLUTShape")
    if shape in ("IDENTITY", "INVERSE"):
        return shape == "INVERSE"
    return text(dataset, "PhotometricInterpretation") == "MONOCHROME1"


def _rescale(owner: Dataset, keyword: str, default: float) -> float:
    if first(owner.get(keyword)) is None:
        return default
    value = number(owner, keyword, float("nan"))
    if np.isnan(value):
        raise StudyRejected(f"The DICOM header's {keyword} is not a number.", "Export the file again.")
    return value


def _choices(owner: Dataset, *, is_float: bool, below_zero: bool) -> tuple[ValueWindow | ValueTable, ...]:
    """The VOI tables of a header, then its windows; those that cannot be read are left out.

    The standard ranks neither (C.11.2); where both are there, the table is what the maker drew and a window its summary.
    """
    tables = [
        _voi_table(item, place, below_zero=below_zero)
        for place, item in enumerate(owner.get("VOILUTSequence") or (), start=1)
    ]
    return (*(table for table in tables if table), *_windows(owner, is_float=is_float))


def _windows(owner: Dataset, *, is_float: bool) -> list[ValueWindow]:
    stated = text(owner, "VOILUTFunction")
    exact = stated == "LINEAR_EXACT" or is_float  # LINEAR's half levels mean nothing to fractions
    function = "SIGMOID" if stated == "SIGMOID" else "LINEAR_EXACT" if exact else "LINEAR"
    names = _several(owner, "WindowCenterWidthExplanation")
    windows = []
    for place, pair in enumerate(zip(_several(owner, "WindowCenter"), _several(owner, "WindowWidth"), strict=False)):
        try:
            center, width = float(pair[0]), float(pair[1])
        except (TypeError, ValueError):
            continue
        if np.isfinite(center) and np.isfinite(width) and width > 0:
            name = _explanation(names[place]) if place < len(names) else ""
            windows.append(ValueWindow(center, width, function, name))
    return windows


def _several(dataset: Dataset, keyword: str) -> list[Any]:
    """All values of an element; none where it is absent or damaged."""
    try:
        value = dataset.get(keyword)
    except Exception:  # whatever a damaged element raises
        return []
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, MultiValue | list | tuple) else [value]


def _explanation(value: Any) -> str:
    """A window's name in capitals where it consists of known words, three digits at most behind each; else nothing."""
    name = str(value or "").strip().upper()[:32]
    words = name.replace("_", " ").replace("-", " ").split()
    return name if words and all(re.sub(r"[0-9]{1,3}$", "", word) in _WORDS for word in words) else ""


def _voi_table(item: Dataset, place: int, *, below_zero: bool) -> ValueTable | None:
    try:
        lowest, bits, entries = _table(item, below_zero=below_zero)
    except Exception:  # a damaged table is not offered
        return None
    if not 1 <= bits <= 16 or not len(entries):
        return None
    top = 2**bits - 1
    if entries.max() > top:  # some writers understate the bits
        top = WHITE
    levels = np.rint(entries.astype(np.float64) * (WHITE / top)).astype(np.uint16)
    return ValueTable(lowest, levels, _explanation(item.get("LUTExplanation")) or f"TABLE {place}")


def _table(item: Dataset, *, below_zero: bool) -> tuple[int, int, np.ndarray]:
    """Lowest value mapped, bits per entry, entries (N,) uint16 of one look-up table (PS3.3 C.11.1.1.1).

    `below_zero` says that the table's inputs can be negative: its lowest one is then a signed number, whatever its type.
    """
    count, lowest, bits = (int(value) for value in item.LUTDescriptor)
    lowest -= 65536 if below_zero and lowest >= 32768 else 0
    count = count or 65536
    data: Any = item.LUTData
    if isinstance(data, MultiValue | list):
        entries = np.array(data, dtype=np.uint16)
    elif len(data) < 2 * count and bits <= 8:  # two entries in a word
        entries = np.frombuffer(data, dtype=np.uint8).astype(np.uint16)
    else:
        entries = np.frombuffer(data, dtype="<u2")
    if entries.size < count:
        raise StudyRejected("The DICOM file's look-up table is shorter than it says.", "Export it again.")
    return lowest, bits, entries[:count]


def _through_modality_table(frame: np.ndarray, item: Dataset) -> tuple[np.ndarray, int]:
    """Stored values through a modality look-up table (PS3.3 C.11.1.1): uint16 (H, W) and the bits of its entries."""
    lowest, bits, entries = _table(item, below_zero=frame.dtype.kind == "i")
    position = np.clip(frame.astype(np.int64) - lowest, 0, len(entries) - 1)
    return entries[position], bits
