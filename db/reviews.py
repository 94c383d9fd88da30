"""Reviews, only ever added.

Reviews of one study by one reviewer in one phase form a chain: each supersedes the one before, the last one is current.
Daily work and each reader study have chains of their own, and so have second readings; lists and counts here are of daily work.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd
from sqlalchemy import ColumnElement, Select, bindparam, func, insert, select
from sqlalchemy.orm import Session, aliased

from core.records import Phase, Refused, Review
from db.audit import add_entry, canonical
from db.drafts import delete_draft
from db.frames import frame
from db.holds import holds_of, require_not_held
from db.reader_turns import check_reading, held_back
from db.tables import AuditRow, ModelRow, PredictionRow, ReviewRow, StudyRow, utc_now

_ADDED = "review.add"  # the audit log's word for a saved review
# Of reviews, since the first fingerprints were logged, with what they are where nothing was said.
_LATER_FIELDS = {"birads": "", "likelihood": None, "reader_study": None, "repeat": 0}


@dataclass(frozen=True)
class ReviewQuery:
    """Which reviews. Empty strings and no `ids` mean any; `since` is an ISO 8601 moment or date; `limit` None means all; `before`
    is the id of a later review: lists go on from there.

    `shown_to` leaves out studies that this person reads in a running reader study: a list would tell what is hidden there.
    """

    reviewer: str = ""
    model_version: str = ""
    task: str = ""
    phase: str = ""
    since: str = ""
    current_only: bool = True
    limit: int | None = None
    offset: int = 0
    shown_to: str = ""
    ids: tuple[int, ...] = ()
    before: int | None = None


def add_review(session: Session, review: Review) -> Review:
    """Add a review, superseding the reviewer's current one of the same study and phase, and give it with id and time.

    The same review with the same `client_token` again gives the stored one. `ValueError` for an empty token or one that
    another review has; `Refused` for an unaided review once an aided one exists, for a held study, and in a reader study for
    whatever its protocol forbids (see `db.reader_turns.check_reading`). The draft it came of is removed.
    """
    if not review.client_token:
        raise ValueError("a review needs a client_token")
    before = _before(session, review)
    if before["same_token"] is not None:
        stored = session.connection().execute(_BY_TOKEN, {"client_token": review.client_token}).mappings().one()
        return _same(_record(stored), review)
    require_not_held(before["held"])
    supersedes = before["current"]
    if review.reader_study is not None:
        check_reading(session, review, corrects=supersedes is not None)
    elif review.phase == "unaided" and before["aided"] is not None:
        raise Refused("The aided review of this study is saved already, so the unaided one can no longer change.")
    saved = replace(review, supersedes=supersedes, id=None, created_at=utc_now())
    number = session.connection().execute(_ADD, _values(saved)).scalar_one()
    saved = replace(saved, id=number, regions=tuple(dict(region) for region in saved.regions))
    delete_draft(session, review.study_id, review.reviewer, review.reader_study, review.repeat)
    details = {"review": saved.id, "phase": saved.phase, "sha256": fingerprint(saved)}
    if saved.reader_study is not None:
        details["reader_study"] = saved.reader_study
    add_entry(session, saved.reviewer, _ADDED, f"study:{saved.study_id}", details)
    return saved


def fingerprint(review: Review) -> str:
    """SHA-256 (hex) of everything a review says. The audit log holds it, so that an altered review can be told."""
    values = _values(review) | {"id": review.id}
    for name, unset in _LATER_FIELDS.items():  # left out, so that what was logged before they came still fits
        if values[name] == unset:
            del values[name]
    return hashlib.sha256(canonical(values).encode()).hexdigest()


def first_altered(session: Session) -> int | None:
    """Id of the first review that is not what the audit log says was saved, or that it names but is gone; else None.

    Sound only where `db.audit.verify` finds the log itself whole.
    """
    lines = session.scalars(select(AuditRow.details).where(AuditRow.action == _ADDED).order_by(AuditRow.id))
    logged = {line["review"]: line["sha256"] for line in map(json.loads, lines)}
    rows = session.scalars(select(ReviewRow).execution_options(yield_per=1000))
    kept = {row.id: fingerprint(_record(_as_mapping(row))) for row in rows}
    return min(
        (number for number in logged.keys() | kept.keys() if logged.get(number) != kept.get(number)), default=None
    )


def latest_review(
    session: Session, study_id: str, reviewer: str, phase: Phase, reader_study: int | None = None
) -> Review | None:
    """The reviewer's current review of that study in that phase, in daily work or first in that reader study, or None."""
    values = {"study_id": study_id, "reviewer": reviewer, "phase": phase, "reader_study": reader_study, "repeat": 0}
    row = session.connection().execute(_LATEST[reader_study is None], values).mappings().one_or_none()
    return None if row is None else _record(row)


