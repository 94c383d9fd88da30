"""The store's own tests run on SQLite, and on PostgreSQL as well where `TEST_POSTGRES_URL` names an empty database."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from db import engine

POSTGRES = os.environ.get("TEST_POSTGRES_URL")


@pytest.fixture(params=["sqlite", "postgresql"] if POSTGRES else ["sqlite"])
def store(request: pytest.FixtureRequest, store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store of either kind; gives `TUMORTRACE_HOME`."""
    if request.param == "postgresql":
        assert POSTGRES
        _empty(POSTGRES)
        monkeypatch.setenv("DATABASE_URL", POSTGRES)
        engine.init()
    return store


@pytest.fixture
def sqlite_only(store: Path) -> Path:
    """The store, where a test is about SQLite's own ways."""
    if engine.current_engine().dialect.name != "sqlite":
        pytest.skip("about SQLite's own ways")
    return store


def _empty(url: str) -> None:
    database = create_engine(url)
    with database.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    database.dispose()
