"""Krippendorff's alpha: disagreement observed among readers over the disagreement expected, at three levels of measurement."""

from __future__ import annotations

from typing import Literal

import numpy as np

from core.records import Estimate
from core.statistics.agreement_many import NO_PAIRS, limits_over_cases
from core.statistics.estimates import undefined

Level = Literal["nominal", "ordinal", "interval"]
LEVELS: tuple[Level, ...] = ("nominal", "ordinal", "interval")


def krippendorff_alpha(counts: np.ndarray, level: Level = "nominal", *, values: np.ndarray | None = None) -> Estimate:
    """Alpha (Krippendorff 2004, ch. 11; 2011) of counts (N, C): how many readers put each case into each category.

    Cases with fewer than two ratings do not count; n is the rest. ordinal uses the categories' order; interval their `values`
    (C,), by default 0 … C − 1. Interval: linearised over cases (delta method), for ordinal with what each case moves of the
    distances themselves. Undefined where all ratings are equal.
    """
    if level not in LEVELS:
        raise ValueError(f"level must be one of {LEVELS}, not {level!r}")
    given = np.asarray(counts, dtype=np.float64)
    paired = given[given.sum(axis=1) >= 2]
    n, method = len(paired), f"{level}, linearised over cases"
    if n == 0:
        return undefined(0, method, NO_PAIRS)
    if np.count_nonzero(paired.sum(axis=0)) < 2:
        return undefined(n, method, "all ratings are in one category")
    value, influence = _alpha(paired, level, values)
    return limits_over_cases(value, influence, n, method, -1.0)


def distances(totals: np.ndarray, level: Level, values: np.ndarray | None = None) -> np.ndarray:
    """Squared distance (C, C) of every two categories for totals (C,) of ratings in each."""
    if level == "nominal":
        return 1.0 - np.eye(len(totals))
    if level == "interval":
        places = np.arange(len(totals), dtype=np.float64) if values is None else np.asarray(values, dtype=np.float64)
    else:
        places = np.cumsum(totals) - totals / 2  # ranks: half of the own category, all of those below
    return np.subtract.outer(places, places) ** 2


def _alpha(paired: np.ndarray, level: Level, values: np.ndarray | None) -> tuple[float, np.ndarray]:
    """Alpha, 1 − (n − 1) · O / E, and how each case (N,) moves it: its derivative by the case's ratings, pairs and totals."""
    raters, totals = paired.sum(axis=1), paired.sum(axis=0)
    apart, n = distances(totals, level, values), float(totals.sum())
    weighed = paired / (raters - 1)[:, None]  # (N, C): each case's pairs weigh as many as it has ratings
    own = np.einsum("nc,nc->n", weighed @ apart, paired)  # no rating is apart from itself
    observed, expected = float(own.sum()), float(totals @ apart @ totals)
    by_totals = 2 * apart @ totals
    if level == "ordinal":
        own = own + paired @ _through_ranks(totals, paired.T @ weighed)
        by_totals = by_totals + _through_ranks(totals, np.outer(totals, totals))
    influence = -(raters * observed + (n - 1) * own - (n - 1) * observed * (paired @ by_totals) / expected) / expected
    return 1 - (n - 1) * observed / expected, influence


def _through_ranks(totals: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """How Σ pairs · distance moves with each total (C,) because the ordinal distances do, for symmetric pairs (C, C)."""
    middles = np.cumsum(totals) - totals / 2
    moved = np.tril(np.ones((len(totals),) * 2), -1) + np.eye(len(totals)) / 2  # (C, C): middle c by total j
    return 4 * (pairs * np.subtract.outer(middles, middles)).sum(axis=1) @ moved
