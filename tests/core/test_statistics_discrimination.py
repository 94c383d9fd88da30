"""AUC, ROC curve, confusion matrix and operating points against scikit-learn, pROC's output and paper."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn import metrics

from core.records import Refused
from core.statistics.discrimination import (
    RocCurve,
    auc,
    confusion_matrix,
    metrics_from_matrix,
    newcombe_limits,
    operating_metrics,
    placements,
    predicted_class,
    roc_curve,
    thin,
    youden_threshold,
)
from tests.core.reference import DATA, needs_data, published

PAPER = ([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])  # one pair of four in the wrong order


def scored(n: int, seed: int, decimals: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n,) and probabilities (n,) that overlap; few decimals make ties."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.3).astype(int)
    labels[:2] = 0, 1
    return labels, np.round(1 / (1 + np.exp(-rng.normal(size=n) - 1.2 * labels)), decimals)


# -- AUC ---------------------------------------------------------------------------------------------------------------


def test_auc_and_delong_interval_on_paper():
    """Components (½, 1) and (1, ½): AUC 0.75, variance 0.125 / 2 + 0.125 / 2, interval 0.75 ± 1.96 · √0.125 cut at 1."""
    v10, v01 = placements(*PAPER)
    assert v10.tolist() == [0.5, 1.0]
    assert v01.tolist() == [1.0, 0.5]
    estimate = auc(*PAPER)
    assert estimate.value == 0.75
    assert estimate.low == pytest.approx(0.75 - 1.959964 * np.sqrt(0.125), abs=1e-6)
    assert estimate.high == 1.0
    assert (estimate.n, estimate.method) == (4, "DeLong")


@pytest.mark.parametrize("decimals", [1, 2, 6])
@pytest.mark.parametrize("n", [5, 60, 1000])
def test_auc_equals_scikit_learn_with_and_without_ties(n, decimals):
    """Ties count half, as in scikit-learn."""
    labels, scores = scored(n, seed=n, decimals=decimals)
    assert auc(labels, scores).value == pytest.approx(metrics.roc_auc_score(labels, scores), abs=1e-12)


def test_delong_variance_equals_its_definition():
    """The sorted components equal the double loop over all pairs that DeLong, DeLong & Clarke-Pearson wrote down."""
    labels, scores = scored(80, seed=3, decimals=1)
    pairs = scores[labels == 1][:, None] - scores[labels == 0][None, :]
    psi = (pairs > 0) + 0.5 * (pairs == 0)  # (P, M)
    variance = psi.mean(axis=1).var(ddof=1) / psi.shape[0] + psi.mean(axis=0).var(ddof=1) / psi.shape[1]
    estimate = auc(labels, scores)
    assert (estimate.high - estimate.low) / 2 == pytest.approx(1.959964 * np.sqrt(variance), rel=1e-6)


@needs_data
@pytest.mark.real_data
@pytest.mark.parametrize("marker", ["s100b", "ndka", "wfns"])
def test_auc_and_interval_equal_proc_on_asah(marker):
    """AUC and DeLong interval of the three aSAH markers are those that pROC prints."""
    table = pd.read_csv(DATA / "reader_studies" / "asah.csv")
    estimate = auc((table["outcome"] == "Poor").to_numpy(), table[marker].to_numpy())
    wanted = published()["reader_studies/asah.csv"]["auc_delong_ci"][marker]
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx(wanted, abs=5e-8)
    assert estimate.n == 113


@needs_data
@pytest.mark.real_data
def test_auc_equals_the_van_dyke_reader_study():
    """The ten empirical AUCs of 5 readers and 2 treatments are the published ones."""
    table = pd.read_csv(DATA / "reader_studies" / "vandyke.csv")
    wanted = published()["reader_studies/vandyke.csv"]["empirical_auc"]
    for treatment in (1, 2):
        for reader in range(1, 6):
            rows = table[(table["treatment"] == treatment) & (table["reader"] == reader)]
            value = auc(rows["truth"].to_numpy(), rows["rating"].to_numpy()).value
            assert value == pytest.approx(wanted[str(treatment)][reader - 1], abs=5e-9)


def test_delong_interval_covers_95_percent():
    """In 1,000 samples of 200 cases (binormal, AUC 0.760) the interval holds the true AUC in 93–97 %."""
    rng, truth = np.random.default_rng(11), norm.cdf(1 / np.sqrt(2))
    labels = np.repeat([0, 1], 100)
    samples = rng.normal(size=(1000, 200)) + labels
    estimates = [auc(labels, scores) for scores in samples]
    assert 0.93 <= np.mean([e.low <= truth <= e.high for e in estimates]) <= 0.97


def test_perfect_separation_keeps_an_interval_with_a_width():
    """AUC 1 from 10 + 10 cases is not known to be 1: the lower limit is Newcombe's, and the method says so."""
    estimate = auc(np.repeat([0, 1], 10), np.arange(20))
    assert (estimate.value, estimate.high) == (1.0, 1.0)
    assert 0.75 < estimate.low < 0.85
    assert "Newcombe" in estimate.method
    turned = auc(np.repeat([1, 0], 10), np.arange(20))
    assert (turned.value, turned.low) == (0.0, 0.0)
    assert turned.high == pytest.approx(1 - estimate.low, abs=1e-12)


