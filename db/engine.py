"""The door to the store: engine, pragmas, read and write transactions, migrations.

One writer at a time, in SQLite (a process-wide lock, then BEGIN IMMEDIATE) and in PostgreSQL (an advisory lock) alike:
a reviewer's save waits a moment instead of being turned away, and the audit log has one end to be continued from.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, exc, make_url
from sqlalchemy.orm import Session

from core import settings

try:
    from pysqlite3 import dbapi2 as sqlite
except ImportError:  # not on this platform: the interpreter's own
    import sqlite3 as sqlite  # type: ignore[no-redef]

BUSY_SECONDS = 10.0  # how long a transaction waits for another one
MIGRATIONS = Path(__file__).parent / "migrations"

_ADVISORY_LOCK = 0x7457_7261  # any number, the same in every process
_WAL_FIXED = (3, 51, 3)  # before it, a reset of the write-ahead log could lose commits

_log = logging.getLogger(__name__)
_engines: dict[str, Engine] = {}
_engines_lock = threading.Lock()
_write_lock = threading.Lock()

# What a driver's message holds -> the sentence for the user. The first that fits is taken.
_SENTENCES = (
    ("disk is full", "The store's disk is full, so nothing was saved."),
    ("No space left", "The store's disk is full, so nothing was saved."),
    ("readonly database", "The store is read-only, so nothing was saved."),
    ("read-only transaction", "The store is read-only, so nothing was saved."),
    ("database is locked", "The store is busy with another writer, so nothing was saved; try again in a moment."),
    ("unable to open", "The store cannot be opened; check that its folder exists and may be written."),
    ("malformed", "The store's file is damaged; restore it from a backup."),
    ("not a database", "The store's file is damaged; restore it from a backup."),
    ("disk I/O error", "The store's disk reports an error, so nothing was saved."),
    ("no such table", "The store is not set up yet; run `python -m db init`."),
    ("UndefinedTable", "The store is not set up yet; run `python -m db init`."),
    ("onnection", "The store's database server cannot be reached; check that it runs."),
    (
        "only ever added",
        "The store keeps reviews, adjudications and audit entries as they are: they are only ever added.",
    ),
)


class StoreError(Exception):
    """The store cannot do what was asked, said in one sentence for the user. Nothing of the transaction was kept."""


@contextmanager
def read() -> Iterator[Session]:
    """A session that sees one moment of the store and cannot write; raises `StoreError` when the store fails."""
    with _session(writer=False) as session:
        yield session


@contextmanager
def write() -> Iterator[Session]:
    """A session whose changes are all committed at the end of the block, or none of them when it raises.

    Waits for other writers; not to be nested. Raises `StoreError` when the store fails: then nothing was saved.
    """
    if not _write_lock.acquire(timeout=3 * BUSY_SECONDS):
        raise StoreError("The store is busy with another writer, so nothing was saved; try again in a moment.")
    try:
        with _session(writer=True) as session:
            yield session
            session.commit()
    finally:
        _write_lock.release()


def init() -> None:
    """Bring the store to the newest schema. Harmless to repeat, also from two processes at once: one of them waits."""
    with write() as session:
        try:
            command.upgrade(migration_config(session.connection()), "head")
        except CommandError as error:
            raise StoreError("The store was made by a newer version of this program; update the program.") from error


def migration_config(connection: Connection) -> Config:
    """Alembic's settings for migrations over this connection, inside its transaction."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def dispose() -> None:
    """Close all connections and forget all engines."""
    with _engines_lock:
        for engine in _engines.values():
            engine.dispose()
        _engines.clear()


def current_engine() -> Engine:
    """The engine of `settings.database_url()`, made once per address. For this room only; others use `read` and `write`."""
    url = settings.database_url()
    with _engines_lock:
        if url not in _engines:
            _engines[url] = _make_engine(url)
        return _engines[url]


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn the database's failures inside the block into `StoreError`."""
    try:
        yield
    except exc.TimeoutError as error:
        raise StoreError("The store has too many users at once; try again in a moment.") from error
    except exc.DBAPIError as error:
        raise StoreError(_sentence(error)) from error


@contextmanager
def _session(*, writer: bool) -> Iterator[Session]:
    with store_errors():
        engine = current_engine().execution_options(writer=writer)
        with Session(engine, expire_on_commit=False) as session:  # closing it rolls back what was not committed
            yield session


def _sentence(error: exc.DBAPIError) -> str:
    # PostgreSQL drivers say more by the exception's class than by its message.
    message = f"{type(error.orig).__name__}: {error.orig}"
    for part, sentence in _SENTENCES:
        if part in message:
            return sentence
    first_line = message.splitlines()[0]  # later lines of PostgreSQL's messages quote values
    return f"The store refused the request ({first_line})."


def _make_engine(url: str) -> Engine:
    options: dict[str, Any] = {
        "hide_parameters": True,  # an error's text must not carry names or comments into a log
        "json_serializer": partial(json.dumps, ensure_ascii=False, allow_nan=False),
    }
    try:
        address = make_url(url)
        if address.get_backend_name() == "sqlite":
            if address.database in (None, "", ":memory:"):
                raise StoreError("DATABASE_URL must name a file: a store in memory is not shared between threads.")
            options |= {"module": sqlite, "pool_size": 16, "max_overflow": 48}
        elif address.drivername in ("postgresql", "postgres"):
            address = address.set(drivername="postgresql+pg8000")  # the permissively licensed driver we install
        engine = create_engine(address, pool_timeout=BUSY_SECONDS, **options)
    except (exc.ArgumentError, ImportError) as error:
        raise StoreError("DATABASE_URL is not an address this program can open; see the README.") from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun by `_begin` alone
    connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
    if sqlite.sqlite_version_info >= _WAL_FIXED:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    else:
        _warn_old_sqlite()
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA synchronous = EXTRA")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA recursive_triggers = ON")  # else INSERT OR REPLACE deletes behind the triggers' back


_warned = threading.Event()


def _warn_old_sqlite() -> None:
    if not _warned.is_set():
        _warned.set()
        _log.warning(
            "SQLite %s has a write-ahead log that can lose commits (fixed in 3.51.3): using a rollback journal, which is slower.",
            sqlite.sqlite_version,
        )


def _begin(connection: Connection) -> None:
    writer = connection.get_execution_options().get("writer", False)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA query_only = {int(not writer)}")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writer else "BEGIN")
    elif writer:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
    else:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
