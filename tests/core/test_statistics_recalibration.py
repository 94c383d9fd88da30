"""Calibration slope and intercept against statsmodels and simulation."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit

from core.statistics.recalibration import recalibration


def predicted(n: int, seed: int, intercept: float = 0.0, slope: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes and predictions (n,) that lie on that line of log odds."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(scale=1.5, size=n)
    return (rng.random(n) < expit(intercept + slope * odds)).astype(int), expit(odds)


@pytest.mark.parametrize(("intercept", "slope"), [(0, 1), (-0.8, 0.4), (0.5, 2.5)])
def test_line_and_level_equal_statsmodels(intercept, slope):
    """Coefficients and Wald limits are those of statsmodels' logistic regression, the level's with an offset."""
    labels, p = predicted(400, seed=1, intercept=intercept, slope=slope)
    found = recalibration(labels, p)
    line = sm.GLM(labels, sm.add_constant(logit(p)), family=sm.families.Binomial()).fit(tol=1e-12)
    level = sm.GLM(labels, np.ones(400), family=sm.families.Binomial(), offset=logit(p)).fit(tol=1e-12)
    for estimate, fit, i in ((found.intercept, line, 0), (found.slope, line, 1), (found.in_the_large, level, 0)):
        assert estimate.value == pytest.approx(fit.params[i], abs=1e-7)
        assert (estimate.low, estimate.high) == pytest.approx(tuple(fit.conf_int()[i]), abs=1e-6)


def test_patients_give_statsmodels_cluster_covariance():
    """Over patients the standard errors are statsmodels' cluster-robust ones, its (N − 1) / (N − Q) correction aside."""
    labels, p = predicted(300, seed=2)
    who = np.arange(300) // 3
    estimate = recalibration(labels, p, patients=who).slope
    fit = sm.Logit(labels, sm.add_constant(logit(p))).fit(disp=0, cov_type="cluster", cov_kwds={"groups": who})
    error = (estimate.high - estimate.low) / 2 / 1.9842  # Student's quantile with 99 degrees of freedom
    assert error == pytest.approx(fit.bse[1] / np.sqrt(299 / 298), rel=1e-3)
    assert "100 patients" in estimate.method


def test_calibrated_predictions_lie_on_the_diagonal():
    """200,000 calibrated predictions: slope 1 and intercept 0 within 0.02."""
    found = recalibration(*predicted(200_000, seed=3))
    assert found.slope.value == pytest.approx(1, abs=0.02)
    assert found.in_the_large.value == pytest.approx(0, abs=0.02)


def test_certain_predictions_have_log_odds_too():
    """Probabilities of exactly 0 and 1 count as 1e-12 from there, and give finite numbers."""
    found = recalibration([0, 1, 0, 1, 1, 0], [0.0, 1.0, 0.2, 0.9, 0.0, 1.0])
    assert all(np.isfinite([e.value, e.low, e.high]).all() for e in (found.slope, found.intercept, found.in_the_large))


@pytest.mark.parametrize(
    ("labels", "p", "reason"),
    [
        ([0, 0, 1], [0.3, 0.3, 0.3], "all predictions are equal"),
        ([0, 0, 1, 1], [0.1, 0.2, 0.2, 0.8], "the predictions separate the classes"),
        ([1, 1, 0, 0], [0.1, 0.2, 0.3, 0.8], "the predictions separate the classes"),
        ([1, 1], [0.1, 0.2], "the reference standard holds one class only"),
        ([], [], "no cases"),
    ],
)
def test_a_line_without_end_is_undefined(labels, p, reason):
    """Separated classes, equal predictions, one class or none: no slope, and the reason."""
    found = recalibration(labels, p)
    assert found.slope.value is None
    assert found.slope.reason == found.intercept.reason == reason


def test_equal_predictions_still_have_a_level():
    """All predict 0.3 and half are positive: the level is logit(0.5) − logit(0.3)."""
    found = recalibration([0, 1, 0, 1], [0.3] * 4)
    assert found.in_the_large.value == pytest.approx(-logit(0.3))


def test_certainty_that_is_always_right_leaves_a_flat_likelihood():
    """Predictions of exactly 0 and 1, all right: any level fits, so none is given, and nothing is raised."""
    found = recalibration([0, 1, 0, 1], [0.0, 1.0, 0.0, 1.0])
    assert found.in_the_large.value is None
    assert found.in_the_large.reason == "the predictions are too near 0 and 1"


def test_intervals_cover_95_percent():
    """1,000 samples of 300 cases on a line of slope 0.8 and intercept 0.3: both limits hold them in 93–97 %."""
    held = np.zeros(2)
    for seed in range(1000):
        found = recalibration(*predicted(300, seed, intercept=0.3, slope=0.8))
        held += [found.intercept.low <= 0.3 <= found.intercept.high, found.slope.low <= 0.8 <= found.slope.high]
    assert ((held / 1000 >= 0.93) & (held / 1000 <= 0.97)).all()