@pytest.mark.parametrize(("value", "positives", "negatives"), [(1.0, 10, 10), (0.9, 12, 30), (0.5, 4, 7), (0.2, 1, 9)])
def test_newcombe_limits_solve_their_equation(value, positives, negatives):
    """At each limit t inside (0, 1) the distance to the AUC is 1.96 standard errors by Hanley & McNeil's formula at t."""
    equal = (positives + negatives) / 2  # method 5 takes both groups as equally large inside the formula
    for t in newcombe_limits(value, positives, negatives):
        if 0 < t < 1:
            q1, q2 = t / (2 - t), 2 * t * t / (1 + t)
            variance = (t * (1 - t) + (equal - 1) * (q1 - t * t + q2 - t * t)) / (positives * negatives)
            assert abs(value - t) == pytest.approx(1.959964 * np.sqrt(variance), rel=1e-5)


def test_equal_scores_and_single_cases_have_an_honest_interval():
    """Constant scores give AUC ½ and a single positive case a wide interval, though DeLong's formula has no width there."""
    constant = auc([0, 0, 1, 1], [0.5] * 4)
    assert constant.value == 0.5
    assert constant.low < 0.2 < 0.8 < constant.high
    single = auc([0, 0, 0, 1], [0.1, 0.2, 0.9, 0.5])
    assert single.value == pytest.approx(2 / 3)
    assert single.high - single.low > 0.5


@pytest.mark.parametrize("labels", [[], [1], [0, 0, 0], [1, 1]])
def test_auc_of_one_class_is_undefined(labels):
    """Without both classes there is no AUC: None with a reason, n kept, and a curve without points."""
    scores = np.linspace(0.1, 0.9, len(labels))
    estimate = auc(labels, scores)
    assert (estimate.value, estimate.low, estimate.high, estimate.n) == (None, None, None, len(labels))
    assert estimate.reason
    assert len(roc_curve(labels, scores).fpr) == 0


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 2], [0.1, 0.2], "whole numbers from 0 to 1"),
        ([0, 0.5], [0.1, 0.2], "whole numbers from 0 to 1"),
        ([0, 1], [0.1, float("nan")], "finite"),
        ([0, 1], [0.1], r"shape \(2,\)"),
        ([[0, 1]], [0.1, 0.2], r"shape \(N,\)"),
    ],
)
def test_broken_inputs_are_refused_by_name(labels, scores, message):
    """Labels that are not 0/1, scores that are not finite, and shapes that differ raise ValueError and say which."""
    with pytest.raises(ValueError, match=message):
        auc(labels, scores)


# -- ROC curve ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decimals", [1, 6])
def test_roc_curve_equals_scikit_learn(decimals):
    """Every point and threshold is scikit-learn's, ties included."""
    labels, scores = scored(500, seed=5, decimals=decimals)
    curve = roc_curve(labels, scores)
    fpr, tpr, thresholds = metrics.roc_curve(labels, scores, drop_intermediate=False)
    np.testing.assert_allclose(curve.fpr, fpr, atol=1e-15)
    np.testing.assert_allclose(curve.tpr, tpr, atol=1e-15)
    np.testing.assert_array_equal(curve.thresholds, thresholds)


def test_roc_curve_on_paper():
    """Four cases, four steps: up, right, up, right."""
    curve = roc_curve(*PAPER)
    assert curve.fpr.tolist() == [0, 0, 0.5, 0.5, 1]
    assert curve.tpr.tolist() == [0, 0.5, 0.5, 1, 1]
    assert curve.thresholds.tolist() == [np.inf, 0.8, 0.4, 0.35, 0.1]


