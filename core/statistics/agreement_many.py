"""Agreement of any number of readers, with missing ratings: Fleiss, Conger, Gwet, Brennan–Prediger and plain agreement.

All are (agreement − expected) / (1 − expected) and differ in what they expect. Weighted forms, missing ratings and standard errors
after Gwet, Br J Math Stat Psychol 2008;61:29 and Handbook of Inter-Rater Reliability (4th ed. 2014, ch. 2–5): each case's own
contribution is linearised, so that cases are what varies; readers are taken as given. Intervals are Student's over cases, cut to
[−1, 1]. Counts are (N, C): how many readers put each case into each category.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from core.records import Estimate
from core.statistics.agreement_table import counts_of
from core.statistics.agreement_weights import agreement_weights
from core.statistics.estimates import undefined
from core.statistics.proportions import wilson_limits

NO_PAIRS = "no case was rated by two readers"
ONE_CATEGORY = "all ratings are in one category"


@dataclass(frozen=True, eq=False)
class _Agreement:
    """Observed agreement: its `value`, each case's own (N,), and which cases (N,) have two ratings."""

    value: float
    own: np.ndarray
    paired: np.ndarray


def percent_agreement(counts: np.ndarray, weights: np.ndarray | None = None) -> Estimate:
    """Share of pairs of readers who agree on a case, averaged over the cases that two rated; `weights` (C, C) count partly."""
    counts, weights = _checked(counts, weights)
    observed = _observed(counts, weights)
    method = "pairs of readers, linearised over cases"
    if observed is None:
        return undefined(0, method, NO_PAIRS)
    return _estimate(observed, 0.0, np.zeros(len(counts)), method, lowest=0.0)


def fleiss_kappa(counts: np.ndarray, weights: np.ndarray | None = None) -> Estimate:
    """Fleiss' kappa (1971), weighted or not: chance is two ratings drawn from all ratings. Scott's pi for two readers."""
    counts, weights = _checked(counts, weights)
    observed, shares, mean = _parts(counts, weights)
    if observed is None:
        return undefined(0, "Fleiss 1971, Gwet 2008", NO_PAIRS)
    expected = float(mean @ weights @ mean)
    per_case = shares @ (weights @ mean + weights.T @ mean) / 2
    return _estimate(observed, expected, 2 * (per_case - expected), "Fleiss 1971, Gwet 2008")


def gwet_ac(counts: np.ndarray, weights: np.ndarray | None = None) -> Estimate:
    """Gwet's AC1 (2008), or AC2 with `weights` (C, C): chance is what readers who guess would agree on.

    Unlike the kappas it stays defined, and near the observed agreement, where nearly all cases are of one category.
    """
    counts, weights = _checked(counts, weights)
    observed, shares, mean = _parts(counts, weights)
    if observed is None:
        return undefined(0, "Gwet 2008", NO_PAIRS)
    size = counts.shape[1]
    scale = float(weights.sum()) / (size * (size - 1)) if size > 1 else 0.0
    expected = scale * float(mean @ (1 - mean))
    per_case = scale * shares @ (1 - mean)
    return _estimate(observed, expected, 2 * (per_case - expected), "Gwet 2008")


def brennan_prediger(counts: np.ndarray, weights: np.ndarray | None = None) -> Estimate:
    """Brennan & Prediger's coefficient (1981): chance is every category equally often."""
    counts, weights = _checked(counts, weights)
    observed = _observed(counts, weights)
    if observed is None:
        return undefined(0, "Brennan & Prediger 1981", NO_PAIRS)
    expected = float(weights.sum()) / weights.size
    return _estimate(observed, expected, np.zeros(len(counts)), "Brennan & Prediger 1981")


def conger_kappa(codes: np.ndarray, n_categories: int, weights: np.ndarray | None = None) -> Estimate:
    """Conger's kappa (1980) of codes (N, R), −1 where missing: chance is two readers, each with their own habits.

    Cohen's kappa for two readers who rated every case. Readers without a rating do not count.
    """
    codes = np.asarray(codes)
    codes = codes[:, (codes >= 0).any(axis=0)]
    counts, weights = _checked(counts_of(codes, n_categories), weights)
    observed, method = _observed(counts, weights), "Conger 1980, Gwet 2008"
    if observed is None:
        return undefined(0, method, NO_PAIRS)
    n, r = codes.shape
    rated = codes >= 0
    sizes = rated.sum(axis=0)  # (R,)
    habits = (
        np.array([np.bincount(own[own >= 0], minlength=n_categories) for own in codes.T]) / sizes[:, None]
    )  # (R, C)
    total = habits.sum(axis=0)
    both = (weights + weights.T) / 2
    pairs = r * (r - 1)
    expected = float(total @ both @ total - np.einsum("gc,cd,gd->", habits, both, habits)) / pairs
    others = (total[None, :] - habits) @ both  # (R, C): what the other readers' habits make of each category
    usual = np.sum(habits * others, axis=1)
    moved = np.where(rated, (others[np.arange(r), codes] - usual) * (n / sizes), 0.0).sum(axis=1)
    return _estimate(observed, expected, 2 * moved / pairs, method)


