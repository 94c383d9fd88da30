"""Intervals from what each case adds to a figure, whether or not patients have several cases.

The influence of a case is how far one more of it would move the figure; the figure's error is about the sum of the influences.
Cases of one patient resemble each other, so their influences are added first and the patients are what varies (linearisation:
Binder 1983; for AUCs Obuchowski 1997).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy.special import expit, logit, stdtrit

from core.records import Estimate
from core.statistics.estimates import Z, undefined
from core.statistics.proportions import wilson, wilson_limits

Scale = Literal["plain", "log", "logit", "fisher"]
ONE_PATIENT = "an interval needs at least two patients"

# Where the error is closest to normal: the scale, its inverse, and its slope.
_SCALES: dict[str, tuple[Callable, Callable, Callable]] = {
    "plain": (lambda x: x, lambda x: x, lambda x: 1.0),
    "log": (np.log, np.exp, lambda x: 1 / x),
    "logit": (logit, expit, lambda x: 1 / (x * (1 - x))),
    "fisher": (np.arctanh, np.tanh, lambda x: 1 / (1 - x * x)),
}


def patient_codes(patients: np.ndarray | None, n: int) -> np.ndarray | None:
    """Patients (n,) of any kind as whole numbers 0 … K − 1, or None where each has one case only."""
    if patients is None:
        return None
    given = np.asarray(patients)
    if given.shape != (n,):
        raise ValueError(f"patients must have shape ({n},) like their labels, not {given.shape}")
    if n and given.dtype.kind in "iu" and given.min() >= 0 and given.max() < 4 * n:  # codes already: no need to sort
        there = np.bincount(given) > 0
        return None if there.sum() == n else (np.cumsum(there) - 1)[given]
    names, codes = np.unique(given, return_inverse=True)
    return None if len(names) == n else codes


def count_patients(codes: np.ndarray) -> int:
    """How many different codes (N,) there are."""
    return int(np.count_nonzero(np.bincount(codes)))


def clustered(method: str, codes: np.ndarray | None) -> str:
    """`method`, and that patients are what varies where they have several cases."""
    return method if codes is None else f"{method}, clustered by patient ({count_patients(codes)} patients)"


def within_classes(labels01: np.ndarray, influence: np.ndarray, codes: np.ndarray | None) -> np.ndarray:
    """Influences (N,) for class counts taken as given: centred in each class, with the correction for small samples.

    So scaled, the influences of an AUC give DeLong's variance.
    """
    scaled = np.empty(len(influence))
    for label in (0, 1):
        own = np.flatnonzero(labels01 == label)
        units = len(own) if codes is None else count_patients(codes[own])
        correction = np.sqrt(units / (units - 1)) if units > 1 else 1.0
        scaled[own] = (influence[own] - influence[own].mean()) * correction
    return scaled


def standard_error(influence: np.ndarray, codes: np.ndarray | None) -> float:
    """Root of the summed squares of the influences (N,), those of one patient added first."""
    sums = influence if codes is None else np.bincount(codes, weights=influence)
    return float(np.sqrt(np.sum(sums**2)))


def critical(codes: np.ndarray | None) -> float:
    """Normal quantile of a 95 % interval, or Student's with one degree of freedom less than there are patients."""
    return Z if codes is None else float(stdtrit(max(1, count_patients(codes) - 1), 0.975))


def limits(
    value: float, influence: np.ndarray, codes: np.ndarray | None, scale: Scale = "plain"
) -> tuple[float, float]:
    """95 % limits of a figure from the influences (N,) of its cases, symmetric on `scale`."""
    to, back, slope = _SCALES[scale]
    half = critical(codes) * standard_error(influence, codes) * slope(value)
    return float(back(to(value) - half)), float(back(to(value) + half))


def clustered_proportion(
    hits: np.ndarray, patients: np.ndarray, *, note: str = "", reason: str = "no cases"
) -> Estimate:
    """Share of cases (N,) in {0, 1} that are hits, with an interval for patients (N,) who have several cases.

    The ratio estimator's variance over patients gives the number of independent cases that would be as precise, lowered for
    few patients (Korn & Graubard 1998) and never above N; Wilson's interval is taken at that number. Where all cases are hits,
    or none, every patient counts as one case. Wilson's plain interval when no patient has two cases.
    """
    hits = np.asarray(hits, dtype=np.float64)
    n, codes = len(hits), patient_codes(patients, len(hits))
    if codes is None:
        return wilson(int(hits.sum()), n, note=note, reason=reason)
    method, units = clustered(f"Wilson, {note}" if note else "Wilson", codes), int(codes.max()) + 1
    if units < 2:
        return undefined(n, method, ONE_PATIENT)
    value = float(hits.mean())
    effective = effective_cases(value, (hits - value) / n, codes, units)
    return Estimate(value, *wilson_limits(value * effective, effective), n, method)


def effective_cases(value: float, influence: np.ndarray, codes: np.ndarray | None, at_least: int) -> float:
    """How many independent cases would give a proportion with these influences (N,) as precisely; at most N.

    `at_least` stands in where the variance is 0.
    """
    variance = standard_error(influence, codes) ** 2
    if value in (0, 1) or variance < 1e-20:
        return float(at_least)
    units = len(influence) if codes is None else count_patients(codes)
    found = value * (1 - value) / (variance * units / (units - 1))
    return float(min(found, len(influence)) * (Z / critical(codes)) ** 2)


def mean_with_patients(values: np.ndarray, codes: np.ndarray, *, upper: float, method: str) -> Estimate:
    """Mean of `values` (N,), each in [0, `upper`], with Student's t interval over the patients in `codes` (N,)."""
    n, units, name = len(values), count_patients(codes), clustered(method, codes)
    if units < 2:
        return undefined(n, name, ONE_PATIENT)
    mean = float(values.mean())
    low, high = limits(mean, (values - mean) / n * np.sqrt(units / (units - 1)), codes)
    return Estimate(mean, max(0.0, low), min(upper, high), n, name)
