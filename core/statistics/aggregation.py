"""From images to breasts, studies or patients: one score and one label for each group of cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.statistics.estimates import as_labels, as_scores

Rule = Literal["max", "mean", "top-k"]


@dataclass(frozen=True)
class Groups:
    """Cases joined into groups, in the order of their names: `names` (G,), `labels` (G,) in {0, 1}, `scores` (G,) and the
    number of cases in each, `sizes` (G,) int64. `rule` says how scores were joined.
    """

    names: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    sizes: np.ndarray
    rule: str


def aggregate(
    labels01: np.ndarray, scores: np.ndarray, groups: np.ndarray, *, rule: Rule = "max", k: int = 3
) -> Groups:
    """Join cases with labels (N,) in {0, 1} and scores (N,) that share an entry of `groups` (N,).

    A group is positive when any of its cases is. Its score is the maximum, the mean, or the mean of the `k` largest (of all,
    where it has fewer). The result goes into any function of labels and scores: the figures of breasts or studies.
    """
    labels, names = as_labels(labels01, 2), np.asarray(groups)
    scores = as_scores(scores, len(labels))
    if names.shape != labels.shape:
        raise ValueError(f"groups must have shape ({len(labels)},) like their labels, not {names.shape}")
    if rule not in ("max", "mean", "top-k"):
        raise ValueError(f"the rule must be max, mean or top-k, not {rule!r}")
    if k < 1:
        raise ValueError(f"the mean of the largest needs k of at least 1, not {k}")
    names, codes = np.unique(names, return_inverse=True)
    sizes = np.bincount(codes, minlength=len(names))
    order = np.lexsort((-scores, codes))  # by group, largest first
    place = np.arange(len(codes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # 0 for a group's largest
    limit = {"max": 1, "mean": len(codes), "top-k": k}[rule]
    kept = order[place < limit]
    joined = np.bincount(codes[kept], weights=scores[kept], minlength=len(names)) / np.minimum(sizes, limit)
    positive = np.bincount(codes, weights=labels, minlength=len(names)) > 0
    return Groups(
        names, positive.astype(np.int64), joined, sizes, f"mean of the {k} largest" if rule == "top-k" else rule
    )
