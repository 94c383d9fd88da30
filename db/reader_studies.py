"""Reader studies: drawn up as a draft, started, closed. What a running one consists of no longer changes.

Its readers may (see `db.readers`): that changes nobody else's order, and the audit log says when it was.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

import pandas as pd
from sqlalchemy import ColumnElement, Row, bindparam, delete, func, select
from sqlalchemy.orm import Session

from core.reader_records import ReaderStudy, Rules, StudyPlan
from core.records import Refused
from db.audit import add_entry
from db.exposures import require_accepted
from db.frames import frame
from db.readers import check_overlap, check_reviewers, list_readers, study_row
from db.reading_order import drawn_number
from db.tables import (
    HoldRow,
    ModelRow,
    ReaderRow,
    ReaderStudyCaseRow,
    ReaderStudyRow,
    ReviewRow,
    StudyRow,
    utc_now,
)

_CHUNK = 500  # ids in one query: databases limit the parameters of a statement


def add_reader_study(session: Session, plan: StudyPlan, actor: str) -> ReaderStudy:
    """Keep a draft and give the record.

    `Refused` for a name in use, a model that is not registered for the task, cases that are not of it, and readers who are
    not reviewers.
    """
    _check(session, plan)
    row = ReaderStudyRow(
        name=plan.name.strip(), task=plan.task, protocol=plan.protocol, model_version=plan.model_version, seed=plan.seed,
        rules=asdict(plan.rules), status="draft", created_by=actor, created_at=utc_now(), started_at="", closed_at="",
        simulated=plan.simulated,
    )  # fmt: skip
    session.add(row)
    session.flush()
    _add_lists(session, row.id, plan)
    add_entry(session, actor, "reader_study.add", f"reader_study:{row.id}", _details(plan))
    return _record(row, len(plan.cases))


def change_draft_study(session: Session, number: int, plan: StudyPlan, actor: str) -> ReaderStudy:
    """Put `plan` in the place of what a draft says, all of it, and give the record.

    `Refused` for any other status, and as `add_reader_study` does.
    """
    row = study_row(session, number)
    if row.status != "draft":
        raise Refused(f"'{row.name}' is {row.status}; only a draft can be changed.")
    _check(session, plan, number)
    row.name, row.task, row.protocol, row.seed = plan.name.strip(), plan.task, plan.protocol, plan.seed
    row.model_version, row.rules = plan.model_version, asdict(plan.rules)
    _drop_lists(session, number)
    _add_lists(session, number, plan)
    add_entry(session, actor, "reader_study.change", f"reader_study:{number}", _details(plan))
    return _record(row, len(plan.cases))


def _add_lists(session: Session, number: int, plan: StudyPlan) -> None:
    session.add_all(ReaderStudyCaseRow(reader_study=number, study_id=c, position=i) for i, c in enumerate(plan.cases))
    drawn = sorted(plan.readers, key=lambda reader: drawn_number(plan.seed, reader))  # by lot, not by the list's order
    session.add_all(ReaderRow(reader_study=number, reader=name, half=i % 2) for i, name in enumerate(drawn))
    session.flush()


def _drop_lists(session: Session, number: int) -> None:
    for table in (ReaderStudyCaseRow, ReaderRow):
        session.execute(delete(table).where(table.reader_study == number))


def _details(plan: StudyPlan) -> dict[str, Any]:
    return {**asdict(plan), "cases": len(plan.cases), "cases_sha256": _fingerprint(plan.cases)}


def not_held() -> ColumnElement[bool]:
    """SQL for studies that may be read: nobody has to look for names in their pixels first."""
    return StudyRow.id.not_in(select(HoldRow.study_id).where(HoldRow.released_at.is_(None)))


def get_reader_study(session: Session, number: int) -> ReaderStudy | None:
    """The reader study of that id, or None."""
    found = session.connection().execute(_ONE, {"number": number}).one_or_none()
    return None if found is None else _record(found, found.cases)


def list_reader_studies(session: Session, *, reader: str = "", status: str = "") -> list[ReaderStudy]:
    """Reader studies, newest first; with `reader` those that this person reads or has read: no drafts, none withdrawn from."""
    query = _WITH_CASES.order_by(ReaderStudyRow.id.desc())
    if status:
        query = query.where(ReaderStudyRow.status == status)
    if reader:
        mine = select(ReaderRow.reader_study).where(ReaderRow.reader == reader, ReaderRow.withdrawn_at == "")
        query = query.where(ReaderStudyRow.id.in_(mine), ReaderStudyRow.status != "draft")
    return [_record(found, found.cases) for found in session.execute(query)]


def list_cases(session: Session, number: int) -> list[str]:
    """Ids of the reader study's cases, in the order in which the lead gave them."""
    query = select(ReaderStudyCaseRow.study_id).where(ReaderStudyCaseRow.reader_study == number)
    return list(session.scalars(query.order_by(ReaderStudyCaseRow.position)))


