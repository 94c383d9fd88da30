"""`python -m db export-study | import-study`: readings of reader studies as files."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.tasks import TASKS
from db import engine as store
from db.commands.say import say


def add_study_commands(command: Callable[[str, Any, str], argparse.ArgumentParser]) -> None:
    """Both commands with their arguments."""
    text = "Write the readings of a closed or imported reader study, readers with pseudonyms."
    given = command("export-study", export_study, text)
    given.add_argument("study", metavar="STUDY", help="its name, or the number in the address of its results")
    given.add_argument("--out", type=Path, required=True, help="file to write: .csv, .parquet or .imrmc")
    given.add_argument("--comments", action="store_true", help="with the readers' free texts, which may name people")
    text = "Store a reader study that was run elsewhere, whole or not at all. Repeating it doubles nothing."
    taken = command("import-study", import_study, text)
    taken.add_argument("file", type=Path, metavar="FILE", help="CSV or Parquet with the columns of export-study")
    taken.add_argument("--task", required=True, choices=list(TASKS), help="the classification problem")
    taken.add_argument("--name", help="what to call it (default: the name of the file)")


def export_study(options: argparse.Namespace) -> int:
    """Write a study's readings."""
    from db import study_files

    with store.read() as session:
        study, names = study_files.finished_study(session, options.study)
    written = study_files.write_study(study, names, options.out, comments=options.comments)
    facts = {
        "study": study.name,
        "readings": written.readings,
        "readers": written.readers,
        "left_out": written.left_out,
        "simulated": study.origin == "simulated",
        "file": str(options.out),
    }
    words = f"{options.out}: {written.readings:,} readings of {written.readers} reader{'s' * (written.readers != 1)}"
    if written.rating:
        facts["rating"] = written.rating
        words += f", rating: {written.rating}; {written.left_out:,} left out (second, withdrawn, or without rating or reference)"
    say(options, facts, f"{words}.")
    return 0


def import_study(options: argparse.Namespace) -> int:
    """Store a study that was run elsewhere."""
    from db import study_files

    data, named = options.file.read_bytes(), (options.name or options.file.stem, "terminal")
    with store.write() as session:
        added = study_files.add_study_file(session, data, options.file.name, options.task, named)
    if added is None:
        say(options, {"stored": False}, f"{options.file}: already stored.")
        return 0
    facts = {
        "study": f"i{added.id}",
        "name": added.name,
        "readings": added.rows,
        "readers": added.readers,
        "stored": True,
    }
    say(options, facts, f"{options.file}: stored as {added.name}, {added.rows:,} readings of {added.readers} readers.")
    return 0
