"""How far two reviewers, or a reviewer and a model, say the same of the same cases."""

from __future__ import annotations

import numpy as np

from core.records import Estimate
from core.statistics.agreement_weights import Weights, agreement_weights
from core.statistics.discrimination import confusion_matrix
from core.statistics.estimates import Z, as_counts, undefined
from core.statistics.proportions import dice, wilson, wilson_limits


def raw_agreement(a: np.ndarray, b: np.ndarray) -> Estimate:
    """Share of cases on which the labels a (N,) and b (N,) are equal, with Wilson's interval."""
    a, b = np.asarray(a), np.asarray(b)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"the two readings must have the same shape (N,), not {a.shape} and {b.shape}")
    return wilson(int(np.sum(a == b)), len(a))


def raw_agreement_from_table(table: np.ndarray) -> Estimate:
    """`raw_agreement` from a table of counts (C, C), rows one reader, columns the other."""
    counts = as_counts(table)
    return wilson(int(np.trace(counts)), int(counts.sum()))


def cohen_kappa(a: np.ndarray, b: np.ndarray, n_classes: int, weights: Weights | None = None) -> Estimate:
    """`cohen_kappa_from_table` of the labels a (N,) and b (N,), each 0 … n_classes − 1."""
    return cohen_kappa_from_table(confusion_matrix(a, b, n_classes), weights)


def cohen_kappa_from_table(table: np.ndarray, weights: Weights | None = None) -> Estimate:
    """Cohen's kappa (1960; weighted 1968) of a table of counts (C, C), rows one reader, columns the other.

    `weights` makes a disagreement between classes i and j cost |i − j| or (i − j)²: for ordered classes only. Interval:
    kappa ± 1.96 standard errors (Fleiss, Cohen & Everitt 1969), cut to [−1, 1]. Where that standard error is 0 (perfect
    agreement, or one reader who never varies) Wilson's limits of the observed agreement, carried over to kappa at the
    agreement expected by chance. Undefined where both readers used one and the same class only.
    """
    counts = as_counts(table)
    n, method = int(counts.sum()), "Fleiss, Cohen & Everitt 1969"
    if n == 0:
        return undefined(0, method, "no cases")
    p, agreement = counts / n, agreement_weights(len(counts), weights)
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    agreed = float(np.sum(counts * agreement))  # cases, disagreements counted in part: exactly n where all agree
    observed, expected = agreed / n, float(rows @ agreement @ columns)
    if 1 - expected < 1e-12:
        return undefined(n, method, "both used one and the same class throughout")
    kappa = (observed - expected) / (1 - expected)
    means = (agreement @ columns)[:, None] + (agreement.T @ rows)[None, :]  # (C, C): row i's mean weight + column j's
    squares = np.sum(p * (agreement * (1 - expected) - means * (1 - observed)) ** 2)
    numerator = float(squares - (observed * expected - 2 * expected + observed) ** 2)
    if numerator < 1e-12:  # zero but for rounding
        low, high = ((limit - expected) / (1 - expected) for limit in wilson_limits(agreed, n))
        method = "Wilson limits of the agreement, at the expected agreement"
    else:
        half = Z * np.sqrt(numerator / n) / (1 - expected) ** 2
        low, high = kappa - half, kappa + half
    return Estimate(kappa, float(max(-1.0, low)), float(min(1.0, high)), n, method)


def positive_agreement(table: np.ndarray) -> Estimate:
    """2d / (2d + b + c) of a 2×2 table [[a, b], [c, d]] with class 1 positive (Cicchetti & Feinstein 1990).

    How often the other reader says positive where one does. Interval and n as in `proportions.dice`.
    """
    (_, b), (c, d) = as_counts(table, (2, 2)).tolist()
    return dice(d, b + c + d, reason="neither called any case positive")


def negative_agreement(table: np.ndarray) -> Estimate:
    """2a / (2a + b + c) of a 2×2 table [[a, b], [c, d]] with class 1 positive (Cicchetti & Feinstein 1990).

    How often the other reader says negative where one does. Interval and n as in `proportions.dice`.
    """
    (a, b), (c, _) = as_counts(table, (2, 2)).tolist()
    return dice(a, a + b + c, reason="neither called any case negative")
