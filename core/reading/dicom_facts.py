"""The facts of a DICOM header that may be kept: a list of what is allowed, so that nothing else can slip through."""

from __future__ import annotations

import math
import re
from typing import Any

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from core.reading.terms import TERMS, VENDORS, told_age
from core.records import Laterality

_CODE = re.compile(r"[A-Z0-9_ /-]{1,16}")
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # and its multi-frame kin: screens, scans, photographs
_AXES = ("LR", "PA", "HF")  # letters of PS3.3 C.7.6.1.1.1: towards larger and smaller x, y and z of the patient
_DIRECTION = re.compile("[APRLHF]{1,3}")
_GROUPS = ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")

# View codes of mammography (PS3.16 CID 4014, SRT and SNOMED CT) -> View Position values.
_VIEWS = {
    "R-10224": "ML", "399260004": "ML",
    "R-10226": "MLO", "399368009": "MLO",
    "R-10228": "LM", "399352003": "LM",
    "R-10230": "LMO", "399099002": "LMO",
    "R-10242": "CC", "399162004": "CC",
    "R-10244": "FB", "399196006": "FB",
}  # fmt: skip

FACT_KEYWORDS = (
    "Modality", "Manufacturer", "BodyPartExamined", "ViewPosition", "ViewCodeSequence", "ImageLaterality", "Laterality",
    "PresentationIntentType", "FrameTime", "FrameTimeVector", "CineRate", "RecommendedDisplayFrameRate",
    "LossyImageCompression", "PatientAge", "PatientSex", "BurnedInAnnotation", "RecognizableVisualFeatures",
    "PatientOrientation", "ImageOrientationPatient", *_SPACINGS, *_GROUPS,
)  # fmt: skip


def first(value: Any) -> Any:
    """The first of several values, the value itself, or None for an empty one."""
    if isinstance(value, (MultiValue, list, tuple)):
        return value[0] if value else None
    return None if value == "" else value


def number(dataset: Dataset, keyword: str, default: float) -> float:
    """An element's (first) number; `default` where it is absent, unreadable or not finite."""
    try:
        value = float(first(dataset.get(keyword)))
    except Exception:  # absent, or anything that a damaged element raises
        return default
    return value if math.isfinite(value) else default


def text(dataset: Dataset, keyword: str) -> str:
    """A code string in capitals; empty where it is absent or more than a code."""
    try:
        value = str(first(dataset.get(keyword)) or "").strip().upper()
    except Exception:  # as above
        return ""
    return value if _CODE.fullmatch(value) else ""


def term(dataset: Dataset, keyword: str) -> str:
    """A code string that is one of the standard's own words; empty for any other, which could be a name."""
    value = text(dataset, keyword)
    return value if value in TERMS else ""


def group(dataset: Dataset, keyword: str, frame: int) -> Dataset:
    """Where an enhanced object keeps a functional group of one frame: per frame, shared, or else the data set itself."""
    for sequence, index in zip(_GROUPS, (frame, 0), strict=True):
        items = dataset.get(sequence) or ()
        inner = items[index].get(keyword) if index < len(items) else None
        if inner:
            return inner[0]
    return dataset


def spacing_mm(dataset: Dataset, frame: int = 0) -> tuple[float, float] | None:
    """(row, column) spacing in mm, at the detector where no other is stated; None where it is absent or not positive."""
    owner = group(dataset, "PixelMeasuresSequence", frame)
    for keyword in _SPACINGS:
        try:
            row, column = map(float, owner.get(keyword) or ())
        except Exception:  # absent, damaged, or not two numbers
            continue
        if 0 < row < 1e4 and 0 < column < 1e4:
            return row, column
    return None


def laterality(dataset: Dataset, frame: int = 0) -> Laterality:
    """L, R or empty, of the frame or the image, else of the series."""
    owner = group(dataset, "FrameAnatomySequence", frame)
    side = text(owner, "FrameLaterality") or text(dataset, "ImageLaterality") or text(dataset, "Laterality")
    return side if side in ("L", "R") else ""  # type: ignore[return-value]


