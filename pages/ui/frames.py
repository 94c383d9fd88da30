"""A stored study as the viewer's frames, and how they hang."""

from __future__ import annotations

from typing import Any, Literal

from core.records import Refused
from db import engine as store
from db import studies
from db.images import ImageSummary
from db.studies import StudySummary
from pages.ui.derived import dynamic_series
from pages.ui.pixel_route import pixel_url
from pages.ui.viewer import Frame

# A screening mammogram as it is usually hung: above and below, the patient's right breast on the left.
_HANGING = (("R", "CC"), ("L", "CC"), ("R", "MLO"), ("L", "MLO"))
_OPPOSITE = str.maketrans("APRLHF", "PALRFH")


def pictures_of(study: StudySummary) -> dict[str, Any]:
    """What `study_viewer` needs to show the study as it is read: frames, hanging and dynamic series.

    Raises `Refused` for a held study.
    """
    return {"frames": frames_of(study), "hanging": hanging_of(study), "dynamic": dynamic_series(study)}


def frames_of(study: StudySummary, *, cleaning: bool = False) -> list[Frame]:
    """One viewer frame per image of the study, in order. Raises `Refused` for a held study except for its `cleaning`."""
    if study.held and not cleaning:
        raise Refused("This study is held until somebody has looked for names in its pixels.")
    return [_frame(image, mammogram=study.modality == "MG", keep=not cleaning) for image in study.images]


def hanging_of(study: StudySummary) -> list[list[int]]:
    """For RCC, LCC, RMLO and LMLO the images of that view, in order; empty unless it is a mammogram with two of them at least."""
    if study.modality != "MG":
        return []
    places = [[i for i, image in enumerate(study.images) if _view_of(image) == view] for view in _HANGING]
    return places if sum(map(bool, places)) > 1 else []


def _view_of(image: ImageSummary) -> tuple[str, str]:
    return image.laterality, image.view.upper()


def prefetch_of(study_id: str | None) -> list[str]:
    """The addresses of the pictures that are shown first of the study that comes next, so that they are there when it is opened."""
    if not study_id:
        return []
    with store.read() as session:
        study = studies.get_study_summary(session, study_id)
    if study is None or study.held:
        return []
    first = [place[0] for place in hanging_of(study) if place] or [0]
    return [pixel_url(study.images[index].pixel_hash) for index in first]


def _frame(image: ImageSummary, mammogram: bool, keep: bool) -> Frame:
    window = image.window
    return Frame(
        url=pixel_url(image.pixel_hash, keep=keep),
        width=image.width,
        height=image.height,
        colour=image.colour,
        bits=image.bits,
        window_center=window.center if window else 127.5,
        window_width=window.width if window else 255.0,
        function=window.function if window else "LINEAR_EXACT",
        laterality=image.laterality,
        view=image.view,
        slope=image.slope,
        intercept=image.intercept,
        spacing_mm=image.spacing_mm,
        windows=image.windows,
        time_ms=image.frame_time_ms,
        marks=_marks(image),
        series=image.series,
        phase=image.phase,
        slice=image.slice,
        chest_wall=_chest_wall(image) if mammogram else "",
    )


def _marks(image: ImageSummary) -> tuple[str, str]:
    """The patient's directions at the left and right edge."""
    if image.orientation is None:
        return "", ""
    right = image.orientation[0][:1]
    return right.translate(_OPPOSITE), right


def _chest_wall(image: ImageSummary) -> Literal["left", "right", ""]:
    """Behind: where the rows of a mammogram lead to the patient's front, at their beginning."""
    leads = image.orientation[0][:1] if image.orientation else ""
    return "left" if leads == "A" else "right" if leads == "P" else ""
