"""Whether probabilities mean what they say: Brier score, log loss, calibration bins, expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.records import Estimate
from core.statistics.estimates import as_labels, as_probabilities, mean_estimate, undefined
from core.statistics.linearised import ONE_PATIENT, clustered, mean_with_patients, patient_codes

_CHUNK = 2_000_000  # resampled cases held at once: 16 MB
_NORMAL_FROM = 2_000  # cases or patients, from which the summed deviations of ten bins are normal enough to be drawn so


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


def brier(labels: np.ndarray, probabilities: np.ndarray, *, patients: np.ndarray | None = None) -> Estimate:
    """Brier score (Brier 1950), with Student's t interval of the per-case mean, over patients (N,) who have several cases.

    Two classes, given as P(class 1) (N,) or as (N, 2): mean of (p − y)², from 0 to 1. More classes, (N, C): the squares are
    summed over the classes, from 0 to 2.
    """
    losses, upper, method = brier_losses(labels, probabilities)
    return _mean(losses, patients, upper, method)


def brier_losses(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, float, str]:
    """What each case adds to the Brier score (N,), the largest it can add, and how the mean of them is called."""
    p, y = _pair(labels, probabilities)
    if p.shape[1] == 2:
        return (p[:, 1] - y) ** 2, 1.0, "mean of (p − y)², t interval"
    squares = (p - np.eye(p.shape[1])[y]) ** 2  # (N, C)
    return squares.sum(axis=1), 2.0, "mean of squares summed over classes, t interval"


def log_loss(labels: np.ndarray, probabilities: np.ndarray, *, patients: np.ndarray | None = None) -> Estimate:
    """Mean of −ln(probability given to the right class), in nats, with Student's t interval, as in `brier`.

    Probabilities are (N,) of class 1 or (N, C). One below 2.2e-16 counts as 2.2e-16, as in scikit-learn, since one sure
    mistake would make the mean infinite.
    """
    return _mean(log_losses(labels, probabilities), patients, np.inf, "mean of −ln p, t interval")


def log_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """What each case adds to the log loss (N,)."""
    p, y = _pair(labels, probabilities)
    return -np.log(np.maximum(p[np.arange(len(y)), y], np.finfo(np.float64).eps))


def _mean(losses: np.ndarray, patients: np.ndarray | None, upper: float, method: str) -> Estimate:
    codes = patient_codes(patients, len(losses))
    if codes is None:
        return mean_estimate(losses, upper=upper, method=method)
    return mean_with_patients(losses, codes, upper=upper, method=method)


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
    outcomes: np.ndarray,
    probabilities: np.ndarray,
    bins: int = 10,
    *,
    patients: np.ndarray | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Expected calibration error (Guo et al. 2017) of outcomes (N,) in {0, 1} and probabilities (N,).

    The mean over cases of |frequency − mean probability| of their bin. Give it `top_label` for the usual figure of several
    classes. Chance keeps it above 0, the more so the fewer the cases, so a plain bootstrap interval would miss a perfectly
    calibrated model every time. Here the lower limit is the value less the 97.5th percentile of the bins' summed bootstrap
    deviations (by the triangle inequality), the upper one that percentile of the draws: at least 95 %, often more. Whole
    patients (N,) are drawn where some has several cases; from 2,000 of either on, the bins' sums are drawn as normal numbers.
    """
    y, p, place = _binned(outcomes, probabilities, bins)
    codes, n = patient_codes(patients, len(y)), len(y)
    units = n if codes is None else int(codes.max()) + 1
    method = clustered(f"{bins} equal bins, {'normal draws' if units >= _NORMAL_FROM else 'bootstrap'}", codes)
    if units < 2:
        few = ONE_PATIENT if n > 1 else "an interval needs at least two cases"
        return undefined(n, method, few if n else "no cases")
    residual = y - p
    gaps = np.bincount(place, weights=residual, minlength=bins) / n  # (B,): a bin's share of the error, signed
    value = float(np.abs(gaps).sum())
    if codes is not None:
        draws = _patient_draws(place, residual, codes, gaps, replicates, seed)
    elif n < _NORMAL_FROM:
        draws = _gap_draws(place, residual, bins, replicates, seed)  # (R, B)
    else:
        squares = np.bincount(place, weights=residual**2, minlength=bins)
        draws = _normal_draws(gaps, (np.diag(squares) / n - np.outer(gaps, gaps)) / n, replicates, seed)
    deviation = np.percentile(np.abs(draws - gaps).sum(axis=1), 97.5)
    high = np.percentile(np.abs(draws).sum(axis=1), 97.5)
    return Estimate(value, max(0.0, float(value - deviation)), min(1.0, max(value, float(high))), n, method)


def _normal_draws(gaps: np.ndarray, covariance: np.ndarray, replicates: int, seed: int) -> np.ndarray:
    """Normal draws (R, B) around the bins' sums (B,)."""
    return np.random.default_rng(seed).multivariate_normal(gaps, covariance, size=replicates, method="eigh")


def _patient_draws(
    place: np.ndarray, residual: np.ndarray, codes: np.ndarray, gaps: np.ndarray, replicates: int, seed: int
) -> np.ndarray:
    """Bin sums of residuals over the cases drawn, (R, B), of patients drawn whole with replacement."""
    bins, sizes = len(gaps), np.bincount(codes)
    cells = np.bincount(codes * bins + place, weights=residual, minlength=len(sizes) * bins).reshape(-1, bins)  # (K, B)
    if len(sizes) >= _NORMAL_FROM:
        centred = cells - sizes[:, None] * gaps
        return _normal_draws(gaps, centred.T @ centred / len(codes) ** 2, replicates, seed)
    even = np.full(len(sizes), 1 / len(sizes))
    drawn = np.random.default_rng(seed).multinomial(len(sizes), even, size=replicates)  # (R, K)
    return drawn @ cells / (drawn @ sizes)[:, None]


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
