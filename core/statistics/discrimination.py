"""How well scores separate the classes: AUC, ROC curve, confusion matrix, figures at an operating point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.records import Estimate, Refused
from core.statistics.contingency import likelihood_ratios, matthews
from core.statistics.estimates import Z, as_counts, as_labels, as_scores, undefined
from core.statistics.linearised import clustered, count_patients, limits, patient_codes, standard_error, within_classes
from core.statistics.proportions import dice, mean_of_proportions, wilson

ONE_CLASS = "the reference standard holds one class only"


@dataclass(frozen=True)
class RocCurve:
    """An empirical ROC curve: `fpr` (1 − specificity), `tpr` (sensitivity) and `thresholds`, each (P,) float64.

    Point i calls positive what scores `thresholds[i]` or more; the first threshold is infinite and calls nothing. A curve
    of one class has no points.
    """

    fpr: np.ndarray
    tpr: np.ndarray
    thresholds: np.ndarray


def placements(labels01: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """DeLong's structural components by sorting, O(N log N) (Sun & Xu 2014).

    Returns (P,) for the positive cases, in their order: the share of negatives that score lower, ties counting half; and
    (M,) for the negative cases: the share of positives that score higher. The mean of either is the AUC. Both classes must
    be there.
    """
    labels, scores = _binary(labels01, scores)
    order = np.argsort(scores, kind="stable")
    ordered, sorted_labels = scores[order], labels[order]
    bounds = np.concatenate([[0], np.flatnonzero(np.diff(ordered)) + 1, [len(ordered)]])  # of runs of equal scores
    positives = np.concatenate([[0], np.cumsum(sorted_labels)])[bounds]  # positives before each bound
    negatives = bounds - positives
    run, shares = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds)), np.empty(len(order))
    shares[order] = np.where(
        sorted_labels == 1,
        ((negatives[:-1] + negatives[1:]) / (2 * negatives[-1]))[run],
        (1 - (positives[:-1] + positives[1:]) / (2 * positives[-1]))[run],
    )
    return shares[labels == 1], shares[labels == 0]


def auc(labels01: np.ndarray, scores: np.ndarray, *, patients: np.ndarray | None = None) -> Estimate:
    """Area under the empirical ROC curve of labels (N,) in {0, 1} and scores (N,), larger meaning more positive.

    Interval: DeLong, DeLong & Clarke-Pearson 1988, cut to [0, 1], as the R package pROC prints it; where some of `patients`
    (N,) have several cases, with the components summed per patient (Obuchowski 1997) and Student's quantile. Where that has
    no width (perfect separation, all scores equal) or a class has a single case, Newcombe's 2006 method 5.
    """
    labels, scores = _binary(labels01, scores)
    positives, n, codes = int(labels.sum()), len(labels), patient_codes(patients, len(labels))
    method = clustered("DeLong", codes)
    if positives in (0, n):
        return undefined(n, method, ONE_CLASS if n else "no cases")
    value, influence = auc_influence(labels, scores)
    influence = within_classes(labels, influence, codes)
    units = [int(np.sum(labels == k)) if codes is None else count_patients(codes[labels == k]) for k in (1, 0)]
    if min(units) < 2 or standard_error(influence, codes) < 1e-10:  # equal components differ by rounding only
        return Estimate(value, *newcombe_limits(value, *units), n, clustered("Newcombe 2006, method 5", codes))
    low, high = limits(value, influence, codes)
    return Estimate(value, max(0.0, low), min(1.0, high), n, method)


def auc_influence(labels: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray]:
    """AUC and the influence (N,) of each case on it, of labels (N,) in {0, 1} with both classes there.

    The components are those of `placements`, found by one sort of all cases: half the time of two sorts with look-ups.
    """
    labels, scores = _binary(labels, scores)
    order = np.argsort(scores)
    ordered, positive = scores[order], labels[order] == 1
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])  # of each distinct score
    after = np.r_[first[1:], len(ordered)]
    below = np.r_[0, np.cumsum(positive)]  # positive cases among the i lowest
    pairs = below[first] + below[after]  # twice, so that a tie counts half
    positives, negatives = int(below[-1]), len(labels) - int(below[-1])
    twice = np.repeat(
        np.column_stack([first + after - pairs, pairs]), after - first, axis=0
    )  # (N, 2): of the other class
    placed = np.where(positive, twice[:, 0] / (2 * negatives), 1 - twice[:, 1] / (2 * positives))
    value, influence = float(placed[positive].mean()), np.empty(len(labels))
    influence[order] = (placed - value) / np.where(positive, positives, negatives)
    return value, influence


def newcombe_limits(value: float, positives: int, negatives: int) -> tuple[float, float]:
    """95 % limits of an AUC from its value and the class counts alone (Newcombe 2006, Stat Med 25:559, method 5).

    They solve |value − t| = z · sqrt(V(t)) with Hanley & McNeil's variance V, so they have a width even at 0 and 1.
    """
    extra = (positives + negatives) / 2 - 1

    def reaches(t: float) -> bool:
        spread = 1 + extra * ((1 - t) / (2 - t) + t / (1 + t))
        return (value - t) ** 2 <= Z * Z * t * (1 - t) * spread / (positives * negatives)

    def limit(outside: float) -> float:
        inside = value
        for _ in range(60):  # bisection to the last bit of a float in [0, 1]
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if reaches(middle) else (inside, middle)
        return inside

    return (limit(0.0) if value > 0 else 0.0), (limit(1.0) if value < 1 else 1.0)


def roc_curve(labels01: np.ndarray, scores: np.ndarray) -> RocCurve:
    """Every point of the empirical ROC curve, equal to scikit-learn's `roc_curve(…, drop_intermediate=False)`."""
    labels, scores = _binary(labels01, scores)
    if labels.sum() in (0, len(labels)):
        return RocCurve(np.empty(0), np.empty(0), np.empty(0))
    thresholds, true_positive, false_positive = _cuts(labels, scores)
    return RocCurve(
        fpr=np.r_[0, false_positive] / false_positive[-1],
        tpr=np.r_[0, true_positive] / true_positive[-1],
        thresholds=np.r_[np.inf, thresholds],
    )


