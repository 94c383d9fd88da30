"""Predictions made elsewhere and their labels, read into one table: MedMNIST's headerless files, tables of scores or classes."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from core.datasets import Case, load_dataset
from core.records import Refused
from core.runs import SUM_TOLERANCE
from core.tasks import Task

# Names that such columns have; the first one there is taken.
_ID, _LABEL = ("case_id", "image_id", "id"), ("label", "cancer", "target")
_SCORE = ("score", "probability", "prob", "preds")


@dataclass(frozen=True)
class External:
    """Predictions of a model called `model` in a file, and what is to be made of them.

    `labels` is an NPZ or CSV file where the predictions have no labels of their own. Rows whose column `split` names another
    split are left out. Rows that agree in all columns of `by` (patient and side, say) become one case: positive when any of
    them is, with the `rule` (max, mean) of their scores. `threshold` was fixed beforehand, on other data.
    """

    predictions: Path
    model: str
    task: str
    labels: Path | None = None
    split: str = "test"
    by: tuple[str, ...] = ()
    rule: str = "max"
    threshold: float | None = None


@dataclass(frozen=True)
class Table:
    """Labels (N,), probabilities (N, C) and everything else that is known of the cases, one row each.

    `cases` are those of the dataset where there is one.
    """

    facts: pd.DataFrame  # case_id, patient_id and attributes, all texts
    labels: np.ndarray
    probabilities: np.ndarray
    dataset: str
    fingerprint: str
    cases: tuple[Case, ...] = ()
    leaks: tuple[str, ...] = ()


def read_external_table(source: External, task: Task) -> tuple[Table, str]:
    """The table of cases, and the SHA-256 (hex) of the predictions; raises `Refused` in one sentence."""
    text = _read_text(source.predictions)
    given = _parse(text, task, source)
    table = _with_npz(given, task, source) if _is_npz(source.labels) else _with_table(given, task, source)
    return table, hashlib.sha256(text.encode()).hexdigest()


# -- Reading predictions -----------------------------------------------------------------------------------------------


def _parse(text: str, task: Task, source: External) -> pd.DataFrame:
    """All columns as texts, and p0 … p(C−1) as numbers; of a headerless file those alone."""
    name, first = source.predictions.name, next(csv.reader(io.StringIO(text)), [])
    headerless = bool(first) and all(_is_number(cell) for cell in first)
    table = _frame(text, name, None if headerless else 0)
    if headerless:
        return _headerless(table, task, name)
    wanted = [f"prob_{c}" for c in task.classes]
    score = next((column for column in _SCORE if column in table), "")
    if set(wanted) <= set(table):
        p = _numbers(table[wanted], name)
        used = wanted
    elif score and task.positive_index is not None and len(task.classes) == 2:
        positive = _numbers(table[[score]], name)[:, 0]
        p = np.column_stack([1 - positive, positive][:: 1 if task.positive_index else -1])
        used = [score]
    else:
        needs = f", or one of {', '.join(_SCORE)} with the probability of {task.positive}" if task.positive else ""
        raise Refused(f"{name} needs a column prob_<class> for each class of {task.name}{needs}.")
    return _with_probabilities(table.drop(columns=used), p, name)


def _headerless(table: pd.DataFrame, task: Task, name: str) -> pd.DataFrame:
    """MedMNIST's format: index from 0, then one probability for each class."""
    n_classes = len(task.classes)
    if table.shape[1] != n_classes + 1:
        raise Refused(
            f"{name} has {table.shape[1]} columns and no header; {task.name} needs {n_classes + 1}: index, probabilities."
        )
    values = _numbers(table, name)
    if not np.array_equal(values[:, 0], np.arange(len(values))):
        row = int(np.argmax(values[:, 0] != np.arange(len(values))))
        raise Refused(
            f"{name}: row {row + 1} has index {table.iloc[row, 0]}; the rows must be numbered 0, 1, 2 … in order."
        )
    return _with_probabilities(pd.DataFrame(index=table.index), values[:, 1:], name)


def _with_probabilities(table: pd.DataFrame, p: np.ndarray, name: str) -> pd.DataFrame:
    good = (p >= 0).all(axis=1) & (p <= 1).all(axis=1) & (np.abs(p.sum(axis=1) - 1) <= SUM_TOLERANCE)
    if not good.all():
        row = int(np.argmin(good)) + 1
        raise Refused(f"{name}: the scores in row {row} are no probabilities: they must lie in 0–1 with sum 1.")
    return table.assign(**{f"p{i}": p[:, i] for i in range(p.shape[1])})


def _numbers(columns: pd.DataFrame, name: str) -> np.ndarray:
    values = columns.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise Refused(f"{name}: row {int(np.argmax(bad)) + 1} holds something that is no number.")
    return values