def review_history(
    session: Session, study_id: str, reviewer: str, reader_study: int | None = None, repeat: int = 0
) -> list[Review]:
    """All reviews of that study by that reviewer in daily work or in that reader study and repeat, both phases, oldest first."""
    values = {"study_id": study_id, "reviewer": reviewer, "reader_study": reader_study, "repeat": repeat}
    rows = session.connection().execute(_HISTORY[reader_study is None], values).mappings()
    return [_record(row) for row in rows]


def saved_tokens(
    session: Session, study_id: str, reviewer: str, reader_study: int | None = None, repeat: int = 0
) -> dict[int, str]:
    """Id -> client token of what `review_history` gives, in its order: every draft and save asks."""
    values = {"study_id": study_id, "reviewer": reviewer, "reader_study": reader_study, "repeat": repeat}
    return dict(session.connection().execute(_TOKENS[reader_study is None], values).all())


def list_reviews(session: Session, query: ReviewQuery) -> pd.DataFrame:
    """Reviews, newest first, with what they are about.

    Columns: id, created_at, study_id, study_name, task, reviewer, phase, label, predicted, agrees (label = predicted; NA
    without a prediction), confidence, birads, likelihood, heatmap_verdict, flagged, comment, seconds, model_name, model_version,
    supersedes.
    """
    return frame(session, _page(_joined(*_COLUMNS), query))


def count_reviews(session: Session, query: ReviewQuery) -> int:
    """How many reviews the query finds on all its pages."""
    return session.scalar(_joined(func.count()).where(*_filters(query))) or 0


# What every save runs, built once and without the mapper: fifty reviewers who save at once wait for each other's statements.
_REVIEWS = ReviewRow.__table__
_BY_TOKEN = select(_REVIEWS).where(_REVIEWS.c.client_token == bindparam("client_token"))
_ADD = insert(_REVIEWS).returning(_REVIEWS.c.id)


def _chain(daily: bool, *more: ColumnElement[bool]) -> Select[Any]:
    c = _REVIEWS.c
    here = (c.reader_study == bindparam("reader_study"), c.repeat == bindparam("repeat"))
    scope = (c.reader_study.is_(None),) if daily else here
    return select(_REVIEWS).where(
        c.study_id == bindparam("study_id"), c.reviewer == bindparam("reviewer"), *scope, *more
    )


_HISTORY = {daily: _chain(daily).order_by(_REVIEWS.c.id) for daily in (True, False)}
_TOKENS = {daily: query.with_only_columns(_REVIEWS.c.id, _REVIEWS.c.client_token) for daily, query in _HISTORY.items()}
_LATEST = {
    daily: _chain(daily, _REVIEWS.c.phase == bindparam("phase")).order_by(_REVIEWS.c.id.desc()).limit(1)
    for daily in (True, False)
}


def _newest_id(daily: bool, phase: Any) -> Any:
    # Not the highest id: `max` would not use the index's order.
    chain = _chain(daily, _REVIEWS.c.phase == phase).with_only_columns(_REVIEWS.c.id)
    return chain.order_by(_REVIEWS.c.id.desc()).limit(1).scalar_subquery()


