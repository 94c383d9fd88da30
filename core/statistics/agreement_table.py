"""Who said what of which case: ratings as a table of cases by readers, with gaps where a reader did not rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from core.records import Refused

COLUMNS = ("case", "reader", "rating")
_MOST_CATEGORIES = 1000


@dataclass(frozen=True, eq=False)
class Ratings:
    """`codes` (N, R) int64 are indices into `categories`, in their order, and −1 where a reader did not rate a case."""

    cases: tuple[str, ...]
    readers: tuple[str, ...]
    categories: tuple[str, ...]
    codes: np.ndarray

    def __post_init__(self) -> None:
        if self.codes.shape != (len(self.cases), len(self.readers)):
            raise ValueError(f"codes must be (cases, readers), not {self.codes.shape}")
        if self.codes.size and not (self.codes.min() >= -1 and self.codes.max() < len(self.categories)):
            raise ValueError(f"codes must lie in −1 … {len(self.categories) - 1}")

    @property
    def counts(self) -> np.ndarray:
        """(N, C): how many readers put each case into each category."""
        return counts_of(self.codes, len(self.categories))

    @property
    def values(self) -> np.ndarray | None:
        """The categories as numbers (C,), or None where one of them is none."""
        numbers = [_number(name) for name in self.categories]
        return None if None in numbers else np.array(numbers, dtype=np.float64)

    @property
    def given(self) -> int:
        """How many ratings there are."""
        return int(np.count_nonzero(self.codes >= 0))

    def only(self, categories: Sequence[str]) -> Ratings:
        """The ratings in some categories, which are in order; all others are gaps."""
        place = {name: code for code, name in enumerate(categories)}
        codes = np.array([*(place.get(name, -1) for name in self.categories), -1], dtype=np.int64)[self.codes]
        return Ratings(self.cases, self.readers, tuple(categories), codes)


def counts_of(codes: np.ndarray, n_categories: int) -> np.ndarray:
    """Counts (N, C) of codes (N, R), −1 being no rating."""
    width = n_categories + 1  # the first column takes the missing ones
    places = np.arange(len(codes), dtype=np.int64)[:, None] * width + codes + 1
    return np.bincount(places.ravel(), minlength=len(codes) * width).reshape(len(codes), width)[:, 1:]


def ratings_table(table: pd.DataFrame, categories: Sequence[str] = ()) -> Ratings:
    """Ratings of a long table with the columns case, reader and rating; rows without a rating are gaps.

    `categories` are all there could be, in order; by default those that occur, numbers by size, else by the alphabet. Raises
    `Refused` for missing columns, no ratings, unknown categories, and a reader who rated a case twice (`first_and_repeat`
    takes such tables apart).
    """
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise Refused(f"Agreement needs the columns {', '.join(COLUMNS)}; {', '.join(missing)} is missing.")
    if table[["case", "reader"]].isna().any(axis=None):
        raise Refused("A rating without a case or without a reader cannot be counted.")
    rows = table[list(COLUMNS)].astype({"case": str, "reader": str})
    twice = rows.duplicated(["case", "reader"])
    if twice.any():
        row = rows[twice].iloc[0]
        raise Refused(f"Reader {row['reader']} rated case {row['case']} twice; agreement needs one rating of each.")
    texts = rows["rating"].map(_text, na_action="ignore")
    found = texts.dropna().unique()
    if not len(found):
        raise Refused("There are no ratings.")
    order = tuple(_text(c) for c in categories) or _ordered(found)
    unknown = sorted(set(found) - set(order))
    if unknown:
        raise Refused(f"The rating '{unknown[0]}' is none of {', '.join(order[:12])}.")
    if len(order) > _MOST_CATEGORIES:
        raise Refused(
            f"There are {len(order):,} different ratings; agreement is counted in at most {_MOST_CATEGORIES:,}."
        )
    cases, readers = (pd.Categorical(rows[name], categories=rows[name].unique()) for name in ("case", "reader"))
    codes = np.full((len(cases.categories), len(readers.categories)), -1, dtype=np.int64)
    codes[cases.codes, readers.codes] = pd.Categorical(texts, categories=list(order)).codes
    return Ratings(tuple(cases.categories), tuple(readers.categories), order, codes)


def first_and_repeat(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of each reader's first rating of each case, and those of the second; later ones are in neither."""
    nth = table.groupby(["case", "reader"], sort=False).cumcount()
    return table[nth == 0], table[nth == 1]


def _ordered(found: Sequence[str]) -> tuple[str, ...]:
    if all(_number(text) is not None for text in found):
        return tuple(sorted(found, key=float))
    return tuple(sorted(found))


def _text(value: object) -> str:
    """A rating's name: 3, 3.0 and "3" are one category."""
    number = _number(value)
    if number is None:
        return str(value).strip()
    return str(int(number)) if number == int(number) else repr(number)


def _number(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None
