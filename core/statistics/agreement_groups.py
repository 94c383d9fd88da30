"""Agreement in parts: by class, and in every group (confidence, subgroup, month) of readings or of rated cases.

One case is read by several people, so readings are not independent: intervals here are over patients.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from core.records import Estimate
from core.statistics.agreement import cohen_kappa_from_table
from core.statistics.agreement_many import percent_agreement
from core.statistics.agreement_table import Ratings
from core.statistics.discrimination import confusion_matrix
from core.statistics.estimates import undefined
from core.statistics.linearised import ONE_PATIENT, clustered, clustered_proportion, limits, patient_codes
from core.statistics.subgroups import ordered


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


def clustered_kappa(a: np.ndarray, b: np.ndarray, n_classes: int, patients: np.ndarray) -> Estimate:
    """Cohen's kappa of the labels a (N,) and b (N,), each 0 … n_classes − 1, for patients (N,) who have several readings.

    The delta method's influence of each reading (as in Fleiss, Cohen & Everitt 1969), those of one patient added. Where all
    agree it is `clustered_proportion`'s limits, at the expected agreement; where no patient has two readings, it is
    `cohen_kappa_from_table`.
    """
    table = confusion_matrix(a, b, n_classes)
    plain, codes = cohen_kappa_from_table(table), patient_codes(patients, len(a))
    if codes is None or plain.value is None:
        return plain
    method = clustered(plain.method, codes)
    if codes.max() == 0:
        return undefined(plain.n, method, ONE_PATIENT)
    p = table / table.sum()
    observed, rows, columns = float(np.trace(p)), p.sum(axis=1), p.sum(axis=0)
    rest = 1 - float(rows @ columns)
    means = columns[:, None] + rows[None, :]  # (C, C): chance that the other side says row i, and column j
    moved = (np.eye(n_classes) - observed) * rest - (means - 2 * rows @ columns) * (1 - observed)
    influence = (moved / rest**2 / len(a))[a, b]
    if np.abs(influence).max() < 1e-15:
        share = clustered_proportion(a == b, codes)
        low, high = (1 - (1 - limit) / rest for limit in (share.low, share.high))
    else:
        low, high = limits(plain.value, influence, codes)
    return Estimate(plain.value, max(-1.0, low), min(1.0, high), plain.n, method)


def agreement_in_groups(
    label: np.ndarray, predicted: np.ndarray, groups: pd.Categorical, n_classes: int, patients: np.ndarray
) -> dict[str, dict[str, Estimate]]:
    """Group -> raw agreement and Cohen's kappa of its readings: classes (N,) of reviewer and model, a group (N,) for each.

    Numbers and bands by size, the rest by alphabet; readings without a group are left out. Intervals over patients (N,).
    """
    order = np.argsort(groups.codes, kind="stable")
    bounds = np.searchsorted(groups.codes[order], np.arange(len(groups.categories) + 1))
    names, found = [str(name) for name in groups.categories], {}
    for name in ordered(np.array(names, dtype=str)):
        place = names.index(name)
        own = order[bounds[place] : bounds[place + 1]]
        if len(own):
            a, b, who = label[own], predicted[own], patients[own]
            found[name] = {"raw": clustered_proportion(a == b, who), "kappa": clustered_kappa(a, b, n_classes, who)}
    return found


def agreement_by_class(
    label: np.ndarray, predicted: np.ndarray, classes: Sequence[str], patients: np.ndarray
) -> dict[str, dict[str, Estimate]]:
    """Class -> how far reviewers' classes (N,) and the model's (N,), both as indices into `classes`, agree on it.

    specific: 2 n_cc / (row + column), the agreement specific to the class (Spitzer & Fleiss 1974); row: of the reviewers'
    readings of the class, the share that the model put there too; column: the reverse. Wilson's intervals over patients (N,).
    """
    found = {}
    for c, name in enumerate(classes):
        row, column = label == c, predicted == c
        both = row & column
        shares = {
            "specific": (row | column, "neither used this class"), "row": (row, "never used"), "column": (column, "never used"),
        }  # fmt: skip
        own = {key: clustered_proportion(both[of], patients[of], reason=why) for key, (of, why) in shares.items()}
        found[name] = {**own, "specific": _dice(own["specific"])}
    return found


def reader_agreement_in_groups(ratings: Ratings, groups: Sequence[str]) -> dict[str, Estimate]:
    """Group -> share of pairs of readers who agree on a case (`percent_agreement`), for cases in groups (N,), by the alphabet.

    Cases of the group '' are left out.
    """
    of_case = np.asarray(groups, dtype=object)
    if of_case.shape != (len(ratings.cases),):
        raise ValueError(f"groups must have one name for each of {len(ratings.cases)} cases")
    return {name: percent_agreement(ratings.counts[of_case == name]) for name in sorted(set(of_case) - {""})}


def _dice(share: Estimate) -> Estimate:
    """2x / (1 + x) of a share x of the readings that either side put into a class, limits and all: it only grows with x."""
    if share.value is None or share.low is None or share.high is None:
        return share
    value, low, high = (2 * x / (1 + x) for x in (share.value, share.low, share.high))
    return Estimate(value, low, high, share.n, f"{share.method}, as 2x / (1 + x)")
