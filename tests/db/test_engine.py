"""Transactions, pragmas, migrations, and how the store fails."""

import logging
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from db import drafts, engine, reader_studies, reviews, studies, users
from db.engine import StoreError
from db.tables import Base, utc_now
from tests.db import make
from tests.db.conftest import POSTGRES


def names() -> list[str]:
    """Whom the store knows."""
    with engine.read() as session:
        return [user.name for user in users.list_users(session)]


def test_a_write_is_seen_after_its_block(store):
    """What a write block added is there for the next reader."""
    with engine.write() as session:
        users.add_user(session, "Ann", "lead")
    assert names() == ["Ann"]


def test_an_exception_rolls_everything_back(store):
    """A block that raises leaves nothing behind, not even what it flushed, and its exception comes out unchanged."""
    with pytest.raises(KeyError, match="mine"), engine.write() as session:  # noqa: PT012  (both lines are the test)
        users.add_user(session, "Ann", "lead")
        raise KeyError("mine")
    assert names() == []
    with engine.write() as session:  # and the store goes on
        users.add_user(session, "Bob", "reviewer")
    assert names() == ["Bob"]


def test_a_reader_sees_one_moment(store):
    """What is committed while a reader is at work stays out of its sight."""
    with engine.read() as session:
        assert users.list_users(session) == []
        with engine.write() as other:
            users.add_user(other, "Ann", "lead")
        assert users.list_users(session) == []
    assert names() == ["Ann"]


def test_a_reader_cannot_write(store):
    """A write in a read block fails instead of being lost in silence."""
    with pytest.raises(StoreError, match="read-only"), engine.read() as session:
        users.add_user(session, "Ann", "lead")
    with engine.write() as session:  # the connection that refused writes again
        users.add_user(session, "Ann", "lead")


def test_times_are_utc_and_sortable():
    """`utc_now` says UTC and grows."""
    first, second = utc_now(), utc_now()
    assert first.endswith("+00:00")
    assert first <= second


def test_migrations_make_the_mapped_tables(store):
    """The newest migration and the mapped classes describe the same schema."""
    with engine.write() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_drafts_made_before_second_readings_had_their_own_are_kept(sqlite_only):
    """Each goes to the reading that it says it is of."""
    number = make.reader_study(make.add_studies(2))
    with engine.write() as session:
        cases = reader_studies.list_cases(session, number)
        session.execute(text("DROP TABLE reader_drafts"))
        session.execute(text(
            "CREATE TABLE reader_drafts (reader_study INTEGER, study_id TEXT, reviewer TEXT, \"values\" JSON, updated_at TEXT, "
            "PRIMARY KEY (reader_study, study_id, reviewer))"
        ))  # fmt: skip
        for case, values in zip(cases, ('{"label": "benign"}', '{"label": "malignant", "repeat": 1}'), strict=True):
            row = {"number": number, "case": case, "values": values}
            session.execute(text("INSERT INTO reader_drafts VALUES (:number, :case, 'Ann', :values, 'then')"), row)
        session.execute(text("UPDATE alembic_version SET version_num = '0013'"))
    engine.init()
    with engine.read() as session:
        assert drafts.get_draft(session, cases[0], "Ann", number) == {"label": "benign"}
        assert drafts.get_draft(session, cases[1], "Ann", number) is None
        assert drafts.get_draft(session, cases[1], "Ann", number, 1)["label"] == "malignant"


@pytest.mark.skipif(not POSTGRES, reason="TEST_POSTGRES_URL is not set: the store's tests run on SQLite only")
def test_the_tests_run_on_postgresql_too(store, request):
    """Where a PostgreSQL is named, every test of the store is run on it as well."""
    assert engine.current_engine().dialect.name == request.node.callspec.params["store"]


def test_init_twice_keeps_what_is_there(store):
    """A second init changes nothing."""
    make.add_studies(2)
    engine.init()
    with engine.read() as session:
        assert studies.count_studies(session) == 2


def test_two_processes_can_init_at_once(tmp_path: Path, monkeypatch):
    """Several programs that start on an empty folder all come up."""
    monkeypatch.setenv("TUMORTRACE_HOME", str(tmp_path))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    program = "from db import engine; engine.init(); print('ready')"
    started = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(3)
    ]
    outputs = [process.communicate(timeout=60)[0] for process in started]
    assert outputs == ["ready\n"] * 3


def test_a_store_from_a_newer_program_is_refused(sqlite_only):
    """A schema version this program does not know gives a sentence, not a traceback of Alembic's."""
    with engine.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="newer version of this program"):
        engine.init()


def test_sqlite_is_durable(sqlite_only):
    """Commits survive a power cut: write-ahead log with FULL, or a rollback journal with EXTRA on an old SQLite."""
    with engine.read() as session:
        values = [
            session.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
    safe = engine.sqlite.sqlite_version_info >= (3, 51, 3)
    assert values == [*(("wal", 2) if safe else ("delete", 3)), 1, 10000]


@pytest.mark.skipif(sqlite3.sqlite_version_info >= (3, 51, 3), reason="this Python's SQLite has no WAL bug to avoid")
def test_an_old_sqlite_avoids_its_wal(tmp_path: Path, monkeypatch, caplog):
    """With an SQLite whose log can lose commits, the rollback journal is used and the reason logged once."""
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'old.db'}")
    monkeypatch.setattr(engine, "sqlite", sqlite3)
    engine._warned.clear()
    with caplog.at_level(logging.WARNING, "db.engine"):
        engine.init()
        with engine.read() as session, engine.read() as other:
            assert session.scalar(text("PRAGMA journal_mode")) == "delete"
            assert other.scalar(text("PRAGMA synchronous")) == 3
    engine.dispose()
    assert [record.message.count("can lose commits") for record in caplog.records] == [1]


