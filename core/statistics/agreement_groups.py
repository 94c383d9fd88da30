"""Agreement in parts: by class, and in every group (confidence, subgroup, month) of a table of counts or of rated cases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from core.records import Estimate
from core.statistics.agreement import cohen_kappa_from_table, raw_agreement_from_table
from core.statistics.agreement_many import percent_agreement
from core.statistics.agreement_table import Ratings
from core.statistics.estimates import as_counts
from core.statistics.proportions import dice, wilson


def table_of_counts(counts: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Counts (C, C) of rows with label, predicted and n: rows are the reviewer's class, columns the model's.

    Raises `ValueError` for a class that is none of `classes`.
    """
    place = {name: code for code, name in enumerate(classes)}
    codes = [counts[name].map(place) for name in ("label", "predicted")]
    if any(c.isna().any() for c in codes):
        raise ValueError("a label is none of the classes")
    table = np.zeros((len(classes),) * 2, dtype=np.int64)
    np.add.at(table, tuple(c.to_numpy(np.int64) for c in codes), counts["n"].to_numpy(np.int64))
    return table


def agreement_in_groups(counts: pd.DataFrame, group: str, classes: Sequence[str]) -> dict[str, dict[str, Estimate]]:
    """Group (by the values of the column `group`, in order) -> raw agreement and Cohen's kappa of its counts.

    `counts` has the columns label, predicted, n and `group`. Intervals as in `raw_agreement_from_table` and
    `cohen_kappa_from_table`: readings count as independent, which they are not where one case was read by several.
    """
    found = {}
    for name, own in counts.groupby(group, sort=True):
        table = table_of_counts(own, classes)
        found[str(name)] = {"raw": raw_agreement_from_table(table), "kappa": cohen_kappa_from_table(table)}
    return found


def agreement_by_class(table: np.ndarray, classes: Sequence[str]) -> dict[str, dict[str, Estimate]]:
    """Class -> how far both sides of a table of counts (C, C) agree on it.

    specific: 2 n_cc / (row + column), the agreement specific to the class (Spitzer & Fleiss 1974); row: of the readings that
    the rows' side put into the class, the share that the columns' did too; column: the reverse. Wilson's intervals.
    """
    counts = as_counts(table, (len(classes),) * 2)
    rows, columns = counts.sum(axis=1), counts.sum(axis=0)
    found = {}
    for c, name in enumerate(classes):
        both = int(counts[c, c])
        found[name] = {
            "specific": dice(both, int(rows[c] + columns[c] - both), reason="neither used this class"),
            "row": wilson(both, int(rows[c]), reason="never used"),
            "column": wilson(both, int(columns[c]), reason="never used"),
        }
    return found


def reader_agreement_in_groups(ratings: Ratings, groups: Sequence[str]) -> dict[str, Estimate]:
    """Group -> share of pairs of readers who agree on a case (`percent_agreement`), for cases in groups (N,), by the alphabet.

    Cases of the group '' are left out.
    """
    of_case = np.asarray(groups, dtype=object)
    if of_case.shape != (len(ratings.cases),):
        raise ValueError(f"groups must have one name for each of {len(ratings.cases)} cases")
    return {name: percent_agreement(ratings.counts[of_case == name]) for name in sorted(set(of_case) - {""})}
