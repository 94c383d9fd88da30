"""Looking into a dataset's table: counts, missing values, distributions, cross-tables. Nothing here opens a picture.

A table has one row per case: `case_id`, `patient_id`, `split`, `label` (the class's name), `pixel_hash`, then the attributes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from core.datasets.dataset import SPLITS, Dataset
from core.statistics.proportions import wilson
from core.tasks import get_task

OWN = ("case_id", "patient_id", "split", "label", "pixel_hash")  # every dataset's columns; the others are attributes
_FEW = 20  # a number with more distinct values is shown in bins


@dataclass(frozen=True)
class Summary:
    """A column of numbers: how many are there, their mean and standard deviation (n − 1), median and range."""

    n: int
    mean: float
    sd: float
    median: float
    low: float
    high: float


def case_table(dataset: Dataset) -> pd.DataFrame:
    """The dataset's table, in the order of its cases; an attribute that some cases lack is missing there."""
    classes = get_task(dataset.task).classes
    own = pd.DataFrame(
        [(c.case_id, c.patient_id, c.split, classes[c.label], c.pixel_hash) for c in dataset.cases], columns=list(OWN)
    )
    own["split"] = pd.Categorical(own["split"], SPLITS)
    own["label"] = pd.Categorical(own["label"], classes)
    attributes = pd.DataFrame([dict(case.attributes) for case in dataset.cases])
    return own.join(attributes[[name for name in attributes if name not in OWN]])


def attributes_of(table: pd.DataFrame) -> list[str]:
    """The columns worth a distribution: split, class and every attribute but those that number the rows."""
    return ["split", "label", *(c for c in table if c not in OWN and not _identifies(table[c]))]


def counts(table: pd.DataFrame) -> pd.DataFrame:
    """Per split: images of each class, all images, patients; a last row "all" counts patients once, on however many sides."""
    by_class = pd.crosstab(table["split"], table["label"], dropna=False)
    by_class = by_class.loc[[split for split in SPLITS if split in set(table["split"])]]
    by_class.index, by_class.columns = by_class.index.astype(str), by_class.columns.astype(str)
    result = by_class.assign(
        images=by_class.sum(axis=1), patients=table.groupby("split", observed=True)["patient_id"].nunique()
    )
    result.loc["all"] = [*by_class.sum(), len(table), table["patient_id"].nunique()]
    return result.astype(int)


def images_per_patient(table: pd.DataFrame) -> pd.Series:
    """How many patients (values) have so many images (index, ascending)."""
    return table["patient_id"].value_counts(sort=False).value_counts().sort_index().rename("patients")


def missing_values(table: pd.DataFrame) -> pd.DataFrame:
    """Per column but the hash: how many rows lack it (`missing`) and their share of all rows in per cent; the most first.

    A case without a picture counts as missing in the row "picture".
    """
    missing = table.drop(columns="pixel_hash").isna().sum()
    missing["picture"] = int((table["pixel_hash"] == "").sum())
    result = pd.DataFrame({"missing": missing, "percent": 100 * missing / max(len(table), 1)})
    return result.rename_axis("column").sort_values("missing", ascending=False, kind="stable").reset_index()


def summary(values: pd.Series) -> Summary | None:
    """Mean, spread and range of a column's numbers; None where it holds none (words, true and false, nothing)."""
    if not _is_number(values) or not values.notna().any():
        return None
    there = values.dropna().astype(float)
    sd = float(there.std()) if len(there) > 1 else 0.0
    return Summary(len(there), float(there.mean()), sd, float(there.median()), float(there.min()), float(there.max()))


def groups(values: pd.Series) -> pd.Series:
    """A column as ordered categories: its values where they are few, else numbers in at most 20 equal steps of a round width.

    Missing values stay missing. Words keep their 20 most frequent values; the rest is "other".
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values.cat.remove_unused_categories()
    if _is_number(values) and values.nunique() > _FEW:
        low, width = _steps(float(values.min()), float(values.max()))
        place = np.floor((values.astype(float) - low) / width)
        names = {p: f"{low + p * width:g}–{low + (p + 1) * width:g}" for p in sorted(place.dropna().unique())}
        return pd.Series(pd.Categorical(place.map(names), list(names.values())), index=values.index)
    order = sorted(values.dropna().unique())
    words = values.map(_word, na_action="ignore")
    kept = [_word(value) for value in order]
    if len(kept) > _FEW:
        kept = list(words.value_counts().index[:_FEW])
        words = words.where(words.isin(kept) | words.isna(), "other")
        kept.append("other")
    return pd.Series(pd.Categorical(words, list(dict.fromkeys(kept))), index=values.index)


def distribution(values: pd.Series) -> pd.DataFrame:
    """`value`, `n` and `percent` of the rows that are not missing, for each of the column's `groups`."""
    n = groups(values).value_counts(sort=False)
    frame = pd.DataFrame({"value": n.index.astype(str), "n": n.to_numpy(dtype=int)})
    return frame.assign(percent=100 * frame["n"] / max(int(frame["n"].sum()), 1))


def cross_table(table: pd.DataFrame, column: str, class_name: str) -> pd.DataFrame:
    """For each of the column's `groups`, and for its missing rows: how many cases are of that class by the reference standard.

    Columns: `value`, `n`, `k` (cases of the class), and `share`, `low`, `high` in [0, 1] with Wilson's 95 % interval. Images of
    one patient are not independent, so the interval is too narrow where patients have several.
    """
    grouped = groups(table[column])
    with_gap = grouped.cat.add_categories("missing").fillna("missing") if grouped.isna().any() else grouped
    hit = (table["label"] == class_name).groupby(with_gap, observed=True).agg(["size", "sum"])
    rows = []
    for value, n, k in hit.itertuples():
        estimate = wilson(int(k), int(n))
        rows.append((str(value), int(n), int(k), estimate.value, estimate.low, estimate.high))
    return pd.DataFrame(rows, columns=["value", "n", "k", "share", "low", "high"])


def patients_on_two_sides(table: pd.DataFrame) -> list[str]:
    """Ids of the patients with cases in more than one split, sorted."""
    sides = table.groupby("patient_id", observed=True)["split"].nunique()
    return sorted(sides.index[sides > 1])


def _identifies(values: pd.Series) -> bool:
    """True for a column of names or whole numbers that hardly ever repeat, as a row's number does."""
    whole = pd.api.types.is_integer_dtype(values) or not _is_number(values)
    return bool(whole and values.nunique() > max(_FEW, 0.5 * values.notna().sum()))


def _is_number(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def _steps(low: float, high: float) -> tuple[float, float]:
    """Start and width of at most 20 equal steps from `low` to `high`, the width 1, 2 or 5 times a power of ten."""
    rough = (high - low) / (_FEW - 1)
    power = 10 ** np.floor(np.log10(rough))
    width = float(next(m for m in (1, 2, 5, 10) if m * power >= rough) * power)
    return float(np.floor(low / width) * width), width


def _word(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
