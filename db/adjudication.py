"""Disagreements that wait for an adjudicator, and the decisions: a reference standard of its own, only ever added to.

A case is in the queue when its newest first readings differ in class between readers, or agree with each other but not with the
model that was shown, and its study is not held; readers who were withdrawn from a reader study do not count there. It leaves
the queue with the first decision; later decisions on it supersede that one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import pandas as pd
from sqlalchemy import ColumnElement, Select, case, func, select
from sqlalchemy.orm import Session, aliased

from core.reader_records import Decision
from core.records import Refused
from db.audit import add_entry
from db.frames import frame
from db.holds import require_released
from db.reader_studies import get_reader_study
from db.reading_order import drawn_number
from db.tables import AdjudicationRow, HoldRow, PredictionRow, ReaderRow, ReviewRow, StudyRow, utc_now

Kind = Literal["readers", "model"]

KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class QueueQuery:
    """Which disagreements: of a closed reader study, or of daily work (None); of one kind, or of both (empty)."""

    reader_study: int | None = None
    kind: Kind | Literal[""] = ""
    task: str = ""


def list_queue(session: Session, query: QueueQuery, *, limit: int = 50) -> pd.DataFrame:
    """Undecided disagreements, oldest reading first: study_id, task, kind (readers | model), readings (their number).

    `Refused` for a reader study that is not closed.
    """
    cases = _disagreements(session, query).subquery()
    columns = (cases.c.study_id, StudyRow.task, cases.c.kind, cases.c.readings)
    found = select(*columns).join(StudyRow, StudyRow.id == cases.c.study_id).where(*_wanted(cases, query))
    return frame(session, found.order_by(cases.c.first, cases.c.study_id).limit(limit))


def count_queue(session: Session, query: QueueQuery) -> dict[str, int]:
    """How many undecided disagreements there are of each kind, and `decided`: cases of the same scope that have a decision.

    The query's kind is set aside. `Refused` for a reader study that is not closed.
    """
    query = replace(query, kind="")
    cases = _disagreements(session, query).subquery()
    counts = select(cases.c.kind, func.count()).join(StudyRow, StudyRow.id == cases.c.study_id)
    found = dict(session.execute(counts.where(*_wanted(cases, query)).group_by(cases.c.kind)).all())
    decided = select(func.count(func.distinct(AdjudicationRow.study_id))).where(
        _within(AdjudicationRow, query.reader_study)
    )
    return {**{kind: found.get(kind, 0) for kind in KINDS}, "decided": session.scalar(decided) or 0}


def anonymous_readings(session: Session, study_id: str, reader_study: int | None = None) -> pd.DataFrame:
    """The newest readings of a case without names: reader ("A", "B", …), label, birads, likelihood, confidence, comment, regions.

    Letters are dealt anew for each case, so that nobody can be followed from one case to the next.
    """
    _check_closed(session, reader_study)
    newest = _newest(reader_study).where(ReviewRow.study_id == study_id).subquery()
    columns = ("label", "birads", "likelihood", "confidence", "comment", "regions", "reviewer", "prediction_id")
    table = frame(session, select(*(newest.c[name] for name in columns)))
    lots = [drawn_number(0, study_id, reviewer) for reviewer in table["reviewer"]]
    table = table.iloc[sorted(range(len(table)), key=lots.__getitem__)].reset_index(drop=True)
    return table.drop(columns="reviewer").assign(reader=[_letter(i) for i in range(len(table))])


def add_decision(session: Session, decision: Decision) -> Decision:
    """Add a decision on a study and give it with id and time; `supersedes` is the current one, None where there is none yet.

    `Refused` for an unknown or held study, a reader study that is not closed, a change of an earlier decision without a reason,
    and where another decision came meanwhile: whoever decides has seen the one that they replace.
    """
    _check_closed(session, decision.reader_study)
    if session.scalar(select(StudyRow.number).where(StudyRow.id == decision.study_id)) is None:
        raise Refused("This study is not in the store.")
    require_released(session, decision.study_id)
    history = decision_history(session, decision.study_id)
    if history and history[-1].id != decision.supersedes:
        now = history[-1]
        raise Refused(
            f"{now.decided_by} decided this case meanwhile ({now.label}): look at it, and say why if yours replaces it."
        )
    if history and not decision.reason.strip():
        raise Refused("This case is decided already: say why the decision changes.")
    row = AdjudicationRow(**asdict(replace(decision, id=None, created_at=utc_now())))
    session.add(row)
    session.flush()
    saved = _record(row)
    details = {name: value for name, value in asdict(saved).items() if name not in ("study_id", "decided_by", "reason")}
    add_entry(session, saved.decided_by, "adjudication.add", f"study:{saved.study_id}", details)
    return saved


def decision_history(session: Session, study_id: str) -> list[Decision]:
    """All decisions on that study, oldest first; the last one counts."""
    rows = select(AdjudicationRow).where(AdjudicationRow.study_id == study_id).order_by(AdjudicationRow.id)
    return [_record(row) for row in session.scalars(rows)]


def list_decisions(session: Session, query: QueueQuery, *, limit: int | None = None) -> pd.DataFrame:
    """Current decisions of a scope and task, newest first.

    Columns: study_id, study_name, task, label, birads, reason, decided_by, created_at, reference_standard (the dataset's own).
    """
    columns = (
        AdjudicationRow.study_id, StudyRow.name.label("study_name"), StudyRow.task, AdjudicationRow.label,
        AdjudicationRow.birads, AdjudicationRow.reason, AdjudicationRow.decided_by, AdjudicationRow.created_at,
        StudyRow.reference_standard,
    )  # fmt: skip
    found = select(*columns).join(StudyRow, StudyRow.id == AdjudicationRow.study_id)
    found = found.where(_within(AdjudicationRow, query.reader_study), _current(AdjudicationRow))
    if query.task:
        found = found.where(StudyRow.task == query.task)
    return frame(session, found.order_by(AdjudicationRow.id.desc()).limit(limit))


def adjudicated_references(session: Session, task: str) -> dict[str, str]:
    """Study id -> class that the newest decision gives it, whatever led to it. Not for a reviewer's eyes."""
    query = select(AdjudicationRow.study_id, AdjudicationRow.label).join(
        StudyRow, StudyRow.id == AdjudicationRow.study_id
    )
    return dict(session.execute(query.where(StudyRow.task == task, _current(AdjudicationRow))).all())


def _check_closed(session: Session, reader_study: int | None) -> None:
    if reader_study is None:
        return
    study = get_reader_study(session, reader_study)
    if study is None or study.status != "closed":
        raise Refused("A reader study is adjudicated once it is closed.")


def _newest(reader_study: int | None) -> Select[Any]:
    """The current readings of a scope, one per reader and case: the aided one where there is one, never a second reading."""
    other = aliased(ReviewRow)
    same = (
        other.study_id == ReviewRow.study_id, other.reviewer == ReviewRow.reviewer,
        _within(other, reader_study), other.phase == "aided", other.repeat == 0,
    )  # fmt: skip
    only = (ReviewRow.phase == "aided") | ~select(other.id).where(*same).exists()
    wanted = [_within(ReviewRow, reader_study), _current(ReviewRow), only, ReviewRow.repeat == 0]
    if reader_study is not None:
        gone = select(ReaderRow.reader).where(ReaderRow.reader_study == reader_study, ReaderRow.withdrawn_at != "")
        wanted.append(ReviewRow.reviewer.not_in(gone))
    return select(ReviewRow).where(*wanted)


def _disagreements(session: Session, query: QueueQuery) -> Select[Any]:
    _check_closed(session, query.reader_study)
    return _disagreements_of(query.reader_study)


def _disagreements_of(reader_study: int | None) -> Select[Any]:
    """study_id, kind, readings, first (id of the oldest): one row per case of the scope that somebody must look at."""
    newest = _newest(reader_study).subquery()
    differ = func.min(newest.c.label) != func.max(newest.c.label)
    against = func.max(case((PredictionRow.predicted != newest.c.label, 1), else_=0)) == 1
    columns = (
        newest.c.study_id, case((differ, "readers"), else_="model").label("kind"),
        func.count().label("readings"), func.min(newest.c.id).label("first"),
    )  # fmt: skip
    found = select(*columns).outerjoin(PredictionRow, PredictionRow.id == newest.c.prediction_id)
    return found.group_by(newest.c.study_id).having(differ | against)


def _wanted(cases: Any, query: QueueQuery) -> list[ColumnElement[bool]]:
    decided = select(AdjudicationRow.id).where(AdjudicationRow.study_id == cases.c.study_id).exists()
    held = select(HoldRow.study_id).where(HoldRow.released_at.is_(None))
    wanted = [~decided, cases.c.study_id.not_in(held)]
    if query.kind:
        wanted.append(cases.c.kind == query.kind)
    if query.task:
        wanted.append(StudyRow.task == query.task)
    return wanted


def _within(table: Any, reader_study: int | None) -> ColumnElement[bool]:
    return table.reader_study.is_(None) if reader_study is None else table.reader_study == reader_study


def _current(table: Any) -> ColumnElement[bool]:
    later = aliased(table)
    return ~select(later.id).where(later.supersedes == table.id).exists()


def _letter(number: int) -> str:
    return chr(ord("A") + number) if number < 26 else f"{chr(ord('A') + number // 26 - 1)}{chr(ord('A') + number % 26)}"


def _record(row: AdjudicationRow) -> Decision:
    return Decision(**{column.key: getattr(row, column.key) for column in AdjudicationRow.__table__.columns})
