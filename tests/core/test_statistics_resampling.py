"""Bootstrap AUC and partial AUC against slow loops over scikit-learn, and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn import metrics

from core.statistics.discrimination import auc
from core.statistics.partial_auc import partial_auc
from core.statistics.resampling import bootstrap_auc, bootstrap_metric, case_counts
from tests.core.test_statistics_discrimination import scored


def test_case_counts_keep_class_sizes_without_patients():
    """Each draw holds as many cases of each class as there are."""
    labels = np.array([0] * 7 + [1] * 3)
    for counts in case_counts(labels, None, 20, seed=1):
        assert counts[labels == 1].sum() == 3
        assert counts[labels == 0].sum() == 7


def test_case_counts_draw_patients_whole():
    """All cases of a patient are drawn equally often, and positive patients never vanish."""
    who, labels = np.array([5, 5, 5, 8, 8, 9, 9, 9, 9]), np.array([0, 0, 1, 0, 0, 0, 0, 0, 0])
    for counts in case_counts(labels, who, 20, seed=2):
        assert all(len(set(counts[who == patient])) == 1 for patient in (5, 8, 9))
        assert counts[2] == 1  # the only patient with a finding
        assert counts[3] + counts[5] == 2


@pytest.mark.parametrize("decimals", [1, 6])
def test_stratified_draws_equal_scikit_learn_on_the_same_draws(decimals):
    """Two replicates, drawn again by hand from the same seed, have scikit-learn's AUCs, ties or none."""
    labels, scores = scored(200, seed=3, decimals=decimals)
    negative, positive = np.sort(scores[labels == 0]), np.sort(scores[labels == 1])
    rng, wanted = np.random.default_rng(7), []
    for _ in range(2):
        drawn = [own[rng.integers(len(own), size=len(own))] for own in (negative, positive)]
        wanted.append(metrics.roc_auc_score(np.repeat([0, 1], [len(negative), len(positive)]), np.concatenate(drawn)))
    value = metrics.roc_auc_score(labels, scores)
    low, high = np.percentile(wanted, [2.5, 97.5])
    estimate = bootstrap_auc(labels, scores, replicates=2, seed=7)
    found = (estimate.value, estimate.low, estimate.high)
    assert found == pytest.approx((value, min(low, value), max(high, value)), abs=1e-12)


def test_patient_draws_equal_scikit_learn_with_weights():
    """AUC of whole patients drawn equals scikit-learn's with the counts as sample weights."""
    labels, scores = scored(120, seed=4, decimals=1)
    who = np.arange(120) // 3
    order = np.argsort(scores, kind="stable")
    codes = np.unique(who[order], return_inverse=True)[1]
    wanted = [
        metrics.roc_auc_score(labels[order], scores[order], sample_weight=counts)
        for counts in case_counts(labels[order], codes, 40, seed=5)
    ]
    estimate = bootstrap_auc(labels, scores, groups=who, replicates=40, seed=5)
    assert (estimate.low, estimate.high) == pytest.approx(np.percentile(wanted, [2.5, 97.5]), abs=1e-12)
    assert estimate.method == "bootstrap of 40, clustered by patient (40 patients)"


def test_bootstrap_agrees_with_delong_and_is_seeded():
    """2,000 replicates of 600 cases: within 0.006 of DeLong's limits, the same every time."""
    labels, scores = scored(600, seed=6)
    drawn, exact = bootstrap_auc(labels, scores), auc(labels, scores)
    assert (drawn.low, drawn.high) == pytest.approx((exact.low, exact.high), abs=0.006)
    assert drawn == bootstrap_auc(labels, scores)
    assert drawn != bootstrap_auc(labels, scores, seed=1)


def test_perfect_and_missing_classes():
    """Perfect separation falls back on Newcombe's limits; one class is undefined with a reason."""
    perfect = bootstrap_auc(np.repeat([0, 1], 10), np.arange(20), replicates=50)
    assert perfect.value == 1 > perfect.low > 0.7
    assert bootstrap_auc([1, 1], [0.2, 0.3]).reason
    assert partial_auc([0, 0], [0.2, 0.3]).value is None
    assert bootstrap_auc([], []).reason == "no cases"


def test_bootstrap_metric_leaves_out_what_is_undefined():
    """Draws whose metric is not finite do not count."""
    values = iter([1.0, np.nan, 3.0])
    assert bootstrap_metric(
        lambda counts: next(values), np.array([0, 1]), patients=None, replicates=3, seed=0
    ).tolist() == [1, 3]


@pytest.mark.parametrize("max_fpr", [0.05, 0.2, 0.77, 1.0])
@pytest.mark.parametrize("decimals", [1, 6])
def test_partial_auc_equals_scikit_learn(max_fpr, decimals):
    """McClish's standardised area is scikit-learn's, ties and interpolation included."""
    labels, scores = scored(300, seed=8, decimals=decimals)
    estimate = partial_auc(labels, scores, max_fpr=max_fpr, replicates=20)
    wanted = metrics.roc_auc_score(labels, scores, max_fpr=None if max_fpr == 1 else max_fpr)
    assert estimate.value == pytest.approx(wanted, abs=1e-12)
    assert estimate.low <= estimate.value <= estimate.high


def test_partial_auc_over_patients_says_so():
    """Whole patients are drawn, which the method names; a rate of 0 is refused."""
    labels, scores = scored(60, seed=9)
    assert (
        "clustered by patient (20 patients)"
        in partial_auc(labels, scores, patients=np.arange(60) // 3, replicates=20).method
    )
    with pytest.raises(ValueError, match="false-positive rate"):
        partial_auc(labels, scores, max_fpr=0)


def test_bootstrap_auc_interval_covers_95_percent():
    """500 samples of 120 cases (binormal, AUC 0.760), 150 replicates each: the truth is held in 92–97 %.

    Percentile intervals from so few replicates and cases fall a little short of 95 %; DeLong's do not, so figures use those.
    """
    rng, labels, truth = np.random.default_rng(10), np.repeat([0, 1], 60), norm.cdf(1 / np.sqrt(2))
    held = 0
    for seed in range(500):
        estimate = bootstrap_auc(labels, rng.normal(size=120) + labels, replicates=150, seed=seed)
        held += estimate.low <= truth <= estimate.high
    assert 0.92 <= held / 500 <= 0.97


def test_partial_auc_interval_is_honest():
    """150 samples of 400 cases: the truth by numeric integration is held in at least 90 % (simulation error 2 %).

    The percentile bootstrap of so small a part of the curve falls short of 95 % by one or two per cent.
    """
    fpr = np.linspace(0, 0.2, 20_001)
    area = np.trapezoid(norm.sf(norm.isf(np.maximum(fpr, 1e-15)) - 1), fpr)
    truth = (1 + (area - 0.02) / 0.18) / 2
    rng, labels, held = np.random.default_rng(11), np.repeat([0, 1], 200), 0
    for seed in range(150):
        estimate = partial_auc(labels, rng.normal(size=400) + labels, max_fpr=0.2, replicates=100, seed=seed)
        held += estimate.low <= truth <= estimate.high
    assert held / 150 >= 0.90
