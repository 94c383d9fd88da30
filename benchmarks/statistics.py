"""What a binary evaluation's figures with intervals cost, against scikit-learn with a bootstrap loop: same-run ratios.

Run with `python -m benchmarks.statistics [rounds]`. The loop draws cases with replacement and calls scikit-learn for each draw;
100 of its 2,000 replicates are timed and scaled by 20. Ratios travel between machines, times do not.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import statistics
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
from sklearn import metrics

from core.statistics.resampling import bootstrap_auc
from core.statistics.summary import evaluate_binary

REPLICATES, TIMED = 2_000, 100
THRESHOLD = 0.5


def predictions(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities (n,) with 72 % positive cases and an AUC of 0.80, as of a breast-MRI test set."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.717).astype(np.int64)
    return labels, np.round(1 / (1 + np.exp(-(rng.normal(size=n) + 1.2 * labels - 0.2))), 8)


def scikit_learn(labels: np.ndarray, p: np.ndarray) -> dict[str, float]:
    """The figures that scikit-learn has, one call each, as anyone would write them down."""
    called = (p >= THRESHOLD).astype(np.int64)
    precision, recall, _ = metrics.precision_recall_curve(labels, p)
    positive, negative = metrics.class_likelihood_ratios(labels, called)
    return {
        "auc": metrics.roc_auc_score(labels, p),
        "accuracy": metrics.accuracy_score(labels, called),
        "sensitivity": metrics.recall_score(labels, called),
        "specificity": metrics.recall_score(labels, called, pos_label=0),
        "ppv": metrics.precision_score(labels, called),
        "npv": metrics.precision_score(labels, called, pos_label=0),
        "f1": metrics.f1_score(labels, called),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, called),
        "mcc": metrics.matthews_corrcoef(labels, called),
        "lr_positive": positive,
        "lr_negative": negative,
        "average_precision": metrics.average_precision_score(labels, p),
        "pr_auc": metrics.auc(recall, precision),
        "brier": metrics.brier_score_loss(labels, p),
        "log_loss": metrics.log_loss(labels, p),
    }


def loop(labels: np.ndarray, p: np.ndarray, figure: Callable, replicates: int) -> None:
    """The plain bootstrap: draw cases, score them anew."""
    rng = np.random.default_rng(1)
    for _ in range(replicates):
        rows = rng.integers(len(labels), size=len(labels))
        figure(labels[rows], p[rows])


def seconds(run: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def against_the_loop(n: int, rounds: int) -> None:
    """Time both ways in turn, and check that they say the same."""
    labels, p = predictions(n)
    ours, theirs = evaluate_binary(labels, p, THRESHOLD), scikit_learn(labels, p)
    worst = max(abs(ours[name].value - value) for name, value in theirs.items())
    patients = np.arange(n) // 4
    scale, times = REPLICATES / TIMED, []
    for i in range(rounds + 1):
        row = (
            seconds(lambda: evaluate_binary(labels, p, THRESHOLD)),
            seconds(lambda: evaluate_binary(labels, p, THRESHOLD, patients=patients)),
            seconds(lambda: scikit_learn(labels, p)),
            seconds(lambda: loop(labels, p, scikit_learn, TIMED)) * scale,
            seconds(lambda: bootstrap_auc(labels, p, replicates=REPLICATES)),
            seconds(lambda: loop(labels, p, metrics.roc_auc_score, TIMED)) * scale,
        )
        times += [row] if i else []  # the first round only warms up
    bundle, clustered, plain, looped, drawn, auc_loop = (
        statistics.median(column) for column in zip(*times, strict=True)
    )
    ratio = statistics.median(row[3] / row[0] for row in times)
    auc_ratio = statistics.median(row[5] / row[4] for row in times)
    print(f"N = {n:,}: {len(ours)} figures, {len(theirs)} of them in scikit-learn, largest difference {worst:.1e}")
    print(f"  ours, all with intervals             {bundle * 1e3:10.1f} ms")
    print(f"  ours, patients of 4 cases            {clustered * 1e3:10.1f} ms")
    print(f"  scikit-learn, without intervals      {plain * 1e3:10.1f} ms")
    print(f"  scikit-learn, {REPLICATES:,}-fold loop (scaled) {looped * 1e3:10.0f} ms = {ratio:,.0f} × ours")
    print(f"  bootstrap AUC, {REPLICATES:,} replicates        {drawn * 1e3:10.0f} ms")
    print(f"  scikit-learn AUC in a loop (scaled)  {auc_loop * 1e3:10.0f} ms = {auc_ratio:,.0f} × ours")


def large(n: int, queue: multiprocessing.Queue) -> None:
    """Time and peak memory of one evaluation, in a process of its own."""
    labels, p = predictions(n)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    plain = seconds(lambda: evaluate_binary(labels, p, THRESHOLD))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    patients = np.arange(n) // 4
    queue.put(
        (plain, before / 1024, peak / 1024, seconds(lambda: evaluate_binary(labels, p, THRESHOLD, patients=patients)))
    )


def main(rounds: int = 5) -> None:
    """Print every figure."""
    warnings.simplefilter("ignore")
    print(f"{os.cpu_count()} cores")
    against_the_loop(6_851, rounds)
    context = multiprocessing.get_context("spawn")  # a fork would inherit this process's peak
    queue = context.Queue()
    worker = context.Process(target=large, args=(1_000_000, queue))
    worker.start()
    plain, before, peak, clustered = queue.get()
    worker.join()
    print(
        f"N = 1,000,000: {plain:.1f} s, peak {peak:.0f} MB ({before:.0f} MB before); patients of 4 cases {clustered:.1f} s"
    )


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:2]))