# All that a save must know of what is there, in one question.
_BEFORE = {
    daily: select(
        _BY_TOKEN.with_only_columns(_REVIEWS.c.id).scalar_subquery().label("same_token"),
        holds_of(bindparam("study_id")).scalar_subquery().label("held"),
        _newest_id(daily, bindparam("phase")).label("current"),
        _newest_id(daily, "aided").label("aided"),
    )
    for daily in (True, False)
}


def _before(session: Session, review: Review) -> Mapping[str, Any]:
    names = ("client_token", "study_id", "reviewer", "phase", "reader_study", "repeat")
    values = {name: getattr(review, name) for name in names}
    return session.connection().execute(_BEFORE[review.reader_study is None], values).mappings().one()


_COLUMNS = (
    ReviewRow.id,
    ReviewRow.created_at,
    ReviewRow.study_id,
    StudyRow.name.label("study_name"),
    StudyRow.task,
    ReviewRow.reviewer,
    ReviewRow.phase,
    ReviewRow.label,
    PredictionRow.predicted,
    (ReviewRow.label == PredictionRow.predicted).label("agrees"),
    ReviewRow.confidence,
    ReviewRow.birads,
    ReviewRow.likelihood,
    ReviewRow.heatmap_verdict,
    ReviewRow.flagged,
    ReviewRow.comment,
    ReviewRow.seconds,
    ModelRow.name.label("model_name"),
    PredictionRow.model_version,
    ReviewRow.supersedes,
)


def _joined(*columns: ColumnElement[Any] | Any) -> Select[Any]:
    return (
        select(*columns)
        .select_from(ReviewRow)
        .join(StudyRow, ReviewRow.study_id == StudyRow.id)
        .outerjoin(PredictionRow, ReviewRow.prediction_id == PredictionRow.id)
        .outerjoin(ModelRow, PredictionRow.model_version == ModelRow.version)
    )


def _page(rows: Select[Any], query: ReviewQuery) -> Select[Any]:
    ordered = rows.where(*_filters(query)).order_by(ReviewRow.id.desc())
    return ordered.limit(query.limit).offset(query.offset)


def _filters(query: ReviewQuery) -> list[ColumnElement[bool]]:
    wanted = (
        (ReviewRow.reviewer, query.reviewer),
        (PredictionRow.model_version, query.model_version),
        (StudyRow.task, query.task),
        (ReviewRow.phase, query.phase),
    )
    filters = [ReviewRow.reader_study.is_(None), *(column == value for column, value in wanted if value)]
    if query.shown_to:
        filters.append(ReviewRow.study_id.not_in(held_back(query.shown_to)))
    if query.ids:
        filters.append(ReviewRow.id.in_(query.ids))
    if query.before is not None:
        filters.append(ReviewRow.id < query.before)
    if query.since:
        filters.append(ReviewRow.created_at >= query.since)
    if query.current_only:
        later = aliased(ReviewRow)
        filters.append(~select(later.id).where(later.supersedes == ReviewRow.id).exists())
    return filters


def _same(stored: Review, review: Review) -> Review:
    """`stored`, if `review` says the same; time spent may differ, since a repeated save comes later."""
    as_stored = replace(
        review, id=stored.id, created_at=stored.created_at, supersedes=stored.supersedes, seconds=stored.seconds
    )
    if canonical(asdict(as_stored)) != canonical(asdict(stored)):
        raise ValueError("this client_token belongs to another review")
    return stored


def _values(review: Review) -> dict[str, Any]:
    values = vars(review) | {"regions": [dict(region) for region in review.regions]}
    del values["id"]  # the store's own to give
    return values


def _as_mapping(row: ReviewRow) -> dict[str, Any]:
    return {column.key: getattr(row, column.key) for column in _REVIEWS.columns}


def _record(row: Mapping[str, Any]) -> Review:
    return Review(**{**row, "regions": tuple(row["regions"])})
