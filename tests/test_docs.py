"""What the README says is what the program has."""

import re
from pathlib import Path

import pytest

from core.__main__ import _parser as core_parser
from db.__main__ import _parser as db_parser

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def commands(parser):
    """Names of a program's commands."""
    return set(parser._subparsers._group_actions[0].choices)


@pytest.mark.parametrize(("program", "parser"), [("core", core_parser()), ("db", db_parser())])
def test_every_command_is_in_the_readme(program, parser):
    """No command is undocumented, none is documented that is not there."""
    lines = re.findall(rf"^    python -m {program}\s+(.*)$", README, re.MULTILINE)
    documented = {word for line in lines for word in re.split(r"\s*\|\s*|\s{2,}|\s", line) if word in commands(parser)}
    assert documented == commands(parser)


def test_every_page_of_the_navigation_is_in_the_readme():
    """The table of pages names each title of the navigation, and only those."""
    titles = set(re.findall(r'st\.Page\([^)]*title="([^"]+)"', (ROOT / "pages" / "main.py").read_text()))
    table = README.split("## What it does")[1].split("### Reading")[0]
    assert set(re.findall(r"^\| ([A-Z][a-z ]+) \|", table, re.MULTILINE)) == titles


def test_every_environment_variable_is_in_the_readme():
    """What `core/settings.py` reads is documented."""
    read = set(re.findall(r'environ\.get\("([A-Z_]+)"', (ROOT / "core" / "settings.py").read_text()))
    assert {name for name in read if f"`{name}`" in README} == read


def test_every_server_option_is_explained():
    """Each option in config.toml follows a comment, directly or through its group."""
    explained = False
    for line in (ROOT / ".streamlit" / "config.toml").read_text().splitlines():
        if line.startswith("#"):
            explained = True
        elif line.startswith("[") or not line.strip():
            explained = False
        else:
            assert explained, line


def test_requirements_are_pinned():
    """Every requirement has an exact version."""
    for name in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / name).read_text().splitlines():
            assert line.startswith(("#", "-r")) or re.match(r"[a-z0-9\[\]-]+==[0-9]", line), line
