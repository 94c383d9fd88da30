"""Splits that are missing, made by patient and the same at every call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from core.datasets.dataset import Case
from core.records import Refused

_FOLDS = 7  # one of seven for a side: about 70 / 15 / 15
_SEED = 0  # fixed, and not the training seed: training and evaluation must see the same split


def complete_splits(
    cases: Sequence[Case], name: str, classes: Sequence[str]
) -> tuple[tuple[Case, ...], tuple[str, ...]]:
    """The cases with every split that a training needs, and a remark where the split made here may leak.

    Unsplit cases (split "") become train, val and test, about 70 / 15 / 15; a train split without val gives up about 15 %.
    All images of a patient stay on one side and the classes in proportion; where a class has fewer than seven patients the
    sides become larger. Raises `Refused` naming the class that has too few patients.
    """
    present = {case.split for case in cases}
    if "" in present:
        made = _give_up(list(cases), "", "test", name, classes)
        made = _give_up(made, "", "val", name, classes)
        made = [replace(case, split=case.split or "train") for case in made]
    elif "train" in present and "val" not in present:
        made = _give_up(list(cases), "train", "val", name, classes)
    else:
        return tuple(cases), ()
    nameless = all(case.patient_id == case.case_id for case in made)
    remark = f"{name} names no patients, so every file was split as its own patient; one patient may be on two sides."
    return tuple(made), (remark,) if nameless else ()


def _give_up(cases: list[Case], source: str, target: str, name: str, classes: Sequence[str]) -> list[Case]:
    """The cases with about one seventh of the patients of split `source` moved to `target`."""
    from sklearn.model_selection import StratifiedGroupKFold  # 0.9 s to import, and most datasets come split

    pool = sorted((case for case in cases if case.split == source), key=lambda case: case.case_id)
    patients: dict[int, set[str]] = defaultdict(set)
    for case in pool:
        patients[case.label].add(case.patient_id)
    rarest = min(patients, key=lambda label: len(patients[label]))
    folds = min(_FOLDS, len(patients[rarest]))
    if folds < 2:
        raise Refused(
            f"{name} has too few patients with {classes[rarest]} to make a {target} split; add patients or split it."
        )
    labels = np.array([case.label for case in pool])
    groups = np.array([case.patient_id for case in pool])
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=_SEED)
    _, chosen = next(splitter.split(labels, labels, groups))
    moved = {pool[i].case_id for i in chosen}
    return [replace(case, split=target) if case.case_id in moved else case for case in cases]
