"""Reader studies that were run elsewhere: their readings as one table each, stored whole or not at all."""

from __future__ import annotations

import io

import pandas as pd
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.reader_records import ImportedStudy
from core.records import Refused
from db.audit import add_entry
from db.tables import ImportedStudyRow, ReaderStudyRow, utc_now

_COLUMNS = [column for column in ImportedStudyRow.__table__.columns if column.name != "readings"]


def add_imported_study(session: Session, study: ImportedStudy, readings: pd.DataFrame) -> ImportedStudy | None:
    """Keep a study with its checked readings; None where the same readings are stored already, under whatever name.

    `study`'s id and time are set here. `Refused` for a name of 0 or more than 80 characters, or one in use.
    """
    same = session.scalar(select(ImportedStudyRow.id).where(ImportedStudyRow.fingerprint == study.fingerprint))
    if same is not None:
        return None
    name = study.name.strip()
    if not 1 <= len(name) <= 80 or not name.isprintable():
        raise Refused("A reader study's name must have 1 to 80 printable characters.")
    for table in (ImportedStudyRow, ReaderStudyRow):
        if session.scalar(select(table.id).where(func.lower(table.name) == name.lower())) is not None:
            raise Refused(f"There is already a reader study called '{name}'.")
    blob = io.BytesIO()
    readings.to_parquet(blob, index=False, compression="zstd")
    row = ImportedStudyRow(
        name=name, task=study.task, fingerprint=study.fingerprint, simulated=study.simulated, readers=study.readers,
        cases=study.cases, rows=study.rows, imported_by=study.imported_by, created_at=utc_now(), readings=blob.getvalue(),
    )  # fmt: skip
    session.add(row)
    session.flush()
    details = {"name": name, "task": row.task, "readings": row.rows, "sha256": row.fingerprint}
    add_entry(session, row.imported_by, "reader_study.import", f"imported_study:{row.id}", details)
    return get_imported_study(session, row.id)


def list_imported_studies(session: Session) -> list[ImportedStudy]:
    """All of them, newest first, without their readings."""
    rows = session.execute(select(*_COLUMNS).order_by(ImportedStudyRow.id.desc())).mappings()
    return [ImportedStudy(**row) for row in rows]


def get_imported_study(session: Session, number: int) -> ImportedStudy | None:
    """The imported study of that id, or None."""
    row = session.execute(select(*_COLUMNS).where(ImportedStudyRow.id == number)).mappings().one_or_none()
    return None if row is None else ImportedStudy(**row)


def imported_readings(session: Session, number: int) -> pd.DataFrame:
    """The readings as they were given; `Refused` where there is no such study."""
    blob = session.scalar(select(ImportedStudyRow.readings).where(ImportedStudyRow.id == number))
    if blob is None:
        raise Refused("This imported study is not in the store.")
    return pd.read_parquet(io.BytesIO(blob))
