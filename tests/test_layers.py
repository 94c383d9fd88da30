"""The one rule, core ← db ← pages, and the calls that nobody may make: read from the source, not from what runs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STORE_ENTRY_POINTS = {
    "db/__main__.py",
    "db/demo.py",
    "db/demo_study.py",
    "db/importing.py",
    "db/study_files.py",
}  # composition roots: they may use all of core

# Folder -> top-level names it must not import.
FORBIDDEN_IMPORTS = {
    "core": {"streamlit", "sqlalchemy", "alembic", "db", "pages", "streamlit_app"},
    "db": {"streamlit", "pages", "streamlit_app"},
    "pages": {"sqlalchemy", "alembic", "streamlit_app"},
}
CORE_FOR_DB = {"core", "core.records", "core.reader_records", "core.settings"}

# (file, call) that someone has looked at, and why it is safe. Nothing else is let through.
REVIEWED: dict[tuple[str, str], str] = {}


def sources(*folders: str) -> list[Path]:
    """Python files of those rooms, and the file that `streamlit run` starts."""
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [*files, *ROOT.glob("streamlit_app.py")] if "pages" in folders else files


def name_of(path: Path) -> str:
    """Path from the root of the checkout, with slashes."""
    return path.relative_to(ROOT).as_posix()


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module imported anywhere in the file, dotted; `from core import settings` is core.settings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import hides its room"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def breaches(source: str, file: str) -> list[str]:
    """Imports of `file` (as `name_of` gives it) that the one rule forbids."""
    room = file.split("/")[0]
    found = []
    for module in imported(ast.parse(source)):
        if module.split(".")[0] in FORBIDDEN_IMPORTS.get(room, set()):
            found.append(module)
        entry = file in STORE_ENTRY_POINTS or file.startswith("db/commands/")
        if room == "db" and not entry and module.split(".")[0] == "core":
            allowed = module in CORE_FOR_DB or ".".join(module.split(".")[:2]) in CORE_FOR_DB
            found += [] if allowed else [module]
    return found


def unsafe_calls(source: str) -> list[str]:
    """Calls that unpickle, evaluate, or put raw HTML on a page, as short texts."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module in _UNPICKLERS:
            found += [f"from {node.module} import {alias.name}" for alias in node.names]
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called in ("eval", "exec") or (called.split(".")[0] in _UNPICKLERS and called.split(".")[-1] in _LOADS):
            found.append(called)
        found += [text for keyword in node.keywords if (text := _unsafe_keyword(called, keyword))]
        if called == "torch.load" and "weights_only" not in {keyword.arg for keyword in node.keywords}:
            found.append("torch.load without weights_only")
    return found


_UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
_LOADS = {"load", "loads", "Unpickler", "open"}
_SAFE_VALUES = {
    "weights_only": True,
    "allow_pickle": False,
    "unsafe_allow_html": False,
    "unsafe_allow_javascript": False,
}


def _unsafe_keyword(called: str, keyword: ast.keyword) -> str:
    """Such a keyword must be there as the safe constant itself: a variable could be anything."""
    if keyword.arg not in _SAFE_VALUES:
        return ""
    value = keyword.value
    if isinstance(value, ast.Constant) and value.value is _SAFE_VALUES[keyword.arg]:
        return ""
    return f"{called}({keyword.arg}={ast.unparse(value)})"


@pytest.mark.parametrize("room", ["core", "db", "pages"])
def test_rooms_import_downwards_only(room):
    """core knows no store and no page, db knows core's records and settings alone, pages know no SQL."""
    found = {name_of(path): breaches(path.read_text(), name_of(path)) for path in sources(room)}
    assert {file: modules for file, modules in found.items() if modules} == {}


def test_nobody_unpickles_or_trusts_html():
    """No file of the program makes such a call, but for those that were reviewed; and no review is out of date."""
    found = {
        (name_of(path), call) for path in sources("core", "db", "pages") for call in unsafe_calls(path.read_text())
    }
    assert found == set(REVIEWED)


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("core/x.py", "import streamlit as st"),
        ("core/a/x.py", "def f():\n    from sqlalchemy.orm import Session"),
        ("core/x.py", "from db import engine"),
        ("core/x.py", "import pages.ui"),
        ("db/x.py", "from core import tasks"),
        ("db/x.py", "from core.tasks import get_task"),
        ("db/x.py", "import core.checkpoint"),
        ("db/x.py", "import streamlit"),
        ("pages/x.py", "from sqlalchemy import text"),
    ],
)
def test_the_rule_finds_breaches(file, line):
    """Each way to import upwards is seen, also inside a function."""
    assert len(breaches(line, file)) == 1


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("db/x.py", "from core import settings"),
        ("db/x.py", "from core.records import Image, Study"),
        ("db/__main__.py", "from core.tasks import TASKS"),
        ("core/x.py", "from core import tasks"),
        ("pages/x.py", "from db import engine"),
    ],
)
def test_the_rule_lets_the_rest_pass(file, line):
    """What the rule allows is not complained about."""
    assert breaches(line, file) == []


@pytest.mark.parametrize(
    "line",
    [
        "pickle.load(f)",
        "pickle.loads(b)",
        "from pickle import loads",
        "joblib.load(f)",
        "np.load(f, allow_pickle=True)",
        "np.load(f, allow_pickle=flag)",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "st.markdown(x, unsafe_allow_html=True)",
        "eval(x)",
    ],
)
def test_unsafe_calls_are_found(line):
    """Each forbidden call is seen."""
    assert len(unsafe_calls(line)) == 1


@pytest.mark.parametrize("line", ["np.load(f, allow_pickle=False)", "torch.load(f, weights_only=True)", "json.load(f)"])
def test_safe_calls_pass(line):
    """Their safe forms are not complained about."""
    assert unsafe_calls(line) == []
