"""All figures of one evaluation, by task: what an evaluation run stores and the pages show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.records import Estimate
from core.statistics.calibration import brier, ece, log_loss, top_label
from core.statistics.clustered import clustered_metrics
from core.statistics.discrimination import auc, confusion_matrix, metrics_from_matrix, predicted_class
from core.statistics.estimates import as_labels, as_probabilities, undefined
from core.statistics.linearised import clustered_proportion, patient_codes
from core.statistics.multiclass import class_figures, clustered_class_figures
from core.statistics.precision_recall import precision_recall_figures
from core.statistics.proportions import wilson
from core.statistics.recalibration import recalibration
from core.tasks import Task

AT_OPERATING_POINT = (
    "accuracy", "sensitivity", "specificity", "ppv", "npv", "f1", "balanced_accuracy", "mcc", "lr_positive", "lr_negative",
)  # fmt: skip


def evaluate(
    labels: np.ndarray,
    probabilities: np.ndarray,
    task: Task,
    threshold: float | None = None,
    *,
    patients: Sequence[str] | np.ndarray | None = None,
) -> dict[str, Estimate]:
    """Every figure of labels (N,) and probabilities (N, C), C the number of the task's classes.

    A task of two classes with a positive one gets `evaluate_binary`, any other `evaluate_multiclass`. `threshold` is that of
    the operating point; it means nothing to the second kind. Where some of `patients` (N,) have several cases, every interval
    is one over patients, and its method says so; otherwise they change nothing.
    """
    p = as_probabilities(probabilities)
    if p.shape[1:] != (len(task.classes),):
        raise ValueError(f"{task.name} needs probabilities of shape (N, {len(task.classes)}), not {p.shape}")
    positive = task.positive_index
    if positive is None or len(task.classes) != 2:
        return evaluate_multiclass(labels, p, task.classes, patients=patients)
    labels01 = (as_labels(labels, 2) == positive).astype(np.int64)
    called = predicted_class(p, positive, threshold) == positive
    return _binary_figures(labels01, p[:, positive], called, threshold is not None, patient_codes(patients, len(p)))


def evaluate_binary(
    labels01: np.ndarray,
    scores: np.ndarray,
    threshold: float | None = None,
    *,
    patients: Sequence[str] | np.ndarray | None = None,
) -> dict[str, Estimate]:
    """AUC, the figures in `AT_OPERATING_POINT`, and those of ranking and calibration.

    These are auc, average_precision, pr_auc, brier, log_loss, ece, calibration_slope and calibration_intercept (in the large).
    `labels01` (N,) in {0, 1}; `scores` (N,) are probabilities of class 1. Without a threshold the accuracy is that of the
    more probable class, and the other figures that belong to an operating point are undefined. `patients` as in `evaluate`.
    """
    p = as_probabilities(scores)
    if p.ndim != 1:
        raise ValueError(f"scores must have shape (N,), not {p.shape}")
    called = predicted_class(np.column_stack([1 - p, p]), 1, threshold) == 1
    return _binary_figures(as_labels(labels01, 2), p, called, threshold is not None, patient_codes(patients, len(p)))


def evaluate_multiclass(
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    *,
    patients: Sequence[str] | np.ndarray | None = None,
) -> dict[str, Estimate]:
    """auc (macro), accuracy, f1 (macro), balanced_accuracy, brier, log_loss and ece, then the figures of each class.

    Those are `auc_<class>`, `sensitivity_<class>`, `precision_<class>` and `f1_<class>`. Labels (N,) are indices into
    `classes`, probabilities (N, C); the predicted class is the most probable one, and ece is that of its probability.
    """
    p = as_probabilities(probabilities)
    if p.shape[1:] != (len(classes),):
        raise ValueError(f"{len(classes)} classes need probabilities of shape (N, {len(classes)}), not {p.shape}")
    y, codes = as_labels(labels, len(classes)), patient_codes(patients, len(p))
    if codes is None:
        macro, each = class_figures(y, p, classes)
        accuracy = wilson(int(np.sum(y == predicted_class(p))), len(p), note="most probable class")
    else:
        macro, each = clustered_class_figures(y, p, classes, codes)
        accuracy = clustered_proportion(y == predicted_class(p), codes, note="most probable class")
    return {
        "auc": macro["auc"],
        "accuracy": accuracy,
        "f1": macro["f1"],
        "balanced_accuracy": macro["balanced_accuracy"],
        "brier": brier(y, p, patients=codes),
        "log_loss": log_loss(y, p, patients=codes),
        "ece": ece(*top_label(y, p), patients=codes),
        **each,
    }


def _binary_figures(
    labels01: np.ndarray, scores: np.ndarray, called: np.ndarray, at_operating_point: bool, codes: np.ndarray | None
) -> dict[str, Estimate]:
    if codes is None:
        figures = metrics_from_matrix(confusion_matrix(labels01, called, 2))
    else:
        figures = clustered_metrics(labels01, called, codes)
    if not at_operating_point:
        right, reason = labels01 == called, "no operating point was chosen"
        figures = {name: undefined(figure.n, figure.method, reason) for name, figure in figures.items()}
        figures["accuracy"] = (
            wilson(int(right.sum()), len(right), note="most probable class")
            if codes is None
            else clustered_proportion(right, codes, note="most probable class")
        )
    line = recalibration(labels01, scores, patients=codes)
    average, area = precision_recall_figures(labels01, scores, patients=codes)
    return {
        "auc": auc(labels01, scores, patients=codes),
        **{name: figures[name] for name in AT_OPERATING_POINT},
        "average_precision": average,
        "pr_auc": area,
        "brier": brier(labels01, scores, patients=codes),
        "log_loss": log_loss(labels01, scores, patients=codes),
        "ece": ece(labels01, scores, patients=codes),
        "calibration_slope": line.slope,
        "calibration_intercept": line.in_the_large,
    }
