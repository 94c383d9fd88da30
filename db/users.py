"""Who may sign in, and as what."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.records import Refused
from db.audit import add_entry
from db.tables import UserRow

ROLES = ("reviewer", "lead")


@dataclass(frozen=True)
class User:
    """A person known to the program; `role` is reviewer or lead."""

    name: str
    role: str
    created_at: str


def add_user(session: Session, name: str, role: str, *, actor: str = "system") -> User:
    """Add a person and give the record.

    `name` is stripped and must have 1–60 printable characters, not in use in any case; else `Refused`, as for an unknown role.
    """
    name = name.strip()
    if not 1 <= len(name) <= 60 or not name.isprintable():
        raise Refused("A user's name must have 1 to 60 printable characters.")
    if role not in ROLES:
        raise Refused(f"A user's role must be {' or '.join(ROLES)}, not '{role}'.")
    if get_user(session, name) is not None:
        raise Refused(f"There is already a user called '{name}'.")
    row = UserRow(key=_key(name), name=name, role=role)
    session.add(row)
    session.flush()
    add_entry(session, actor, "user.add", f"user:{name}", {"role": role})
    return _record(row)


def get_user(session: Session, name: str) -> User | None:
    """The person of that name in any case, spelt as when added, or None."""
    row = session.get(UserRow, _key(name))
    return None if row is None else _record(row)


def list_users(session: Session) -> list[User]:
    """Everybody, by name."""
    return [_record(row) for row in session.scalars(select(UserRow).order_by(UserRow.key))]


def _key(name: str) -> str:
    return unicodedata.normalize("NFKC", name.strip()).casefold()


def _record(row: UserRow) -> User:
    return User(row.name, row.role, row.created_at)
