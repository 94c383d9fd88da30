"""`python -m core explain-benchmark`: what a model's heatmaps are worth, method by method."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from core.progress import Bar
from core.records import Refused


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("checkpoint", type=Path)
    text = (
        "the dataset, as for train; its masks lie in masks/ beside images/, or in the NPZ as test_masks and val_masks"
    )
    parser.add_argument("--data", type=Path, required=True, metavar="NPZ|FOLDER", help=text)
    parser.add_argument("--methods", nargs="+", metavar="METHOD", help="(default: all)")
    parser.add_argument("--limit", type=int, metavar="N", help="images of each part, at most")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="also write the JSON, for python -m db ingest-explanations"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of sentences")


def run(options: argparse.Namespace) -> int:
    """Measure, say what was found, and write it."""
    from core import settings
    from core.checkpoint import load_checkpoint
    from core.datasets import load_dataset
    from core.explain.honesty import benchmark
    from core.explain.honesty.material import material_of
    from core.explain.registry import METHODS, get_method
    from core.files import write_json

    if options.limit is not None and options.limit < 1:
        raise Refused("--limit must be at least 1.")
    methods, bar = options.methods or list(METHODS), Bar()
    for method in methods:
        get_method(method)
    checkpoint, device = load_checkpoint(options.checkpoint), settings.device()

    def progress(done: int, total: int, text: str) -> None:
        bar(done / max(total, 1), text)

    dataset = load_dataset(options.data, checkpoint.task, progress)
    material = material_of(dataset, options.data, options.limit or 200)
    job = benchmark.Job(checkpoint.to(device), material, device, options.limit, progress)
    parts = [part for part in benchmark.PARTS if part != "masks" or material.cases]
    found: dict[str, dict[str, Any]] = {}
    for method, part, facts in benchmark.measure(job, [(method, part) for method in methods for part in parts]):
        found.setdefault(method, {})[part] = facts
    report = benchmark.report_of(job, found)
    if options.out:
        write_json(options.out, report)
    print(json.dumps(report) if options.json else _said(report))
    return 0


def _said(report: dict[str, Any]) -> str:
    from core.explain.honesty.words import sentence
    from core.explain.registry import METHODS

    lines = [f"{METHODS[name].title}: {sentence(parts)}" for name, parts in report["methods"].items()]
    return "\n".join([f"{report['architecture']} {report['model'][:8]} on {report['dataset']['name']}.", *lines])
