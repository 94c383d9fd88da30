"""A stored study as the viewer's frames."""

from __future__ import annotations

from core.records import Refused
from db import engine as store
from db import studies
from db.studies import ImageSummary, StudySummary
from pages.ui.pixel_route import pixel_url
from pages.ui.viewer import Frame


def frames_of(study: StudySummary, *, cleaning: bool = False) -> list[Frame]:
    """One viewer frame per image of the study, in order. Raises `Refused` for a held study except for its `cleaning`."""
    if study.held and not cleaning:
        raise Refused("This study is held until somebody has looked for names in its pixels.")
    return [_frame(image, keep=not cleaning) for image in study.images]


def prefetch_of(study_id: str | None) -> list[str]:
    """The address of the first picture of the study that comes next, so that it is there when the study is opened."""
    if not study_id:
        return []
    with store.read() as session:
        study = studies.get_study_summary(session, study_id)
    return [pixel_url(study.images[0].pixel_hash)] if study and not study.held else []


def _frame(image: ImageSummary, keep: bool) -> Frame:
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
    )
