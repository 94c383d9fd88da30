"""Many runs compared through kept influences equal the paired tests on their scores."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.run_comparison import differences, drawn_roc, places_in, score, shared_errors, why_not_comparable
from core.statistics.comparison import compare
from core.tasks import TASKS

MRI, BLOOD, US = (TASKS[name] for name in ("breast-mri", "blood-cells", "breast-ultrasound"))
ROW = {"task": "breast-mri", "split": "test", "dataset": "d", "fingerprint": "f1", "n": 10}


def two_models(task, n=160):
    """Labels (n,) and two models' probabilities (n, C) that know something of them; scores tie now and then."""
    rng, count = np.random.default_rng(5), len(task.classes)
    labels = rng.permutation(np.arange(n) % count)
    logits = [np.round(1.5 * np.eye(count)[labels] + rng.normal(size=(n, count)), 1) for _ in range(2)]
    return labels, *(np.exp(x) / np.exp(x).sum(axis=1, keepdims=True) for x in logits)


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("task", [MRI, US, BLOOD])
def test_differences_are_those_of_the_paired_tests(task, clustered):
    """Value, interval, p, n and method, for a positive class at either index and for eight classes, with and without patients."""
    labels, a, b = two_models(task)
    patients = np.arange(len(labels)) // 2 if clustered else None
    thresholds = (0.4, 0.6) if task.positive else (None, None)
    expected = compare(labels, a, b, task, thresholds, patients=patients).differences
    parts = [score(labels, p, task, t) for p, t in zip((a, b), thresholds, strict=True)]
    found = differences(*parts, labels, task, patients)
    for name in ("auc", "accuracy"):
        assert found[name].method == expected[name].method
        for field in ("a", "b", "value", "low", "high", "p", "n"):
            assert getattr(found[name], field) == pytest.approx(getattr(expected[name], field), abs=1e-12), (
                name,
                field,
            )


@pytest.mark.parametrize("task", [MRI, BLOOD])
def test_a_class_without_cases_leaves_no_auc_but_the_reason(task):
    """Accuracy is compared all the same."""
    labels, a, b = two_models(task)
    a, b, labels = a[labels != 1], b[labels != 1], labels[labels != 1]
    found = differences(score(labels, a, task, 0.5), score(labels, b, task, 0.5), labels, task)
    assert found["auc"].value is None
    assert found["auc"].reason == "a class has no cases"
    assert found["accuracy"].value is not None


def test_a_run_against_itself_does_not_differ():
    """Difference 0, p 1."""
    labels, a, _ = two_models(MRI)
    part = score(labels, a, MRI, 0.5)
    found = differences(part, part, labels, MRI)
    assert (found["auc"].value, found["auc"].p, found["accuracy"].value, found["accuracy"].p) == (0, 1, 0, 1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"task": "mammography"}, "it was evaluated for another task (mammography, not breast-mri)"),
        ({"split": "val"}, "it was evaluated on another split (val, not test)"),
        ({"fingerprint": "f2"}, "its dataset differs (d f2, not d f1)"),
        ({"fingerprint": None}, ""),
        ({"fingerprint": math.nan}, ""),
        ({"n": 1234}, "it has 1,234 cases, not 10"),
    ],
)
def test_other_data_is_named(changes, reason):
    """Task, split, dataset and number of cases; a fingerprint that nobody stated is not held against a run."""
    assert why_not_comparable(ROW, ROW | changes) == reason


def test_cases_are_matched_by_name():
    """Each case's place in the other order; None when one is missing, new, or the numbers differ."""
    assert places_in(["b", "a", "c"], ["a", "b", "c"]).tolist() == [1, 0, 2]
    for other in (["a", "b"], ["a", "b", "d"], ["a", "b", "c", "d"]):
        assert places_in(["a", "b", "c"], other) is None


def test_shared_errors_by_hand():
    """Wrong on cases {0, 1} and {1, 2}: one of three is shared; a run without errors shares nothing, with itself least of all."""
    rights = [[False, False, True, True], [True, False, False, True], [True] * 4]
    share = shared_errors(np.array(rights))
    np.testing.assert_allclose(share[:2, :2], [[1, 1 / 3], [1 / 3, 1]])
    assert share[0, 2] == 0
    assert np.isnan(share[2, 2])


def test_only_a_positive_class_has_a_drawn_curve():
    """Ends at (0, 0) and (1, 1), at most 150 points."""
    labels, a, _ = two_models(US, 600)
    curve = drawn_roc(labels, a, US)
    assert (curve.fpr[0], curve.tpr[0], curve.fpr[-1], curve.tpr[-1]) == (0, 0, 1, 1)
    assert len(curve.fpr) <= 150
    assert drawn_roc(*two_models(BLOOD)[:2], BLOOD) is None