def specific_agreement(counts: np.ndarray, category: int) -> Estimate:
    """How often another reader names `category` where one does: positive (or negative) agreement of many readers.

    The ratio of agreeing to all pairs that name it (Fleiss 1981; Cicchetti & Feinstein 1990 for two readers), linearised over
    cases, cut to [0, 1]. n counts the cases of which a paired reader named it.
    """
    counts, _ = _checked(counts, None)
    own, raters = counts[:, category], counts.sum(axis=1)
    agreeing, named = own * (own - 1), own * (raters - 1)
    n, method = int(np.sum(named > 0)), "pairs of readers, linearised over cases"
    if n == 0:
        return undefined(0, method, "no reader named the category of a case that two rated")
    value = float(agreeing.sum() / named.sum())
    influence = (agreeing - value * named)[named > 0] / named.sum()
    return limits_over_cases(value, influence, n, method, 0.0)


def limits_over_cases(value: float, influence: np.ndarray, n: int, method: str, lowest: float) -> Estimate:
    """`value` with Student's interval from the cases' influences (n,), or Wilson's limits of a share where they are all 0."""
    if n < 2:
        return undefined(n, method, "an interval needs at least two cases")
    error = float(np.sqrt(np.sum((influence - influence.mean()) ** 2) * n / (n - 1)))
    if error < 1e-12:
        low, high = wilson_limits(max(0.0, min(1.0, value)) * n, n)
        return Estimate(value, min(low, value), max(high, value), n, f"{method}; no spread, so Wilson")
    half = float(stdtrit(n - 1, 0.975)) * error
    return Estimate(value, max(min(lowest, value), value - half), min(1.0, value + half), n, method)


def _checked(counts: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Counts of the cases that anybody rated, as float64, and the weights."""
    given = np.asarray(counts)
    whole = given.dtype.kind in "iu" or not np.any(given != given.astype(np.int64))
    if given.ndim != 2 or not whole or (given.size and given.min() < 0):
        raise ValueError(f"counts must be whole numbers from 0 up of shape (N, C), not {given.shape}")
    table = agreement_weights(given.shape[1]) if weights is None else np.asarray(weights, dtype=np.float64)
    if table.shape != (given.shape[1],) * 2:
        raise ValueError(f"weights must have shape (C, C), not {table.shape}")
    return given.astype(np.float64), table


def _observed(counts: np.ndarray, weights: np.ndarray) -> _Agreement | None:
    raters = counts.sum(axis=1)
    paired = raters >= 2
    if not paired.any():
        return None
    same = counts if np.array_equal(weights, np.eye(len(weights))) else counts @ weights.T
    agreeing = np.einsum("nc,nc->n", counts, same) - raters
    own = np.where(paired, agreeing / np.where(paired, raters * (raters - 1), 1), 0.0)
    return _Agreement(float(own[paired].mean()), own, paired)


def _parts(counts: np.ndarray, weights: np.ndarray) -> tuple[_Agreement | None, np.ndarray, np.ndarray]:
    """Observed agreement, each rated case's shares of categories (N, C), zero for unrated ones, and their mean (C,)."""
    raters = counts.sum(axis=1, keepdims=True)
    shares = counts / np.where(raters > 0, raters, 1)
    rated = max(1, int(np.sum(raters > 0)))
    return _observed(counts, weights), shares, shares.sum(axis=0) / rated


def _estimate(observed: _Agreement, expected: float, chance: np.ndarray, method: str, lowest: float = -1.0) -> Estimate:
    """The coefficient from the observed agreement, the expected one, and `chance` (N,), how each case moves the expectation.

    Gwet's contribution of a case: its own agreement, scaled up as cases with a single rating have none, less what it changes of
    the expectation.
    """
    pairs = int(observed.paired.sum())
    if 1 - expected < 1e-12:
        return undefined(pairs, method, ONE_CATEGORY)
    if len(observed.own) < 2 or pairs < 2:
        return undefined(pairs, method, "an interval needs at least two cases")
    value = (observed.value - expected) / (1 - expected)
    n = len(observed.own)
    own = np.where(observed.paired, (n / pairs) * (observed.own - expected) / (1 - expected), 0.0)
    contribution = own - (1 - value) * chance / (1 - expected)
    error = float(np.sqrt(np.sum((contribution - value) ** 2) / (n * (n - 1))))
    if error < 1e-12:  # every pair agrees, or none does: limits of the agreement, at the expected one
        low, high = ((x - expected) / (1 - expected) for x in wilson_limits(observed.value * pairs, pairs))
        method = f"{method}; no spread, so Wilson limits of the agreement"
    else:
        half = float(stdtrit(n - 1, 0.975)) * error
        low, high = value - half, value + half
    lowest = min(lowest, value)  # with gaps a coefficient can lie below −1
    return Estimate(value, float(max(lowest, min(low, value))), float(min(1.0, max(high, value))), pairs, method)
