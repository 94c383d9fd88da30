"""Cases whose reference standard may be wrong: the model says another class with the confidence it has where it is right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.statistics.estimates import as_labels, as_probabilities


@dataclass(frozen=True)
class Suspects:
    """Suspected labels, worst first: `rows` (S,) into the cases, the class `given` (S,) and the one `suggested` (S,), and
    `margin` (S,) in (0, 1]: the suggested class's probability less the given one's.

    They are questions to a reader, not corrections: a confidently wrong model looks the same.
    """

    rows: np.ndarray
    given: np.ndarray
    suggested: np.ndarray
    margin: np.ndarray


def suspects(labels: np.ndarray, probabilities: np.ndarray, *, limit: int = 100) -> Suspects:
    """Confidently wrong cases among labels (N,) and probabilities (N, C), or (N,) of class 1; at most `limit` of them.

    A case is suspected where the most probable class is not the given one and reaches its own threshold: the mean probability
    of that class over the cases that carry it (Northcutt, Jiang & Chuang 2021, confident learning). Ranked by margin. A class
    without cases has no threshold and is never suggested. Use probabilities of cases that the model was not trained on.
    """
    p = as_probabilities(probabilities)
    p = np.column_stack([1 - p, p]) if p.ndim == 1 else p
    y = as_labels(labels, p.shape[1])
    if len(y) != len(p):
        raise ValueError(f"labels and probabilities must be equally many, not {len(y)} and {len(p)}")
    own = p[np.arange(len(y)), y]
    sizes = np.bincount(y, minlength=p.shape[1])
    sums = np.bincount(y, weights=own, minlength=p.shape[1])
    thresholds = np.divide(sums, sizes, out=np.full(p.shape[1], np.inf), where=sizes > 0)  # (C,)
    suggested, most = p.argmax(axis=1), p.max(axis=1)
    rows = np.flatnonzero((suggested != y) & (most >= thresholds[suggested]) & (most > own))
    margin = most[rows] - own[rows]
    ranked = np.argsort(-margin, kind="stable")[:limit]
    rows = rows[ranked]
    return Suspects(rows, y[rows], suggested[rows], margin[ranked])
