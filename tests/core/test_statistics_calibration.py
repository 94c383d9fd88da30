"""Brier score, log loss and calibration against scikit-learn, published values and paper."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics

from core.statistics.calibration import brier, calibration_bins, ece, log_loss, top_label
from tests.core.reference import DATA, needs_data, published


def probabilities(n: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n,) drawn from their own probabilities (n, classes): a perfectly calibrated model."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(classes), size=n)
    return (p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=classes - 1), p


def test_brier_of_two_classes_on_paper():
    """(0.1² + 0.2² + 0.5²) / 3 = 0.1, whether P(positive) or both columns are given."""
    labels, p = np.array([0, 1, 1]), np.array([0.1, 0.8, 0.5])
    for given in (p, np.column_stack([1 - p, p])):
        assert brier(labels, given).value == pytest.approx(0.1)
    assert brier(labels, p).n == 3


def test_brier_of_more_classes_sums_over_classes():
    """One case, 0.5 on the right class of three and 0.25 on the others: 0.25 + 2 · 0.0625 = 0.375."""
    estimate = brier([0, 0], [[0.5, 0.25, 0.25]] * 2)
    assert estimate.value == pytest.approx(0.375)
    assert "summed over classes" in estimate.method


@pytest.mark.parametrize("classes", [2, 3, 8])
def test_log_loss_and_brier_equal_scikit_learn(classes):
    """For any number of classes both means are scikit-learn's."""
    labels, p = probabilities(200, classes)
    wanted = metrics.log_loss(labels, p, labels=range(classes))
    assert log_loss(labels, p).value == pytest.approx(wanted, abs=1e-12)
    squares = np.sum((p - np.eye(classes)[labels]) ** 2, axis=1) / (2 if classes == 2 else 1)
    assert brier(labels, p).value == pytest.approx(squares.mean(), abs=1e-12)
    if classes == 2:
        assert brier(labels, p[:, 1]).value == pytest.approx(metrics.brier_score_loss(labels, p[:, 1]), abs=1e-12)


def test_their_intervals_are_students():
    """SciPy's t interval of the per-case losses gives the same limits, which never fall below 0."""
    labels, p = probabilities(40, 2, seed=1)
    losses = (p[:, 1] - labels) ** 2
    low, high = stats.t.interval(0.95, 39, losses.mean(), losses.std(ddof=1) / np.sqrt(40))
    assert (brier(labels, p).low, brier(labels, p).high) == pytest.approx((low, high), abs=1e-9)
    assert brier([0, 0, 0], [0.0, 0.0, 0.9]).low == 0.0


def test_a_sure_mistake_costs_much_but_not_infinitely():
    """P(right class) = 0 counts as 2.2e-16, so the mean over two cases is 36.04 / 2."""
    assert log_loss([1, 1], [0.0, 1.0]).value == pytest.approx(-np.log(np.finfo(float).eps) / 2)


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_cases_are_undefined(n):
    """No case has no mean and one case no interval: None with a reason."""
    labels, p = np.zeros(n, dtype=int), np.full(n, 0.2)
    for estimate in (brier(labels, p), log_loss(labels, p), ece(labels, p)):
        assert estimate.value is None
        assert estimate.reason
        assert estimate.n == n


@pytest.mark.parametrize(
    ("labels", "p", "message"),
    [
        ([0, 1], [0.2, 1.2], r"\[0, 1\]"),
        ([0, 1], [0.2, float("nan")], r"\[0, 1\]"),
        ([0, 1], [[0.5, 0.6], [0.5, 0.5]], "sum to 1"),
        ([0], [0.2, 0.3], "equally many"),
        ([0, 2], [[0.5, 0.5]] * 2, "from 0 to 1"),
        ([0], [[1.0]], "shape"),
    ],
)
def test_what_is_no_probability_is_refused(labels, p, message):
    """Values outside [0, 1], NaN, rows that do not sum to 1 and unequal lengths raise ValueError and say which."""
    for function in (brier, log_loss):
        with pytest.raises(ValueError, match=message):
            function(labels, p)