def test_a_read_only_store_says_so(sqlite_only, tmp_path: Path, monkeypatch):
    """Saving into a store that cannot be written fails with a sentence; reading it works."""
    make.add_studies(1)
    engine.dispose()
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///file:{tmp_path / 'store.db'}?mode=ro&uri=true")
    with pytest.raises(StoreError, match="read-only"), engine.write() as session:
        users.add_user(session, "Ann", "lead")
    with engine.read() as session:
        assert studies.count_studies(session) == 1


def test_a_locked_store_says_so(sqlite_only, tmp_path: Path, monkeypatch):
    """When another program holds the store for too long, saving fails with a sentence, and works once it lets go."""
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.05)
    engine.dispose()
    other = engine.sqlite.connect(tmp_path / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="busy"), engine.write() as session:
        users.add_user(session, "Ann", "lead")
    other.execute("ROLLBACK")
    other.close()
    with engine.write() as session:
        users.add_user(session, "Ann", "lead")
    assert names() == ["Ann"]


def test_a_write_inside_a_write_says_so(store, monkeypatch):
    """Nested writes fail with a sentence instead of waiting for themselves for ever."""
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.01)
    with engine.write(), pytest.raises(StoreError, match="busy"), engine.write():
        pass


def test_a_full_disk_says_so_and_keeps_nothing(sqlite_only):
    """When no page can be added, the sentence names the disk and the transaction leaves nothing."""
    with pytest.raises(StoreError, match="disk is full"), engine.write() as session:  # noqa: PT012
        session.execute(text("PRAGMA max_page_count = 1"))  # SQLite takes the present size: no page more
        users.add_user(session, "Ann", "lead")
        studies.add_study(session, make.study(metadata={"text": "x" * 100_000}))
    engine.dispose()
    assert names() == []


def test_a_damaged_store_says_so(tmp_path: Path, monkeypatch):
    """A file that is no database gives a sentence."""
    (tmp_path / "store.db").write_bytes(b"not a database at all" * 100)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'store.db'}")
    with pytest.raises(StoreError, match="damaged"):
        engine.init()
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("sqlite://", "must name a file"),
        ("sqlite:////nowhere/at/all/store.db", "cannot be opened"),
        ("what is this", "not an address"),
        ("oracle+nothing://host/db", "not an address"),
    ],
)
def test_a_wrong_address_says_so(url, sentence, monkeypatch):
    """An address that cannot be opened gives a sentence."""
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(StoreError, match=sentence), engine.read() as session:
        session.execute(text("SELECT 1"))
    engine.dispose()


def test_a_store_without_tables_says_what_to_do(tmp_path: Path, monkeypatch):
    """Reading before init names the command that is missing."""
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'store.db'}")
    with pytest.raises(StoreError, match="python -m db init"), engine.read() as session:
        users.list_users(session)
    engine.dispose()


def test_errors_do_not_quote_values(sqlite_only):
    """Neither the sentence nor the error under it repeats what was to be saved: it may be a patient's."""
    with pytest.raises(StoreError) as failure, engine.write() as session:  # noqa: PT012
        values = {"id": "a", "name": "Erika Mustermann", "modality": "", "patient_id": "", "task": ""}
        columns = ", ".join(values)
        session.execute(text(f"INSERT INTO studies ({columns}) VALUES (:{', :'.join(values)})"), values)
    assert "NOT NULL" in str(failure.value)
    assert "Mustermann" not in f"{failure.value} {failure.value.__cause__}"


@pytest.mark.parametrize("table", ["reviews", "audit"])
@pytest.mark.parametrize("change", ["UPDATE {0} SET id = id", "DELETE FROM {0}"])
def test_reviews_and_audit_refuse_changes(store, table, change):
    """No statement changes or deletes a review or an audit line, not even past the mapped classes."""
    (study,) = make.add_studies(1)
    with engine.write() as session:
        reviews.add_review(session, make.review(study, "t"))
    with pytest.raises(StoreError, match="only ever added"), engine.write() as session:
        session.execute(text(change.format(table)))
    with engine.read() as session:
        assert session.scalar(text(f"SELECT count(*) FROM {table}")) == 1


def test_replacing_a_review_is_refused_too(sqlite_only):
    """INSERT OR REPLACE, which deletes without saying so, is stopped by the same trigger."""
    (study,) = make.add_studies(1)
    with engine.write() as session:
        reviews.add_review(session, make.review(study, "t"))
    with pytest.raises(StoreError, match="only ever added"), engine.write() as session:
        session.execute(text("INSERT OR REPLACE INTO reviews SELECT * FROM reviews"))


def test_every_table_is_made(store):
    """The schema has the tables that the house speaks of."""
    with engine.read() as session:
        tables = set(inspect(session.connection()).get_table_names())
    assert tables >= {"studies", "images", "models", "predictions", "reviews", "drafts", "runs", "users", "audit"}
