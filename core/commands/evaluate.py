"""`python -m core evaluate`: a checkpoint scored on one split of a dataset."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from core.progress import Bar


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="the dataset, as for train")
    parser.add_argument("--split", default="test", choices=["train", "val", "test"], help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="the run folder to write")
    parser.add_argument("--json", action="store_true", help="print the metrics as JSON")


def run(options: argparse.Namespace) -> int:
    """Score the checkpoint, write the run folder and print every metric with interval and n."""
    from core.evaluation import evaluate

    bar = Bar()
    run = evaluate(
        options.checkpoint, options.data, options.split, options.out,
        progress=lambda done, total, text: bar(done / max(total, 1), text),
    )  # fmt: skip
    if options.json:
        print(json.dumps({"out": str(options.out), "metrics": run["metrics"]}))
        return 0
    for name, m in run["metrics"].items():
        shown = m.get("reason") if m["value"] is None else f"{m['value']:.4f} ({m['low']:.4f}–{m['high']:.4f})"
        print(f"{name:20} {shown}  n = {m['n']}")
    print(f"Wrote {options.out / 'run.json'} and predictions.csv.")
    return 0
