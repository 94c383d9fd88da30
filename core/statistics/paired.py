"""Two models on the same cases: paired differences with interval and p, and Holm's correction of many p values.

Every difference is a − b. Give the newer model as `a` and the baseline as `b`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, chdtrc, ndtr, stdtr

from core.statistics.discrimination import ONE_CLASS, auc_influence
from core.statistics.estimates import as_labels, as_scores
from core.statistics.linearised import (
    ONE_PATIENT,
    clustered,
    count_patients,
    critical,
    patient_codes,
    standard_error,
    within_classes,
)
from core.statistics.proportions import wilson_limits
from core.statistics.resampling import case_counts

EXACT_BELOW = 25  # discordant cases


@dataclass(frozen=True)
class Difference:
    """a − b of one figure on the same n cases: `value` with its 95 % interval and the two-sided p of no difference.

    `a` and `b` are the figure of either. Undefined parts are None and `reason` says why; `method` names interval and test.
    """

    a: float | None
    b: float | None
    value: float | None
    low: float | None
    high: float | None
    p: float | None
    n: int
    method: str
    reason: str = ""


def paired_delong(
    labels01: np.ndarray, a: np.ndarray, b: np.ndarray, *, patients: np.ndarray | None = None
) -> Difference:
    """AUC of scores a (N,) less that of scores b (N,) on the same labels (N,) in {0, 1}.

    DeLong, DeLong & Clarke-Pearson 1988, as pROC's `roc.test(…, paired = TRUE)`; over patients (N,) who have several cases
    the components are summed first (Obuchowski 1997).
    """
    labels = as_labels(labels01, 2)
    n, codes = len(labels), patient_codes(patients, len(labels))
    a, b = as_scores(a, n), as_scores(b, n)
    method = clustered("paired DeLong", codes)
    if labels.sum() in (0, n):
        return undefined_difference(n, method, ONE_CLASS if n else "no cases")
    values, influences = zip(*(auc_influence(labels, scores) for scores in (a, b)), strict=True)
    difference = within_classes(labels, influences[0] - influences[1], codes)
    return linear_difference(values, difference, codes, method=method)


def mcnemar(right_a: np.ndarray, right_b: np.ndarray) -> Difference:
    """Share of cases that a gets right less that of b, from (N,) booleans on the same cases.

    p: McNemar's test, exact binomial below 25 discordant cases, else chi-square with continuity correction (Edwards 1948).
    Interval: Newcombe 1998, method 10 (Wilson limits of both shares, with their correlation).
    """
    x, y = np.asarray(right_a, dtype=bool), np.asarray(right_b, dtype=bool)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"both must have the same shape (N,), not {x.shape} and {y.shape}")
    both, only_a, only_b, neither = (int(np.sum(s)) for s in (x & y, x & ~y, ~x & y, ~x & ~y))
    discordant, n = only_a + only_b, len(x)
    exact = discordant < EXACT_BELOW
    method = f"Newcombe 1998, McNemar {'exact' if exact else 'chi-square with continuity correction'}"
    if n == 0:
        return undefined_difference(0, method, "no cases")
    if exact:
        p = min(1.0, 2 * _binomial_tail(max(only_a, only_b), discordant)) if discordant else 1.0
    else:
        p = float(chdtrc(1, max(0, abs(only_a - only_b) - 1) ** 2 / discordant))
    low, high = _newcombe_paired(both, only_a, only_b, neither)
    return Difference((both + only_a) / n, (both + only_b) / n, (only_a - only_b) / n, low, high, p, n, method)


def paired_bootstrap(
    labels: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    metric: Callable[[np.ndarray, np.ndarray], float],
    *,
    patients: np.ndarray | None = None,
    replicates: int = 2000,
    seed: int = 0,
) -> Difference:
    """metric(labels, a) − metric(labels, b) with a percentile interval, both models scored on each draw of the same cases.

    `a` and `b` are (N,) or (N, C); cases are drawn within each class, or patients (N,) whole where some has several cases. p
    is twice the smaller share of draws on one side of 0, of which one more is counted (Davison & Hinkley 1997).
    """
    labels, a, b = np.asarray(labels), np.asarray(a), np.asarray(b)
    codes, n = patient_codes(patients, len(labels)), len(labels)
    method = clustered(f"paired bootstrap of {replicates}", codes)
    if n == 0:
        return undefined_difference(0, method, "no cases")
    values, draws = (float(metric(labels, a)), float(metric(labels, b))), np.empty(replicates)
    for r, counts in enumerate(case_counts(labels, codes, replicates, seed)):
        rows = np.repeat(np.arange(n), counts)
        draws[r] = metric(labels[rows], a[rows]) - metric(labels[rows], b[rows])
    draws = draws[np.isfinite(draws)]
    if not np.isfinite(values).all() or not len(draws):
        return undefined_difference(n, method, "the metric is not defined on these cases")
    value, (low, high) = values[0] - values[1], np.percentile(draws, [2.5, 97.5])
    tail = min(np.sum(draws <= 0), np.sum(draws >= 0))
    p = min(1.0, 2 * (tail + 1) / (len(draws) + 1))
    return Difference(*values, value, min(float(low), value), max(float(high), value), float(p), n, method)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's (1979) adjusted p values in the order given; None stays None and does not count as a comparison."""
    known = [i for i, p in enumerate(p_values) if p is not None]
    p = np.array([p_values[i] for i in known], dtype=np.float64)
    order, adjusted = np.argsort(p, kind="stable"), np.empty(len(p))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    result: list[float | None] = [None] * len(p_values)
    for i, value in zip(known, adjusted, strict=True):
        result[i] = float(value)
    return result


