"""What heatmaps of the trained breast-ultrasound models are worth against BUSI's lesion masks, written into docs/results.md.

Run with `python -m benchmarks.heatmaps --data ../shared/data --work DIR` after `benchmarks.results`, which leaves the models
in DIR; nothing is trained. The measures are those of `python -m core explain-benchmark`, whose reports it leaves in
DIR/heatmaps; a further call goes on from there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.documents import RESULTS, put_section
from benchmarks.results_plans import US, plans
from core.checkpoint import load_checkpoint
from core.datasets import load_dataset
from core.explain import Request, explain
from core.explain.honesty import benchmark, words
from core.explain.honesty.masks import CONTROLS, UNTRAINED, better
from core.explain.honesty.material import Material, material_of
from core.explain.registry import METHODS
from core.files import write_json
from core.progress import Bar

TITLE = "## Heatmaps against lesion masks"
# HiResCAM equals Grad-CAM in front of average pooling and one linear layer; the dear methods would take hours.
METHODS_MEASURED = ("gradcam", "layercam", "guided-gradcam")
PARTS = ("randomisation", "masks")
ENSEMBLE = "64_small-cnn-breast-ultrasound-64-px_plain"  # members of one grid: others have no mean map
HEAD = [
    "| model | method | measure | the map | image centre | difference to it | brightest spot | untrained models |",
    "| --- | --- | --- | --- | --- | --- | --- | --- |",
]
MEASURES = {"hit": "peak inside", "energy": "energy inside", "iou": "IoU"}
Found = Mapping[str, Mapping[str, Mapping[str, Any]]]  # model: method: part: facts
COARSE = 2  # cells along a side: the peak of such a map is an outer corner of the picture, whatever the model saw


def models(work: Path) -> dict[str, Path]:
    """The results script's finished models for 64 px and those from ImageNet for 128 px, by architecture and seed."""
    found = {}
    for plan in plans():
        if plan.group == "us-64" or (plan.group == "us-128" and plan.weights):
            for seed in plan.seeds:
                folder = work / "runs" / f"{plan.key}_{seed}"
                if (folder / "done.json").exists():
                    found[f"{plan.architecture}, seed {seed}"] = folder / "checkpoint.pt"
    together = work / "ensembles" / ENSEMBLE / "checkpoint.pt"
    if together.exists():
        members = json.loads((together.parent / "members.json").read_text())["members"]
        found[f"mean of {len(members)}: small-cnn"] = together
    return found


def measured(path: Path, material: Material, reports: Path, bar: Bar) -> dict[str, dict[str, Any]]:
    """{method: {part: facts}} of one model, from its report where that is there already."""

    def report(done: int, total: int, text: str) -> None:
        bar(done / max(total, 1), f"{path.parent.name}: {text}")

    checkpoint = load_checkpoint(path)
    kept = reports / f"{checkpoint.version[:16]}.json"
    if not kept.exists():
        job, found = benchmark.Job(checkpoint, material, report=report), {}
        for method, part, facts in benchmark.measure(job, [(m, p) for m in METHODS_MEASURED for p in PARTS]):
            found.setdefault(method, {})[part] = facts
        write_json(kept, benchmark.report_of(job, found))
    return benchmark.read_report(kept)["methods"]


def grid(path: Path, material: Material) -> tuple[int, int]:
    """Rows and columns of the model's Grad-CAM."""
    case = material.cases[0]
    height, width = explain(load_checkpoint(path), case.image, Request("gradcam", case.target)).values.shape
    return height, width


def section(found: Found, grids: Mapping[str, tuple[int, int]]) -> list[str]:
    """The table, what it says in words, and how often each control was beaten."""
    facts = [parts["masks"] for methods in found.values() for parts in methods.values()]
    n, tuned = facts[0]["n"], facts[0]["tuned"]
    lines = [
        "`python -m benchmarks.heatmaps --data ../shared/data --work DIR` writes this section; one model alone is measured by "
        "`python -m core explain-benchmark CHECKPOINT --data busi_128_in_breastmnist_order.npz`.",
        "",
        f"The models for 64 px and those from ImageNet above on the {n} malignant test pictures, whose lesion masks came with "
        f"BUSI, each map made for "
        f"*malignant*. Peak inside the lesion (pointing game), share of the map inside it, and IoU at the share of the maximum "
        f"that was best on {tuned} malignant validation pictures; beside them the same for a map that always points at the "
        f"image centre, for the picture's own brightness, and for the median of {UNTRAINED} models of that architecture with "
        f"random weights. 95 % intervals; a control is in **bold** where the map is better and its paired difference's "
        f"interval leaves 0 out, in *italics* where the map is worse.",
        "",
        *_verdicts(facts),
        *_coarse(grids),
        "",
        *HEAD,
    ]
    for model, methods in found.items():
        for method, parts in methods.items():
            lines += _rows(model, METHODS[method].title, parts["masks"])
    return [*lines, "", "In words:", "", *_sentences(found)]


