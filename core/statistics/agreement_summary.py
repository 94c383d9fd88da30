"""All that can be said of how far readers agree: with everybody, and two by two."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from core.records import Estimate, Refused
from core.statistics.agreement import (
    cohen_kappa_from_table,
    negative_agreement,
    positive_agreement,
    raw_agreement_from_table,
)
from core.statistics.agreement_alpha import Level, krippendorff_alpha
from core.statistics.agreement_many import (
    brennan_prediger,
    conger_kappa,
    fleiss_kappa,
    gwet_ac,
    percent_agreement,
    specific_agreement,
)
from core.statistics.agreement_numbers import icc_2_1
from core.statistics.agreement_table import Ratings
from core.statistics.agreement_weights import agreement_weights

PairStatistic = Literal["raw", "kappa", "linear", "quadratic", "positive", "negative"]
_FEW, _CHUNK = 5, 100_000  # categories; cases counted at a time
PAIR_STATISTICS: tuple[PairStatistic, ...] = ("raw", "kappa", "linear", "quadratic", "positive", "negative")


@dataclass(frozen=True)
class PairwiseMatrix:
    """One statistic of every two readers: `estimates` maps (row, column) of `rows` and `columns`, which may be the same names.

    A reader is not compared with itself, so such a pair is not there.
    """

    statistic: PairStatistic
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    estimates: Mapping[tuple[str, str], Estimate]


def agreement_summary(
    ratings: Ratings,
    level: Level = "nominal",
    positive: str = "",
    *,
    ordered: Sequence[str] = (),
    only: Sequence[str] = (),
) -> dict[str, Estimate]:
    """Every coefficient that the level of measurement allows, by name; or `only` those, and nothing is computed of the others.

    nominal: unweighted ones; ordinal adds linear and quadratic weights by the categories' order, of which `ordered` are those
    that have one (by default all): ratings in others count in unweighted coefficients alone. interval weighs by their values and
    adds ICC(2,1). `positive` adds agreement on that category and, where there are two, on the other. Raises `Refused` for
    interval with categories that are no numbers, and for a `positive` that is no category.
    """
    if level == "interval" and ratings.values is None:
        raise Refused("The interval level needs ratings that are numbers.")
    found = _coefficients(ratings, level, positive, ordered)
    unknown = [name for name in only if name not in found]
    if unknown:
        raise ValueError(f"no such coefficient at this level: {unknown[0]!r}")
    return {name: made() for name, made in found.items() if not only or name in only}


def coefficient_names(level: Level, categories: Sequence[str], positive: str = "") -> tuple[str, ...]:
    """The names of all that `agreement_summary` gives of ratings in these categories."""
    return tuple(
        _coefficients(Ratings((), (), tuple(categories), np.zeros((0, 0), dtype=np.int64)), level, positive, ())
    )


def _coefficients(
    ratings: Ratings, level: Level, positive: str, ordered: Sequence[str]
) -> dict[str, Callable[[], Estimate]]:
    """Name -> what computes it; tables that several need are made once, and only where one of them is asked for."""
    counts = cache(lambda: ratings.counts)
    found: dict[str, Callable[[], Estimate]] = {
        "percent agreement": lambda: percent_agreement(counts()),
        "Fleiss' kappa": lambda: fleiss_kappa(counts()),
        "Conger's kappa": lambda: conger_kappa(ratings.codes, len(ratings.categories)),
        "Gwet's AC1": lambda: gwet_ac(counts()),
        "Brennan–Prediger": lambda: brennan_prediger(counts()),
        "Krippendorff's alpha": lambda: krippendorff_alpha(counts(), "nominal"),
    }
    if level != "nominal":
        found |= _weighted(ratings.only(ordered) if ordered else ratings, level)
    if level == "interval":
        found["ICC(2,1)"] = lambda: icc_2_1(np.where(ratings.codes >= 0, ratings.values[ratings.codes], np.nan))
    if positive:
        place = _place(ratings.categories, positive)
        for code in (place, 1 - place) if len(ratings.categories) == 2 else (place,):
            found[f"agreement on {ratings.categories[code]}"] = lambda code=code: specific_agreement(counts(), code)
    return found


def _weighted(ratings: Ratings, level: Level) -> dict[str, Callable[[], Estimate]]:
    """Coefficients with partial credit: by the categories' order, or at the interval level by their values."""
    size, values = len(ratings.categories), ratings.values if level == "interval" else None
    counts = cache(lambda: ratings.counts)
    found: dict[str, Callable[[], Estimate]] = {}
    for name in ("linear", "quadratic"):
        table = agreement_weights(size, name, values)
        found |= {
            f"Fleiss' kappa, {name}": lambda table=table: fleiss_kappa(counts(), table),
            f"Conger's kappa, {name}": lambda table=table: conger_kappa(ratings.codes, size, table),
            f"Gwet's AC2, {name}": lambda table=table: gwet_ac(counts(), table),
        }
    found[f"Krippendorff's alpha, {level}"] = lambda: krippendorff_alpha(counts(), level, values=values)
    return found