def linear_difference(
    values: tuple[float, float], influence: np.ndarray, codes: np.ndarray | None, *, method: str, bound: float = 1.0
) -> Difference:
    """Difference of two figures from the influences (N,) of the cases on it: normal, or Student's over patients.

    The interval is cut to ±`bound`.
    """
    value, error, n = values[0] - values[1], standard_error(influence, codes), len(influence)
    units = n if codes is None else count_patients(codes)
    if units < 2:
        return undefined_difference(n, method, ONE_PATIENT)
    if error < 1e-12:
        if abs(value) < 1e-12:
            return Difference(*values, 0.0, 0.0, 0.0, 1.0, n, method, "both say the same of every case")
        return Difference(*values, value, None, None, None, n, method, "the difference has no spread")
    statistic, half = abs(value) / error, critical(codes) * error
    p = 2 * (ndtr(-statistic) if codes is None else stdtr(units - 1, -statistic))
    return Difference(*values, value, max(-bound, value - half), min(bound, value + half), float(p), n, method)


def _newcombe_paired(both: int, only_a: int, only_b: int, neither: int) -> tuple[float, float]:
    """Limits of the difference of two paired proportions (Newcombe 1998, Stat Med 17:2635, method 10)."""
    n = both + only_a + only_b + neither
    a, b = (both + only_a) / n, (both + only_b) / n
    (low_a, high_a), (low_b, high_b) = wilson_limits(both + only_a, n), wilson_limits(both + only_b, n)
    margins = float(both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    product = both * neither - only_a * only_b
    if product > 0:
        product = max(product - n / 2, 0)
    phi = product / np.sqrt(margins) if margins else 0.0
    down = (a - low_a) ** 2 - 2 * phi * (a - low_a) * (high_b - b) + (high_b - b) ** 2
    up = (high_a - a) ** 2 - 2 * phi * (high_a - a) * (b - low_b) + (b - low_b) ** 2
    return a - b - float(np.sqrt(max(down, 0))), a - b + float(np.sqrt(max(up, 0)))


def _binomial_tail(k: int, n: int) -> float:
    """P(X ≥ k) of a fair binomial, k ≥ 1."""
    return float(betainc(k, n - k + 1, 0.5))


def undefined_difference(n: int, method: str, reason: str) -> Difference:
    """A difference that has no value, and why."""
    return Difference(None, None, None, None, None, None, n, method, reason)