def _rows(model: str, method: str, facts: Mapping[str, Any]) -> list[str]:
    rows = []
    for measure, title in MEASURES.items():
        cells = [_cell(facts["own"][measure])]
        for control in CONTROLS:
            mark = {True: "**", False: "*", None: ""}[better(facts["differences"][control][measure])]
            cells.append(f"{mark}{facts['controls'][control][measure]['value']:.2f}{mark}")
            if control == "centre":
                cells.append(_difference(facts["differences"][control][measure]))
        rows.append(f"| {model} | {method} | {title} | {' | '.join(cells)} |")
    return rows


def _cell(estimate: Mapping[str, Any]) -> str:
    return f"{estimate['value']:.2f} ({estimate['low']:.2f}–{estimate['high']:.2f})"


def _difference(found: Mapping[str, Any]) -> str:
    return f"{found['value']:+.2f} ({found['low']:+.2f} to {found['high']:+.2f})".replace("-", "−")


def _coarse(grids: Mapping[str, tuple[int, int]]) -> list[str]:
    """Which models' maps are too coarse to point at anything."""
    names = [name for name, cells in grids.items() if max(cells) <= COARSE]
    shapes = "; ".join(f"{name}: {height} × {width}" for name, (height, width) in grids.items())
    lines = [f"- Cells of the maps: {shapes}."]
    if names:
        lines.append(
            f"- The peak of a map of {COARSE} × {COARSE} cells is an outer corner of the picture whatever the model saw, so peaks "
            f"inside say nothing about {', '.join(names)}: at 64 px such a map is too coarse for any lesion."
        )
    return lines


def _verdicts(facts: list[Mapping[str, Any]]) -> list[str]:
    """For each control, how many of the maps' pointing games are better than it, and how many are worse."""
    lines = []
    for control, title in CONTROLS.items():
        found = [better(f["differences"][control]["hit"]) for f in facts]
        gains = [f["differences"][control]["hit"]["value"] for f in facts]
        word = f"{found.count(True)} of {len(found)} maps are" if any(found) else f"**none of {len(found)} maps is**"
        span = f"{min(gains):+.2f} to {max(gains):+.2f}".replace("-", "−")
        lines.append(
            f"- Peaks inside, against {title}: {word} better, {found.count(False)} worse, {found.count(None)} cannot be told "
            f"apart (differences from {span})."
        )
    return [*lines, f"- Intervals are not widened for having looked at {len(facts)} maps."]


def _sentences(found: Found) -> list[str]:
    return [
        f"- {model}, {METHODS[method].title}: {words.sentence(parts)}"
        for model, methods in found.items()
        for method, parts in methods.items()
    ]


def main() -> None:
    """Measure every model that is there, then write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the public data")
    parser.add_argument("--work", type=Path, required=True, help="folder of the runs of benchmarks.results")
    parser.add_argument("--document", type=Path, default=RESULTS)
    options = parser.parse_args()
    path = options.data / "busi" / "busi_128_in_breastmnist_order.npz"
    material, bar = material_of(load_dataset(path, US), path, 200), Bar()
    there = models(options.work)
    (options.work / "heatmaps").mkdir(exist_ok=True)
    if not there:
        parser.error(f"there is no finished 64 px model in {options.work}; run benchmarks.results first")
    found = {name: measured(model, material, options.work / "heatmaps", bar) for name, model in there.items()}
    grids = {name: grid(model, material) for name, model in there.items()}
    put_section(options.document, TITLE, section(found, grids))


if __name__ == "__main__":
    main()
