"""Figures of several classes at once: each against the rest, and their means, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.records import Estimate
from core.statistics.discrimination import (
    auc,
    auc_influence,
    confusion_matrix,
    newcombe_limits,
    placements,
    predicted_class,
)
from core.statistics.estimates import as_counts, as_labels, as_probabilities, bootstrap_estimate, undefined
from core.statistics.linearised import (
    ONE_PATIENT,
    clustered,
    clustered_proportion,
    count_patients,
    limits,
    standard_error,
    within_classes,
)
from core.statistics.proportions import dice, mean_of_proportions, wilson
from core.statistics.report import slopes

_CHUNK = 2_000_000  # case weights held at once: 16 MB


def one_vs_rest_counts(matrix: np.ndarray) -> np.ndarray:
    """(C, 4) int64: TP, TN, FP, FN of each class against all others, from a confusion matrix (C, C), rows the reference."""
    counts = as_counts(matrix)
    tp = np.diagonal(counts)
    fp, fn = counts.sum(axis=0) - tp, counts.sum(axis=1) - tp
    return np.column_stack([tp, counts.sum() - tp - fp - fn, fp, fn])


def macro_auc(
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str] | None = None,
    *,
    replicates: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Mean over classes of the AUC of one class against the rest, from labels (N,) and probabilities (N, C).

    Interval: percentile bootstrap, cases resampled within each class; it covers nearer 93 than 95 % in small samples. Undefined
    where a class has no cases, which is then named as in `classes`.
    """
    p = as_probabilities(probabilities)
    if p.ndim != 2:
        raise ValueError(f"probabilities must have shape (N, C), not {p.shape}")
    y = as_labels(labels, p.shape[1])
    method, sizes = "macro one-vs-rest, stratified bootstrap", np.bincount(y, minlength=p.shape[1])
    if not sizes.all():
        missing = ", ".join(classes[k] if classes else f"class {k}" for k in np.flatnonzero(sizes == 0))
        return undefined(len(y), method, f"no cases of {missing}" if len(y) else "no cases")
    each = [float(placements(y == k, p[:, k])[0].mean()) for k in range(len(sizes))]
    limits = [newcombe_limits(value, size, len(y) - size) for value, size in zip(each, sizes, strict=True)]
    return bootstrap_estimate(
        float(np.mean(each)),
        _macro_auc_draws(y, p, replicates, seed),
        n=len(y),
        method=method,
        fallback=tuple(np.mean(limits, axis=0).tolist()),
    )


def macro_f1(matrix: np.ndarray, *, replicates: int = 1000, seed: int = 0) -> Estimate:
    """Mean of the classes' F1 from a confusion matrix (C, C).

    Interval: percentile bootstrap of the cases, drawn as whole matrices; it covers nearer 93 than 95 %, `report.averaged` does
    better. Undefined where a class is neither in the reference standard nor predicted; a draw where that happens takes the mean
    of the other classes.
    """
    counts = as_counts(matrix)
    tp, _, fp, fn = one_vs_rest_counts(counts).T
    n, method = int(counts.sum()), "macro F1, bootstrap"
    if not (tp + fp + fn).all():
        return undefined(n, method, "a class is neither in the reference standard nor predicted" if n else "no cases")
    draws = np.random.default_rng(seed).multinomial(n, counts.ravel() / n, size=replicates).reshape(-1, *counts.shape)
    hits = np.diagonal(draws, axis1=1, axis2=2)  # (R, C)
    marked = draws.sum(axis=1) + draws.sum(axis=2)  # (R, C): 2 TP + FP + FN
    f1 = np.divide(2 * hits, marked, out=np.full(hits.shape, np.nan), where=marked > 0)
    each = [dice(int(a), int(b), reason="") for a, b in zip(tp, tp + fp + fn, strict=True)]
    return bootstrap_estimate(
        float(np.mean([e.value for e in each])),
        np.nanmean(f1, axis=1),
        n=n,
        method=method,
        fallback=tuple(np.mean([(e.low, e.high) for e in each], axis=0).tolist()),
    )


def class_figures(
    labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]
) -> tuple[dict[str, Estimate], dict[str, Estimate]]:
    """Means over the classes (auc, f1, balanced_accuracy), and the figures of each class against the rest.

    The latter are `auc_<class>`, `sensitivity_<class>`, `precision_<class>` and `f1_<class>`, of labels (N,) and probabilities
    (N, C); the predicted class is the most probable one.
    """
    matrix = confusion_matrix(labels, predicted_class(probabilities), len(classes))
    aucs = {f"auc_{name}": auc(labels == k, probabilities[:, k]) for k, name in enumerate(classes)}
    sensitivity, precision, f1 = {}, {}, {}
    for name, (tp, _, fp, fn) in zip(classes, one_vs_rest_counts(matrix).tolist(), strict=True):
        sensitivity[f"sensitivity_{name}"] = wilson(tp, tp + fn, reason=f"no cases of {name}")
        precision[f"precision_{name}"] = wilson(tp, tp + fp, reason=f"no case was called {name}")
        f1[f"f1_{name}"] = dice(tp, tp + fp + fn, reason=f"no case is {name} or was called so")
    means = {
        "auc": macro_auc(labels, probabilities, classes),
        "f1": macro_f1(matrix),
        "balanced_accuracy": mean_of_proportions(list(sensitivity.values())),
    }
    return means, {**aucs, **sensitivity, **precision, **f1}


