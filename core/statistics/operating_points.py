"""Thresholds and where they were chosen: Youden, a target sensitivity or specificity, a cost ratio, or fixed beforehand.

Choose them on validation data. A case is called positive when its probability is the threshold or more; each threshold lies
midway between two neighbouring scores, so that rounding flips no case.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from core.records import OperatingPoint, Refused
from core.statistics.discrimination import youden_threshold
from core.statistics.estimates import as_labels, as_scores


def youden_point(labels01: np.ndarray, scores: np.ndarray, *, chosen_on: str) -> OperatingPoint:
    """The largest sensitivity + specificity − 1 (Youden 1950) of labels (N,) and probabilities (N,); see `youden_threshold`.

    `chosen_on` names the split, e.g. "val". Raises `Refused` when a class is absent, like every function here.
    """
    return OperatingPoint("Youden", youden_threshold(labels01, scores), _place(labels01, chosen_on))


def target_sensitivity(labels01: np.ndarray, scores: np.ndarray, target: float, *, chosen_on: str) -> OperatingPoint:
    """The highest threshold whose sensitivity is `target` (in (0, 1]) or more: the specificity is then the best possible."""
    _check_share("sensitivity", target)
    chosen = _choose(labels01, scores, lambda tp, fp: _first(tp >= target * tp[-1] - 1e-9))
    return OperatingPoint(f"sensitivity at least {target:g}", chosen, _place(labels01, chosen_on))


def target_specificity(labels01: np.ndarray, scores: np.ndarray, target: float, *, chosen_on: str) -> OperatingPoint:
    """The lowest threshold whose specificity is `target` (in (0, 1]) or more: the sensitivity is then the best possible.

    Where even the highest score is a negative's, the threshold lies above it and nothing is called positive.
    """
    _check_share("specificity", target)
    chosen = _choose(labels01, scores, lambda tp, fp: _last(fp[-1] - fp >= target * fp[-1] - 1e-9))
    return OperatingPoint(f"specificity at least {target:g}", chosen, _place(labels01, chosen_on))


def cost_point(labels01: np.ndarray, scores: np.ndarray, cost_ratio: float, *, chosen_on: str) -> OperatingPoint:
    """The smallest `cost_ratio` · FN + FP: one missed finding costs as much as `cost_ratio` (> 0) false alarms.

    At the prevalence of these cases. Of equally good thresholds the lowest.
    """
    if not cost_ratio > 0:
        raise ValueError(f"the cost ratio must be above 0, not {cost_ratio}")

    def best(tp: np.ndarray, fp: np.ndarray) -> int:
        cost = cost_ratio * (tp[-1] - tp) + fp
        return _last(cost <= cost.min() + 1e-9)

    chosen = _choose(labels01, scores, best)
    return OperatingPoint(f"a miss costs {cost_ratio:g} false alarms", chosen, _place(labels01, chosen_on))


def fixed_point(threshold: float) -> OperatingPoint:
    """A threshold in [0, 1] that was set beforehand, on no data."""
    if not 0 <= threshold <= 1:
        raise ValueError(f"a threshold must lie in 0–1, not {threshold}")
    return OperatingPoint("fixed", float(threshold), "set beforehand")


def _choose(labels01: np.ndarray, scores: np.ndarray, best: Callable[[np.ndarray, np.ndarray], int]) -> float:
    """Threshold of the cut that `best` picks from true and false positives (P,), the first of which calls nothing."""
    labels = as_labels(labels01, 2)
    scores = as_scores(scores, len(labels))
    if labels.sum() in (0, len(labels)):
        raise Refused("A threshold cannot be chosen: the cases must include positive and negative ones.")
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.r_[np.flatnonzero(np.diff(ordered)), len(ordered) - 1]
    tp = np.r_[0, np.cumsum(labels[order])[last]]
    fp = np.r_[0, last + 1] - tp
    cut = best(tp, fp)
    levels = np.r_[max(1.0, np.nextafter(ordered[0], np.inf)), ordered[last], min(0.0, ordered[-1])]
    above, below = float(levels[cut]), float(levels[cut + 1])
    if cut == 0:  # nothing is called: any number above the highest score
        return above if above > ordered[0] else float(np.nextafter(ordered[0], np.inf))
    middle = (above + below) / 2
    return middle if middle > below else above  # neighbouring floats have no midpoint


def _first(good: np.ndarray) -> int:
    return int(np.flatnonzero(good)[0])


def _last(good: np.ndarray) -> int:
    return int(np.flatnonzero(good)[-1])


def _place(labels01: np.ndarray, chosen_on: str) -> str:
    return f"{chosen_on} (n = {len(labels01)})"


def _check_share(name: str, target: float) -> None:
    if not 0 < target <= 1:
        raise ValueError(f"a target {name} must lie in (0, 1], not {target}")
