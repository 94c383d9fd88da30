"""Where pictures stand in a study: its acquisitions, and within one the slices along their normal and repeated passes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.valuerep import DA, TM

from core.reading.dicom_facts import first, group, number, spacing_mm, text
from core.records import Image

# Pictures that differ in one of these show other things at the same place, not the same thing at another time.
_SETTINGS = ("RepetitionTime", "EchoTime", "FlipAngle", "DiffusionBValue")
_MOMENTS = ("FrameAcquisitionDateTime", "AcquisitionDateTime", "AcquisitionTime", "TriggerTime", "ContentTime")
PLACE_KEYWORDS = (
    "ImageOrientationPatient", "ImagePositionPatient", "ImageType", "ScanningSequence", "TemporalPositionIdentifier",
    "TemporalPositionIndex", "AcquisitionNumber", *_SETTINGS, *_MOMENTS,
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where and when a frame was taken, as far as its file says.

    `acquisition` is equal for frames of one kind and geometry, `position` is mm along the slice normal (None: unknown), and
    `moments` are what may tell passes over the same place apart, the surest first; None where absent. It orders pictures
    while they are read and is not kept: times and positions are nobody's business afterwards.
    """

    acquisition: tuple[Any, ...]
    position: float | None = None
    moments: tuple[Any, ...] = ()


def place_of(dataset: Dataset, frame: int, series: tuple[Any, ...]) -> Place:
    """The place of one frame (PS3.3 C.7.6.2.1.1: position along the normal of the image plane)."""
    normal = _normal(group(dataset, "PlaneOrientationSequence", frame))
    corner = _vector(group(dataset, "PlanePositionSequence", frame), "ImagePositionPatient", 3)
    if normal is None or corner is None:
        return Place(("series", *series))
    kind = tuple(
        str(value) for value in list(dataset.get("ImageType") or ())[:3:2]
    )  # ORIGINAL or DERIVED, and which kind
    settings = tuple(number(dataset, keyword, -1.0) for keyword in _SETTINGS)
    geometry = (*(round(float(part), 3) for part in normal), dataset.get("Rows"), dataset.get("Columns"))
    spacing = tuple(round(mm, 3) for mm in spacing_mm(dataset, frame) or ())
    acquisition = ("geometry", *geometry, spacing, kind, settings, text(dataset, "ScanningSequence"))
    return Place(acquisition, round(float(corner @ normal), 2), _moments(dataset, frame, series))


def placed(entries: Sequence[tuple[Image, Place]]) -> tuple[Image, ...]:
    """The pictures of a study, given in the order of its files, with series, phase and slice, and in that order."""
    members: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for index, (_, place) in enumerate(entries):
        members[place.acquisition].append(index)
    found: dict[int, Image] = {}
    for series, indices in enumerate(members.values()):
        phases, slices = _phases_and_slices([entries[index][1] for index in indices])
        for index, phase, level in zip(indices, phases, slices, strict=True):
            found[index] = replace(entries[index][0], series=series, phase=phase, slice=level)
    return tuple(found[index] for index in sorted(found, key=lambda index: (*_order(found[index]), index)))


def _order(image: Image) -> tuple[int, int, int]:
    return image.series, image.phase or 0, image.slice or 0


def _phases_and_slices(places: Sequence[Place]) -> tuple[list[int | None], list[int | None]]:
    """Of the frames of one acquisition; both None without positions, phases None where no place was visited twice."""
    nothing: list[int | None] = [None] * len(places)
    if any(place.position is None for place in places):
        return nothing, nothing
    levels = {position: level for level, position in enumerate(sorted({place.position for place in places}))}
    slices = [levels[place.position] for place in places]
    if len(levels) == len(places):
        return nothing, list(slices)
    return list(_phases(places, slices)), list(slices)


def _phases(places: Sequence[Place], slices: Sequence[int]) -> list[int]:
    """The pass of each frame: by the first moment that names passes the same way in every slice, else by order within one."""
    passes = max(Counter(slices).values())
    for values in zip(*(place.moments for place in places), strict=True):
        at_places = set(zip(slices, values, strict=True))
        if None not in values and len(set(values)) == passes and len(at_places) == len(places):
            ranks = {value: rank for rank, value in enumerate(sorted(set(values)))}
            return [ranks[value] for value in values]
    keys = [tuple((value is None, 0 if value is None else value) for value in place.moments) for place in places]
    order = sorted(range(len(places)), key=lambda index: keys[index])
    seen: Counter[int] = Counter()
    phases = [0] * len(places)
    for index in order:
        phases[index] = seen[slices[index]]
        seen[slices[index]] += 1
    return phases


def _moments(dataset: Dataset, frame: int, series: tuple[Any, ...]) -> tuple[Any, ...]:
    content = group(dataset, "FrameContentSequence", frame)
    temporal = number(content, "TemporalPositionIndex", number(dataset, "TemporalPositionIdentifier", np.nan))
    acquisition = number(dataset, "AcquisitionNumber", np.nan)
    moments = [_seconds(content if keyword in content else dataset, keyword) for keyword in _MOMENTS]
    return (_known(temporal), series, _known(acquisition), *moments)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def _seconds(dataset: Dataset, keyword: str) -> float | None:
    """A time, a date with time, or a trigger delay as a number that sorts; None where absent or damaged."""
    try:
        stated = first(dataset.get(keyword))
        if stated is None:
            return None
        if keyword == "TriggerTime":
            return float(stated)
        digits = str(stated)
        day = DA(digits[:8]).toordinal() if keyword.endswith("DateTime") else 0  # type: ignore[union-attr]
        time = TM(digits[8:].split("+")[0].split("-")[0] if day else digits)
        return day * 86_400 + time.hour * 3600 + time.minute * 60 + time.second + time.microsecond / 1e6  # type: ignore[union-attr]
    except Exception:  # whatever a damaged element raises
        return None


def _normal(owner: Dataset) -> np.ndarray | None:
    """Unit normal (3,) of the image plane; None where the orientation is absent or no orientation."""
    cosines = _vector(owner, "ImageOrientationPatient", 6)
    if cosines is None:
        return None
    normal = np.cross(cosines[:3], cosines[3:])
    length = float(np.linalg.norm(normal))
    return normal / length if 0.9 < length < 1.1 else None


def _vector(owner: Dataset, keyword: str, length: int) -> np.ndarray | None:
    try:
        values = np.array([float(value) for value in owner.get(keyword) or ()])
    except Exception:  # a damaged element
        return None
    return values if values.shape == (length,) and np.isfinite(values).all() else None
