"""`python -m db init | demo | ingest | ingest-predictions | ingest-explanations | import | …`: the store from a terminal.

It composes core and db.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from core.tasks import TASKS
from core.terminal import exit_status
from db import engine as store
from db.commands import keeping, models, reader_studies, runs, studies
from db.engine import StoreError


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when all went well, 1 when something was refused (one sentence on standard error)."""
    options = _parser().parse_args(arguments)

    def command() -> int:
        store.init()
        return options.run(options)

    return exit_status(command, (StoreError,), "Stopped. What was stored stays; the command can be repeated.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m db", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        sub.add_argument("--json", action="store_true", help="print results as JSON")
        return sub

    command("init", keeping.init, "Create the store, or bring an older one up to date.")
    demo = command(
        "demo", keeping.demo, "Make the demo: phantoms, two trained models, their evaluation runs and a worklist."
    )
    demo.add_argument(
        "--if-empty", action="store_true", help="do nothing, without complaint, where the store holds anything"
    )
    demo.add_argument(
        "--patients", type=int, help="training patients, for a quick try (default: the demo's own number)"
    )
    ingest = command(
        "ingest", runs.ingest, "Store evaluation runs and register their models. Repeating it doubles nothing."
    )
    ingest.add_argument(
        "run_dirs", type=Path, nargs="+", metavar="RUN_DIR", help="a folder with run.json and predictions.csv"
    )
    ingest.add_argument("--name", help="model name to show instead of the run's own")
    text = "Store what `python -m core explain-benchmark` wrote, for a registered model. Repeating it doubles nothing."
    explained = command("ingest-explanations", runs.ingest_explanations, text)
    explained.add_argument("files", type=Path, nargs="+", metavar="FILE", help="JSON written with --out")
    text = "Store predictions made elsewhere as an evaluation run. Repeating it doubles nothing."
    runs.add_prediction_arguments(command("ingest-predictions", runs.ingest_predictions, text))
    files = command(
        "import", studies.import_files, "Store studies from files, folders and ZIPs. Repeating it doubles nothing."
    )
    files.add_argument("paths", type=Path, nargs="+", metavar="PATH")
    files.add_argument("--task", choices=list(TASKS), default="", help="what pictures without a DICOM header show")
    files.add_argument("--split", default="", choices=["train", "val", "test"], help="of an NPZ file, that split only")
    files.add_argument(
        "--range", default="", metavar="START:STOP", help="of an NPZ file, these images of each split only"
    )
    register = command("register", models.register, "Register a checkpoint as a model.")
    register.add_argument("checkpoint", type=Path)
    register.add_argument("--name", required=True)
    register.add_argument("--activate", action="store_true", help="offer it to reviewers at once")
    dataset = command(
        "add-dataset",
        models.add_dataset,
        "Register a dataset for the Datasets page. Repeating it brings it up to date.",
    )
    dataset.add_argument("path", type=Path, metavar="PATH", help="a folder tree, an .npz file or a .csv manifest")
    dataset.add_argument("--task", required=True, choices=list(TASKS), help="the classification problem")
    dataset.add_argument("--name", help="what to call it (default: the name of the file or folder)")
    export = command("export", keeping.export, "Write what the store holds to standard output or a file.")
    export.add_argument("what", choices=["reviews", "copies"])
    export.add_argument("--format", choices=["csv", "json", "parquet"], default="csv")
    export.add_argument("--all", action="store_true", help="superseded readings too")
    text = "file to write (needed for parquet; default: standard output); for copies the folder"
    export.add_argument("--out", type=Path, help=text)
    reader_studies.add_study_commands(command)
    user = command("user", keeping.user, "Add a person.")
    user.add_argument("name")
    user.add_argument("--role", choices=["reviewer", "lead"], default="reviewer")
    backup = command("backup", keeping.backup, "Write a whole copy of the SQLite database while the program runs.")
    backup.add_argument("path", type=Path)
    return parser


if __name__ == "__main__":
    sys.exit(main())
