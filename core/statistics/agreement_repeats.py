"""How far readers agree with themselves: their first against their second rating of the same case, each reader and all together.

All together: every pair of ratings counts once, whoever gave it, and the interval is a bootstrap over cases and readers (see
`crossed_resampling`), since the pairs of one case, and those of one reader, resemble each other. What one reader repeats
perfectly and another never is told by the readers' own figures alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from core.records import Estimate
from core.statistics.agreement import cohen_kappa, raw_agreement
from core.statistics.agreement_many import ONE_CATEGORY, gwet_ac
from core.statistics.agreement_numbers import LimitsOfAgreement, icc_2_1, limits_of_agreement
from core.statistics.agreement_table import Ratings, counts_of, first_and_repeat, ratings_table
from core.statistics.crossed_resampling import CrossedTotals, Totals, crossed_estimate, crossed_totals
from core.statistics.estimates import Z
from core.statistics.proportions import wilson_limits

ALL = "all readers"


@dataclass(frozen=True)
class RepeatedClasses:
    """Agreement of first and second classes: plain, Cohen's kappa and Gwet's AC1; n counts pairs of ratings."""

    raw: Estimate
    kappa: Estimate
    ac1: Estimate


@dataclass(frozen=True)
class RepeatedNumbers:
    """Agreement of first and second numbers: ICC(2,1) with first and second in the place of two readers, and limits of
    agreement of second − first; n counts pairs of ratings."""

    icc: Estimate
    limits: LimitsOfAgreement


@dataclass(frozen=True, eq=False)
class _Pairs:
    """First and second ratings (N, R) as codes of `categories`, −1 where a reader did not rate the case twice."""

    readers: tuple[str, ...]
    categories: tuple[str, ...]
    first: np.ndarray
    second: np.ndarray


def repeated_classes(table: pd.DataFrame, categories: tuple[str, ...] = ()) -> dict[str, RepeatedClasses]:
    """Reader -> agreement with their own second rating, and `ALL`; from a long table in the order of reading.

    Readers without a repeat are not there, and nobody is where there is none; third ratings of a case are left out. AC1 takes all
    `categories` that there could be, by default those that occur. Columns and refusals as in `ratings_table`.
    """
    if (pairs := _pairs(table, categories)) is None:
        return {}
    size, found = len(pairs.categories), {}
    for j, reader in enumerate(pairs.readers):
        a, b = _both(pairs, j)
        counts = counts_of(np.column_stack([a, b]), size)
        found[reader] = RepeatedClasses(raw_agreement(a, b), cohen_kappa(a, b, size), gwet_ac(counts))
    return {**found, ALL: _classes_of_all(pairs)}


def repeated_numbers(table: pd.DataFrame) -> dict[str, RepeatedNumbers]:
    """As `repeated_classes`, of ratings that are numbers; `ValueError` where one is none."""
    if (pairs := _pairs(table, ())) is None:
        return {}
    values = Ratings((), (), pairs.categories, np.zeros((0, 0), dtype=np.int64)).values
    if values is None:
        raise ValueError("ratings must be numbers")
    found = {}
    for j, reader in enumerate(pairs.readers):
        a, b = (values[codes] for codes in _both(pairs, j))
        found[reader] = RepeatedNumbers(icc_2_1(np.column_stack([a, b])), limits_of_agreement(b, a))
    return {**found, ALL: _numbers_of_all(pairs, values)}


def _pairs(table: pd.DataFrame, categories: tuple[str, ...]) -> _Pairs | None:
    rated = table.dropna(subset=["rating"]) if "rating" in table.columns else table
    first, second = first_and_repeat(rated)
    if second.empty:
        return None
    order = categories or ratings_table(rated.assign(reader=np.arange(len(rated)))).categories
    once, again = ratings_table(first, order), ratings_table(second, order)
    rows, columns = ([own.index(name) for name in names] for own, names in (
        (once.cases, again.cases), (once.readers, again.readers),
    ))  # fmt: skip
    codes = np.where(again.codes >= 0, once.codes[np.ix_(rows, columns)], -1)
    return _Pairs(again.readers, order, codes, again.codes)


def _both(pairs: _Pairs, reader: int) -> tuple[np.ndarray, np.ndarray]:
    there = pairs.second[:, reader] >= 0
    return pairs.first[there, reader], pairs.second[there, reader]


def _classes_of_all(pairs: _Pairs) -> RepeatedClasses:
    there, size = pairs.second >= 0, len(pairs.categories)
    said = [(codes[:, :, None] == np.arange(size)) & there[:, :, None] for codes in (pairs.first, pairs.second)]
    cells = {"pairs": there, "same": there & (pairs.first == pairs.second)}
    cells |= {f"{when}{k}": own[:, :, k] for when, own in zip("ab", said, strict=True) for k in range(size)}

    def shares(t: Totals, when: str) -> np.ndarray:  # (C, B)
        return np.array([t[f"{when}{k}"] for k in range(size)]).reshape(size, -1) / t["pairs"]

    def by_chance_kappa(t: Totals) -> np.ndarray:
        return (shares(t, "a") * shares(t, "b")).sum(axis=0)

    def by_chance_ac1(t: Totals) -> np.ndarray:
        mean = (shares(t, "a") + shares(t, "b")) / 2
        return (mean * (1 - mean)).sum(axis=0) / max(1, size - 1)

    totals = _totals(cells)
    return RepeatedClasses(*(
        _beyond_chance(totals, there, chance)
        for chance in (lambda t: np.zeros(len(t["pairs"])), by_chance_kappa, by_chance_ac1)
    ))  # fmt: skip


def _beyond_chance(totals: CrossedTotals, there: np.ndarray, chance: Callable[[Totals], np.ndarray]) -> Estimate:
    """(agreement − chance) / (1 − chance) of all pairs."""

    def figure(t: Totals) -> np.ndarray:
        room = 1 - chance(t)
        return (t["same"] / t["pairs"] - chance(t)) / np.where(room > 1e-12, room, np.nan)

    n, units = int(there.sum()), int(there.any(axis=1).sum())
    found = crossed_estimate(totals, figure, n=n, units=units, reason=ONE_CATEGORY, bounds=(-1.0, 1.0))
    if found.value is None or units < 2 or totals.observed["same"][0] < n:
        return found
    # All pairs agree: draws would claim certainty. Wilson's limit of as many agreeing cases, at the agreement by chance.
    by_chance = float(chance(totals.observed)[0])
    low = (wilson_limits(units, units)[0] - by_chance) / (1 - by_chance)
    return replace(found, low=max(-1.0, low), high=1.0, method=f"all pairs agree: Wilson over {units} cases")


def _numbers_of_all(pairs: _Pairs, values: np.ndarray) -> RepeatedNumbers:
    there = pairs.second >= 0
    a, b = (np.where(there, values[codes], 0.0) for codes in (pairs.first, pairs.second))
    cells = {"pairs": there, "sum": a + b, "squares": (a + b) ** 2, "gap": b - a, "gaps": (b - a) ** 2}
    totals = _totals(cells)
    n, units = int(there.sum()), int(there.any(axis=1).sum())

    def made(figure: Callable[[Totals], np.ndarray], reason: str, most: float) -> Estimate:
        return crossed_estimate(totals, figure, n=n, units=units, reason=reason, bounds=(-most, most))

    few = "an interval needs at least two pairs"
    sides = (made(lambda t, side=side: _mean(t, "gap") + side * Z * _sd(t), few, np.inf) for side in (0, -1, 1))
    bias, lower, upper = sides
    sd = float(_sd(totals.observed)[0]) if n > 1 else None
    return RepeatedNumbers(made(_icc, "all numbers are equal", 1.0), LimitsOfAgreement(bias, lower, upper, sd))


def _mean(t: Totals, name: str) -> np.ndarray:
    return t[name] / np.where(t["pairs"] > 0, t["pairs"], np.nan)


def _around_mean(t: Totals, sums: str, squares: str) -> np.ndarray:
    """Sum of squares about the mean; NaN for fewer than two pairs."""
    return np.where(t["pairs"] > 1, t[squares] - t[sums] ** 2 / np.maximum(t["pairs"], 1), np.nan)


def _sd(t: Totals) -> np.ndarray:
    return np.sqrt(np.maximum(_around_mean(t, "gap", "gaps"), 0) / (t["pairs"] - 1))


def _icc(t: Totals) -> np.ndarray:
    """ICC(2,1) of two columns from sums: the mean squares of Shrout & Fleiss 1979 for k = 2."""
    n = t["pairs"]
    between, rest = (_around_mean(t, *names) / (2 * (n - 1)) for names in (("sum", "squares"), ("gap", "gaps")))
    columns = n * _mean(t, "gap") ** 2 / 2
    total = between + rest + 2 * (columns - rest) / n
    return (between - rest) / np.where(total > 1e-12, total, np.nan)


def _totals(cells: dict[str, np.ndarray]) -> CrossedTotals:
    strata = np.zeros(len(cells["pairs"]), dtype=np.int64)
    return crossed_totals({name: own.astype(np.float64) for name, own in cells.items()}, strata)
