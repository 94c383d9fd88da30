"""All figures of an evaluation: the right set for each task, and right."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from core.records import Estimate
from core.statistics.discrimination import predicted_class
from core.statistics.summary import evaluate, evaluate_binary, evaluate_multiclass
from core.tasks import TASKS, Task, get_task
from tests.core.reference import DATA, needs_data, published

BINARY = (
    "auc", "accuracy", "sensitivity", "specificity", "ppv", "npv", "f1", "balanced_accuracy",
    "mcc", "lr_positive", "lr_negative", "average_precision", "pr_auc", "brier", "log_loss", "ece",
    "calibration_slope", "calibration_intercept",
)  # fmt: skip
AT_OPERATING_POINT = {
    "sensitivity", "specificity", "ppv", "npv", "f1", "balanced_accuracy", "mcc", "lr_positive", "lr_negative",
}  # fmt: skip


def sample(task: Task, n: int = 160, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n,) and probabilities (n, C) for a task; every class occurs."""
    rng, classes = np.random.default_rng(seed), len(task.classes)
    labels = np.arange(n) % classes
    logits = rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[labels]
    return labels, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("name", TASKS)
def test_every_task_gets_its_figures(name):
    """Each figure of each task has a value inside its interval, an n and a method, all finite plain numbers."""
    task = get_task(name)
    figures = evaluate(*sample(task), task, threshold=0.4)
    wanted = set(BINARY) if task.positive else {
        "auc", "accuracy", "f1", "balanced_accuracy", "brier", "log_loss", "ece",
        *(f"{kind}_{c}" for kind in ("auc", "sensitivity", "precision", "f1") for c in task.classes),
    }  # fmt: skip
    assert set(figures) == wanted
    for estimate in figures.values():
        assert isinstance(estimate, Estimate)
        assert all(type(v) is float for v in (estimate.value, estimate.low, estimate.high))
        assert type(estimate.n) is int
        assert np.isfinite(estimate.value)
        assert estimate.low <= estimate.value <= estimate.high
        assert estimate.method


def test_the_positive_class_is_the_tasks_whichever_column_it_is():
    """The same cases, coded with malignant first (ultrasound) or last (MRI), give the same figures."""
    labels, p = sample(get_task("breast-mri"))
    last = evaluate(labels, p, get_task("breast-mri"), 0.4)
    first = evaluate(1 - labels, p[:, ::-1], get_task("breast-ultrasound"), 0.4)
    assert first == last
    assert last == evaluate_binary(labels, p[:, 1], 0.4)


def test_binary_figures_equal_scikit_learn():
    """All that scikit-learn has are scikit-learn's at threshold 0.4."""
    labels, p = sample(get_task("breast-mri"), seed=1)
    called = (p[:, 1] >= 0.4).astype(int)
    wanted = {
        "auc": metrics.roc_auc_score(labels, p[:, 1]),
        "accuracy": metrics.accuracy_score(labels, called),
        "sensitivity": metrics.recall_score(labels, called),
        "specificity": metrics.recall_score(labels, called, pos_label=0),
        "ppv": metrics.precision_score(labels, called),
        "npv": metrics.precision_score(labels, called, pos_label=0),
        "f1": metrics.f1_score(labels, called),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, called),
        "mcc": metrics.matthews_corrcoef(labels, called),
        "average_precision": metrics.average_precision_score(labels, p[:, 1]),
        "brier": metrics.brier_score_loss(labels, p[:, 1]),
        "log_loss": metrics.log_loss(labels, p),
    }
    precision, recall, _ = metrics.precision_recall_curve(labels, p[:, 1])
    wanted["pr_auc"] = metrics.auc(recall, precision)
    wanted["lr_positive"], wanted["lr_negative"] = metrics.class_likelihood_ratios(labels, called)
    figures = evaluate_binary(labels, p[:, 1], 0.4)
    assert tuple(figures) == BINARY
    assert {name: figures[name].value for name in wanted} == pytest.approx(wanted, abs=1e-12)


def test_multiclass_figures_equal_scikit_learn():
    """Overall and per-class figures of the eight blood cells are scikit-learn's."""
    task = get_task("blood-cells")
    labels, p = sample(task, n=240, seed=2)
    predicted = p.argmax(axis=1)
    figures = evaluate_multiclass(labels, p, task.classes)
    assert figures["auc"].value == pytest.approx(metrics.roc_auc_score(labels, p, multi_class="ovr"), abs=1e-12)
    assert figures["accuracy"].value == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert figures["balanced_accuracy"].value == pytest.approx(metrics.balanced_accuracy_score(labels, predicted))
    assert figures["f1"].value == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(labels, predicted)
    for k, name in enumerate(task.classes):
        assert figures[f"precision_{name}"].value == pytest.approx(precision[k])
        assert figures[f"sensitivity_{name}"].value == pytest.approx(recall[k])
        assert figures[f"f1_{name}"].value == pytest.approx(f1[k])
        assert figures[f"sensitivity_{name}"].n == support[k]


