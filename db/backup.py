"""A whole copy of the database while it is in use."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

from db.engine import StoreError, current_engine, sqlite, store_errors


def backup(path: Path) -> Path:
    """Copy the SQLite database to `path` as it is at this moment, writers notwithstanding, check the copy, give `path`.

    Pixel, copy and model files are not in it: they never change once written, so copying their folders afterwards is enough.
    `StoreError` when `path` exists, the disk fails, the copy is damaged, or the store is PostgreSQL.
    """
    if current_engine().dialect.name != "sqlite":
        raise StoreError("A PostgreSQL store is backed up with pg_dump.")
    if path.exists():
        raise StoreError(f"{path.name} exists already; a backup does not overwrite.")
    draft = path.with_name(f".{path.name}.part")
    draft.unlink(missing_ok=True)
    try:
        _copy_database(draft)
        draft.replace(path)
    except (OSError, sqlite.Error) as error:
        raise StoreError(f"The backup to {path.name} failed ({error}).") from error
    finally:
        draft.unlink(missing_ok=True)
    return path


def _copy_database(target: Path) -> None:
    with store_errors(), closing(current_engine().raw_connection()) as connection:
        driver = connection.driver_connection
        driver.execute("PRAGMA query_only = 0")  # a reader may have used this connection before
        driver.execute("VACUUM INTO ?", (str(target),))
    with closing(sqlite.connect(target)) as copy:
        if copy.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            raise StoreError("The backup came out damaged and was not kept.")
    with target.open("rb+") as file:
        os.fsync(file.fileno())