# -- Finding labels ----------------------------------------------------------------------------------------------------


def _with_npz(given: pd.DataFrame, task: Task, source: External) -> Table:
    """Labels of a MedMNIST-style file: by case id where the predictions have one, else in order."""
    assert source.labels is not None
    dataset = load_dataset(source.labels, task.name)
    cases, name = dataset.split(source.split), source.predictions.name
    column = _first(_ID, given)
    if column:
        place = {case: i for i, case in enumerate(_unique(given[column], name))}
        missing = [case.case_id for case in cases if case.case_id not in place]
        if missing or len(place) != len(cases):
            example = f", e.g. not for {missing[0]}" if missing else ""
            raise Refused(f"{name} has predictions for other cases than {dataset.name} / {source.split}{example}.")
        given = given.iloc[[place[case.case_id] for case in cases]]
    elif len(given) != len(cases):
        raise Refused(f"{name} has {len(given)} rows, but {dataset.name} has {len(cases)} cases in {source.split}.")
    facts = pd.DataFrame({"case_id": [c.case_id for c in cases], "patient_id": [c.patient_id for c in cases]})
    labels = np.array([case.label for case in cases])
    return Table(facts, labels, _p(given, task), dataset.name, dataset.fingerprint, cases, dataset.leaks)


def _with_table(given: pd.DataFrame, task: Task, source: External) -> Table:
    """Labels of the predictions' own column, or of another table with the same case ids."""
    name, column = source.predictions.name, _first(_ID, given)
    if source.labels:
        table = _frame(_read_text(source.labels), source.labels.name, 0)
        if not column or column not in table:
            raise Refused(f"{name} and {source.labels.name} need a column of case ids with one name: {', '.join(_ID)}.")
        _unique(table[column], source.labels.name)
        lost = ~given[column].isin(table[column])
        if lost.any():
            raise Refused(f"{source.labels.name} has no label for {given[column][lost].iloc[0]} of {name}.")
        given = given.drop(columns=[c for c in _LABEL if c in given])
        given = given.merge(table[[column, *(c for c in table if c not in given)]], on=column, how="left")
    if "split" in given:
        given = given[given["split"].str.strip() == source.split]
    label = _first(_LABEL, given)
    if not label or given.empty:
        what = f"rows of split {source.split}" if label else "labels; name a file that has them with --labels"
        raise Refused(f"{name} has no {what}.")
    if column is None and not source.by:
        raise Refused(f"{name} needs a column of case ids: {', '.join(_ID)}.")
    ids = _unique(given[column], name) if column else [str(i) for i in range(len(given))]
    index = {text: task.class_index(text) for text in given[label].unique()}
    rest = given.drop(columns=[c for c in given if c in (column, label) or c in _p_columns(task)])
    facts = rest.assign(case_id=list(ids)).reset_index(drop=True)
    if "patient_id" not in facts:
        facts["patient_id"] = facts["case_id"]
    labels = given[label].map(index).to_numpy(np.int64)
    origin = source.labels or source.predictions
    return Table(facts, labels, _p(given, task), origin.name, fingerprint_of(facts["case_id"], labels, source.split))


def fingerprint_of(case_ids: Sequence[str] | pd.Series, labels: np.ndarray, split: str) -> str:
    """SHA-256 (hex) over the sorted (case id, split, label) of cases whose pictures are not here."""
    rows = sorted((str(case), split, int(label)) for case, label in zip(case_ids, labels, strict=True))
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _unique(ids: pd.Series, name: str) -> list[str]:
    if ids.duplicated().any():
        raise Refused(f"{name} has {ids[ids.duplicated()].iloc[0]} twice.")
    return list(ids)


def _p_columns(task: Task) -> list[str]:
    return [f"p{i}" for i in range(len(task.classes))]


def _p(table: pd.DataFrame, task: Task) -> np.ndarray:
    return table[_p_columns(task)].to_numpy(np.float64)


def _first(known: Sequence[str], table: pd.DataFrame) -> str | None:
    return next((column for column in known if column in table), None)


def _frame(text: str, name: str, header: int | None) -> pd.DataFrame:
    try:
        return pd.read_csv(io.StringIO(text), header=header, dtype=str, keep_default_na=False, skipinitialspace=True)
    except ValueError as e:  # pandas' parser errors are ValueErrors
        raise Refused(f"{name} is not a CSV table: {e}.".replace("\n", " ")) from e


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise Refused(f"There is no file {path.name}.") from None
    except (OSError, UnicodeDecodeError) as e:
        raise Refused(f"{path.name} cannot be read as text ({type(e).__name__}).") from e


def _is_npz(path: Path | None) -> bool:
    return path is not None and path.suffix.lower() == ".npz"


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
