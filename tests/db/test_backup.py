"""Backups: whole while others write, never over an existing file."""

import threading

import pytest

from db import audit, engine, reviews
from db.backup import backup
from db.engine import StoreError
from db.reviews import ReviewQuery
from tests.db import make


def test_a_backup_under_writes_is_whole(sqlite_only, tmp_path, monkeypatch):
    """A copy made while a reviewer keeps saving opens as a store, at one moment: its audit log fits its reviews."""
    (study,) = make.add_studies(1)
    stop = threading.Event()
    started = threading.Event()

    def keep_saving() -> None:
        number = 0
        while not stop.is_set():
            with engine.write() as session:
                reviews.add_review(session, make.review(study, f"t{number}"))
            number += 1
            started.set()

    writer = threading.Thread(target=keep_saving)
    writer.start()
    started.wait(10)
    try:
        copy = backup(tmp_path / "copy.db")
    finally:
        stop.set()
        writer.join()
    assert sorted(path.name for path in tmp_path.glob("*copy*")) == ["copy.db"]
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{copy}")
    with engine.read() as session:
        count = reviews.count_reviews(session, ReviewQuery(current_only=False))
        assert count >= 1
        assert len(audit.list_entries(session, limit=10**6)) == count
        assert audit.verify(session) is None


def test_a_backup_does_not_overwrite(sqlite_only, tmp_path):
    """Neither another backup nor the store itself."""
    for path in (tmp_path / "store.db", backup(tmp_path / "copy.db")):
        with pytest.raises(StoreError, match="exists already"):
            backup(path)


def test_a_backup_into_nowhere_says_so(sqlite_only, tmp_path):
    """A folder that is not there gives a sentence."""
    with pytest.raises(StoreError, match="failed"):
        backup(tmp_path / "no" / "such" / "folder" / "copy.db")
