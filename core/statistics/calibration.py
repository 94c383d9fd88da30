"""Whether probabilities mean what they say: Brier score, log loss, calibration bins, expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.records import Estimate
from core.statistics.estimates import as_labels, as_probabilities, mean_estimate, undefined

_CHUNK = 2_000_000  # resampled cases held at once: 16 MB


@dataclass(frozen=True)
class CalibrationBins:
    """Cases grouped by probability into bins of equal width, each array (B,).

    Bin i holds `edges[i]` < p ≤ `edges[i + 1]` (the first one 0 too; `edges` is (B + 1,)). `counts` int64; `probability` and
    `frequency` are the means of p and of the outcome there, NaN where a bin is empty: there is nothing to draw.
    """

    edges: np.ndarray
    counts: np.ndarray
    probability: np.ndarray
    frequency: np.ndarray


def brier(labels: np.ndarray, probabilities: np.ndarray) -> Estimate:
    """Brier score (Brier 1950), with Student's t interval of the per-case mean.

    Two classes, given as P(class 1) (N,) or as (N, 2): mean of (p − y)², from 0 to 1. More classes, (N, C): the squares are
    summed over the classes, from 0 to 2.
    """
    p, y = _pair(labels, probabilities)
    if p.shape[1] == 2:
        return mean_estimate((p[:, 1] - y) ** 2, upper=1.0, method="mean of (p − y)², t interval")
    squares = (p - np.eye(p.shape[1])[y]) ** 2  # (N, C)
    return mean_estimate(squares.sum(axis=1), upper=2.0, method="mean of squares summed over classes, t interval")


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> Estimate:
    """Mean of −ln(probability given to the right class), in nats, with Student's t interval.

    Probabilities are (N,) of class 1 or (N, C). One below 2.2e-16 counts as 2.2e-16, as in scikit-learn, since one sure
    mistake would make the mean infinite.
    """
    p, y = _pair(labels, probabilities)
    given = np.maximum(p[np.arange(len(y)), y], np.finfo(np.float64).eps)
    return mean_estimate(-np.log(given), upper=np.inf, method="mean of −ln p, t interval")


def top_label(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For calibration of any number of classes: whether the most probable class is right (N,) in {0, 1}, and its probability."""
    p, y = _pair(labels, probabilities)
    return (p.argmax(axis=1) == y).astype(np.int64), p.max(axis=1)


def calibration_bins(outcomes: np.ndarray, probabilities: np.ndarray, bins: int = 10) -> CalibrationBins:
    """Group outcomes (N,) in {0, 1} by their probabilities (N,) into `bins` bins of equal width."""
    y, p, place = _binned(outcomes, probabilities, bins)
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN of an empty bin
        probability, frequency = (np.bincount(place, weights=v, minlength=bins) / counts for v in (p, y))
    return CalibrationBins(np.linspace(0, 1, bins + 1), counts, probability, frequency)


def ece(
    outcomes: np.ndarray, probabilities: np.ndarray, bins: int = 10, *, replicates: int = 1000, seed: int = 0
) -> Estimate:
    """Expected calibration error (Guo et al. 2017) of outcomes (N,) in {0, 1} and probabilities (N,).

    The mean over cases of |frequency − mean probability| of their bin. Give it `top_label` for the usual figure of several
    classes. Chance keeps it above 0, the more so the fewer the cases, so a plain bootstrap interval would miss a perfectly
    calibrated model every time. Here the lower limit is the value less the 97.5th percentile of the bins' summed bootstrap
    deviations (by the triangle inequality), the upper one that percentile of the draws: at least 95 %, often more.
    """
    y, p, place = _binned(outcomes, probabilities, bins)
    method, n = f"{bins} equal bins, bootstrap", len(y)
    if n < 2:
        return undefined(n, method, "no cases" if n == 0 else "an interval needs at least two cases")
    residual = y - p
    gaps = np.bincount(place, weights=residual, minlength=bins) / n  # (B,): a bin's share of the error, signed
    value = float(np.abs(gaps).sum())
    draws = _gap_draws(place, residual, bins, replicates, seed)  # (R, B)
    deviation = np.percentile(np.abs(draws - gaps).sum(axis=1), 97.5)
    high = np.percentile(np.abs(draws).sum(axis=1), 97.5)
    return Estimate(value, max(0.0, float(value - deviation)), min(1.0, max(value, float(high))), n, method)


def _gap_draws(place: np.ndarray, residual: np.ndarray, bins: int, replicates: int, seed: int) -> np.ndarray:
    """Bin sums of residuals over N, (R, B), of cases drawn with replacement."""
    rng, n = np.random.default_rng(seed), len(place)
    step, draws = max(1, _CHUNK // n), []
    for start in range(0, replicates, step):
        rows = min(step, replicates - start)
        chosen = rng.integers(n, size=(rows, n))
        cell = place[chosen] + bins * np.arange(rows)[:, None]  # (rows, N): one block of bins per replicate
        sums = np.bincount(cell.ravel(), weights=residual[chosen].ravel(), minlength=rows * bins)
        draws.append(sums.reshape(rows, bins) / n)
    return np.concatenate(draws)


def _pair(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (N, C) and labels (N,), checked; (N,) probabilities become two columns."""
    p = as_probabilities(probabilities)
    p = np.column_stack([1 - p, p]) if p.ndim == 1 else p
    y = as_labels(labels, p.shape[1])
    if len(y) != len(p):
        raise ValueError(f"labels and probabilities must be equally many, not {len(y)} and {len(p)}")
    return p, y


def _binned(outcomes: np.ndarray, probabilities: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcomes (N,), probabilities (N,) and bin numbers (N,), checked."""
    if bins < 1:
        raise ValueError(f"calibration needs at least one bin, not {bins}")
    if np.ndim(probabilities) != 1:
        raise ValueError(f"probabilities must have shape (N,), not {np.shape(probabilities)}; see top_label")
    p, y = _pair(outcomes, probabilities)
    edges = np.linspace(0, 1, bins + 1)
    return y, p[:, 1], np.clip(np.searchsorted(edges, p[:, 1], side="left") - 1, 0, None)