def frame_time_ms(dataset: Dataset, frame: int = 0) -> float | None:
    """How long a film shows that frame, in ms: till the next of its time vector, its frame time, or its rate; else None."""
    try:
        vector = [float(step) for step in dataset.get("FrameTimeVector") or ()]  # from the frame before to each frame
    except Exception:  # a damaged element
        vector = []
    steps = [vector[frame + 1] if frame + 1 < len(vector) else 0.0, number(dataset, "FrameTime", 0.0)]
    rates = [number(dataset, keyword, 0.0) for keyword in ("CineRate", "RecommendedDisplayFrameRate")]
    steps += [1000 / rate for rate in rates if rate > 0]
    return next((step for step in steps if 0 < step < 60_000), None)


def orientation(dataset: Dataset, frame: int = 0) -> tuple[str, str] | None:
    """Patient directions to which a row and a column lead: the file's letters, else the nearest axes of the image plane.

    A mammogram's Field of View Horizontal Flip is not asked: it says how the pixels lay on the detector, not on the patient.
    """
    owner = group(dataset, "PlaneOrientationSequence", frame)
    try:
        letters = [str(value).strip().upper() for value in dataset.get("PatientOrientation") or ()]
        if len(letters) == 2 and all(_DIRECTION.fullmatch(direction) for direction in letters):
            return letters[0], letters[1]
        cosines = [float(value) for value in owner.get("ImageOrientationPatient") or ()]
    except Exception:  # a damaged element
        return None
    if len(cosines) != 6 or not all(math.isfinite(value) for value in cosines):
        return None
    row, column = _nearest_axis(cosines[:3]), _nearest_axis(cosines[3:])
    return (row, column) if row and column else None


def _nearest_axis(cosines: list[float]) -> str:
    """The letter of the patient's axis that lies within 45° of a direction; empty where none does."""
    axis = max(range(3), key=lambda index: abs(cosines[index]))
    return _AXES[axis][cosines[axis] < 0] if abs(cosines[axis]) > math.sqrt(0.5) else ""


def view(dataset: Dataset) -> str:
    """The view position (CC, MLO, …), from its element or its code; empty where neither is stated."""
    if position := term(dataset, "ViewPosition"):
        return position
    items = dataset.get("ViewCodeSequence") or ()
    return _VIEWS.get(text(items[0], "CodeValue"), "") if len(items) else ""


def facts_of(dataset: Dataset) -> dict[str, Any]:
    """JSON-safe metadata of a study: acquisition facts, age and sex; never a name, id, date or UID."""
    sex = text(dataset, "PatientSex")
    burned_in = text(dataset, "BurnedInAnnotation")
    spacing = spacing_mm(dataset)
    facts = {
        "source": "DICOM",
        "modality": term(dataset, "Modality"),
        "manufacturer": _vendor(dataset),
        "body_part": term(dataset, "BodyPartExamined"),
        "rows": int(number(dataset, "Rows", 0)),
        "columns": int(number(dataset, "Columns", 0)),
        "bits_stored": int(number(dataset, "BitsStored", 0)),
        "photometric": term(dataset, "PhotometricInterpretation"),
        "presentation_intent": term(dataset, "PresentationIntentType"),
        "view_position": view(dataset),
        "spacing_mm": list(spacing) if spacing else None,
        "frame_time_ms": frame_time_ms(dataset),
        "patient_age": told_age(text(dataset, "PatientAge")),
        "patient_sex": sex if sex in ("F", "M", "O") else "",
    }
    if str(dataset.get("SOPClassUID") or "").startswith(_SECONDARY_CAPTURE):
        facts["secondary_capture"] = True
    if text(dataset, "RecognizableVisualFeatures") == "YES":
        facts["recognizable_features"] = "YES"
    kept = {key: value for key, value in facts.items() if value not in ("", None, 0)}
    return kept | {"burned_in_annotation": burned_in if burned_in in ("YES", "NO") else "unknown"}


def notices_of(dataset: Dataset, *, has_overlays: bool) -> list[str]:
    """What a reader of the pictures must know about them, in sentences."""
    notices = []
    if text(dataset, "PresentationIntentType") == "FOR PROCESSING":
        notices.append("Raw detector values (FOR PROCESSING), not made for reading.")
    if has_overlays:
        notices.append("Overlay graphics of the file are not shown.")
    if text(dataset, "LossyImageCompression") == "01":
        notices.append("The picture was compressed with loss.")
    return notices


def _vendor(dataset: Dataset) -> str:
    """The manufacturer as the table writes it; empty where it is not in the table."""
    try:
        words = re.split(r"[^A-Z0-9]+", str(first(dataset.get("Manufacturer")) or "").strip().upper())
    except Exception:  # a damaged element
        return ""
    return VENDORS.get(words[0], "")
