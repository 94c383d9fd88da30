"""Datasets known to the installation: where they lie and what they held when they were registered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.records import Refused
from db.audit import add_entry
from db.files import checked_hash
from db.tables import DatasetRow, utc_now


@dataclass(frozen=True)
class DatasetEntry:
    """A registered dataset. `fingerprint` is a SHA-256 in hex; `counts` maps split -> class -> images."""

    name: str
    path: str
    task: str
    fingerprint: str
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    created_at: str = ""  # ISO 8601, UTC


def add_dataset(session: Session, entry: DatasetEntry, *, actor: str = "system") -> bool:
    """Register a dataset; False when its path is registered for that task already: then its facts are brought up to date.

    The name is stripped and must have 1–80 printable characters that no other dataset has; else `Refused`. `ValueError` when
    the fingerprint is not a SHA-256 in hex.
    """
    name = entry.name.strip()
    if not 1 <= len(name) <= 80 or not name.isprintable():
        raise Refused("A dataset's name must have 1 to 80 printable characters.")
    row = session.scalar(select(DatasetRow).where(DatasetRow.path == entry.path, DatasetRow.task == entry.task))
    same_name = session.scalar(select(DatasetRow).where(DatasetRow.name == name))
    if same_name is not None and same_name is not row:
        raise Refused(f"There is already a dataset called '{name}'; choose another name.")
    fingerprint, new = checked_hash(entry.fingerprint), row is None
    if row is None:
        row = DatasetRow(path=entry.path, task=entry.task)
        session.add(row)
    row.name, row.fingerprint = name, fingerprint
    row.counts = {split: dict(classes) for split, classes in entry.counts.items()}
    row.created_at = entry.created_at or utc_now()
    session.flush()
    details = {"name": name, "task": entry.task, "fingerprint": entry.fingerprint}
    add_entry(session, actor, "dataset.add" if new else "dataset.update", f"dataset:{row.number}", details)
    return new


def get_dataset(session: Session, name: str) -> DatasetEntry | None:
    """The dataset of that name, or None."""
    row = session.scalar(select(DatasetRow).where(DatasetRow.name == name))
    return None if row is None else _record(row)


def list_datasets(session: Session) -> list[DatasetEntry]:
    """All datasets, by name."""
    return [_record(row) for row in session.scalars(select(DatasetRow).order_by(DatasetRow.name))]


def _record(row: DatasetRow) -> DatasetEntry:
    return DatasetEntry(row.name, row.path, row.task, row.fingerprint, row.counts, row.created_at)
