"""What happens to each element of a DICOM file: the Basic Profile of PS3.15, edition 2026c, and what goes beyond it.

Which elements the profile names is data, taken from dicom-anonymizer's list of exactly that edition (`PROFILE`); the package's
own default is an older one, and its functions are not used: they keep dates, make new UIDs at random and pass over nested
items. What the profile does not name stays only where it cannot tell who somebody is: numbers, pixels, terms and codes of
the standard itself. Text never stays.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, Literal

from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c as edition_2026c
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID_dictionary

from core.reading.terms import TERMS

Rule = Literal["kept", "removed", "emptied", "replaced", "shifted"]

EDITION = "2026c"

# (group, element) or (group, element, group mask, element mask) -> the profile's action, as table E.1-1 writes it.
PROFILE: dict[tuple[int, ...], str] = {
    tag: action
    for action, tags in (
        ("D", edition_2026c.D_TAGS),
        ("Z", edition_2026c.Z_TAGS),
        ("X", edition_2026c.X_TAGS),
        ("U", edition_2026c.U_TAGS),
        ("Z/D", edition_2026c.Z_D_TAGS),
        ("X/Z", edition_2026c.X_Z_TAGS),
        ("X/D", edition_2026c.X_D_TAGS),
        ("X/Z/D", edition_2026c.X_Z_D_TAGS),
        ("X/Z/U*", edition_2026c.X_Z_U_STAR_TAGS),
    )
    for tag in tags
}

# Retain Longitudinal Temporal Information with Modified Dates: the instants that order a patient's studies, series and frames.
# A date goes with its time, so that the moment is moved as a whole.
MOMENTS = {
    "StudyDate": "StudyTime",
    "SeriesDate": "SeriesTime",
    "AcquisitionDate": "AcquisitionTime",
    "ContentDate": "ContentTime",
}
INSTANTS = ("AcquisitionDateTime", "FrameAcquisitionDateTime", "FrameReferenceDateTime")
SHIFTED = {*MOMENTS, *MOMENTS.values(), *INSTANTS}

# Retain Patient Characteristics: no more than the store itself keeps as facts.
CHARACTERISTICS = ("PatientAge", "PatientSex")

PIXEL_VALUES = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_BINARY = (
    *PIXEL_VALUES,
    "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableData",
    "SegmentedRedPaletteColorLookupTableData", "SegmentedGreenPaletteColorLookupTableData",
    "SegmentedBluePaletteColorLookupTableData", "LUTData",
)  # fmt: skip
_NUMBERS = ("US", "SS", "UL", "SL", "FL", "FD", "UV", "SV", "DS", "IS")
_LONGEST_NUMBER = 10**7  # in whole numbers: identifiers of eight digits and more are no measurement

# Codes that may stay: (coding scheme, value) -> meaning. Everything else in a code sequence goes with its item.
CODES = {
    ("SRT", "R-10224"): "medio-lateral", ("SCT", "399260004"): "medio-lateral",
    ("SRT", "R-10226"): "medio-lateral oblique", ("SCT", "399368009"): "medio-lateral oblique",
    ("SRT", "R-10228"): "latero-medial", ("SCT", "399352003"): "latero-medial",
    ("SRT", "R-10230"): "latero-medial oblique", ("SCT", "399099002"): "latero-medial oblique",
    ("SRT", "R-10242"): "cranio-caudal", ("SCT", "399162004"): "cranio-caudal",
    ("SRT", "R-10244"): "caudo-cranial", ("SCT", "399196006"): "caudo-cranial",
    ("SRT", "T-04000"): "Breast", ("SCT", "76752008"): "Breast",
    ("SRT", "G-A100"): "Right", ("SCT", "24028007"): "Right",
    ("SRT", "G-A101"): "Left", ("SCT", "7771000"): "Left",
    ("SRT", "G-A102"): "Right and left", ("SCT", "51440002"): "Right and left",
}  # fmt: skip


def profile_action(tag: BaseTag) -> str:
    """The profile's action for an element: X, Z, D, U or a choice of them; empty where the profile does not name it."""
    if action := PROFILE.get((tag.group, tag.element)):
        return action
    for wanted, action in PROFILE.items():
        if len(wanted) == 4 and tag.group & wanted[2] == wanted[0] and tag.element & wanted[3] == wanted[1]:
            return action
    return ""


def left_behind(tags: Collection[int]) -> dict[str, Any]:
    """What somebody left who keeps nothing of the elements `tags`, in words without values.

    `identifiers` are those that the profile names, by keyword; of private and of other ones only the number is told.
    """
    public = [Tag(tag) for tag in tags if tag >> 16 >= 8 and not tag >> 16 & 1]
    named = sorted(keyword for tag in public if profile_action(tag) and (keyword := keyword_for_tag(tag)))
    private = sum(1 for tag in tags if tag >> 16 & 1)
    return {"identifiers": named, "private_elements": private, "other_elements": len(public) - len(named)}


def is_foreign(tag: BaseTag) -> bool:
    """Private elements, curves, overlays, signatures, padding and group lengths: gone before any rule is asked."""
    return (
        tag.group % 2 == 1
        or tag.element == 0
        or tag.group >> 8 in (0x50, 0x60)
        or tag.group in (0x0002, 0x4FFE, 0xFFFA, 0xFFFC)
    )


def rule_for(element: DataElement) -> Rule:
    """What happens to one element that is neither a sequence nor foreign."""
    keyword, action = element.keyword, profile_action(element.tag)
    if keyword in SHIFTED:
        return "shifted" if element.value else "removed"
    if keyword in CHARACTERISTICS:
        return "kept"
    if keyword in ("PatientID", "PatientName"):
        return "replaced"
    if action:
        return _of_profile(element, action)
    if element.VR == "UI":
        return "kept" if _all(element, lambda value: str(value) in UID_dictionary) else "replaced"
    return "kept" if _cannot_identify(element) else "removed"


def _of_profile(element: DataElement, action: str) -> Rule:
    """Emptying comes before a dummy: the copies are pictures, whose named elements may all be empty or absent."""
    if element.VR == "UI":
        return "replaced" if "U" in action or action == "D" else "removed"
    return "emptied" if "Z" in action and "X" not in action else "removed"


def _cannot_identify(element: DataElement) -> bool:
    if element.VR in _NUMBERS:
        return _all(element, _is_number)
    if element.VR == "CS" or element.keyword == "RescaleType":
        return _all(element, lambda value: str(value).strip() in TERMS)
    return element.VR == "AT" or element.keyword in _BINARY


def _is_number(value: object) -> bool:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return math.isfinite(number) and (number != int(number) or abs(number) < _LONGEST_NUMBER)


def _all(element: DataElement, test: object) -> bool:
    values = element.value if isinstance(element.value, (MultiValue, list)) else [element.value]
    return all(value in ("", None) or test(value) for value in values)  # type: ignore[operator]