def test_a_thinned_curve_keeps_its_shape():
    """20,000 cases become at most 400 of the same points; ends stay, and the line is off by at most 2 / 399."""
    curve = roc_curve(*scored(20_000, seed=6))
    small = thin(curve, 400)
    assert len(small.fpr) == len(small.tpr) == len(small.thresholds) <= 400
    whole = set(zip(curve.fpr, curve.tpr, curve.thresholds, strict=True))
    assert set(zip(small.fpr, small.tpr, small.thresholds, strict=True)) <= whole
    assert (small.fpr[0], small.tpr[0], small.fpr[-1], small.tpr[-1]) == (0, 0, 1, 1)
    along = np.interp(
        curve.fpr + curve.tpr, small.fpr + small.tpr, small.tpr
    )  # the sum only grows, even where it is steep
    assert np.abs(along - curve.tpr).max() <= 2 / 399
    assert metrics.auc(small.fpr, small.tpr) == pytest.approx(metrics.auc(curve.fpr, curve.tpr), abs=1e-4)


def test_thinning_loses_nothing_where_runs_can_be_dropped():
    """1,000 cases with 20 positives have few corners: the thinned curve is the same line, to the last digit."""
    labels, scores = np.zeros(1000, dtype=int), np.random.default_rng(7).permutation(1000) / 1000
    labels[:20] = 1
    curve = roc_curve(labels, scores)
    small = thin(curve, 100)
    assert len(small.fpr) <= 42  # two corners per positive case, and the ends
    assert metrics.auc(small.fpr, small.tpr) == pytest.approx(metrics.auc(curve.fpr, curve.tpr), abs=1e-12)


def test_a_short_curve_is_returned_as_it_is():
    """Nothing to thin, nothing changed; a curve without points stays one."""
    curve = roc_curve(*PAPER)
    assert thin(curve) is curve
    empty = RocCurve(np.empty(0), np.empty(0), np.empty(0))
    assert len(thin(empty).fpr) == 0


# -- Confusion matrix and figures of an operating point ----------------------------------------------------------------


def test_confusion_matrix_equals_scikit_learn():
    """Rows are the reference standard; classes without cases keep their row and column."""
    rng = np.random.default_rng(8)
    labels, predicted = rng.integers(0, 3, 200), rng.integers(0, 3, 200)
    wanted = metrics.confusion_matrix(labels, predicted, labels=range(4))
    np.testing.assert_array_equal(confusion_matrix(labels, predicted, 4), wanted)
    assert confusion_matrix([], [], 2).tolist() == [[0, 0], [0, 0]]
    with pytest.raises(ValueError, match="equally many, not 2 and 1"):
        confusion_matrix([0, 1], [0], 2)


R1 = {
    "VGG16": ([[1005, 933], [777, 4136]], 0.8418, 0.5186, 0.7504),
    "ResNet18": ([[881, 1057], [509, 4404]], 4404 / 4913, 881 / 1938, 0.7714),
    "ResNet50": ([[952, 986], [658, 4255]], 4255 / 4913, 952 / 1938, 0.7600),
}


@pytest.mark.parametrize("name", R1)
def test_figures_of_the_published_matrices_are_right(name):
    """Matrices published by the reference system R1 give these values, not its printed sensitivity 0 and specificity 1.

    VGG16: sensitivity 0.8418, specificity 0.5186, accuracy 75.04 % (its text quotes 77.58 %).
    """
    matrix, sensitivity, specificity, accuracy = R1[name]
    figures = metrics_from_matrix(np.array(matrix))
    assert figures["sensitivity"].value == pytest.approx(sensitivity, abs=5e-5)
    assert figures["specificity"].value == pytest.approx(specificity, abs=5e-5)
    assert figures["accuracy"].value == pytest.approx(accuracy, abs=5e-5)
    assert [figures[key].n for key in ("sensitivity", "specificity", "accuracy")] == [4913, 1938, 6851]


def test_operating_metrics_equal_scikit_learn():
    """All ten figures at a threshold are scikit-learn's, and each lies inside its interval."""
    labels, scores = scored(400, seed=9)
    called = (scores >= 0.6).astype(int)
    wanted = {
        "sensitivity": metrics.recall_score(labels, called),
        "specificity": metrics.recall_score(labels, called, pos_label=0),
        "ppv": metrics.precision_score(labels, called),
        "npv": metrics.precision_score(labels, called, pos_label=0),
        "accuracy": metrics.accuracy_score(labels, called),
        "f1": metrics.f1_score(labels, called),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, called),
        "mcc": metrics.matthews_corrcoef(labels, called),
    }
    wanted["lr_positive"], wanted["lr_negative"] = metrics.class_likelihood_ratios(labels, called)
    figures = operating_metrics(labels, scores, 0.6)
    assert {name: e.value for name, e in figures.items()} == pytest.approx(wanted, abs=1e-12)
    assert all(e.low < e.value < e.high for e in figures.values())


