"""Two models on the same cases: everything their probabilities say about each other, in one record.

The single tests are in `paired`, and can be had from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.statistics.calibration import brier_losses, log_losses
from core.statistics.discrimination import ONE_CLASS, auc_influence, predicted_class
from core.statistics.estimates import as_labels, as_probabilities
from core.statistics.linearised import clustered, count_patients, patient_codes, within_classes
from core.statistics.paired import (
    Difference,
    holm,
    linear_difference,
    mcnemar,
    paired_bootstrap,
    paired_delong,
    undefined_difference,
)
from core.tasks import Task

__all__ = ["ComparisonResult", "Difference", "compare", "holm", "mcnemar", "paired_bootstrap", "paired_delong"]

Thresholds = tuple[float | None, float | None]


@dataclass(frozen=True)
class ComparisonResult:
    """Models a and b on the same n cases. `differences` (a − b) by metric; `disagreement` counts the cases that `both`,
    `only_a`, `only_b` or `neither` got right; `right_a` and `right_b` (N,) booleans say which those are.
    """

    n: int
    differences: Mapping[str, Difference]
    disagreement: Mapping[str, int]
    right_a: np.ndarray
    right_b: np.ndarray


def compare(
    labels: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    task: Task,
    thresholds: Thresholds = (None, None),
    *,
    patients: Sequence[str] | np.ndarray | None = None,
) -> ComparisonResult:
    """Compare probabilities a and b (N, C) of two models for the same labels (N,), C the number of the task's classes.

    auc: paired DeLong, with a macro mean over classes where the task has no positive one. accuracy, and with two thresholds
    (each model has its own operating point) sensitivity and specificity: McNemar. brier and log_loss: mean of the per-case
    differences. Where some of `patients` (N,) have several cases, all are made from differences summed per patient. Several
    comparisons at once need `holm`.
    """
    shape = (len(np.asarray(labels)), len(task.classes))
    a, b = as_probabilities(a), as_probabilities(b)
    if a.shape != shape or b.shape != shape:
        raise ValueError(f"both models need probabilities of shape {shape}, not {a.shape} and {b.shape}")
    y, codes = as_labels(labels, shape[1]), patient_codes(patients, shape[0])
    positive = task.positive_index if shape[1] == 2 else None
    right_a, right_b = (
        predicted_class(p, positive, threshold) == y for p, threshold in zip((a, b), thresholds, strict=True)
    )
    differences = {"auc": _auc(y, a, b, positive, codes), "accuracy": _share(right_a, right_b, codes)}
    if positive is not None:
        for name, own in (("sensitivity", y == positive), ("specificity", y != positive)):
            differences[name] = _at_points(right_a, right_b, own, thresholds, codes)
    differences["brier"] = _mean(brier_losses(y, a)[0], brier_losses(y, b)[0], codes, 1.0 if shape[1] == 2 else 2.0)
    differences["log_loss"] = _mean(log_losses(y, a), log_losses(y, b), codes, np.inf)
    counts = {
        "both": right_a & right_b,
        "only_a": right_a & ~right_b,
        "only_b": ~right_a & right_b,
        "neither": ~right_a & ~right_b,
    }
    return ComparisonResult(
        shape[0], differences, {name: int(cases.sum()) for name, cases in counts.items()}, right_a, right_b
    )


def _auc(y: np.ndarray, a: np.ndarray, b: np.ndarray, positive: int | None, codes: np.ndarray | None) -> Difference:
    """Paired DeLong of the positive class, or of the mean over classes."""
    if positive is not None:
        return paired_delong((y == positive).astype(np.int64), a[:, positive], b[:, positive], patients=codes)
    method = clustered("macro one-vs-rest, paired DeLong", codes)
    if not np.bincount(y, minlength=a.shape[1]).all():
        return undefined_difference(len(y), method, "a class has no cases" if len(y) else "no cases")
    values, influences = [], []
    for k in range(a.shape[1]):
        own = (y == k).astype(np.int64)
        (value_a, influence_a), (value_b, influence_b) = (auc_influence(own, p[:, k]) for p in (a, b))
        values.append((value_a, value_b))
        influences.append(within_classes(own, influence_a - influence_b, codes))
    means = tuple(float(v) for v in np.mean(values, axis=0))
    return linear_difference(means, np.mean(influences, axis=0), codes, method=method)


def _at_points(
    right_a: np.ndarray, right_b: np.ndarray, own: np.ndarray, thresholds: Thresholds, codes: np.ndarray | None
) -> Difference:
    """Share of one class's cases that either gets right, where both have an operating point."""
    if None in thresholds:
        return undefined_difference(int(own.sum()), "McNemar", "a model has no operating point")
    if not own.any():
        return undefined_difference(0, "McNemar", ONE_CLASS)
    return _share(right_a[own], right_b[own], None if codes is None else codes[own])


def _share(right_a: np.ndarray, right_b: np.ndarray, codes: np.ndarray | None) -> Difference:
    codes = patient_codes(codes, len(right_a))
    return mcnemar(right_a, right_b) if codes is None else _mean(right_a * 1.0, right_b * 1.0, codes, 1.0)


def _mean(a: np.ndarray, b: np.ndarray, codes: np.ndarray | None, bound: float) -> Difference:
    """Mean of per-case values a less that of b, (N,) each."""
    method, n = clustered("mean of per-case differences", codes), len(a)
    if n < 2:
        return undefined_difference(n, method, "an interval needs at least two cases" if n else "no cases")
    each, units = a - b, n if codes is None else count_patients(codes)
    influence = (each - each.mean()) / n * np.sqrt(units / max(1, units - 1))
    return linear_difference((float(a.mean()), float(b.mean())), influence, codes, method=method, bound=bound)