def test_calibration_bins_on_paper():
    """Two bins: 0.5 belongs to the lower one, an empty bin has no mean."""
    bins = calibration_bins([0, 1, 1], [0.0, 0.5, 0.9], bins=2)
    assert bins.edges.tolist() == [0, 0.5, 1]
    assert bins.counts.tolist() == [2, 1]
    assert bins.probability.tolist() == [0.25, 0.9]
    assert bins.frequency.tolist() == [0.5, 1.0]
    empty = calibration_bins([1], [0.9], bins=2)
    assert np.isnan(empty.probability[0])
    assert empty.counts.tolist() == [0, 1]
    with pytest.raises(ValueError, match="top_label"):
        calibration_bins([0], [[0.5, 0.5]])
    with pytest.raises(ValueError, match="at least one bin"):
        calibration_bins([0], [0.5], bins=0)


def test_ece_on_paper():
    """One bin: |mean of outcomes − mean of probabilities| = |0.5 − 0.8| = 0.3."""
    assert ece([1, 0], [0.9, 0.7], bins=1).value == pytest.approx(0.3)


def test_ece_is_the_weighted_gap_of_its_bins():
    """The value follows from the bins that are drawn: Σ n · |frequency − probability| / N."""
    labels, p = probabilities(300, 3, seed=2)
    correct, confidence = top_label(labels, p)
    bins = calibration_bins(correct, confidence, bins=15)
    full = bins.counts > 0
    gaps = np.abs(bins.frequency - bins.probability)[full]
    assert ece(correct, confidence, bins=15).value == pytest.approx(float((bins.counts[full] * gaps).sum() / 300))


def test_ece_interval_covers_a_calibrated_and_an_overconfident_model():
    """In 150 samples of 300 the interval holds the true error, 0 and 0.2, in at least 93 %: a plain bootstrap never holds 0."""
    rng = np.random.default_rng(3)
    for excess in (0.0, 0.2):
        held = 0
        for _ in range(150):
            truth = rng.uniform(0.05, 0.75, size=300)
            estimate = ece((rng.random(300) < truth).astype(int), truth + excess, replicates=200)
            held += estimate.low <= excess + 1e-12 and excess <= estimate.high
        assert held / 150 >= 0.93


def test_ece_is_the_same_every_time():
    """The bootstrap is seeded: the same arrays give the same interval."""
    labels, p = probabilities(100, 2, seed=4)
    assert ece(labels, p[:, 1]) == ece(labels, p[:, 1])


@needs_data
@pytest.mark.real_data
def test_breastmnist_predictions_reproduce_the_reference_values():
    """Brier score, log loss and ECE of the published BreastMNIST predictions equal the reference values."""
    name = "predictions/medmnist/breastmnist_test_[AUC]0.913_[ACC]0.846@resnet18_224_1.csv"
    wanted = published()[name]["computed"]
    p = pd.read_csv(DATA / name, header=None).to_numpy()[:, 1:]
    with np.load(DATA / "medmnist" / "breastmnist.npz", allow_pickle=False) as archive:
        labels = archive["test_labels"][:, 0]
    assert brier(labels, p).value == pytest.approx(wanted["brier"], abs=1e-6)
    assert log_loss(labels, p).value == pytest.approx(wanted["log_loss"], abs=1e-6)
    assert ece(*top_label(labels, p)).value == pytest.approx(wanted["ece_top_label_10_equal_bins"], abs=1e-6)


def test_intervals_of_brier_score_and_log_loss_cover_95_percent():
    """1,000 samples of 150 calibrated cases with uniform p: truths 1/6 and 1/2 are held in 93–97 %."""
    rng, held = np.random.default_rng(9), np.zeros(2)
    for _ in range(1000):
        p = rng.random(150)
        labels = (rng.random(150) < p).astype(int)
        for i, (estimate, truth) in enumerate(((brier(labels, p), 1 / 6), (log_loss(labels, p), 1 / 2))):
            held[i] += estimate.low <= truth <= estimate.high
    assert ((held / 1000 >= 0.93) & (held / 1000 <= 0.97)).all()


def test_ece_of_many_cases_draws_normal_numbers_that_agree_with_the_bootstrap():
    """Just below and above 2,000 cases the two ways give nearly the same interval, and the method names each."""
    labels, p = probabilities(2000, 2, seed=5)
    above, below = ece(labels, p[:, 1]), ece(labels[:-1], p[:-1, 1])
    assert (above.low, above.high) == pytest.approx((below.low, below.high), abs=0.002)
    assert (above.method, below.method) == ("10 equal bins, normal draws", "10 equal bins, bootstrap")