def clustered_class_figures(
    labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], codes: np.ndarray
) -> tuple[dict[str, Estimate], dict[str, Estimate]]:
    """`class_figures` with intervals over patients, given as whole numbers (N,) from 0; same values."""
    called = predicted_class(probabilities)
    matrix = confusion_matrix(labels, called, len(classes))
    slope = slopes(matrix)
    aucs = {f"auc_{c}": auc(labels == k, probabilities[:, k], patients=codes) for k, c in enumerate(classes)}
    sensitivity, precision, f1 = {}, {}, {}
    for k, name in enumerate(classes):
        hit, own, marked = (labels == k) & (called == k), labels == k, called == k
        sensitivity[f"sensitivity_{name}"] = clustered_proportion(hit[own], codes[own], reason=f"no cases of {name}")
        precision[f"precision_{name}"] = clustered_proportion(
            hit[marked], codes[marked], reason=f"no case was called {name}"
        )
        f1[f"f1_{name}"] = _clustered_f1(hit[own | marked], codes[own | marked], f"no case is {name} or was called so")
    sizes = np.bincount(labels, minlength=len(classes))
    missing = ", ".join(classes[k] for k in np.flatnonzero(sizes == 0))
    means = {"auc": _clustered_macro_auc(labels, probabilities, missing, codes)}
    for name, kind, each in (("f1", 2, f1), ("balanced_accuracy", 1, sensitivity)):
        parts = list(each.values())
        influence = slope[kind].mean(axis=0)[labels, called]  # (N,)
        means[name] = _clustered_mean(parts, influence, codes)
    return means, {**aucs, **sensitivity, **precision, **f1}


def _clustered_f1(hits: np.ndarray, codes: np.ndarray, reason: str) -> Estimate:
    share = clustered_proportion(hits, codes, reason=reason)
    if share.value is None:
        return share
    value, low, high = (2 * x / (1 + x) for x in (share.value, share.low, share.high))
    return Estimate(value, low, high, share.n, f"{share.method}, as 2x / (1 + x)")


def _clustered_macro_auc(labels: np.ndarray, probabilities: np.ndarray, missing: str, codes: np.ndarray) -> Estimate:
    if missing:
        return undefined(len(labels), clustered("macro one-vs-rest, DeLong", codes), f"no cases of {missing}")
    each, influences = [], []
    for k, column in enumerate(probabilities.T):
        positive = (labels == k).astype(np.int64)
        value, influence = auc_influence(positive, column)
        units = [count_patients(codes[positive == side]) for side in (1, 0)]
        each.append(Estimate(value, *newcombe_limits(value, *units), len(labels), ""))
        influences.append(within_classes(positive, influence, codes))
    return _clustered_mean(each, np.mean(influences, axis=0), codes, "macro one-vs-rest, DeLong")


def _clustered_mean(
    parts: Sequence[Estimate], influence: np.ndarray, codes: np.ndarray, method: str = "mean of classes"
) -> Estimate:
    """Mean of the classes' figures, the interval from the influences (N,); without spread, the mean of their limits."""
    n, name = len(codes), clustered(method, codes)
    reasons = [part.reason for part in parts if part.value is None]
    if reasons or count_patients(codes) < 2:
        return undefined(n, name, reasons[0] if reasons else ONE_PATIENT)
    value = float(np.mean([part.value for part in parts]))
    if standard_error(influence, codes) < 1e-10:
        low, high = np.mean([(part.low, part.high) for part in parts], axis=0).tolist()
        return Estimate(
            value, min(low, value), max(high, value), n, f"{name}; no spread, so mean of the classes' limits"
        )
    low, high = limits(value, influence, codes)
    return Estimate(value, max(0.0, low), min(1.0, high), n, name)


def _macro_auc_draws(labels: np.ndarray, probabilities: np.ndarray, replicates: int, seed: int) -> np.ndarray:
    """Macro AUC (R,) of resampled cases: every case gets a weight (how often it was drawn), the sort is done once."""
    rng, (n, classes) = np.random.default_rng(seed), probabilities.shape
    members = [np.flatnonzero(labels == k) for k in range(classes)]
    plans = [_Plan(labels == k, probabilities[:, k]) for k in range(classes)]
    step, draws = max(1, _CHUNK // n), []
    for start in range(0, replicates, step):
        rows = min(step, replicates - start)
        weights = np.empty((n, rows))
        for own in members:
            size = len(own)
            cell = rng.integers(size, size=(rows, size)) + size * np.arange(rows)[:, None]
            weights[own] = np.bincount(cell.ravel(), minlength=rows * size).reshape(rows, size).T
        draws.append(np.mean([plan.auc(weights) for plan in plans], axis=0))
    return np.concatenate(draws)


class _Plan:
    """The sorted order of one class's scores, ready to give the AUC under many sets of case weights."""

    def __init__(self, positive: np.ndarray, scores: np.ndarray) -> None:
        negative = np.flatnonzero(~positive)
        self.negative = negative[np.argsort(scores[negative])]
        self.positive = np.flatnonzero(positive)
        ordered, own = scores[self.negative], scores[self.positive]
        self.below, self.up_to = np.searchsorted(ordered, own, "left"), np.searchsorted(ordered, own, "right")

    def auc(self, weights: np.ndarray) -> np.ndarray:
        """AUC (R,) under case weights (N, R) whose sums over each class are the class sizes."""
        total = np.zeros((len(self.negative) + 1, weights.shape[1]))
        np.cumsum(weights[self.negative], axis=0, out=total[1:])  # total[i]: weight of the i lowest negatives
        wins = total[self.below] + total[self.up_to]  # twice, so that a tie counts half
        return np.einsum("pr,pr->r", weights[self.positive], wins) / (2 * len(self.positive) * len(self.negative))
