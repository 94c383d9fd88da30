"""`python -m db import`: files become studies, with a line for each."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from db.commands.say import say

if TYPE_CHECKING:
    from db.importing import Imported

_LISTED = 20  # refused files that are listed again at the end


def import_files(options: argparse.Namespace) -> int:
    """Store studies from files; 1 when one was refused."""
    from core.progress import Bar
    from core.reading import NpzPart, Source
    from db.importing import Tally, files_of, import_exams

    part = NpzPart.of(options.split, options.range)
    found = files_of(options.paths)
    files = [file for file, _ in found]
    tally, bar = Tally(len(files)), Bar()
    try:
        for exam in import_exams([Source.of_path(*place) for place in found], options.task, by="terminal", part=part):
            for imported in exam:
                tally.count(imported)
                _say_imported(options, files[imported.position], imported)
            bar(tally.fraction, tally.text)
    finally:  # also where it is stopped
        print(tally.summary, file=sys.stderr)
        for name, problem in tally.refused[:_LISTED]:
            print(f"  {name}: {problem}", file=sys.stderr)
        if (more := len(tally.refused) - _LISTED) > 0:
            print(f"  … and {more:,} more, all above", file=sys.stderr)
    return 1 if tally.refused else 0


def _say_imported(options: argparse.Namespace, path: Path, imported: Imported) -> None:
    facts: dict[str, Any] = {"file": imported.name, "path": str(path)}
    if imported.refused:
        say(options, facts | {"refused": str(imported.refused)}, f"{path}: refused. {imported.refused}")
        return
    stored = sum(imported.added)
    text = f"{stored} stored, {len(imported.added) - stored} already there" if imported.added else imported.note
    held = len(imported.held)
    text += f", {held} held until somebody has looked for names in the pixels (page Clean)" if held else ""
    facts |= {"studies": list(imported.study_ids), "stored": stored, "held": held}
    say(options, facts, f"{imported.name}: {text}.")
