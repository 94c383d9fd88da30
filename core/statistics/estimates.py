"""What every statistic shares: checked inputs, undefined estimates, the interval of a mean, percentile intervals."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri, stdtrit

from core.records import Estimate

Z = float(ndtri(0.975))  # a 95 % interval leaves 2.5 % on either side


def undefined(n: int, method: str, reason: str) -> Estimate:
    """An estimate that has no value, and why (a short clause without a full stop)."""
    return Estimate(None, None, None, int(n), method, reason)


def mean_estimate(values: np.ndarray, *, upper: float, method: str) -> Estimate:
    """Mean of `values` (N,), each in [0, `upper`], with Student's t interval cut to that range.

    Undefined below two values: one value says nothing about spread.
    """
    n = len(values)
    if n < 2:
        return undefined(n, method, "no cases" if n == 0 else "an interval needs at least two cases")
    mean = float(values.mean())
    half = float(stdtrit(n - 1, 0.975) * values.std(ddof=1) / np.sqrt(n))
    return Estimate(mean, max(0.0, mean - half), min(upper, mean + half), n, method)


def as_labels(labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Labels as int64 (N,), each in 0 … n_classes − 1; raises ValueError otherwise."""
    given = np.asarray(labels)
    if given.ndim != 1:
        raise ValueError(f"labels must have shape (N,), not {given.shape}")
    whole = given.astype(np.int64)
    if len(whole) and (np.any(whole != given) or whole.min() < 0 or whole.max() >= n_classes):
        raise ValueError(f"labels must be whole numbers from 0 to {n_classes - 1}")
    return whole


def as_scores(scores: np.ndarray, n: int) -> np.ndarray:
    """Scores as finite float64 (n,); raises ValueError otherwise."""
    checked = np.asarray(scores, dtype=np.float64)
    if checked.shape != (n,):
        raise ValueError(f"scores must have shape ({n},) like their labels, not {checked.shape}")
    if not np.isfinite(checked).all():
        raise ValueError("scores must be finite")
    return checked


def as_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities as float64, (N,) of the positive class or (N, C) with rows that sum to 1; raises ValueError otherwise."""
    checked = np.asarray(probabilities, dtype=np.float64)
    if checked.ndim not in (1, 2) or (checked.ndim == 2 and checked.shape[1] < 2):
        raise ValueError(f"probabilities must have shape (N,) or (N, C) with C ≥ 2, not {checked.shape}")
    if not ((checked >= 0) & (checked <= 1)).all():  # NaN fails both comparisons
        raise ValueError("probabilities must lie in [0, 1]")
    if checked.ndim == 2 and not np.allclose(checked.sum(axis=1), 1, rtol=0, atol=1e-3):
        raise ValueError("each row of probabilities must sum to 1")
    return checked


def as_counts(table: np.ndarray, shape: tuple[int, int] | None = None) -> np.ndarray:
    """A square table of counts as int64 (C, C), of `shape` where given; raises ValueError otherwise."""
    given = np.asarray(table)
    if given.ndim != 2 or given.shape[0] != given.shape[1] or (shape and given.shape != shape):
        raise ValueError(f"the table must have shape {shape or '(C, C)'}, not {given.shape}")
    counts = given.astype(np.int64)
    if np.any(counts != given) or np.any(counts < 0):
        raise ValueError("the table must hold counts: whole numbers from 0 up")
    return counts


def bootstrap_estimate(
    value: float, draws: np.ndarray, *, n: int, method: str, fallback: tuple[float, float] | None = None
) -> Estimate:
    """`value` with the 2.5th and 97.5th percentile of its bootstrap `draws` (R,).

    Resampling perfect results gives only perfect results and an interval without width, which claims a certainty that n
    cases cannot give; `fallback` (low, high) replaces it then, and `method` is followed by a note.
    """
    low, high = (float(q) for q in np.percentile(draws, [2.5, 97.5]))
    if fallback is not None and low == high:
        (low, high), method = fallback, f"{method}; no spread, so mean of the classes' limits"
    return Estimate(float(value), min(low, value), max(high, value), n, method)
