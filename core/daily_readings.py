"""Everybody's current readings of daily work as columns in memory, grown by what was added since: what agreement is counted of.

A million readings take some 40 MB, and a question about all of them some tens of milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from core.records import BIRADS
from core.statistics.agreement_table import Ratings
from core.study_readings import LIKELIHOODS, What
from core.tasks import get_task

CATEGORIES: Mapping[str, tuple[str, ...]] = {"birads": BIRADS, "likelihood": LIKELIHOODS}
MOST_CELLS = 10_000_000  # cases times readers that are compared at once
MOST_GROUPS = 12
_YES_NO = {"1": "yes", "true": "yes", "0": "no", "false": "no"}  # as databases write truth values


@dataclass(frozen=True, eq=False)
class DailyReadings:
    """`reviews`: the current reviews with a prediction, oldest first; `cases`: what is known of studies, by their number.

    Columns of reviews: id, case (row of `cases`), reviewer, label, birads, month, model, task, predicted (categoricals), confidence
    and likelihood (0–100, −1 where not given). Columns of cases: case (the study's number), patient (a code ≥ 0 that cases of one
    patient share), and what is stated of them (categoricals, '' for nothing). `last` are the highest review id, prediction id and
    study number seen.
    """

    reviews: pd.DataFrame
    cases: pd.DataFrame
    predictions: pd.DataFrame
    last: tuple[int, int, int] = (0, 0, 0)

    def __len__(self) -> int:
        return len(self.reviews)

    def of(self, task: str = "", reviewer: str = "", hidden: Sequence[int] = ()) -> DailyReadings:
        """The readings of that task and reviewer, less those of the studies with the numbers `hidden`."""
        keep = np.ones(len(self.reviews), dtype=bool)
        for name, value in (("task", task), ("reviewer", reviewer)):
            if value:
                keep &= (self.reviews[name] == value).to_numpy()
        if len(hidden):
            keep &= ~np.isin(self.cases["case"].to_numpy()[self.reviews["case"].to_numpy()], list(hidden))
        return self if keep.all() else replace(self, reviews=self.reviews[keep])

    def codes(self, task: str) -> tuple[np.ndarray, np.ndarray]:
        """The reviewer's class and the model's (N,), (N,) as indices into the task's classes, −1 for any other word."""
        classes = get_task(task).classes
        return tuple(_codes(self.reviews[name], classes) for name in ("label", "predicted"))  # type: ignore[return-value]

    def patients(self) -> np.ndarray:
        """The patient (N,) of each reading."""
        return self.cases["patient"].to_numpy()[self.reviews["case"].to_numpy()]

    def given(self) -> tuple[What, ...]:
        """What reviewers said anything of."""
        there = {"birads": (self.reviews["birads"] != "").any(), "likelihood": (self.reviews["likelihood"] >= 0).any()}
        return ("label", *(what for what in ("birads", "likelihood") if there[what]))  # type: ignore[return-value]

    def ratings(self, task: str, what: What = "label") -> Ratings:
        """The newest rating of each person of the cases that were read more than once, or of all where none was.

        Where there are more than `MOST_CELLS` cases times readers, the cases that were read last. Readers by the alphabet.
        """
        categories = CATEGORIES.get(what, get_task(task).classes)
        values = self.reviews[what]
        rated = values.to_numpy(np.int64) if what == "likelihood" else _codes(values, categories)
        there = np.flatnonzero(rated >= 0)
        case, reader = self.reviews["case"].to_numpy()[there], self.reviews["reviewer"].cat.codes.to_numpy()[there]
        words = self.reviews["reviewer"].cat.categories
        people = sorted(np.flatnonzero(np.bincount(reader, minlength=len(words))), key=lambda code: words[code])
        rows = self._cases_to_compare(case, len(people))
        row, column = np.full(len(self.cases), -1), np.zeros(len(words), dtype=np.int64)
        row[rows], column[people] = np.arange(len(rows)), np.arange(len(people))
        codes = np.full((len(rows), len(people)), -1, dtype=np.int32)
        kept = row[case] >= 0
        codes[row[case[kept]], column[reader[kept]]] = rated[there[kept]]  # of several the last, which is the newest
        return Ratings(tuple(map(str, rows)), tuple(words[code] for code in people), categories, codes)

    def model_tables(self, task: str) -> dict[tuple[str, str], np.ndarray]:
        """(model version, reviewer) -> counts (C, C) of the model's classes, rows, and the reviewer's, columns."""
        size = len(get_task(task).classes)
        label, predicted = self.codes(task)
        names = [self.reviews[name].cat.categories for name in ("model", "reviewer")]
        model, reviewer = (self.reviews[name].cat.codes.to_numpy(np.int64) for name in ("model", "reviewer"))
        known = (label >= 0) & (predicted >= 0)
        cell = ((model * len(names[1]) + reviewer) * size + predicted) * size + label
        shape = (len(names[0]), len(names[1]), size, size)
        counts = np.bincount(cell[known], minlength=int(np.prod(shape))).reshape(shape)
        people = sorted(range(len(names[1])), key=lambda j: names[1][j])
        there = [(i, j) for i in range(len(names[0])) for j in people if counts[i, j].any()]
        return {(names[0][i], names[1][j]): counts[i, j] for i, j in there}

    def compared(self) -> tuple[int, int]:
        """How many cases `ratings` takes of those that were read more than once, and how many these are."""
        case = self.reviews["case"].to_numpy()
        several = int((np.bincount(case, minlength=1) >= 2).sum())
        return min(several, max(1, MOST_CELLS // max(1, self.reviews["reviewer"].nunique()))), several

    def _cases_to_compare(self, case: np.ndarray, people: int) -> np.ndarray:
        """Of the cases (N,) of readings those with several, else all; where they are too many, those read last."""
        readings, last = np.bincount(case, minlength=len(self.cases)), np.zeros(len(self.cases), dtype=np.int64)
        last[case] = np.arange(len(case))
        rows = np.flatnonzero(readings >= 2) if (readings >= 2).any() else np.flatnonzero(readings)
        most = max(1, MOST_CELLS // max(1, people))
        return np.sort(rows[np.argsort(last[rows], kind="stable")[-most:]])

    def groupings(self) -> dict[str, Callable[[], pd.Categorical]]:
        """What is stated of the cases -> each reading's group (N,), missing for none: what makes 2 to 12 groups of them."""
        own = self.reviews["case"].to_numpy()
        read = np.bincount(own, minlength=len(self.cases)) > 0
        found: dict[str, Callable[[], pd.Categorical]] = {}
        for name in self.cases.columns.difference(["case", "patient", "key"], sort=False):
            codes, names = pd.factorize(
                np.array([fact_group(text) for text in self.cases[name].cat.categories], dtype=object)
            )
            of_case = codes[self.cases[name].cat.codes.to_numpy()]
            of_case = np.where(np.append(names, "")[of_case] == "", -1, of_case)
            if 2 <= len(np.unique(of_case[read & (of_case >= 0)])) <= MOST_GROUPS:
                found[name] = partial(lambda of, words: pd.Categorical.from_codes(of[own], words), of_case, names)
        return found

    def grown(self, reviews: pd.DataFrame, predictions: pd.DataFrame, cases: pd.DataFrame) -> DailyReadings:
        """With what was added since `last`: tables as `db.daily_readings` gives them. The readings before stay as they are."""
        known = _with_cases(self.cases, cases) if len(cases) else self.cases
        said = _joined(self.predictions, _predictions(predictions, known)) if len(predictions) else self.predictions
        newest = self.reviews
        if len(reviews):
            replaced = reviews["supersedes"].dropna().to_numpy(np.int64)
            new = _reviews(reviews[reviews["prediction_id"].notna()], said)
            newest = _joined(_without(newest, replaced), _without(new, replaced))
        ends = (reviews["id"], predictions["id"], cases["case"])
        last = tuple(max(old, int(ids.max())) if len(ids) else old for old, ids in zip(self.last, ends, strict=True))
        return DailyReadings(newest, known, said, last)  # type: ignore[arg-type]


def no_readings() -> DailyReadings:
    """Where it begins."""
    none = pd.DataFrame()
    return DailyReadings(none, none, none)


def fact_group(value: object) -> str:
    """The group that a stated fact puts a case into: ages by ten years, texts as they are; lists and missing ones in none."""
    if isinstance(value, str) and len(value) == 4 and value[:3].isdigit() and value[3] == "Y":
        return f"{int(value[:3]) // 10 * 10}–{int(value[:3]) // 10 * 10 + 9} years"
    if isinstance(value, str) and value.startswith("["):
        return ""
    return str(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else ""


def _with_cases(known: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    # A patient is known by a hash; cases without one are a patient each.
    patient = cases["patient"].where(cases["patient"] != "", "study " + cases["case"].astype(str))
    key = pd.util.hash_array(patient.to_numpy(object), categorize=False)
    cases = cases.assign(implant=cases["implant"].map(_YES_NO))
    facts = {name: pd.Categorical(cases[name].fillna("")) for name in cases.columns if name not in ("case", "patient")}
    new = pd.DataFrame({"case": cases["case"].to_numpy(np.int64), "key": key, **facts})
    grown = _joined(known.drop(columns="patient", errors="ignore"), new)
    return grown.assign(patient=np.unique(grown["key"].to_numpy(), return_inverse=True)[1])


def _predictions(table: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    rows = np.searchsorted(cases["case"].to_numpy(), table["case"].to_numpy(np.int64))
    words = {name: pd.Categorical(table[name]) for name in ("model", "task", "predicted")}
    return pd.DataFrame({"id": table["id"].to_numpy(np.int64), "case": rows, **words})


def _reviews(table: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    if not len(table):
        return pd.DataFrame()
    of = predictions.iloc[np.searchsorted(predictions["id"].to_numpy(), table["prediction_id"].to_numpy(np.int64))]
    numbers = {name: table[name].fillna(-1).to_numpy(np.int16) for name in ("confidence", "likelihood")}
    words = {name: pd.Categorical(table[name]) for name in ("reviewer", "label", "birads", "month")}
    shown = of[["case", "model", "task", "predicted"]].reset_index(drop=True)
    return pd.DataFrame({"id": table["id"].to_numpy(np.int64), **numbers, **words}).join(shown)


def _without(table: pd.DataFrame, ids: np.ndarray) -> pd.DataFrame:
    return table if not len(table) or not len(ids) else table[~np.isin(table["id"].to_numpy(), ids)]


def _joined(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """The rows of both; the words of categoricals are united, where pandas would give them up."""
    if not len(old) or not len(new):
        return new if len(new) else old
    columns = {}
    for name in old.columns:
        pair = [old[name], new[name]]
        words = isinstance(old[name].dtype, pd.CategoricalDtype)
        columns[name] = union_categoricals(pair) if words else np.concatenate([own.to_numpy() for own in pair])
    return pd.DataFrame(columns)


def _codes(column: pd.Series, names: Sequence[str]) -> np.ndarray:
    """A categorical (N,) as indices into `names`, −1 where it is none of them."""
    place = {name: code for code, name in enumerate(names)}
    table = np.array([*(place.get(name, -1) for name in column.cat.categories), -1], dtype=np.int64)
    return table[column.cat.codes.to_numpy()]
