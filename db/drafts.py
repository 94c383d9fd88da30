"""Drafts: a reviewer's answers so far, one per study in daily work, and one per case and repeat of each reader study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.orm import Session

from db.tables import DraftRow, ReaderDraftRow, utc_now


def save_draft(
    session: Session,
    study_id: str,
    reviewer: str,
    values: Mapping[str, Any],
    reader_study: int | None = None,
    *,
    repeat: int = 0,
) -> None:
    """Keep a reviewer's answers so far, in place of earlier ones. `values` are JSON-safe.

    `repeat` is 1 for the second reading of a case in a reader study.
    """
    kept = {"values": dict(values), "updated_at": utc_now()}
    connection, statements = session.connection(), _DRAFTS[reader_study is None]
    if not connection.execute(statements.change, _key(study_id, reviewer, reader_study, repeat) | kept).rowcount:
        scope = {} if reader_study is None else {"reader_study": reader_study, "repeat": repeat}
        connection.execute(statements.add, {"study_id": study_id, "reviewer": reviewer, **scope, **kept})


def get_draft(
    session: Session, study_id: str, reviewer: str, reader_study: int | None = None, repeat: int = 0
) -> dict[str, Any] | None:
    """The answers kept last, or None."""
    key = _key(study_id, reviewer, reader_study, repeat)
    values = session.connection().execute(_DRAFTS[reader_study is None].get, key).scalar_one_or_none()
    return None if values is None else dict(values)


def delete_draft(
    session: Session, study_id: str, reviewer: str, reader_study: int | None = None, repeat: int = 0
) -> None:
    """Forget the answers kept; harmless when there are none."""
    key = _key(study_id, reviewer, reader_study, repeat)
    session.connection().execute(_DRAFTS[reader_study is None].forget, key)


def _key(study_id: str, reviewer: str, reader_study: int | None, repeat: int) -> dict[str, Any]:
    scope = {} if reader_study is None else {"of_reader_study": reader_study, "of_repeat": repeat}
    return {"of_study": study_id, "of_reviewer": reviewer, **scope}


class _DraftStatements:
    """Statements on the drafts of daily work, or on those of reader studies."""

    def __init__(self, table: Any) -> None:
        here = (table.c.study_id == bindparam("of_study")) & (table.c.reviewer == bindparam("of_reviewer"))
        if "reader_study" in table.c:
            here &= (table.c.reader_study == bindparam("of_reader_study")) & (table.c.repeat == bindparam("of_repeat"))
        self.get = select(table.c["values"]).where(here)
        self.forget = delete(table).where(here)
        self.add = insert(table)
        changed = {"values": bindparam("values", type_=table.c["values"].type), "updated_at": bindparam("updated_at")}
        self.change = update(table).where(here).values(changed)


_DRAFTS = {True: _DraftStatements(DraftRow.__table__), False: _DraftStatements(ReaderDraftRow.__table__)}