def test_a_score_equal_to_the_threshold_is_positive():
    """The rule is p ≥ threshold."""
    assert operating_metrics([0, 1], [0.3, 0.5], 0.5)["sensitivity"].value == 1.0
    assert operating_metrics([0, 1], [0.3, 0.5], np.nextafter(0.5, 1))["sensitivity"].value == 0.0


def test_undefined_figures_say_why():
    """Only negative cases, none called positive: no sensitivity, no ppv, no f1, and each has its own reason."""
    figures = metrics_from_matrix(np.array([[5, 0], [0, 0]]))
    reasons = {name: e.reason for name, e in figures.items() if e.value is None}
    assert reasons == {
        "sensitivity": "no positive cases",
        "ppv": "no case was called positive",
        "f1": "no case is positive or was called positive",
        "balanced_accuracy": "no positive cases",
        "mcc": "a class is absent, or none or all were called positive",
        "lr_positive": "no positive cases",
        "lr_negative": "no positive cases",
    }
    assert figures["specificity"].value == 1.0
    assert all(e.value is None for e in metrics_from_matrix(np.zeros((2, 2))).values())


@pytest.mark.parametrize("table", [[[1, 2, 3]], [[1, 2, 3]] * 3, [[1, -1], [0, 0]], [[0.5, 1], [1, 1]]])
def test_a_table_must_be_two_by_two_counts(table):
    """Another shape, negative or broken counts raise ValueError."""
    with pytest.raises(ValueError, match="table must"):
        metrics_from_matrix(np.array(table))


# -- Thresholds and classes --------------------------------------------------------------------------------------------


def test_youden_threshold_lies_midway_between_scores():
    """Perfectly separable at 0.3 | 0.7: the threshold is 0.5, so rounding of either score flips nothing."""
    assert youden_threshold([0, 0, 1, 1], [0.1, 0.3, 0.7, 0.9]) == pytest.approx(0.5)


def test_of_equally_good_thresholds_the_most_sensitive_is_taken():
    """PAPER has J = ½ at 0.8 and at 0.35; the lower one misses nobody, so the threshold is midway 0.1 and 0.35."""
    threshold = youden_threshold(*PAPER)
    assert threshold == pytest.approx(0.225)
    assert operating_metrics(*PAPER, threshold)["sensitivity"].value == 1.0


@pytest.mark.parametrize("seed", range(5))
def test_youden_threshold_is_the_best_of_all(seed):
    """No point of scikit-learn's ROC curve has a larger tpr − fpr, and moving scores by 1e-9 flips no case."""
    labels, scores = scored(300, seed, decimals=3)
    threshold = youden_threshold(labels, scores)
    figures = operating_metrics(labels, scores, threshold)
    fpr, tpr, _ = metrics.roc_curve(labels, scores)
    assert figures["balanced_accuracy"].value * 2 - 1 == pytest.approx((tpr - fpr).max(), abs=1e-12)
    for nudge in (-1e-9, 1e-9):
        assert operating_metrics(labels, scores + nudge, threshold) == figures


def test_youden_threshold_in_degenerate_cases():
    """Equal or reversed scores call everything positive; neighbouring floats stay apart; one class is refused."""
    assert youden_threshold([0, 1], [0.5, 0.5]) == 0.25
    assert youden_threshold([1, 0], [0.2, 0.8]) == 0.1
    upper = np.nextafter(0.5, 1)
    assert youden_threshold([0, 1], [0.5, upper]) == upper
    with pytest.raises(Refused, match="positive and negative"):
        youden_threshold([1, 1], [0.2, 0.8])


def test_predicted_class_follows_the_operating_point_of_two_classes():
    """Positive is p ≥ threshold, whichever column it is; without a threshold or positive class the larger wins."""
    p = np.array([[0.7, 0.3], [0.6, 0.4], [0.2, 0.8]])
    assert predicted_class(p, 1, 0.4).tolist() == [0, 1, 1]
    assert predicted_class(p, 0, 0.65).tolist() == [0, 1, 1]
    assert predicted_class(p, 1, None).tolist() == [0, 0, 1]
    assert predicted_class(p, None, 0.1).tolist() == [0, 0, 1]


def test_predicted_class_of_several_classes_is_the_most_probable():
    """A threshold means nothing there, and the first of equals wins."""
    p = np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]])
    assert predicted_class(p, 2, 0.25).tolist() == [1, 0]
    assert predicted_class(np.empty((0, 3))).shape == (0,)
    with pytest.raises(ValueError, match=r"shape \(N, C\)"):
        predicted_class(np.array([0.2, 0.8]))
