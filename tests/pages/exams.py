"""Exams made on the spot: a screening mammogram of four views and a dynamic MR series, as DICOM files."""

from __future__ import annotations

from typing import Any

import numpy as np

from core.reading import read_uploads
from core.records import Study
from tests.core.dicom_factory import STUDY, make_dicom

VIEWS = (("L", "MLO"), ("R", "CC"), ("L", "CC"), ("R", "MLO"))  # not in the order in which they hang
LEVELS = {("R", "CC"): 1000, ("L", "CC"): 1600, ("R", "MLO"): 2200, ("L", "MLO"): 2800}  # tissue of each view
DISC = {"center": (20, 30), "radius": 5}  # (row, column) of what enhances in slice 3 of the dynamic series


def mammogram(side: str, view: str, wall: str, size: tuple[int, int] = (90, 60), **elements: Any) -> bytes:
    """A breast at that edge, in its view's grey level; a bright square of 6 pixels top left in the array; 0.4 mm pixels."""
    height, width = size
    rows, columns = np.mgrid[0:height, 0:width]
    depth = columns if wall == "left" else width - 1 - columns
    inside = (depth / (0.75 * width)) ** 2 + ((rows - height / 2) / (0.45 * height)) ** 2 < 1
    values = np.where(inside, LEVELS.get((side, view), 700), 0).astype(np.uint16)
    values[:6, :6] = 4000
    facts = {
        "Modality": "MG", "ImageLaterality": side, "ViewPosition": view, "BitsStored": 12, "ImagerPixelSpacing": [0.4, 0.4],
        "PresentationIntentType": "FOR PRESENTATION", "BurnedInAnnotation": "NO", "WindowCenter": 2048, "WindowWidth": 4096,
        "PatientOrientation": ["P" if wall == "right" else "A", "F"],
    }  # fmt: skip
    return make_dicom(values, **(facts | elements))


def four_views(size: tuple[int, int] = (90, 60), **elements: Any) -> list[tuple[str, bytes]]:
    """Chest walls as usual, except that L MLO and R CC are stored mirrored: these two must be flipped for display."""
    walls = ("right", "left", "left", "right")
    return [
        (f"{side}{view}.dcm", mammogram(side, view, wall, size, InstanceNumber=n, **elements))
        for n, ((side, view), wall) in enumerate(zip(VIEWS, walls, strict=True))
    ]


def dynamic(phases: int = 3, slices: int = 8, size: int = 64) -> list[tuple[str, bytes]]:
    """A bright square that never changes, and in slice 3 a disc that takes up contrast: 0, 300, 200, … above the first phase."""
    rows, columns = np.mgrid[0:size, 0:size]
    disc = np.hypot(rows - DISC["center"][0], columns - DISC["center"][1]) < DISC["radius"]
    files = []
    for phase in range(phases):
        for level in range(slices):
            values = np.full((size, size), 100 + 10 * level, np.uint16)
            values[-20:-8, 8:20] = 900
            if level == 3 and phase:
                values[disc] += 400 - 100 * phase
            facts = {
                "BitsStored": 12, "PixelSpacing": [1, 1], "WindowCenter": 500, "WindowWidth": 1001, "BurnedInAnnotation": "NO",
                "ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "ImagePositionPatient": [0, 0, 2.0 * level],
                "AcquisitionTime": f"12{phase:02}00", "InstanceNumber": slices * phase + level,
                "SOPInstanceUID": f"{STUDY}.7.{phase}.{level}",
            }  # fmt: skip
            files.append((f"{phase}-{level}.dcm", make_dicom(values, **facts)))
    return files


def study_of(files: list[tuple[str, bytes]]) -> Study:
    """The one study that the files become."""
    (study,) = (study for outcome in read_uploads(files, trusted=True) for study in outcome.studies)
    return study