def start_reader_study(session: Session, number: int, actor: str, accepted: str = "") -> None:
    """Draft -> running; from now on its cases, protocol, model and rules stand. `Refused` for any other status.

    Where readers are to read cases without the model of which they have seen a model's result before, `accepted` must say why:
    the audit log keeps it (see `db.exposures`).
    """
    row = study_row(session, number)
    if row.status != "draft":
        raise Refused(f"'{row.name}' is {row.status}; only a draft can be started.")
    if session.scalar(select(ModelRow.status).where(ModelRow.version == row.model_version)) == "withdrawn":
        raise Refused("The model of this reader study is withdrawn; draw the study up anew with another one.")
    readers = list_readers(session, number)
    check_overlap(session, number, tuple(readers))
    known = require_accepted(session, (number, row.protocol), readers, accepted)
    row.status, row.started_at = "running", utc_now()
    session.flush()
    add_entry(session, actor, "reader_study.start", f"reader_study:{number}", {"readers": readers, **known})


def close_reader_study(session: Session, number: int, actor: str) -> None:
    """Running -> closed, complete or not: nothing more is read, results may be seen. `Refused` for any other status."""
    row = study_row(session, number)
    if row.status != "running":
        raise Refused(f"'{row.name}' is {row.status}; only a running reader study can be closed.")
    row.status, row.closed_at = "closed", utc_now()
    session.flush()
    done = session.scalar(select(func.count()).where(ReviewRow.reader_study == number)) or 0
    add_entry(session, actor, "reader_study.close", f"reader_study:{number}", {"readings": done})


def discard_draft_study(session: Session, number: int, actor: str) -> None:
    """Remove a draft, of which nothing was read; the audit log keeps that it was. `Refused` for any other status."""
    row = study_row(session, number)
    if row.status != "draft":
        raise Refused(f"'{row.name}' is {row.status}; only a draft can be discarded.")
    add_entry(session, actor, "reader_study.discard", f"reader_study:{number}", {"name": row.name})
    _drop_lists(session, number)
    session.delete(row)
    session.flush()


def study_readings(session: Session, number: int) -> pd.DataFrame:
    """The newest readings of a closed reader study, one row per reader, case, phase and repeat.

    Columns: id, study_id, reader, phase, repeat (1 for the second reading of a case), label, birads, likelihood, confidence,
    comment, regions, seconds, prediction_id, created_at, reference_standard (the dataset's own), withdrawn (whether the reader
    was). `Refused` until the study is closed: nobody sees results of a running one.
    """
    row = study_row(session, number)
    if row.status != "closed":
        raise Refused(f"'{row.name}' is {row.status}; its readings can be seen once it is closed.")
    later = select(ReviewRow.supersedes).where(ReviewRow.reader_study == number, ReviewRow.supersedes.is_not(None))
    columns = (
        ReviewRow.id, ReviewRow.study_id, ReviewRow.reviewer.label("reader"), ReviewRow.phase, ReviewRow.repeat,
        ReviewRow.label, ReviewRow.birads, ReviewRow.likelihood, ReviewRow.confidence, ReviewRow.comment, ReviewRow.regions,
        ReviewRow.seconds, ReviewRow.prediction_id, ReviewRow.created_at, StudyRow.reference_standard,
        (ReaderRow.withdrawn_at != "").label("withdrawn"),
    )  # fmt: skip
    own = (ReaderRow.reader_study == ReviewRow.reader_study) & (ReaderRow.reader == ReviewRow.reviewer)
    query = select(*columns).join(StudyRow, StudyRow.id == ReviewRow.study_id).join(ReaderRow, own)
    query = query.where(ReviewRow.reader_study == number, ReviewRow.id.not_in(later)).order_by(ReviewRow.id)
    return frame(session, query)


_CASES = select(func.count()).where(ReaderStudyCaseRow.reader_study == ReaderStudyRow.id).scalar_subquery()
_WITH_CASES = select(*ReaderStudyRow.__table__.columns, _CASES.label("cases"))
_ONE = _WITH_CASES.where(ReaderStudyRow.id == bindparam("number"))  # built once: every save asks


def _check(session: Session, plan: StudyPlan, number: int | None = None) -> None:
    name = plan.name.strip()
    namesake = session.scalar(select(ReaderStudyRow.id).where(func.lower(ReaderStudyRow.name) == name.lower()))
    if namesake not in (None, number):
        raise Refused(f"There is already a reader study called '{name}'.")
    model = session.get(ModelRow, plan.model_version)
    if model is None or model.task != plan.task or model.status == "withdrawn":
        raise Refused(f"A reader study of {plan.task} needs a registered model of that task that is not withdrawn.")
    known: set[str] = set()
    for start in range(0, len(plan.cases), _CHUNK):
        wanted = StudyRow.id.in_(plan.cases[start : start + _CHUNK])
        known |= set(session.scalars(select(StudyRow.id).where(wanted, StudyRow.task == plan.task, not_held())))
    if missing := len(plan.cases) - len(known):
        raise Refused(f"{missing} of the {len(plan.cases)} cases are no readable studies of {plan.task} in this store.")
    check_reviewers(session, plan.readers)


def _fingerprint(cases: tuple[str, ...]) -> str:
    return hashlib.sha256("|".join(cases).encode()).hexdigest()


def _record(row: ReaderStudyRow | Row[Any], cases: int) -> ReaderStudy:
    return ReaderStudy(
        id=row.id, name=row.name, task=row.task, protocol=row.protocol, model_version=row.model_version, seed=row.seed,  # type: ignore[arg-type]
        rules=Rules(**row.rules), status=row.status, cases=cases, created_by=row.created_by, created_at=row.created_at,  # type: ignore[arg-type]
        started_at=row.started_at, closed_at=row.closed_at, simulated=row.simulated,
    )  # fmt: skip
