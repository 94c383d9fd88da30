"""All that can be said of how far readers agree: with everybody, and two by two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


def agreement_summary(ratings: Ratings, level: Level = "nominal", positive: str = "") -> dict[str, Estimate]:
    """Every coefficient that the level of measurement allows, by name.

    nominal: unweighted ones; ordinal adds linear and quadratic weights by the categories' order; interval weighs by their
    values and adds ICC(2,1). `positive` adds agreement on that category and, where there are two, on the other. Raises `Refused`
    for interval with categories that are no numbers, and for a `positive` that is no category.
    """
    counts, codes, size = ratings.counts, ratings.codes, len(ratings.categories)
    values = ratings.values if level == "interval" else None
    if level == "interval" and values is None:
        raise Refused("The interval level needs ratings that are numbers.")
    found = {
        "percent agreement": percent_agreement(counts),
        "Fleiss' kappa": fleiss_kappa(counts),
        "Conger's kappa": conger_kappa(codes, size),
        "Gwet's AC1": gwet_ac(counts),
        "Brennan–Prediger": brennan_prediger(counts),
        "Krippendorff's alpha": krippendorff_alpha(counts, "nominal"),
    }
    if level != "nominal":
        for name in ("linear", "quadratic"):
            table = agreement_weights(size, name, values)
            found[f"Fleiss' kappa, {name}"] = fleiss_kappa(counts, table)
            found[f"Conger's kappa, {name}"] = conger_kappa(codes, size, table)
            found[f"Gwet's AC2, {name}"] = gwet_ac(counts, table)
        found[f"Krippendorff's alpha, {level}"] = krippendorff_alpha(counts, level, values=values)
    if values is not None:
        found["ICC(2,1)"] = icc_2_1(np.where(codes >= 0, values[codes], np.nan))
    if positive:
        place = _place(ratings.categories, positive)
        found[f"agreement on {positive}"] = specific_agreement(counts, place)
        if size == 2:
            found[f"agreement on {ratings.categories[1 - place]}"] = specific_agreement(counts, 1 - place)
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