def thin(curve: RocCurve, points: int = 400) -> RocCurve:
    """The same curve with at most `points` (≥ 2) of its points, for drawing.

    A curve that has few enough is returned as it is. First go the points inside horizontal and vertical runs, which loses
    nothing; if that is not enough, the rest is picked at equal steps of fpr + tpr, so that the line drawn is off by at most
    2 / (points − 1). Ends stay.
    """
    if len(curve.fpr) <= points:
        return curve
    flat, steep = np.diff(curve.tpr) == 0, np.diff(curve.fpr) == 0
    inside = (flat[:-1] & flat[1:]) | (steep[:-1] & steep[1:])
    kept = np.flatnonzero(np.r_[True, ~inside, True])
    if len(kept) > points:
        length = (curve.fpr + curve.tpr)[kept]
        kept = kept[np.unique(np.searchsorted(length, np.linspace(0, length[-1], points)))]
    return RocCurve(curve.fpr[kept], curve.tpr[kept], curve.thresholds[kept])


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Counts (C, C) int64: rows are the reference standard, columns the predicted class."""
    rows, columns = as_labels(labels, n_classes), as_labels(predicted, n_classes)
    if len(rows) != len(columns):
        raise ValueError(f"labels and predictions must be equally many, not {len(rows)} and {len(columns)}")
    return np.bincount(rows * n_classes + columns, minlength=n_classes**2).reshape(n_classes, n_classes)


def metrics_from_matrix(matrix: np.ndarray) -> dict[str, Estimate]:
    """Figures of a 2×2 confusion matrix [[TN, FP], [FN, TP]].

    sensitivity, specificity, ppv, npv and accuracy with Wilson's interval; f1 and balanced_accuracy with intervals made
    from Wilson's limits (`proportions.dice`, `proportions.mean_of_proportions`); mcc, lr_positive and lr_negative as in
    `contingency`.
    """
    (tn, fp), (fn, tp) = (map(int, row) for row in as_counts(matrix, (2, 2)))
    sensitivity = wilson(tp, tp + fn, reason="no positive cases")
    specificity = wilson(tn, tn + fp, reason="no negative cases")
    lr_positive, lr_negative = likelihood_ratios(matrix)
    return {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "ppv": wilson(tp, tp + fp, reason="no case was called positive"),
        "npv": wilson(tn, tn + fn, reason="no case was called negative"),
        "accuracy": wilson(tp + tn, tp + tn + fp + fn),
        "f1": dice(tp, tp + fp + fn, reason="no case is positive or was called positive"),
        "balanced_accuracy": mean_of_proportions([sensitivity, specificity]),
        "mcc": matthews(matrix),
        "lr_positive": lr_positive,
        "lr_negative": lr_negative,
    }


def operating_metrics(labels01: np.ndarray, scores: np.ndarray, threshold: float) -> dict[str, Estimate]:
    """`metrics_from_matrix` of labels (N,) in {0, 1} and scores (N,), calling positive what scores `threshold` or more."""
    labels, scores = _binary(labels01, scores)
    return metrics_from_matrix(confusion_matrix(labels, scores >= threshold, 2))


def youden_threshold(labels01: np.ndarray, scores: np.ndarray) -> float:
    """The threshold with the largest sensitivity + specificity − 1 (Youden 1950), for probabilities (N,) in [0, 1].

    It is the midpoint between the lowest score called positive and the next lower one (0 where there is none), so that
    rounding cannot flip a case. Of equally good thresholds the lowest, because a missed cancer costs more than a false
    alarm. Raises `Refused` when a class is absent.
    """
    labels, scores = _binary(labels01, scores)
    if labels.sum() in (0, len(labels)):
        raise Refused("A threshold cannot be chosen: the cases must include positive and negative ones.")
    thresholds, true_positive, false_positive = _cuts(labels, scores)
    youden = true_positive * false_positive[-1] - false_positive * true_positive[-1]  # whole numbers: ties are exact
    best = int(np.flatnonzero(youden == youden.max())[-1])
    above = float(thresholds[best])
    below = float(thresholds[best + 1]) if best + 1 < len(thresholds) else min(0.0, above)
    middle = (above + below) / 2
    return middle if middle > below else above  # neighbouring floats have no midpoint


def predicted_class(
    probabilities: np.ndarray, positive_index: int | None = None, threshold: float | None = None
) -> np.ndarray:
    """The one rule that turns probabilities (N, C) into classes (N,) int64.

    Two classes, a positive one and a threshold: positive where its probability is `threshold` or more. Otherwise the most
    probable class, the first of equals.
    """
    p = np.asarray(probabilities)
    if p.ndim != 2:
        raise ValueError(f"probabilities must have shape (N, C), not {p.shape}")
    if p.shape[1] == 2 and positive_index is not None and threshold is not None:
        return np.where(p[:, positive_index] >= threshold, positive_index, 1 - positive_index).astype(np.int64)
    return p.argmax(axis=1).astype(np.int64)


def _binary(labels01: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels = as_labels(labels01, 2)
    return labels, as_scores(scores, len(labels))


def _cuts(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct scores, highest first, and how many positive and negative cases score each of them or more."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.r_[np.flatnonzero(np.diff(ordered)), len(ordered) - 1]  # last case of each distinct score
    true_positive = np.cumsum(labels[order])[last]
    return ordered[last], true_positive, last + 1 - true_positive
