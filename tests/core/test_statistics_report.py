"""The classification report against scikit-learn and the reference systems' printed reports."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from core.statistics.discrimination import metrics_from_matrix
from core.statistics.multiclass import one_vs_rest_counts
from core.statistics.report import FIGURES, averaged, classification_report, slopes
from tests.core.test_statistics_contingency import cases

CLASSES = ("benign", "malignant")

# Test-set confusion matrices [[TN, FP], [FN, TP]] of the reference systems R1 and R2 as published.
PUBLISHED = {
    "R1 VGG16": [[1005, 933], [777, 4136]],
    "R1 ResNet18": [[881, 1057], [509, 4404]],
    "R1 ResNet50": [[952, 986], [658, 4255]],
    "R2 VGG16": [[853, 1085], [375, 4538]],
    "R2 ResNet18": [[934, 1004], [595, 4318]],
}
# R2 printed no matrix for ResNet50; of 1,938 benign and 4,913 malignant cases this is the one its report belongs to.
R2_RESNET50 = [[656, 1282], [389, 4524]]
# Sensitivity and specificity at the operating point; R1 printed 0.0000 and 1.0000 for every model.
OPERATING = {
    "R1 VGG16": (0.8418, 0.5186),
    "R1 ResNet18": (0.8964, 0.4546),
    "R1 ResNet50": (0.8661, 0.4912),
    "R2 VGG16": (0.9237, 0.4401),
    "R2 ResNet18": (0.8789, 0.4819),
}
ACCURACY = {"R1 VGG16": 0.7504, "R1 ResNet18": 0.7714, "R1 ResNet50": 0.7600, "R2 VGG16": 0.7869, "R2 ResNet18": 0.7666}


def printed(matrix: list[list[int]], digits: int) -> list[str]:
    """Our rows as scikit-learn's text prints them."""
    lines = []
    for row in classification_report(np.array(matrix), CLASSES):
        numbers = [f"{row[f]:.{digits}f}" for f in FIGURES if row[f] is not None]
        lines.append(" ".join([str(row["class"]), *numbers, str(row["support"])]))
    return lines


@pytest.mark.parametrize("digits", [2, 4])
@pytest.mark.parametrize("name", PUBLISHED)
def test_reports_of_r1_and_r2_to_the_last_digit(name, digits):
    """From the published matrices our rows are, character for character, those of the report that both systems printed with."""
    text = metrics.classification_report(*cases(PUBLISHED[name]), target_names=CLASSES, digits=digits)
    wanted = [" ".join(line.split()) for line in text.splitlines()[2:] if line.strip()]
    assert printed(PUBLISHED[name], digits) == wanted


