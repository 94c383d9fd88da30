"""`python -m core dataset PATH`: what a dataset holds, what it lacks, and what stands on two sides of its split."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.progress import Bar
from core.tasks import TASKS

if TYPE_CHECKING:  # torch comes with it, and `--help` must not wait for that
    import pandas as pd

    from core.datasets import Dataset
    from core.datasets.dataset import Progress

_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("path", type=Path, metavar="PATH", help="a folder tree, an .npz file or a .csv manifest")
    parser.add_argument("--task", required=True, choices=list(TASKS), help="the classification problem")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(options: argparse.Namespace) -> int:
    """Read the dataset, look at it and say what was found; what was found is no failure."""
    from core.datasets import load_dataset

    bar = Bar()

    def progress(done: int, total: int, text: str) -> None:
        bar(done / max(total, 1), text)

    found = report(load_dataset(options.path, options.task, progress), progress)
    print(json.dumps(found) if options.json else _text(found))
    return 0


def report(dataset: Dataset, progress: Progress | None = None) -> dict[str, Any]:
    """Everything the command says, JSON-safe; `duplicates` holds every pair, those across splits first."""
    import numpy as np

    from core.datasets import explore, lookalikes, pictures

    table = explore.case_table(dataset)
    copies = np.zeros(pictures.copy_shape(dataset.cases), dtype=np.uint8)
    facts = pictures.measure(dataset.cases, copies, progress)
    pairs = lookalikes.duplicates(table, facts, copies)
    per_patient = explore.images_per_patient(table)
    return {
        "name": dataset.name,
        "task": dataset.task,
        "fingerprint": dataset.fingerprint,
        "counts": explore.counts(table).to_dict("index"),
        "images_per_patient": {int(images): int(patients) for images, patients in per_patient.items()},
        "missing": explore.missing_values(table).query("missing > 0").to_dict("records"),
        "sizes": pictures.sizes(facts).to_dict("records"),
        "duplicates": _named(pairs, table),
        "patients_on_two_sides": explore.patients_on_two_sides(table),
        "remarks": list(dataset.leaks),
    }


def _named(pairs: pd.DataFrame, table: pd.DataFrame) -> list[dict[str, Any]]:
    labels, splits = (table[name].astype(str).to_numpy() for name in ("label", "split"))
    return [
        {
            "cases": [row.case_a, row.case_b],
            "splits": [splits[row.a], splits[row.b]],
            "labels": [labels[row.a], labels[row.b]],
            "same_patient": bool(row.same_patient),
            "identical": bool(row.identical),
            "likeness": round(float(row.likeness), 4),
        }
        for row in pairs.itertuples()
    ]


def _text(found: dict[str, Any]) -> str:
    counts = [
        f"{side:>6}: {', '.join(f'{n:,} {name}' for name, n in row.items())}" for side, row in found["counts"].items()
    ]
    lines = [f"{found['name']} ({found['task']}), fingerprint {found['fingerprint'][:16]}", "", *counts, ""]
    patients = found["images_per_patient"]
    lines += [f"Images per patient: {', '.join(f'{n} ({count:,} patients)' for n, count in patients.items())}"]
    missing = [f"{m['column']} {m['percent']:.2f} % ({m['missing']:,})" for m in found["missing"]]
    lines += [f"Missing: {', '.join(missing) or 'nothing'}"]
    sizes = [f"{s['height']} × {s['width']} ({s['n']:,})" for s in found["sizes"]]
    lines += [f"Sizes (height × width): {_first(sizes, 5) or 'no pictures'}"]
    sides = found["patients_on_two_sides"]
    lines += [f"Patients on two sides: {_first(sides, _SHOWN) or 'none'}"]
    for title, across in (("across splits", True), ("within a split", False)):
        pairs = [pair for pair in found["duplicates"] if (pair["splits"][0] != pair["splits"][1]) == across]
        same = sum(pair["identical"] for pair in pairs)
        lines += ["", f"Duplicates {title}: {same:,} identical, {len(pairs) - same:,} nearly"]
        lines += [f"  {_pair(pair)}" for pair in pairs[:_SHOWN]]
        lines += [f"  … and {len(pairs) - _SHOWN:,} more (--json has all)"] if len(pairs) > _SHOWN else []
    return "\n".join(lines)


def _first(words: list[str], most: int) -> str:
    more = f" and {len(words) - most:,} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def _pair(pair: dict[str, Any]) -> str:
    """One pair in words: what it is called, how alike it is, and whether the labels contradict each other."""
    how = "the same picture" if pair["identical"] else f"likeness {pair['likeness']:.4f}"
    first, second = pair["labels"]
    labels = first if first == second else f"{first} against {second}"
    return (
        f"{pair['cases'][0]} and {pair['cases'][1]}: {how}, {labels}{', same patient' if pair['same_patient'] else ''}"
    )
