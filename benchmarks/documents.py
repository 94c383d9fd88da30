"""Documents whose sections are written by scripts, each in place of the one that an earlier call wrote."""

from __future__ import annotations

import re
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results.md"
_HEAD = "# Results\n\nMade by scripts that can be run again.\n"


def put_section(document: Path, title: str, lines: list[str]) -> None:
    """Put a section (title "## …") into the document, in place of the one of that title, else at the end."""
    old = document.read_text() if document.exists() else _HEAD
    text = "\n".join([title, "", *lines]).rstrip() + "\n"
    found = re.search(rf"^{re.escape(title)}\n.*?(?=^## |\Z)", old, flags=re.MULTILINE | re.DOTALL)
    if found:
        new = old[: found.start()] + text + ("\n" if old[found.end() :] else "") + old[found.end() :]
    else:
        new = f"{old.rstrip()}\n\n{text}"
    document.parent.mkdir(exist_ok=True)
    document.write_text(new)
