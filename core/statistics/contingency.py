"""Figures of a 2×2 table that are no proportions: Matthews correlation and likelihood ratios."""

from __future__ import annotations

import numpy as np

from core.records import Estimate
from core.statistics.estimates import Z, as_counts, undefined
from core.statistics.proportions import wilson_limits

NO_MARGIN = "a class is absent, or none or all were called positive"


def mcc_value(matrix: np.ndarray) -> tuple[float, np.ndarray] | None:
    """Matthews correlation of [[TN, FP], [FN, TP]] and its derivative (2, 2) by each count; None where it is undefined."""
    (tn, fp), (fn, tp) = ((float(count) for count in row) for row in matrix)
    negative, positive, left, called = tn + fp, tp + fn, tn + fn, tp + fp
    root = np.sqrt(negative * positive) * np.sqrt(left * called)
    if root == 0:
        return None
    value = 1.0 if fp == fn == 0 else -1.0 if tp == tn == 0 else (tp * tn - fp * fn) / root  # exact at the ends
    slope = np.array([[tp, -fn], [-fp, tn]]) / root
    slope -= value / 2 * (1 / np.array([[negative], [positive]]) + 1 / np.array([[left, called]]))
    return float(value), slope


def matthews(matrix: np.ndarray) -> Estimate:
    """Matthews correlation coefficient of a confusion matrix [[TN, FP], [FN, TP]], −1 to 1 (Matthews 1975; phi).

    Interval: delta method on Fisher's z (Itaya et al. 2025). Where all calls are right or all wrong: the coefficient at
    Wilson's limits of sensitivity and specificity. Undefined where a row or column of the table is empty.
    """
    counts = as_counts(matrix, (2, 2))
    n, method, found = int(counts.sum()), "delta method on Fisher's z", mcc_value(counts)
    if found is None:
        return undefined(n, method, NO_MARGIN if n else "no cases")
    value, slope = found
    if 1 - abs(value) < 1e-12:
        return Estimate(value, *extreme_limits(value, *counts.sum(axis=1)), n, "at Wilson's limits of both classes")
    half = Z * np.sqrt(np.sum(counts * slope**2)) / (1 - value**2)
    low, high = np.tanh(np.arctanh(value) + np.array([-half, half]))
    return Estimate(value, float(low), float(high), n, method)


def extreme_limits(value: float, negatives: float, positives: float) -> tuple[float, float]:
    """Limits of a Matthews correlation of 1 or −1 from that many negative and positive cases."""
    specificity, sensitivity = wilson_limits(negatives, negatives)[0], wilson_limits(positives, positives)[0]
    table = np.array([[specificity, 1 - specificity], [1 - sensitivity, sensitivity]])
    near, _ = mcc_value(table * np.array([[negatives], [positives]])) or (0.0, None)
    return (near, 1.0) if value > 0 else (-1.0, -near)


def likelihood_ratios(matrix: np.ndarray) -> tuple[Estimate, Estimate]:
    """LR+ = sensitivity / (1 − specificity) and LR− = (1 − sensitivity) / specificity of [[TN, FP], [FN, TP]].

    Interval: log method (Simel, Samsa & Matchar 1991). A ratio of 0 keeps an upper limit, from half a case added to each cell.
    Undefined without both classes, and where the denominator is 0, for then the ratio has no end.
    """
    (tn, fp), (fn, tp) = as_counts(matrix, (2, 2)).tolist()
    positives, negatives = tp + fn, tn + fp
    return (
        _ratio(tp, positives, fp, negatives, "no negative case was called positive"),
        _ratio(fn, positives, tn, negatives, "no negative case was called negative"),
    )


def _ratio(a: int, positives: int, b: int, negatives: int, endless: str) -> Estimate:
    """(a / positives) / (b / negatives)."""
    n, method = positives + negatives, "log method, Simel 1991"
    if not positives or not negatives:
        return undefined(n, method, "no cases" if not n else f"no {'positive' if not positives else 'negative'} cases")
    if b == 0:
        return undefined(n, method, endless)
    if a == 0:
        high = _log_limits(0.5, positives + 1.0, b + 0.5, negatives + 1.0)[1]
        return Estimate(0.0, 0.0, high, n, f"{method}, half a case added to each cell")
    return Estimate((a / positives) / (b / negatives), *_log_limits(a, positives, b, negatives), n, method)


def _log_limits(a: float, positives: float, b: float, negatives: float) -> tuple[float, float]:
    ratio = (a / positives) / (b / negatives)
    half = Z * np.sqrt(1 / a - 1 / positives + 1 / b - 1 / negatives)
    return float(ratio * np.exp(-half)), float(ratio * np.exp(half))
