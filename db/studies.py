"""Studies, and the worklist that a reviewer reads them from.

Nothing here knows a model's result: neither order nor filter of the worklist can give one away before the reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import pandas as pd
from sqlalchemy import ColumnElement, case, false, func, select, true, tuple_
from sqlalchemy.orm import Session

from core import settings
from core.records import Study
from db.frames import frame
from db.images import ImageSummary, image_row, image_summary, load_image
from db.pixels import put_pixels
from db.reader_turns import held_back
from db.tables import DraftRow, HoldRow, ImageRow, ReviewRow, StudyRow

Status = Literal["unread", "draft", "flagged", "done", "held"]
Sort = Literal["newest", "oldest", "name"]
Protocol = Literal["unaided-then-aided", "aided"]

STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True)
class StudySummary:
    """A study without pixels and without its reference standard: what a page may show to a reviewer."""

    id: str
    name: str
    modality: str
    task: str
    patient_id: str
    metadata: Mapping[str, Any]
    created_at: str
    images: tuple[ImageSummary, ...]
    held: str = ""  # why nobody may read it yet


@dataclass(frozen=True)
class WorklistQuery:
    """Which studies, in what order, as one reviewer sees them. Empty strings mean any; `search` looks in name and patient.

    Under the protocol `aided` an unaided review is no step of the reading: such a study counts as unread.
    Studies that the reviewer reads in a running reader study are not on the worklist: there the model would be a click away.
    """

    reviewer: str
    status: Status | Literal[""] = ""
    search: str = ""
    task: str = ""
    sort: Sort = "oldest"
    limit: int = 50
    offset: int = 0
    protocol: Protocol = "unaided-then-aided"

    def __post_init__(self) -> None:
        if self.status not in ("", *STATUSES):
            raise ValueError(f"status must be empty or one of {STATUSES}, not {self.status!r}")
        if self.sort not in get_args(Sort) or self.protocol not in get_args(Protocol):
            raise ValueError(f"unknown sort or protocol: {self.sort!r}, {self.protocol!r}")
        if self.limit < 0 or self.offset < 0:
            raise ValueError(f"limit and offset must not be negative: {self.limit}, {self.offset}")


def add_study(session: Session, study: Study) -> bool:
    """Keep a study, its pixels first; False when it was there already: then pixels that went missing are kept again, unless masked.

    To keep the write transaction short, call `db.pixels.put_all(study.images)` before opening it, where it is not stored.
    Raises `StoreError` when the disk fails.
    """
    if is_stored(session, study.id):
        _restore_pixels(session, study)
        return False
    hashes = [put_pixels(image) for image in study.images]
    session.add(
        StudyRow(
            id=study.id,
            name=_stored_name(study),
            modality=study.modality,
            patient_id=study.patient_id,
            task=study.task,
            reference_standard=study.reference_standard,
            facts=dict(study.metadata),
        )
    )
    session.flush()  # the images refer to it
    rows = zip(study.images, hashes, strict=True)
    session.add_all(image_row(study.id, position, image, key) for position, (image, key) in enumerate(rows))
    session.flush()
    return True


def _stored_name(study: Study) -> str:
    """The study's name; where it comes from a file's name, kind and id instead (an NPZ's also split and number)."""
    facts = study.metadata
    if facts.get("source") not in ("PNG", "JPEG", "TIFF", "NPZ") or settings.study_names() == "files":
        return study.name
    if study.patient_id and study.name == f"{study.modality} {study.patient_id}".strip():
        return study.name
    if "index" in facts:
        return f"NPZ {study.id[:8]} {facts.get('split', '')} {facts['index']}".replace("  ", " ")
    return f"{facts['source']} {study.id[:8]}"


def _restore_pixels(session: Session, study: Study) -> None:
    """Keep again what may be missing on the disk, and only what the study still shows: masked pixels must not come back."""
    shown = set(session.scalars(select(ImageRow.pixel_hash).where(ImageRow.study_id == study.id)))
    for image in study.images:
        if image.content_hash in shown:
            put_pixels(image)


def is_stored(session: Session, study_id: str) -> bool:
    """True where the store has that study, held or not."""
    return session.scalar(select(StudyRow.number).where(StudyRow.id == study_id)) is not None


def count_studies(session: Session) -> int:
    """How many studies the store holds."""
    return session.scalar(select(func.count()).select_from(StudyRow)) or 0


def get_study(session: Session, study_id: str) -> Study | None:
    """The study with all its pixels, or None. Raises `StoreError` when pixels are missing or damaged."""
    summary = get_study_summary(session, study_id)
    if summary is None:
        return None
    return Study(
        id=summary.id,
        name=summary.name,
        modality=summary.modality,
        images=tuple(load_image(image) for image in summary.images),
        patient_id=summary.patient_id,
        task=summary.task,
        reference_standard=reference_standard(session, study_id),
        metadata=summary.metadata,
    )


def get_study_summary(session: Session, study_id: str) -> StudySummary | None:
    """The study without pixels and reference standard, or None."""
    row = session.scalar(select(StudyRow).where(StudyRow.id == study_id))
    if row is None:
        return None
    images = session.scalars(select(ImageRow).where(ImageRow.study_id == study_id).order_by(ImageRow.position))
    held = session.scalar(select(HoldRow.reason).where(HoldRow.study_id == study_id, HoldRow.released_at.is_(None)))
    return StudySummary(
        row.id, row.name, row.modality, row.task, row.patient_id, row.facts, row.created_at,
        tuple(image_summary(image) for image in images), held or "",
    )  # fmt: skip


def pixel_hashes(session: Session, study_id: str) -> tuple[str, ...]:
    """Content hashes of the study's images, in order; none for an unknown study."""
    query = select(ImageRow.pixel_hash).where(ImageRow.study_id == study_id).order_by(ImageRow.position)
    return tuple(session.scalars(query))


def reference_standard(session: Session, study_id: str) -> str | None:
    """The class that the study's source states, or None. Not for a reviewer's eyes."""
    return session.scalar(select(StudyRow.reference_standard).where(StudyRow.id == study_id))


def list_worklist(session: Session, query: WorklistQuery) -> pd.DataFrame:
    """One page of the worklist: id, name, task, modality, patient_id, images (their number), created_at, status."""
    images = select(func.count()).where(ImageRow.study_id == StudyRow.id).scalar_subquery()
    columns = (
        StudyRow.id, StudyRow.name, StudyRow.task, StudyRow.modality, StudyRow.patient_id,
        images.label("images"), StudyRow.created_at, _status(query.reviewer, query.protocol).label("status"),
    )  # fmt: skip
    page = select(*columns).where(*_filters(query)).order_by(*_order(query))
    return frame(session, page.limit(query.limit).offset(query.offset))


def count_worklist(session: Session, query: WorklistQuery) -> int:
    """How many studies the query finds on all its pages."""
    return session.scalar(select(func.count()).select_from(StudyRow).where(*_filters(query))) or 0


def count_statuses(
    session: Session, reviewer: str, task: str = "", *, protocol: Protocol = "unaided-then-aided"
) -> dict[Status, int]:
    """How many studies (of that task) are unread, draft, flagged, done and held for this reviewer; every status is there."""
    each = select(_status(reviewer, protocol).label("status")).where(StudyRow.id.not_in(held_back(reviewer)))
    if task:
        each = each.where(StudyRow.task == task)
    status = each.subquery().c.status  # PostgreSQL groups by a column, not by an expression with parameters
    counted = dict(session.execute(select(status, func.count()).group_by(status)).all())
    return {name: counted.get(name, 0) for name in STATUSES}


def neighbours(session: Session, query: WorklistQuery, study_id: str) -> tuple[str | None, str | None]:
    """Ids of the studies before and after this one in the query's order and filter, None at either end.

    The study itself need not match the filter (any more): its place in the order counts. (None, None) for an unknown one.
    """
    return _beside(session, query, study_id, forwards=False), _beside(session, query, study_id, forwards=True)


def place(session: Session, query: WorklistQuery, study_id: str) -> int:
    """How many studies of the query stand before this one in its order; 0 for an unknown one."""
    beyond = _beyond(session, query, study_id, forwards=False)
    if beyond is None:
        return 0
    return session.scalar(select(func.count()).select_from(StudyRow).where(*_filters(query), beyond)) or 0


def next_unread(session: Session, query: WorklistQuery, study_id: str = "") -> str | None:
    """The unread study after this one in the query's order, else the first of all but this one, else None.

    The query's own status is set aside.
    """
    unread = replace(query, status="unread")
    others = [*_filters(unread), StudyRow.id != study_id]
    first = select(StudyRow.id).where(*others).order_by(*_order(unread)).limit(1)
    return _beside(session, unread, study_id, forwards=True) or session.scalar(first)


def _beside(session: Session, query: WorklistQuery, study_id: str, *, forwards: bool) -> str | None:
    beyond = _beyond(session, query, study_id, forwards=forwards)
    if beyond is None:
        return None
    ascending = forwards != (query.sort == "newest")
    order = [key.asc() if ascending else key.desc() for key in _keys(query)]
    return session.scalar(select(StudyRow.id).where(*_filters(query), beyond).order_by(*order).limit(1))


def _beyond(session: Session, query: WorklistQuery, study_id: str, *, forwards: bool) -> ColumnElement[bool] | None:
    """SQL for "stands after (or before) this study in the query's order"; None for an unknown study."""
    keys = _keys(query)
    here = session.execute(select(*keys).where(StudyRow.id == study_id)).one_or_none()
    if here is None:
        return None
    return tuple_(*keys) < tuple(here) if forwards == (query.sort == "newest") else tuple_(*keys) > tuple(here)


def _keys(query: WorklistQuery) -> tuple[ColumnElement[Any], ...]:
    """What studies are sorted by; no two studies share it, so that pages never overlap."""
    return (func.lower(StudyRow.name), StudyRow.number) if query.sort == "name" else (StudyRow.number,)


def _order(query: WorklistQuery) -> list[ColumnElement[Any]]:
    return [key.desc() if query.sort == "newest" else key.asc() for key in _keys(query)]


def _filters(query: WorklistQuery) -> list[ColumnElement[bool]]:
    filters: list[ColumnElement[bool]] = [StudyRow.id.not_in(held_back(query.reviewer))]
    if query.task:
        filters.append(StudyRow.task == query.task)
    if words := query.search.strip():
        filters.append(
            StudyRow.name.icontains(words, autoescape=True) | StudyRow.patient_id.icontains(words, autoescape=True)
        )
    if query.status:
        filters.append(_status(query.reviewer, query.protocol) == query.status)
    return filters


def _status(reviewer: str, protocol: str) -> ColumnElement[str]:
    """SQL for a study's status: held, else by the newest aided review if there is one, else by what was begun."""
    held = _exists(HoldRow.study_id, HoldRow.study_id == StudyRow.id, HoldRow.released_at.is_(None))
    mine = (ReviewRow.study_id == StudyRow.id, ReviewRow.reviewer == reviewer, ReviewRow.reader_study.is_(None))
    aided = select(ReviewRow.flagged).where(*mine, ReviewRow.phase == "aided").order_by(ReviewRow.id.desc()).limit(1)
    begun = _exists(DraftRow.study_id, DraftRow.study_id == StudyRow.id, DraftRow.reviewer == reviewer)
    if protocol == "unaided-then-aided":
        begun = begun | _exists(ReviewRow.id, *mine, ReviewRow.phase == "unaided")
    read = case(
        (true(), "flagged"), (false(), "done"),
        value=aided.correlate(StudyRow).scalar_subquery(),
        else_=case((begun, "draft"), else_="unread"),
    )  # fmt: skip
    return case((held, "held"), else_=read)


def _exists(column: Any, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return select(column).where(*conditions).correlate(StudyRow).exists()
