"""Agreement of ratings that are numbers, such as likelihoods of 0–100: intraclass correlation and limits of agreement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import fdtri, stdtrit

from core.records import Estimate
from core.statistics.estimates import Z, undefined


@dataclass(frozen=True)
class LimitsOfAgreement:
    """How far reader a's numbers lie from reader b's: mean difference a − b (`bias`) and the limits within which 95 % of
    differences lie, each with its own 95 % interval; `sd` of the differences.
    """

    bias: Estimate
    lower: Estimate
    upper: Estimate
    sd: float | None


def icc_2_1(values: np.ndarray) -> Estimate:
    """Intraclass correlation of single ratings (N, R), readers and cases random, absolute agreement: ICC(2,1).

    Shrout & Fleiss 1979; interval of McGraw & Wong 1996, table 7 (ICC(A,1)). Readers without any rating are left out, and then
    cases that one of the rest did not rate (NaN); n counts the others. Undefined for fewer than two cases or readers, or ratings
    that are all equal.
    """
    given = np.asarray(values, dtype=np.float64)
    if given.ndim != 2:
        raise ValueError(f"values must have shape (N, R), not {given.shape}")
    given = given[:, np.isfinite(given).any(axis=0)]
    full = given[np.isfinite(given).all(axis=1)]
    (n, k), method = full.shape, "McGraw & Wong 1996"
    if n < 2 or k < 2:
        few = f"{('none was', 'only one was')[n]} rated by all {k} readers" if k > 1 else "only one reader rated any"
        return undefined(
            n, method, f"at least two cases that every reader rated are needed, and {few}" if k else "no ratings"
        )
    grand, rows, columns = full.mean(), full.mean(axis=1), full.mean(axis=0)
    between = k * float(np.sum((rows - grand) ** 2)) / (n - 1)
    readers = n * float(np.sum((columns - grand) ** 2)) / (k - 1)
    rest = float(np.sum((full - rows[:, None] - columns + grand) ** 2)) / ((n - 1) * (k - 1))
    total = between + (k - 1) * rest + k * (readers - rest) / n
    if total < 1e-12 * max(1.0, float(np.abs(full).max()) ** 2):
        equal = "all ratings are equal" if np.ptp(full) == 0 else "neither cases nor readers differ in their means"
        return undefined(n, method, equal)
    value = (between - rest) / total
    if readers + rest < 1e-12 * between:
        return Estimate(value, None, None, n, method, "the readers agree exactly, which has no interval")
    a = k * value / (n * (1 - value))
    b = 1 + k * value * (n - 1) / (n * (1 - value))
    terms = (a * readers) ** 2 / (k - 1) + (b * rest) ** 2 / ((n - 1) * (k - 1))
    df = (a * readers + b * rest) ** 2 / terms if terms > 0 else 0.0
    if df < 1e-12:
        return Estimate(value, None, None, n, method, "no degrees of freedom are left for an interval")
    error = k * readers + (k * n - k - n) * rest
    upper, lower = float(fdtri(n - 1, df, 0.975)), float(fdtri(df, n - 1, 0.975))
    low = n * (between - upper * rest) / (upper * error + n * between)
    high = n * (lower * between - rest) / (error + n * lower * between)
    return Estimate(value, min(low, value), max(high, value), n, method)


def limits_of_agreement(a: np.ndarray, b: np.ndarray) -> LimitsOfAgreement:
    """Bland & Altman's limits (Lancet 1986;1:307) of two readers' numbers (N,): mean difference ± 1.96 standard deviations.

    Intervals: Student's for the mean difference; for the limits the standard error of Bland & Altman, Stat Methods Med Res
    1999;8:135, √(1/n + 1.96² / 2(n − 1)) standard deviations. Pairs with a missing number (NaN) are left out.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"the two readings must have the same shape (N,), not {a.shape} and {b.shape}")
    gap = (a - b)[np.isfinite(a) & np.isfinite(b)]
    n, method = len(gap), "Bland & Altman 1986, 1999"
    if n < 2:
        none = undefined(n, method, "an interval needs at least two cases")
        return LimitsOfAgreement(none, none, none, None)
    mean, sd, t = float(gap.mean()), float(gap.std(ddof=1)), float(stdtrit(n - 1, 0.975))
    half, wide = t * sd / np.sqrt(n), t * sd * np.sqrt(1 / n + Z * Z / (2 * (n - 1)))
    places = ((mean, half), (mean - Z * sd, wide), (mean + Z * sd, wide))
    bias, lower, upper = (Estimate(x, float(x - w), float(x + w), n, method) for x, w in places)
    return LimitsOfAgreement(bias, lower, upper, sd)
