"""Krippendorff's alpha: disagreement observed among readers over the disagreement expected, at three levels of measurement."""

from __future__ import annotations

from typing import Literal

import numpy as np

from core.records import Estimate
from core.statistics.agreement_many import NO_PAIRS, limits_over_cases
from core.statistics.estimates import bootstrap_estimate, undefined

Level = Literal["nominal", "ordinal", "interval"]
LEVELS: tuple[Level, ...] = ("nominal", "ordinal", "interval")
_CHUNK = 2_000_000  # products of draws and patterns held at a time


def krippendorff_alpha(
    counts: np.ndarray,
    level: Level = "nominal",
    *,
    values: np.ndarray | None = None,
    replicates: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Alpha (Krippendorff 2004, ch. 11; 2011) of counts (N, C): how many readers put each case into each category.

    Cases with fewer than two ratings do not count; n is the rest. ordinal uses the categories' order; interval their `values`
    (C,), by default 0 … C − 1. Interval: linearised over cases (delta method) for nominal and interval; for ordinal, whose
    distances depend on the ratings themselves, a seeded percentile bootstrap over cases. Undefined where all ratings are equal.
    """
    if level not in LEVELS:
        raise ValueError(f"level must be one of {LEVELS}, not {level!r}")
    given = np.asarray(counts, dtype=np.float64)
    paired = given[given.sum(axis=1) >= 2]
    n = len(paired)
    if n == 0:
        return undefined(0, "Krippendorff", NO_PAIRS)
    if np.count_nonzero(paired.sum(axis=0)) < 2:
        return undefined(n, "Krippendorff", "all ratings are in one category")
    value = float(_alpha(paired.sum(axis=0)[None], _coincidences(paired).sum(axis=0)[None], level, values)[0])
    if n < 2:
        return undefined(n, "Krippendorff", "an interval needs at least two cases")
    if level != "ordinal":
        return limits_over_cases(value, _influence(paired, level, values), n, f"{level}, linearised over cases", -1.0)
    draws = _draws(paired, level, values, (replicates, seed))
    method = f"ordinal, bootstrap of {replicates} over cases"
    if not len(draws) or np.ptp(draws) < 1e-12:
        return limits_over_cases(value, np.zeros(n), n, method, -1.0)
    return bootstrap_estimate(value, draws, n=n, method=method)


def distances(totals: np.ndarray, level: Level, values: np.ndarray | None = None) -> np.ndarray:
    """Squared distance (D, C, C) of every two categories for totals (D, C) of ratings in each."""
    size = totals.shape[1]
    if level == "nominal":
        return np.broadcast_to(1.0 - np.eye(size), (len(totals), size, size))
    if level == "interval":
        places = np.arange(size, dtype=np.float64) if values is None else np.asarray(values, dtype=np.float64)
        return np.broadcast_to(np.subtract.outer(places, places) ** 2, (len(totals), size, size))
    middles = np.cumsum(totals, axis=1) - totals / 2  # ranks: half of the own category, all of those below
    return (middles[:, :, None] - middles[:, None, :]) ** 2


def _coincidences(paired: np.ndarray) -> np.ndarray:
    """(N, C, C): pairs of ratings within each case, each case's weighing as many as it has ratings."""
    raters = paired.sum(axis=1)
    pairs = paired[:, :, None] * paired[:, None, :] - paired[:, :, None] * np.eye(paired.shape[1])
    return pairs / (raters - 1)[:, None, None]


def _alpha(totals: np.ndarray, pairs: np.ndarray, level: Level, values: np.ndarray | None) -> np.ndarray:
    """Alpha (D,) from totals (D, C) and coincidences (D, C, C); NaN where only one category is there."""
    apart = distances(totals, level, values)
    expected = np.einsum("dc,dk,dck->d", totals, totals, apart)
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1 - (totals.sum(axis=1) - 1) * np.einsum("dck,dck->d", pairs, apart) / expected


def _influence(paired: np.ndarray, level: Level, values: np.ndarray | None) -> np.ndarray:
    """How each case (N,) moves alpha: the derivative of 1 − (n − 1) · O / E by its ratings, pairs and totals."""
    totals = paired.sum(axis=0)
    apart = distances(totals[None], level, values)[0]
    own = np.einsum("nck,ck->n", _coincidences(paired), apart)
    observed, expected, n = float(own.sum()), float(totals @ apart @ totals), float(totals.sum())
    by_totals = 2 * paired @ (apart @ totals)
    return -(paired.sum(axis=1) * observed + (n - 1) * own - (n - 1) * observed * by_totals / expected) / expected


def _draws(paired: np.ndarray, level: Level, values: np.ndarray | None, plan: tuple[int, int]) -> np.ndarray:
    """Alpha of samples of the cases with replacement, drawn as numbers of each pattern of ratings."""
    replicates, seed = plan
    patterns, often = np.unique(paired, axis=0, return_counts=True)
    pairs, rng, found = _coincidences(patterns).reshape(len(patterns), -1), np.random.default_rng(seed), []
    size, step = paired.shape[1], max(1, _CHUNK // max(len(patterns), paired.shape[1] ** 2))
    for start in range(0, replicates, step):
        drawn = rng.multinomial(len(paired), often / len(paired), size=min(step, replicates - start)).astype(np.float64)
        found.append(_alpha(drawn @ patterns, (drawn @ pairs).reshape(-1, size, size), level, values))
    draws = np.concatenate(found)
    return draws[np.isfinite(draws)]
