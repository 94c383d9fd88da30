"""All figures of one evaluation, by task: what an evaluation run stores and the pages show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.records import Estimate
from core.statistics.calibration import brier, log_loss
from core.statistics.discrimination import auc, confusion_matrix, metrics_from_matrix, predicted_class
from core.statistics.estimates import as_labels, as_probabilities, undefined
from core.statistics.multiclass import macro_auc, macro_f1, one_vs_rest_counts
from core.statistics.proportions import dice, mean_of_proportions, wilson
from core.tasks import Task


def evaluate(
    labels: np.ndarray, probabilities: np.ndarray, task: Task, threshold: float | None = None
) -> dict[str, Estimate]:
    """Every figure of labels (N,) and probabilities (N, C), C the number of the task's classes.

    A task of two classes with a positive one gets `evaluate_binary`, any other `evaluate_multiclass`. `threshold` is that of
    the operating point; it means nothing to the second kind.
    """
    p = as_probabilities(probabilities)
    if p.shape[1:] != (len(task.classes),):
        raise ValueError(f"{task.name} needs probabilities of shape (N, {len(task.classes)}), not {p.shape}")
    positive = task.positive_index
    if positive is None or len(task.classes) != 2:
        return evaluate_multiclass(labels, p, task.classes)
    labels01 = as_labels(labels, 2) == positive
    called = predicted_class(p, positive, threshold) == positive
    return _binary_figures(labels01, p[:, positive], called, at_operating_point=threshold is not None)


def evaluate_binary(labels01: np.ndarray, scores: np.ndarray, threshold: float | None = None) -> dict[str, Estimate]:
    """auc, accuracy, sensitivity, specificity, ppv, npv, f1, balanced_accuracy, brier and log_loss.

    `labels01` (N,) in {0, 1}; `scores` (N,) are probabilities of class 1. Without a threshold the accuracy is that of the
    more probable class, and the figures that belong to an operating point are undefined.
    """
    p = as_probabilities(scores)
    if p.ndim != 1:
        raise ValueError(f"scores must have shape (N,), not {p.shape}")
    called = predicted_class(np.column_stack([1 - p, p]), 1, threshold)
    return _binary_figures(as_labels(labels01, 2), p, called, at_operating_point=threshold is not None)


def evaluate_multiclass(labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]) -> dict[str, Estimate]:
    """auc (macro), accuracy, f1 (macro), balanced_accuracy, brier and log_loss, then the figures of each class.

    Those are `sensitivity_<class>`, `precision_<class>` and `f1_<class>`. Labels (N,) are indices into `classes`,
    probabilities (N, C); the predicted class is the most probable one.
    """
    p = as_probabilities(probabilities)
    if p.shape[1:] != (len(classes),):
        raise ValueError(f"{len(classes)} classes need probabilities of shape (N, {len(classes)}), not {p.shape}")
    matrix = confusion_matrix(labels, predicted_class(p), len(classes))
    sensitivity, precision, f1 = {}, {}, {}
    for name, (tp, _, fp, fn) in zip(classes, one_vs_rest_counts(matrix).tolist(), strict=True):
        sensitivity[f"sensitivity_{name}"] = wilson(tp, tp + fn, reason=f"no cases of {name}")
        precision[f"precision_{name}"] = wilson(tp, tp + fp, reason=f"no case was called {name}")
        f1[f"f1_{name}"] = dice(tp, tp + fp + fn, reason=f"no case is {name} or was called so")
    return {
        "auc": macro_auc(labels, p, classes),
        "accuracy": wilson(int(np.trace(matrix)), len(p), note="most probable class"),
        "f1": macro_f1(matrix),
        "balanced_accuracy": mean_of_proportions(list(sensitivity.values())),
        "brier": brier(labels, p),
        "log_loss": log_loss(labels, p),
        **sensitivity,
        **precision,
        **f1,
    }


def _binary_figures(
    labels01: np.ndarray, scores: np.ndarray, called: np.ndarray, *, at_operating_point: bool
) -> dict[str, Estimate]:
    figures = metrics_from_matrix(confusion_matrix(labels01, called, 2))
    if not at_operating_point:
        correct = int(np.sum(np.asarray(labels01) == called))
        reason = "no operating point was chosen"
        figures = {name: undefined(figure.n, figure.method, reason) for name, figure in figures.items()}
        figures["accuracy"] = wilson(correct, len(called), note="most probable class")
    names = ("accuracy", "sensitivity", "specificity", "ppv", "npv", "f1", "balanced_accuracy")
    return {
        "auc": auc(labels01, scores),
        **{name: figures[name] for name in names},
        "brier": brier(labels01, scores),
        "log_loss": log_loss(labels01, scores),
    }
