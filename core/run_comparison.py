"""Many runs on the same cases: what each contributes to a comparison is worked out once, then any pair costs little.

The tests are those of `core.statistics.comparison`; here they are fed from kept influences instead of from scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.statistics.discrimination import RocCurve, auc_influence, predicted_class, roc_curve, thin
from core.statistics.linearised import clustered, within_classes
from core.statistics.paired import Difference, linear_difference, mcnemar, undefined_difference
from core.tasks import Task

CURVE_POINTS = 150
MOST_RUNS = 50


@dataclass(frozen=True, eq=False)
class Scored:
    """One run's part: `right` (N,) bool, whether each case is called its class; AUCs (K,) with the cases' influences (K, N).

    K is 1 where the task has a positive class, else one per class, each against the rest. Both are empty where a class has no
    cases.
    """

    right: np.ndarray
    aucs: np.ndarray
    influences: np.ndarray


def score(labels: np.ndarray, probabilities: np.ndarray, task: Task, threshold: float | None) -> Scored:
    """A run's part of a comparison, from labels (N,), probabilities (N, C) and its own stored threshold."""
    right = predicted_class(probabilities, task.positive_index, threshold) == labels
    found = [auc_influence((labels == k).astype(np.int64), probabilities[:, k]) for k in _targets(labels, task)]
    aucs = np.array([value for value, _ in found])
    influences = np.array([influence for _, influence in found]).reshape(len(found), len(labels))
    return Scored(right, aucs, influences)


def drawn_roc(labels: np.ndarray, probabilities: np.ndarray, task: Task) -> RocCurve | None:
    """ROC curve of the positive class with at most 150 points, or None where the task has no positive class."""
    positive = _positive(task)
    if positive is None:
        return None
    scores = np.ascontiguousarray(probabilities[:, positive])
    return thin(roc_curve((labels == positive).astype(np.int64), scores), CURVE_POINTS)


def differences(
    a: Scored, b: Scored, labels: np.ndarray, task: Task, patients: np.ndarray | None = None
) -> dict[str, Difference]:
    """auc and accuracy of a less those of b on the same cases, as `core.statistics.comparison.compare` gives them.

    `labels` (N,) are those of the cases; `patients` (N,) whole numbers, or None where each has one case.
    """
    return {"auc": _auc(a, b, labels, task, patients), "accuracy": _accuracy(a, b, patients)}


def why_not_comparable(baseline: Mapping[str, object], other: Mapping[str, object]) -> str:
    """Why two runs must not be compared, as one sentence, or nothing.

    Both are rows of the list of runs: task, dataset, fingerprint, split, n. A fingerprint that is not stated is not held
    against a run: then the cases themselves decide.
    """
    known = [row["fingerprint"] for row in (baseline, other)]
    if baseline["task"] != other["task"]:
        return f"it was evaluated for another task ({other['task']}, not {baseline['task']})"
    if baseline["split"] != other["split"]:
        return f"it was evaluated on another split ({other['split']}, not {baseline['split']})"
    if all(isinstance(text, str) and text for text in known) and known[0] != known[1]:
        return f"its dataset differs ({other['dataset']} {str(known[1])[:8]}, not {baseline['dataset']} {str(known[0])[:8]})"
    if baseline["n"] != other["n"]:
        return f"it has {other['n']:,} cases, not {baseline['n']:,}"
    return ""


def places_in(order: Sequence[str], case_ids: Sequence[str]) -> np.ndarray | None:
    """Where each case of `order` stands in `case_ids` (N,), or None where they are not the same cases."""
    places = {case: place for place, case in enumerate(case_ids)}
    if len(order) != len(case_ids) or any(case not in places for case in order):
        return None
    return np.array([places[case] for case in order], dtype=np.int64)


def shared_errors(rights: Sequence[np.ndarray]) -> np.ndarray:
    """(R, R): cases that two runs both get wrong, as a share of those that either gets wrong; NaN where neither errs.

    `rights` are R arrays (N,) of booleans over the same cases.
    """
    wrong = ~np.asarray(rights, dtype=bool)
    both = (wrong.astype(np.float32) @ wrong.T.astype(np.float32)).astype(np.float64)  # exact: counts below 2^24
    each = wrong.sum(axis=1).astype(np.float64)
    either = each[:, None] + each[None, :] - both
    return np.divide(both, either, out=np.full(both.shape, np.nan), where=either > 0)


def _positive(task: Task) -> int | None:
    return task.positive_index if len(task.classes) == 2 else None


def _targets(labels: np.ndarray, task: Task) -> list[int]:
    """The classes whose AUC counts; none where one of them cannot have any."""
    positive = _positive(task)
    if not np.bincount(labels, minlength=len(task.classes)).all():
        return []
    return list(range(len(task.classes))) if positive is None else [positive]


def _auc(a: Scored, b: Scored, labels: np.ndarray, task: Task, patients: np.ndarray | None) -> Difference:
    targets, n = _targets(labels, task), len(labels)
    name = "paired DeLong" if _positive(task) is not None else "macro one-vs-rest, paired DeLong"
    method = clustered(name, patients)
    if not targets:
        return undefined_difference(n, method, "a class has no cases")
    parts = [
        within_classes((labels == k).astype(np.int64), a.influences[i] - b.influences[i], patients)
        for i, k in enumerate(targets)
    ]
    values = (float(a.aucs.mean()), float(b.aucs.mean()))
    return linear_difference(values, np.mean(parts, axis=0), patients, method=method)


def _accuracy(a: Scored, b: Scored, patients: np.ndarray | None) -> Difference:
    if patients is None:
        return mcnemar(a.right, b.right)
    each, units = a.right.astype(np.float64) - b.right, len(np.unique(patients))
    influence = (each - each.mean()) / len(each) * np.sqrt(units / max(1, units - 1))
    values = (float(a.right.mean()), float(b.right.mean()))
    method = clustered("mean of per-case differences", patients)
    return linear_difference(values, influence, patients, method=method)
