"""`python -m core features FILE…`: the named numbers of every image in files and folders, as one table."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from core.progress import Bar
from core.records import Refused
from core.tasks import TASKS

KINDS = ("json", "csv", "parquet")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument(
        "files", type=Path, nargs="+", metavar="FILE", help="PNG, JPEG, TIFF, DICOM, NPZ, ZIP or a folder"
    )
    out = parser.add_mutually_exclusive_group(required=True)
    for kind in KINDS:
        out.add_argument(f"--{kind}", type=Path, metavar="OUT", help=f"write the table as {kind.upper()}")
    parser.add_argument("--families", nargs="+", metavar="FAMILY", help="intensity, glcm, hog … (default: all)")
    text = "of files that do not say; folders named like its classes give the reference standard"
    parser.add_argument("--task", default="", choices=list(TASKS), help=text)
    parser.add_argument("--workers", type=int, help="processes (default: one for each core)")


def run(options: argparse.Namespace) -> int:
    """Measure, write, and name on standard error what was refused; 1 when anything was."""
    from core.features.extraction import ALL, get_families
    from core.features.table import measure_files, write_table

    kind = next(kind for kind in KINDS if getattr(options, kind))
    out, families = getattr(options, kind), tuple(f.name for f in get_families(options.families or ALL))
    if not out.resolve().parent.is_dir():  # said now, not after an hour of measuring
        raise Refused(f"There is no folder {out.parent} to write {out.name} into.")
    bar = Bar()
    measured = measure_files(
        options.files, families, task=options.task, workers=options.workers,
        progress=lambda done, total, name: bar(done / total, f"{done} of {total} files, {name}"),
    )  # fmt: skip
    for name, reason in measured.refused:
        print(f"{name}: refused. {reason}", file=sys.stderr)
    if not measured.rows:
        print("Nothing was written: no image could be measured.", file=sys.stderr)
        return 1
    write_table(measured.rows, out, kind)
    numbers = len(measured.rows[0].features.names)
    print(f"Wrote {out}: {len(measured.rows)} image(s), {numbers} features each.")
    return 1 if measured.refused else 0
