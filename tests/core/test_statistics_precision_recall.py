"""Precision–recall curve, average precision and area against scikit-learn, the bootstrap and simulation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn import metrics

from core.statistics.precision_recall import PrCurve, average_precision, pr_auc, pr_curve, thin_pr
from core.statistics.resampling import bootstrap_metric
from tests.core.reference import DATA, needs_data, published
from tests.core.test_statistics_discrimination import PAPER, scored


def test_curve_and_average_precision_on_paper():
    """Scores 0.8+, 0.4−, 0.35+, 0.1−: precision 1, ½, ⅔, ½; average precision (1 + ⅔) / 2."""
    curve = pr_curve(*PAPER)
    assert curve.precision.tolist() == pytest.approx([1, 1, 1 / 2, 2 / 3, 1 / 2])
    assert curve.recall.tolist() == [0, 0.5, 0.5, 1, 1]
    assert curve.thresholds.tolist() == [np.inf, 0.8, 0.4, 0.35, 0.1]
    assert average_precision(*PAPER).value == pytest.approx(5 / 6)
    assert pr_auc(*PAPER).value == pytest.approx(0.5 + 0.5 * (1 / 2 + 2 / 3) / 2)


@pytest.mark.parametrize("decimals", [1, 6])
def test_curve_and_areas_equal_scikit_learn(decimals):
    """Every point, average precision and the trapezoid area are scikit-learn's, ties included."""
    labels, scores = scored(400, seed=1, decimals=decimals)
    curve = pr_curve(labels, scores)
    precision, recall, thresholds = metrics.precision_recall_curve(labels, scores)
    np.testing.assert_allclose(curve.precision[::-1], precision, atol=1e-15)
    np.testing.assert_allclose(curve.recall[::-1], recall, atol=1e-15)
    np.testing.assert_array_equal(curve.thresholds[:0:-1], thresholds)
    assert average_precision(labels, scores).value == pytest.approx(
        metrics.average_precision_score(labels, scores), abs=1e-12
    )
    assert pr_auc(labels, scores).value == pytest.approx(metrics.auc(recall, precision), abs=1e-12)


def test_interval_agrees_with_the_stratified_bootstrap():
    """The influences give the limits that 1,000 resamples scored by scikit-learn give, within 0.012."""
    labels, scores = scored(500, seed=2)
    draws = bootstrap_metric(
        lambda counts: metrics.average_precision_score(labels, scores, sample_weight=counts),
        labels, patients=None, replicates=300, seed=3,
    )  # fmt: skip
    estimate = average_precision(labels, scores)
    assert (estimate.high - estimate.low) == pytest.approx(np.diff(np.percentile(draws, [2.5, 97.5]))[0], abs=0.012)


def test_perfect_ranking_and_missing_classes():
    """Perfect: 1 with Wilson's lower limit for 5 positive cases; one class only: undefined with a reason."""
    perfect = average_precision([0] * 15 + [1] * 5, np.arange(20))
    assert (perfect.value, perfect.high) == (1, 1)
    assert perfect.low == pytest.approx(5 / (5 + 1.959964**2), rel=1e-6)
    assert average_precision([1, 1], [0.2, 0.3]).reason
    assert pr_auc([0, 0], [0.2, 0.3]).value is None
    assert average_precision([], []).reason == "no cases"
    assert len(pr_curve([0, 0], [0.1, 0.2]).recall) == 0


def test_equal_scores_are_chance():
    """One tie of all cases: the precision is the prevalence, with Wilson's limits around it."""
    estimate = average_precision([0, 0, 0, 1], [0.5] * 4)
    assert estimate.value == 0.25
    assert estimate.low < 0.25 < estimate.high


def test_a_thinned_curve_keeps_its_ends_and_its_area():
    """20,000 cases become at most 300 of their own points, and the area moves by less than 0.003."""
    labels, scores = scored(20_000, seed=4)
    curve = pr_curve(labels, scores)
    small = thin_pr(curve, 300)
    assert len(small.recall) == len(small.precision) == len(small.thresholds) <= 300
    assert set(zip(small.recall, small.precision, strict=True)) <= set(zip(curve.recall, curve.precision, strict=True))
    assert (small.recall[0], small.recall[-1], small.precision[-1]) == (0, 1, curve.precision[-1])
    assert metrics.auc(small.recall, small.precision) == pytest.approx(
        metrics.auc(curve.recall, curve.precision), abs=3e-3
    )
    assert thin_pr(small, 300) is small
    assert len(thin_pr(PrCurve(*[np.empty(0)] * 3)).recall) == 0


@pytest.mark.parametrize(("positives", "lowest"), [(20, 0.90), (150, 0.93)])
def test_average_precision_interval_covers(positives, lowest):
    """1,000 samples with three negatives to each positive: 93–97 % at 150 positive cases.

    At 20 it is nearer 92 %: the estimate itself is then biased upwards, since each positive counts towards its own precision.
    """
    s = np.linspace(-8, 9, 100_001)
    above, false = 0.25 * norm.sf(s - 1.2), 0.75 * norm.sf(s)
    truth = np.trapezoid(above / (above + false) * norm.pdf(s - 1.2), s)
    rng, labels, held = np.random.default_rng(5), np.repeat([0, 1], [3 * positives, positives]), 0
    for _ in range(1000):
        estimate = average_precision(labels, rng.normal(size=len(labels)) + 1.2 * labels)
        held += estimate.low <= truth <= estimate.high
    assert lowest <= held / 1000 <= 0.97


@needs_data
@pytest.mark.real_data
def test_breastmnist_average_precision_is_the_reference_value():
    """Malignant is positive: average precision of the published predictions."""
    name = "predictions/medmnist/breastmnist_test_[AUC]0.913_[ACC]0.846@resnet18_224_1.csv"
    p = pd.read_csv(DATA / name, header=None).to_numpy()[:, 1]
    with np.load(DATA / "medmnist" / "breastmnist.npz", allow_pickle=False) as archive:
        malignant = archive["test_labels"][:, 0] == 0
    wanted = published()[name]["computed"]["average_precision_malignant"]
    assert average_precision(malignant, p).value == pytest.approx(wanted, abs=1e-9)
