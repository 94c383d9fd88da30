"""`python -m core phantom`: simulated breast-MRI patients with lesion masks."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from core.progress import Bar


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    for split, number in (("train", 200), ("val", 50), ("test", 50)):
        parser.add_argument(f"--{split}", type=int, default=number, help="patients (default: %(default)s)")
    parser.add_argument("--size", type=int, default=192, help="image edge in pixels (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")


def run(options: argparse.Namespace) -> int:
    """Write the simulated patients."""
    from core.datasets.phantom import write_phantoms

    bar = Bar()
    patients = {"train": options.train, "val": options.val, "test": options.test}
    count = write_phantoms(
        options.out, patients=patients, seed=options.seed, size=options.size,
        progress=lambda done, total: bar(done / total, f"{done} of {total} phantoms"),
    )  # fmt: skip
    text = f"Wrote {count} simulated patients to {options.out}."
    print(json.dumps({"out": str(options.out), "patients": count}) if options.json else text)
    return 0
