"""Is the network worth it? The classical baseline beside networks on the same cases, written into docs/results.md.

Run with `python -m benchmarks.classical_baseline NPZ… [--models …] [--runs DIR]`. Each file is one data set in MedMNIST's
format; every model is trained on its training split at the file's own size with the default recipe and seed 0, chooses its
operating point on validation, and is scored once on the test split. Finished runs in DIR are used again.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.documents import RESULTS, put_section
from core.checkpoint import load_checkpoint
from core.classical import coefficients
from core.datasets import Dataset, load_dataset
from core.evaluation import evaluate, read_run
from core.features import feature_names
from core.figures import estimate_text
from core.records import EvaluationRun
from core.statistics.comparison import Difference, compare
from core.tasks import get_task
from core.training import TrainingJob, train

BASELINE, TASK = "features-logistic", "breast-ultrasound"
TITLE = "## Classical baseline"


@dataclass(frozen=True)
class Result:
    """One model on one data set."""

    architecture: str
    run: EvaluationRun
    seconds: float | None
    checkpoint: Path


def result(dataset: Dataset, architecture: str, size: int, folder: Path) -> Result:
    """Train and evaluate, or read what an earlier call left."""
    out, seconds = folder / f"{dataset.name}-{architecture}", None
    if not (out / "checkpoint.pt").exists():
        start = time.monotonic()
        train(TrainingJob(dataset, TASK, architecture, "default", out, size=size))
        seconds = time.monotonic() - start
        (out / "seconds.txt").write_text(f"{seconds:.1f}")
    if not (out / "test" / "run.json").exists():
        evaluate(out / "checkpoint.pt", dataset, "test", out / "test")
    return Result(architecture, read_run(out / "test"), float((out / "seconds.txt").read_text()), out / "checkpoint.pt")


def auc_gap(network: EvaluationRun, baseline: EvaluationRun) -> Difference:
    """AUC of the network minus that of the baseline on the same cases, paired DeLong."""
    assert network.case_ids == baseline.case_ids
    found = compare(network.labels, network.probabilities, baseline.probabilities, get_task(TASK))
    return found.differences["auc"]


def table(results: list[Result]) -> list[str]:
    """Markdown rows: one for each model, the baseline first."""
    lines = [
        "| model | AUC | accuracy | sensitivity | specificity | log loss | AUC minus baseline's | training |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    baseline = results[0].run
    for r in results:
        figures = [estimate_text(r.run.metrics[name], 3).rsplit(",", 1)[0] for name in
                   ("auc", "accuracy", "sensitivity", "specificity", "log_loss")]  # fmt: skip
        gap = "–"
        if r.architecture != BASELINE:
            d = auc_gap(r.run, baseline)
            gap = f"{_signed(d.value)} ({_signed(d.low)} to {_signed(d.high)})"
        lines.append(f"| {r.architecture} | {' | '.join(figures)} | {gap} | {r.seconds:.0f} s |")
    return lines


def _signed(value: float, digits: int = 3) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def verdict(results: list[Result]) -> str:
    """Which networks' AUC differs from the baseline's by more than chance explains (95 %)."""
    gaps = {r.architecture: auc_gap(r.run, results[0].run) for r in results[1:]}
    better = [name for name, d in gaps.items() if d.low > 0]
    worse = [name for name, d in gaps.items() if d.high < 0]
    if not better and not worse:
        return "No network's AUC differs from the baseline's beyond chance."
    parts = [f"above it: {', '.join(better)}" if better else "", f"below it: {', '.join(worse)}" if worse else ""]
    return f"AUC differs from the baseline's beyond chance, {'; '.join(p for p in parts if p)}."


def section(path: Path, models: list[str], runs: Path) -> list[str]:
    """What the document says about one data set."""
    with np.load(path, allow_pickle=False) as file:
        size = file["train_images"].shape[1]
    dataset = load_dataset(path, TASK)
    wanted = [name for name, _, only in (model.partition(":") for model in models) if not only or int(only) == size]
    results = [result(dataset, name, size, runs) for name in (BASELINE, *wanted)]
    strongest = coefficients(load_checkpoint(results[0].checkpoint)).head(5)
    said = ", ".join(f"`{row.feature}` {_signed(row.malignant, 2)}" for row in strongest.itertuples())
    made = load_checkpoint(results[0].checkpoint).provenance
    counts = ", ".join(f"{split} {sum(n.values())}" for split, n in dataset.counts().items())
    return [
        f"**{dataset.name}**, {size} × {size} pixels ({counts}; test n = {len(results[0].run.labels)}):",
        "",
        *table(results),
        "",
        f"{verdict(results)} The baseline is {made['recipe']}. Its strongest standardised coefficients for malignant: {said}.",
        *([f"Known leak: {' '.join(dataset.leaks)}"] if dataset.leaks else []),
        "",
    ]


def main() -> None:
    """Train what is missing, then write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="+", metavar="NPZ")
    parser.add_argument(
        "--models",
        nargs="*",
        default=["small-cnn"],
        help="networks to compare with; resnet18:28 only where images have that edge (default: small-cnn)",
    )
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--document", type=Path, default=RESULTS)
    options = parser.parse_args()
    options.runs.mkdir(parents=True, exist_ok=True)
    lines = [
        f"Logistic regression on {len(feature_names())} hand-made features against networks, trained from random weights "
        f"with the default recipe and seed 0; {datetime.now(UTC):%Y-%m-%d}, `python -m benchmarks.classical_baseline "
        f"{' '.join(path.name for path in options.data)} --models {' '.join(options.models)} --runs DIR`. Intervals are 95 %; "
        "accuracy, sensitivity and specificity are at each model's own operating point, chosen on validation; differences are "
        "paired (DeLong). One seed and 156 test cases: small differences mean nothing.",
        "",
    ]
    for path in options.data:
        lines += section(path, options.models, options.runs)
    put_section(options.document, TITLE, lines)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
