"""Copies of imported files, where the installation keeps them: one file each, named after its content, and whose study it is of.

A copy shows the pixels as they arrived. Masking a study therefore removes its copies, and a masked study gets none again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from core import settings
from db.engine import StoreError
from db.files import checked_hash, whole_file
from db.tables import CopyRow, HoldRow


@dataclass(frozen=True)
class NewCopy:
    """A copy to be kept: its bytes, `kind` (deidentified | original) and `format`, the ending of such a file's name."""

    data: bytes
    kind: str
    format: str

    @property
    def hash(self) -> str:
        """SHA-256 (hex) of the bytes."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class KeptCopy:
    """A copy in the store, without its bytes."""

    study_id: str
    hash: str
    kind: str
    format: str


def copy_path(copy_hash: str) -> Path:
    """Where the copy with that hash is kept; `ValueError` if it is not a SHA-256 in hex."""
    return settings.home() / "copies" / checked_hash(copy_hash)[:2] / copy_hash


def put_copy(copy: NewCopy) -> str:
    """Keep a copy's bytes and give their hash; a file that is already there stays. Raises `StoreError` when the disk fails.

    Call it before the transaction that adds its row.
    """
    path = copy_path(copy.hash)
    if not path.exists():
        with whole_file(path) as file:
            file.write(copy.data)
    return path.name


def add_copies(session: Session, study_id: str, copies: Iterable[NewCopy]) -> int:
    """Say that these are copies of that stored study; how many are new. A masked study gets none. `StoreError` as `put_copy`."""
    if not may_have_copies(session, study_id):  # masked while the file was read: what was put meanwhile goes again
        for copy_hash in {copy.hash for copy in copies}:
            _unlink_unless(session, copy_hash, CopyRow.hash == copy_hash)
        return 0
    known = set(session.scalars(select(CopyRow.hash).where(CopyRow.study_id == study_id)))
    new = {copy.hash: copy for copy in copies if copy.hash not in known}
    for copy_hash, copy in new.items():
        put_copy(copy)  # again: another study's masking may have deleted the file since
        session.add(CopyRow(study_id=study_id, hash=copy_hash, kind=copy.kind, format=copy.format))
    session.flush()
    return len(new)


def may_have_copies(session: Session, study_id: str) -> bool:
    """False for a study of which something was masked, ever."""
    hold = session.get(HoldRow, study_id)
    return hold is None or not (hold.replaced or hold.outcome == "masked")


def list_copies(session: Session) -> list[KeptCopy]:
    """All copies of studies that are not held, in order of arrival."""
    held = select(HoldRow.study_id).where(HoldRow.released_at.is_(None))
    query = select(CopyRow).where(CopyRow.removed.is_(False), CopyRow.study_id.not_in(held))
    rows = session.scalars(query.order_by(CopyRow.created_at, CopyRow.study_id, CopyRow.hash))
    return [KeptCopy(row.study_id, row.hash, row.kind, row.format) for row in rows]


def count_copies(session: Session) -> int:
    """How many copies there are, those of held studies included."""
    return session.scalar(select(func.count()).select_from(CopyRow).where(CopyRow.removed.is_(False))) or 0


def load_copy(copy_hash: str) -> bytes:
    """The bytes of a copy. Raises `StoreError` when they are missing or not what the hash says."""
    try:
        data = copy_path(copy_hash).read_bytes()
    except OSError as error:
        raise StoreError(f"A copy is missing from the store ({error.strerror}); restore it from a backup.") from error
    if hashlib.sha256(data).hexdigest() != copy_hash:
        raise StoreError("A copy is damaged in the store; restore it from a backup.")
    return data


def remove_copies(session: Session, study_id: str) -> int:
    """The study has no copies any more; how many it had. Their files go with `drop_removed`, after the commit."""
    gone = update(CopyRow).where(CopyRow.study_id == study_id, CopyRow.removed.is_(False)).values(removed=True)
    return session.execute(gone).rowcount


def drop_removed(session: Session) -> int:
    """Delete the files of removed copies that no other study has, also those that a stopped program left; how many.

    Call it in a write transaction of its own. Raises `StoreError` where a file cannot be deleted.
    """
    dropped = 0
    for row in session.scalars(select(CopyRow).where(CopyRow.removed.is_(True))).all():
        dropped += _unlink_unless(session, row.hash, CopyRow.hash == row.hash, CopyRow.removed.is_(False))
        session.delete(row)
    session.flush()
    return dropped


def _unlink_unless(session: Session, copy_hash: str, *needed: ColumnElement[bool]) -> bool:
    """Delete a copy's file, whether there was one; it stays where a row of that kind is there."""
    path = copy_path(copy_hash)
    if session.scalar(select(CopyRow.hash).where(*needed).limit(1)) is not None or not path.exists():
        return False
    try:
        path.unlink()
    except OSError as error:
        raise StoreError(f"The copy of a masked study cannot be deleted ({error.strerror}).") from error
    with suppress(OSError):  # the folder is only removed when it is empty
        path.parent.rmdir()
    return True