def test_without_an_operating_point_its_figures_are_undefined():
    """No threshold was chosen: accuracy is that of the most probable class, sensitivity and its like have none."""
    task = get_task("breast-mri")
    labels, p = sample(task)
    figures = evaluate(labels, p, task)
    undefined = {name for name, e in figures.items() if e.value is None}
    assert undefined == AT_OPERATING_POINT
    assert {figures[name].reason for name in undefined} == {"no operating point was chosen"}
    assert figures["accuracy"].value == pytest.approx(metrics.accuracy_score(labels, p.argmax(axis=1)))
    assert figures["accuracy"].method == "Wilson, most probable class"


@pytest.mark.parametrize("threshold", [None, 0.5])
@pytest.mark.parametrize("name", ["breast-mri", "breast-ultrasound"])
def test_accuracy_is_that_of_the_class_people_are_shown(name, threshold):
    """At p = ½ exactly the figures and `predicted_class` take the same side, whichever column is positive."""
    task = get_task(name)
    labels, p = np.array([0, 1, 1]), np.full((3, 2), 0.5)
    shown = predicted_class(p, task.positive_index, threshold)
    assert evaluate(labels, p, task, threshold)["accuracy"].value == pytest.approx(np.mean(shown == labels))


def test_one_class_leaves_what_is_defined():
    """Only malignant cases: sensitivity and accuracy stand, AUC and specificity say why they do not."""
    figures = evaluate_binary(np.ones(6, dtype=int), np.linspace(0.2, 0.9, 6), 0.5)
    assert figures["sensitivity"].value == figures["accuracy"].value == 0.5
    defined = {"accuracy", "sensitivity", "ppv", "npv", "f1", "brier", "log_loss", "ece"}
    assert {name for name, e in figures.items() if e.value is not None} == defined
    assert all(e.reason for e in figures.values() if e.value is None)


@pytest.mark.parametrize("name", ["breast-mri", "blood-cells"])
def test_no_cases_leave_nothing_defined(name):
    """An empty split gives every figure as undefined, and raises nothing."""
    task = get_task(name)
    figures = evaluate(np.empty(0, dtype=int), np.empty((0, len(task.classes))), task, 0.5)
    assert all(e.value is None and e.reason and e.n == 0 for e in figures.values())


def test_a_missing_blood_cell_is_named():
    """Without basophils the macro figures are undefined and name them; the other cells keep theirs."""
    task = get_task("blood-cells")
    labels, p = sample(task)
    figures = evaluate(labels[labels > 0], p[labels > 0], task)
    for name in ("auc", "balanced_accuracy", "sensitivity_basophil"):
        assert figures[name].reason == "no cases of basophil"
    assert figures["sensitivity_platelet"].value is not None


def test_shapes_that_do_not_fit_the_task_are_refused():
    """Three columns for two classes, or one row of scores for eight, raise ValueError naming the shape."""
    with pytest.raises(ValueError, match=r"breast-mri needs probabilities of shape \(N, 2\), not \(4, 3\)"):
        evaluate([0, 1, 0, 1], np.full((4, 3), 1 / 3), get_task("breast-mri"))
    with pytest.raises(ValueError, match="8 classes need"):
        evaluate_multiclass([0, 1], [0.5, 0.5], get_task("blood-cells").classes)
    with pytest.raises(ValueError, match=r"scores must have shape \(N,\)"):
        evaluate_binary([0, 1], [[0.5, 0.5]] * 2)


@needs_data
@pytest.mark.real_data
def test_breastmnist_predictions_reproduce_the_reference_values():
    """The published BreastMNIST predictions, malignant positive at 0.5, give the published AUC and accuracy and the counts."""
    name = "predictions/medmnist/breastmnist_test_[AUC]0.913_[ACC]0.846@resnet18_224_1.csv"
    p = pd.read_csv(DATA / name, header=None).to_numpy()[:, 1:]
    with np.load(DATA / "medmnist" / "breastmnist.npz", allow_pickle=False) as archive:
        labels = archive["test_labels"][:, 0].astype(int)
    figures = evaluate(labels, p, get_task("breast-ultrasound"), 0.5)
    wanted = published()[name]
    assert round(figures["auc"].value, 3) == wanted["published"]["auc"]
    assert round(figures["accuracy"].value, 3) == wanted["published"]["acc"]
    point = wanted["computed"]["malignant_positive_at_0.5"]
    for key in ("sensitivity", "specificity", "f1"):
        assert figures[key].value == pytest.approx(point[key], abs=1e-12)
    assert figures["ppv"].value == pytest.approx(point["tp"] / (point["tp"] + point["fp"]))


@needs_data
@pytest.mark.real_data
def test_rsna_breast_scores_reproduce_the_published_auc():
    """2,384 breasts, 50 with cancer: AUC 0.98733 and F1 0.764 of the published ensemble."""
    table = pd.read_csv(DATA / "predictions" / "rsna" / "ensemble_test_predictions.csv")
    figures = evaluate_binary(table["cancer"].to_numpy(), table["prob"].to_numpy(), 0.5)
    assert figures["auc"].value == pytest.approx(0.98732648, abs=5e-8)
    called = evaluate_binary(table["cancer"].to_numpy(), table["pred"].to_numpy(), 0.5)
    assert called["f1"].value == pytest.approx(0.76404494, abs=5e-8)
    assert called["sensitivity"].value == pytest.approx(34 / 50)
    assert called["specificity"].value == pytest.approx(2329 / 2334)