def pairwise(ratings: Ratings, statistic: PairStatistic = "kappa", positive: str = "") -> PairwiseMatrix:
    """One statistic of every two readers, on the cases that both rated; the weighted kappas use the categories' order.

    positive and negative: agreement on the category `positive`, and on all others together.
    """
    names, size, estimates = ratings.readers, len(ratings.categories), {}
    place = _place(ratings.categories, positive) if positive else -1
    columns = np.ascontiguousarray(ratings.codes.T)  # (R, N): read once for every pair
    tables = _all_crosses(columns, size) if size <= _FEW else None
    for i, row in enumerate(names):
        for j, column in enumerate(names):
            if j > i:
                table = _cross(columns[i], columns[j], size) if tables is None else tables[i, j]
                found = _of_table(table, statistic, place)
                estimates[row, column] = estimates[column, row] = found
    return PairwiseMatrix(statistic, names, names, estimates)


def against(
    ratings: Ratings, others: Mapping[str, np.ndarray], statistic: PairStatistic = "kappa", positive: str = ""
) -> PairwiseMatrix:
    """One statistic of each model with each reader: `others` maps a model's name to its codes (N,) for the same cases and
    categories, −1 where it has none.
    """
    tables = {
        (name, reader): _cross(np.asarray(codes), ratings.codes[:, j], len(ratings.categories))
        for name, codes in others.items()
        for j, reader in enumerate(ratings.readers)
    }
    return of_tables(tables, ratings.categories, statistic, positive)


def of_tables(
    tables: Mapping[tuple[str, str], np.ndarray],
    categories: Sequence[str],
    statistic: PairStatistic = "kappa",
    positive: str = "",
) -> PairwiseMatrix:
    """One statistic of each pair (row, column) that has a table of counts (C, C) in the order of `categories`."""
    rows, columns = (tuple(dict.fromkeys(pair[side] for pair in tables)) for side in (0, 1))
    place = _place(categories, positive) if positive else -1
    return PairwiseMatrix(
        statistic, rows, columns, {pair: _of_table(table, statistic, place) for pair, table in tables.items()}
    )


def _of_table(table: np.ndarray, statistic: PairStatistic, positive: int) -> Estimate:
    if statistic == "raw":
        return raw_agreement_from_table(table)
    if statistic in ("positive", "negative"):
        own = np.arange(len(table)) == positive
        folded = np.array([[table[np.ix_(x, y)].sum() for y in (~own, own)] for x in (~own, own)])
        return positive_agreement(folded) if statistic == "positive" else negative_agreement(folded)
    return cohen_kappa_from_table(table, None if statistic == "kappa" else statistic)


def _cross(a: np.ndarray, b: np.ndarray, size: int) -> np.ndarray:
    """Counts (C, C) of the cases that both codes (N,) have."""
    both = (a >= 0) & (b >= 0)
    return np.bincount(a[both] * size + b[both], minlength=size * size).reshape(size, size)


def _all_crosses(columns: np.ndarray, size: int) -> np.ndarray:
    """`_cross` (R, R, C, C) of every two of columns (R, N), as products of who said what: quick for few categories."""
    found = np.zeros((len(columns),) * 2 + (size, size), dtype=np.int64)
    for start in range(0, columns.shape[1], _CHUNK):
        said = [(columns[:, start : start + _CHUNK] == c).astype(np.float32) for c in range(size)]  # exact to 2²⁴
        for i, row in enumerate(said):
            for j, column in enumerate(said):
                found[:, :, i, j] += (row @ column.T).astype(np.int64)
    return found


def _place(categories: Sequence[str], positive: str) -> int:
    if positive not in categories:
        raise Refused(f"No rating is '{positive}'; there are {', '.join(categories[:12])}.")
    return list(categories).index(positive)
