"""What tests of several rooms share."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from db import engine


@pytest.fixture(scope="session", autouse=True)
def home_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test writes into the checkout's own `var/`, whatever it forgets to set."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUMORTRACE_HOME", str(tmp_path_factory.mktemp("home")))
        patch.delenv("DATABASE_URL", raising=False)
        patch.delenv("TUMORTRACE_PROTOCOL", raising=False)
        patch.delenv("TUMORTRACE_KEEP", raising=False)
        patch.setenv("TUMORTRACE_ENGINE", "pytorch")  # an export takes seconds; the tests of it ask for it
        yield


@pytest.fixture(autouse=True)
def main_stays_main() -> Iterator[None]:
    """AppTest leaves the page it ran as `__main__`, which processes started by later tests would run again."""
    before = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = before


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the newest schema and no rows, made once: tests copy it, which is ten times faster."""
    path = tmp_path_factory.mktemp("empty") / "store.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", f"sqlite:///{path}")
        engine.init()
        engine.dispose()
    return path


@pytest.fixture
def store(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty SQLite store; gives `TUMORTRACE_HOME`, a folder of the test's own."""
    home = tmp_path / "home"
    monkeypatch.setenv("TUMORTRACE_HOME", str(home))
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{shutil.copy(empty_store, tmp_path / 'store.db')}")
    yield home
    engine.dispose()
