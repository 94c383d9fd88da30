"""The ratings of a multi-reader multi-case study: every reader rates every case in every modality once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from core.records import Refused

COLUMNS = ("reader", "modality", "case", "truth", "rating")
_TRUTHS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1, "negative": 0, "positive": 1,
           "benign": 0, "malignant": 1, "normal": 0, "cancer": 1}  # fmt: skip


@dataclass(frozen=True, eq=False)
class CrossedRatings:
    """A fully crossed study: `ratings` (T, R, N) float64, higher means more likely positive, `truth` (N,) in {0, 1}.

    T modalities by R readers by N cases, named in that order.
    """

    modalities: tuple[str, ...]
    readers: tuple[str, ...]
    cases: tuple[str, ...]
    truth: np.ndarray
    ratings: np.ndarray

    def __post_init__(self) -> None:
        shape = (len(self.modalities), len(self.readers), len(self.cases))
        if self.ratings.shape != shape or self.truth.shape != shape[2:]:
            raise ValueError(f"ratings must be (T, R, N) = {shape} and truth (N,), not {self.ratings.shape}")
        if not np.isfinite(self.ratings).all() or not np.isin(self.truth, (0, 1)).all():
            raise ValueError("ratings must be finite and truth 0 or 1")

    @property
    def positives(self) -> int:
        """How many cases are positive."""
        return int(self.truth.sum())

    @property
    def negatives(self) -> int:
        """How many cases are negative."""
        return len(self.truth) - self.positives


def crossed_ratings(table: pd.DataFrame, *, positive: str = "", modalities: Sequence[str] = ()) -> CrossedRatings:
    """The study in a long table with `COLUMNS`, one row per reading; other columns are ignored.

    `positive` is the truth that counts as positive (needed unless truth is 0/1, negative/positive, benign/malignant or
    normal/cancer); `modalities` picks some and their order, by default all as they first occur. Raises `Refused` for missing
    columns or values, ratings that are no numbers, a case with two truths, one class only, readings that occur twice, and
    cells that are missing: the analysis of variance needs every reader × modality × case once.
    """
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise Refused(f"The ratings need the columns {', '.join(COLUMNS)}; {', '.join(missing)} is missing.")
    rows = table[list(COLUMNS)]
    if rows.empty:
        raise Refused("The ratings hold no rows.")
    if rows.isna().any(axis=None):
        row = int(np.flatnonzero(rows.isna().any(axis=1))[0]) + 2
        raise Refused(f"Row {row} of the ratings has an empty cell; every reading needs all of {', '.join(COLUMNS)}.")
    names = {name: rows[name].astype(str) for name in ("reader", "modality", "case")}
    ratings = pd.to_numeric(rows["rating"], errors="coerce").to_numpy(np.float64)
    if not np.isfinite(ratings).all():
        raise Refused(f"The rating '{rows['rating'][~np.isfinite(ratings)].iloc[0]}' is not a number.")
    wanted = tuple(modalities) or tuple(pd.unique(names["modality"]))
    unknown = set(wanted) - set(names["modality"])
    if unknown or len(set(wanted)) < len(wanted):
        raise Refused(f"There is no modality '{min(unknown)}'." if unknown else "A modality is named twice.")
    kept = names["modality"].isin(wanted).to_numpy()
    truth = _truth(rows["truth"][kept].astype(str), positive)
    readers, cases = (tuple(pd.unique(names[name][kept])) for name in ("reader", "case"))
    places = [
        pd.Categorical(names[name][kept], categories=list(order)).codes.astype(np.int64)
        for name, order in (("modality", wanted), ("reader", readers), ("case", cases))
    ]
    _refuse_unbalanced(places, (wanted, readers, cases))
    cube = np.empty((len(wanted), len(readers), len(cases)))
    cube[tuple(places)] = ratings[kept]
    return CrossedRatings(wanted, readers, cases, _one_truth_per_case(truth, places[2], cases), cube)


def _truth(texts: pd.Series, positive: str) -> np.ndarray:
    """0 or 1 (rows,)."""
    found = pd.unique(texts)
    if positive:
        if positive not in found:
            raise Refused(f"No case has the truth '{positive}'; there are {', '.join(sorted(found)[:8])}.")
        return (texts == positive).to_numpy(np.int64)
    unknown = [text for text in found if text.strip().lower() not in _TRUTHS]
    if unknown:
        raise Refused(f"The truth '{unknown[0]}' is neither 0 nor 1; say which value is positive (--positive).")
    return texts.str.strip().str.lower().map(_TRUTHS).to_numpy(np.int64)


def _one_truth_per_case(truth: np.ndarray, case: np.ndarray, cases: Sequence[str]) -> np.ndarray:
    per_case = np.zeros(len(cases), dtype=np.int64)
    per_case[case] = truth
    other = np.flatnonzero(per_case[case] != truth)
    if len(other):
        raise Refused(f"Case {cases[case[other[0]]]} has two different truths.")
    if len(np.unique(per_case)) < 2:
        raise Refused("All cases have the same truth; positive and negative cases are needed.")
    return per_case


def _refuse_unbalanced(places: list[np.ndarray], names: tuple[tuple[str, ...], ...]) -> None:
    """Every cell of modality × reader × case holds one reading."""
    modalities, readers, cases = names
    shape = (len(modalities), len(readers), len(cases))
    if float(np.prod(shape, dtype=np.float64)) > 50 * len(places[0]) + 1_000_000:
        raise Refused(
            f"The study is not fully crossed: {len(readers)} readers, {len(modalities)} modalities and {len(cases)} cases, "
            f"but only {len(places[0])} readings."
        )
    counts = np.zeros(shape, dtype=np.int64)
    np.add.at(counts, tuple(places), 1)
    for wrong, words in ((counts > 1, "more than once"), (counts == 0, "not at all")):
        if wrong.any():
            t, r, c = (int(i[0]) for i in np.nonzero(wrong))
            raise Refused(
                f"Every reader must rate every case in every modality once: reader {readers[r]} rated case {cases[c]} in "
                f"modality {modalities[t]} {words} ({int(wrong.sum())} such reading(s))."
            )
