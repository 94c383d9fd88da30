"""The audit log: lines are only ever added, and each carries the hash of the one before it.

Whoever edits, removes, inserts or reorders a line breaks the chain there. Cutting off the end leaves a valid, shorter
chain: that is found by comparing with a head exported earlier.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pandas as pd
from sqlalchemy import event, insert, select
from sqlalchemy.orm import Session

from db.frames import frame
from db.tables import AuditRow, utc_now

GENESIS = "0" * 64  # what the first line names as the one before it
_END = "end of the audit log"  # in a session's `info`: the hash of the line that its transaction added last


def canonical(values: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text. `ValueError` for NaN and infinities."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def add_entry(session: Session, actor: str, action: str, subject: str, details: Mapping[str, Any]) -> int:
    """Continue the log and give the new line's id. `details` are JSON-safe and never hold a patient's name."""
    session.flush()  # what the line speaks of comes first
    values = {
        "created_at": utc_now(), "actor": actor, "action": action, "subject": subject,
        "details": canonical(dict(details)), "previous": session.info.get(_END) or head(session),
    }  # fmt: skip
    values["hash"] = _hash(SimpleNamespace(**values))
    number = session.connection().execute(_ADD, values).scalar_one()
    session.info[_END] = values["hash"]  # nobody else writes meanwhile: the next line of a group continues here unasked
    return number


@event.listens_for(Session, "after_transaction_end")
def _forget_end(session: Session, _transaction: Any) -> None:
    session.info.pop(_END, None)  # after a commit others may write; after a savepoint was undone the line is gone


def head(session: Session) -> str:
    """Hash of the newest line (64 hex digits; zeros for an empty log). Kept elsewhere, it proves later what the log was."""
    return session.connection().execute(_HEAD).scalar_one_or_none() or GENESIS


def verify(session: Session, known_head: str = GENESIS) -> int | None:
    """Id of the first line that does not fit the one before it, or None where the whole chain holds.

    `known_head` is a head exported earlier: if no line has it, the log was cut, and the id after the last is given.
    """
    previous, last_id, known = GENESIS, 0, known_head == GENESIS
    for row in session.execute(select(*AuditRow.__table__.columns).order_by(AuditRow.id)).yield_per(1000):
        if row.previous != previous or row.hash != _hash(row):
            return row.id
        previous, last_id = row.hash, row.id
        known = known or previous == known_head
    return None if known else last_id + 1


def list_entries(session: Session, *, limit: int = 100, offset: int = 0) -> pd.DataFrame:
    """Lines of the log, newest first: id, created_at, actor, action, subject, details (JSON text), hash."""
    columns = (AuditRow.id, AuditRow.created_at, AuditRow.actor, AuditRow.action, AuditRow.subject, AuditRow.details)
    query = select(*columns, AuditRow.hash).order_by(AuditRow.id.desc()).limit(limit).offset(offset)
    return frame(session, query)


# Built once, and past the mapper: every save runs them.
_ADD = insert(AuditRow.__table__).returning(AuditRow.__table__.c.id)
_HEAD = select(AuditRow.__table__.c.hash).order_by(AuditRow.__table__.c.id.desc()).limit(1)


def _hash(row: Any) -> str:
    fields = [row.previous, row.created_at, row.actor, row.action, row.subject, row.details]
    return hashlib.sha256(canonical(fields).encode()).hexdigest()  # as a JSON list, so that no field runs into the next
