"""Pictures that must be looked at before anybody reads them: text may be burned into their pixels, or a face be seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from core import settings
from core.records import Image, Refused, Study
from core.tasks import TASKS

# Modalities of which devices or people commonly write into the picture (PS3.3 C.7.3.1.1.1).
_WRITTEN_ON = {
    "US": "ultrasound", "IVUS": "ultrasound", "SC": "captured screens", "OT": "pictures of other kinds", "XC": "photographs",
    "ES": "endoscopy", "XA": "angiography", "RF": "fluoroscopy", "GM": "microscopy", "DMS": "dermatoscopy",
}  # fmt: skip
MAX_RECTANGLES = 100  # per study, as the viewer takes


def reason_to_hold(study: Study) -> str:
    """Why nobody may read this study before its pixels were looked at, in one sentence; empty where nothing speaks for it.

    By `settings.hold_policy()`: `declared` holds what its file says shows names or faces; `usual` also what does not say and
    is of a kind that often does; `all` everything whose file does not say NO.
    """
    policy, facts = settings.hold_policy(), study.metadata
    if facts.get("burned_in_annotation") == "YES":
        return "The file says that text is burned into its pixels."
    if facts.get("recognizable_features") == "YES":
        return "The file says that somebody can be recognised in its pixels."
    if policy == "declared" or facts.get("burned_in_annotation") == "NO":
        return ""
    kind = _kind(study)
    if kind:
        return f"Text is often burned into {kind}, and the file does not say that there is none."
    return "The file does not say whether text is burned into its pixels." if policy == "all" else ""


def _kind(study: Study) -> str:
    """What the pictures are, where such pictures often show text; a picture without DICOM header is what its task shows."""
    if study.metadata.get("secondary_capture"):
        return _WRITTEN_ON["SC"]
    if study.modality:
        return _WRITTEN_ON.get(study.modality, "")
    picture = study.metadata.get("source") in ("PNG", "JPEG", "TIFF")
    return _WRITTEN_ON["US"] if picture and study.task in TASKS and TASKS[study.task].modality == "US" else ""


def blacked_out(image: Image, rectangles: Sequence[Mapping[str, Any]]) -> Image:
    """The image with black (0) in rectangles {"points": [[x, y], [x, y]]} in image pixels, each rounded outwards.

    Raises `Refused` for more than 100, and where one lies wholly outside: that would mask nothing.
    """
    if len(rectangles) > MAX_RECTANGLES:
        raise Refused(f"At most {MAX_RECTANGLES} rectangles can be masked at once.")
    pixels = np.array(image.pixels)
    height, width = pixels.shape[:2]
    for rectangle in rectangles:
        (left, top), (right, bottom) = rectangle["points"]
        rows = slice(max(0, int(np.floor(top))), min(height, int(np.ceil(bottom))))
        columns = slice(max(0, int(np.floor(left))), min(width, int(np.ceil(right))))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            raise Refused("A rectangle lies outside the picture. Delete it and draw it again.")
        pixels[rows, columns] = 0
    return replace(image, pixels=pixels)


def masked(
    images: Sequence[Image], regions: Sequence[Mapping[str, Any]], *, everywhere: bool = False
) -> dict[int, Image]:
    """Position -> new image, for the images that the viewer's rectangles touch (`everywhere`: every rectangle on each image).

    Points are no masks. Raises `Refused` as `blacked_out`, and where images differ in size but share rectangles.
    """
    drawn = [region for region in regions if region.get("kind") == "rect"]
    if any(not 0 <= region["image"] < len(images) for region in drawn):
        raise Refused("A rectangle belongs to no image of this study. Draw it again.")
    if everywhere and len({image.pixels.shape[:2] for image in images}) > 1:
        raise Refused("The images of this study differ in size, so each needs rectangles of its own.")
    changed = {}
    for position, image in enumerate(images):
        here = [region for region in drawn if everywhere or region["image"] == position]
        if here:
            changed[position] = blacked_out(image, here)
    return changed