def test_the_figures_that_r2_printed_for_resnet50():
    """Reference system R2 as published: benign 0.6278 / 0.3385, malignant 0.7792 / 0.9208, accuracy 0.7561."""
    benign, malignant, accuracy, *_ = classification_report(np.array(R2_RESNET50), CLASSES)
    found = [benign["precision"], benign["recall"], malignant["precision"], malignant["recall"], accuracy["f1"]]
    assert [f"{value:.4f}" for value in found] == ["0.6278", "0.3385", "0.7792", "0.9208", "0.7561"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_sensitivity_and_specificity_that_those_systems_got_wrong(name):
    """Read at an operating point instead of at index 1 of the ROC curve, with intervals that exclude 0 and 1."""
    figures = metrics_from_matrix(np.array(PUBLISHED[name]))
    found = figures["sensitivity"].value, figures["specificity"].value
    assert [f"{value:.4f}" for value in found] == [f"{value:.4f}" for value in OPERATING[name]]
    assert figures["sensitivity"].low > 0.8
    assert figures["specificity"].high < 0.6
    assert f"{figures['accuracy'].value:.4f}" == f"{ACCURACY[name]:.4f}"


def test_per_class_table_that_r3_printed():
    """Reference system R3 as published, after fine-tuning: accuracy 0.97 and the TP / TN / FP / FN of both classes."""
    matrix = np.array([[57, 3], [1, 79]])
    assert one_vs_rest_counts(matrix).tolist() == [[57, 79, 1, 3], [79, 57, 3, 1]]
    assert f"{classification_report(matrix, CLASSES)[2]['f1']:.2f}" == "0.97"


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
def test_averages_of_eight_classes_equal_scikit_learn(average):
    """Precision, recall and F1 are scikit-learn's, each inside its interval."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 8, 600)
    called = np.where(rng.random(600) < 0.7, labels, rng.integers(0, 8, 600))
    wanted = metrics.precision_recall_fscore_support(labels, called, average=average)[:3]
    found = averaged(metrics.confusion_matrix(labels, called), average)
    assert [found[f].value for f in FIGURES] == pytest.approx(list(wanted), abs=1e-12)
    assert all(e.low < e.value < e.high for e in found.values())


def test_weighted_recall_has_the_spread_of_the_accuracy():
    """Weighted recall is the accuracy, so its delta interval is the plain one of a proportion."""
    matrix = np.array([[30, 5, 2], [4, 50, 6], [1, 9, 43]])
    p, n = 123 / 150, 150
    found = averaged(matrix, "weighted")["recall"]
    assert found.value == pytest.approx(p)
    assert (found.high - found.low) / 2 == pytest.approx(1.959964 * np.sqrt(p * (1 - p) / n), rel=1e-6)


def test_slopes_are_what_adding_a_case_does():
    """Each derivative equals the step from one more millionth of a case, for a matrix of three classes."""
    matrix = np.array([[30, 5, 2], [4, 50, 6], [1, 9, 43]])

    def figures(counts: np.ndarray) -> np.ndarray:
        hits, called, own = np.diagonal(counts), counts.sum(axis=0), counts.sum(axis=1)
        return np.array([hits / called, hits / own, 2 * hits / (called + own)])

    for i, j in np.ndindex(3, 3):
        step = matrix.astype(float)
        step[i, j] += 1e-6
        np.testing.assert_allclose((figures(step) - figures(matrix)) / 1e-6, slopes(matrix)[:, :, i, j], atol=1e-6)


def test_what_is_undefined_says_so_instead_of_zero():
    """A class that is never called has no precision, and then neither has the mean; scikit-learn prints 0 there."""
    rows = classification_report(np.array([[5, 0], [3, 0]]), CLASSES)
    assert rows[1]["precision"] is None
    assert rows[1]["recall"] == 0
    macro = averaged(np.array([[5, 0], [3, 0]]), "macro")
    assert macro["precision"].reason == "no case was called so"
    assert macro["recall"].value == 0.5
    assert all(e.value is None for e in averaged(np.zeros((2, 2)), "weighted").values())


def test_perfect_calls_keep_an_interval():
    """All right: 1, with the mean of the classes' lower limits."""
    found = averaged(np.diag([20, 30]), "macro")["f1"]
    assert (found.value, found.high) == (1, 1)
    assert 0.8 < found.low < 1


def test_names_and_averages_are_checked():
    """As many names as classes, and an average that exists."""
    with pytest.raises(ValueError, match="2 classes needs as many names"):
        classification_report(np.eye(2), ["one"])
    with pytest.raises(ValueError, match="macro, micro or weighted"):
        averaged(np.eye(2), "samples")


@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_intervals_of_averages_cover_95_percent(average):
    """1,000 matrices of 200 cases: each of the three is held in 93–97 %."""
    cells = np.array([[0.2, 0.05, 0.05], [0.04, 0.3, 0.06], [0.05, 0.05, 0.2]])
    truth = {name: e.value for name, e in averaged(np.round(cells * 1e6), average).items()}
    rng, held = np.random.default_rng(2), dict.fromkeys(FIGURES, 0)
    for draw in rng.multinomial(200, cells.ravel(), size=1000):
        for name, estimate in averaged(draw.reshape(3, 3), average).items():
            held[name] += estimate.low <= truth[name] <= estimate.high
    assert all(0.93 <= count / 1000 <= 0.97 for count in held.values()), held
