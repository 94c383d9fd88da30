"""Intervals of proportions against printed tables, SciPy, statsmodels and their own promise of 95 %."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest
from statsmodels.stats.proportion import proportion_confint

from core.statistics.proportions import clopper_pearson, dice, mean_of_proportions, wilson


@pytest.mark.parametrize(
    ("k", "n", "score", "exact"),
    [
        (81, 263, (0.2553, 0.3662), (0.2527, 0.3676)),
        (15, 148, (0.0624, 0.1605), (0.0578, 0.1617)),
        (0, 20, (0.0000, 0.1611), (0.0000, 0.1684)),
        (1, 29, (0.0061, 0.1718), (0.0009, 0.1776)),
    ],
)
def test_intervals_equal_the_printed_ones(k, n, score, exact):
    """Both intervals are those of Newcombe's 1998 table (Stat Med 17:857, methods 3 and 5)."""
    for estimate, printed in ((wilson(k, n), score), (clopper_pearson(k, n), exact)):
        assert estimate.value == k / n
        assert estimate.n == n
        assert (round(estimate.low, 4), round(estimate.high, 4)) == printed


@pytest.mark.parametrize("n", [1, 2, 7, 60, 6851])
def test_intervals_equal_scipy_and_statsmodels(n):
    """For every kind of k, from none to all, two other libraries give the same limits."""
    for k in sorted({0, 1, n // 3, n - 1, n}):
        for estimate, scipy_name, statsmodels_name in (
            (wilson(k, n), "wilson", "wilson"),
            (clopper_pearson(k, n), "exact", "beta"),
        ):
            limits = binomtest(k, n).proportion_ci(method=scipy_name)
            assert (estimate.low, estimate.high) == pytest.approx((limits.low, limits.high), abs=1e-9)
            other = proportion_confint(k, n, method=statsmodels_name)
            assert (estimate.low, estimate.high) == pytest.approx(other, abs=1e-9)


def test_limits_at_the_ends_are_exactly_zero_and_one():
    """No rounding dust: 0 of n starts at 0 and n of n ends at 1, and neither has an interval without width."""
    for make in (wilson, clopper_pearson):
        assert make(0, 50).low == 0
        assert make(50, 50).high == 1
        assert make(0, 50).high > 0.05
        assert make(50, 50).low < 0.95


def test_a_proportion_of_nothing_is_undefined():
    """0 of 0 is None with a reason, not 0, 1 or NaN."""
    for estimate in (wilson(0, 0, reason="no positive cases"), clopper_pearson(0, 0, reason="no positive cases")):
        assert (estimate.value, estimate.low, estimate.high, estimate.n) == (None, None, None, 0)
        assert estimate.reason == "no positive cases"


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5), (1, 0)])
def test_impossible_counts_are_refused(k, n):
    """More successes than trials, or fewer than none, raise ValueError and name both numbers."""
    for make in (wilson, clopper_pearson):
        with pytest.raises(ValueError, match=f"k = {k}, n = {n}"):
            make(k, n)


def test_the_method_carries_its_note():
    """Whoever reads the estimate later sees how it was made."""
    assert wilson(1, 2).method == "Wilson"
    assert wilson(1, 2, note="most probable class").method == "Wilson, most probable class"


def test_wilson_covers_95_percent():
    """Exact coverage, averaged over 99 true proportions, lies in 93–97 % at n = 20, 50 and 200, and is never below 80 %."""
    truth = np.linspace(0.01, 0.99, 99)
    for n in (20, 50, 200):
        limits = np.array([(e.low, e.high) for e in (wilson(k, n) for k in range(n + 1))])
        inside = (limits[:, :1] <= truth) & (truth <= limits[:, 1:])  # (n + 1, 99)
        coverage = (binom.pmf(np.arange(n + 1)[:, None], n, truth) * inside).sum(axis=0)
        assert 0.93 <= coverage.mean() <= 0.97
        assert coverage.min() > 0.8


def test_clopper_pearson_never_covers_less_than_95_percent():
    """The exact interval keeps its promise at every true proportion."""
    truth, n = np.linspace(0.01, 0.99, 99), 30
    limits = np.array([(e.low, e.high) for e in (clopper_pearson(k, n) for k in range(n + 1))])
    inside = (limits[:, :1] <= truth) & (truth <= limits[:, 1:])
    assert (binom.pmf(np.arange(n + 1)[:, None], n, truth) * inside).sum(axis=0).min() >= 0.95


def test_dice_is_wilson_put_through_2x_over_1_plus_x():
    """6 of 9: x = 2/3, so 2x / (1 + x) = 4/5; its limits are those of 6 / 9, put through the same formula."""
    estimate, base = dice(6, 9, reason=""), wilson(6, 9)
    assert estimate.value == pytest.approx(0.8)
    assert estimate.low == pytest.approx(2 * base.low / (1 + base.low))
    assert estimate.high == pytest.approx(2 * base.high / (1 + base.high))
    assert estimate.n == 9
    assert dice(0, 0, reason="nothing there").reason == "nothing there"


def test_dice_and_mean_of_proportions_cover_95_percent():
    """In 4,000 samples of 120 cases the intervals of F1 and balanced accuracy hold the truth in 93–97 %."""
    cells = np.array([0.45, 0.10, 0.12, 0.33])  # TN, FP, FN, TP
    tn, fp, fn, tp = cells
    f1 = 2 * tp / (2 * tp + fp + fn)
    balanced = (tn / (tn + fp) + tp / (tp + fn)) / 2
    hits = np.zeros(2)
    for tn, fp, fn, tp in np.random.default_rng(4).multinomial(120, cells, size=4000).tolist():
        first = dice(tp, tp + fp + fn, reason="")
        second = mean_of_proportions([wilson(tn, tn + fp), wilson(tp, tp + fn)])
        hits += [first.low <= f1 <= first.high, second.low <= balanced <= second.high]
    assert np.all((hits / 4000 > 0.93) & (hits / 4000 < 0.97)), hits / 4000


def test_mean_of_proportions_on_paper():
    """8 of 10 and 5 of 10 average 0.65, each side's distance is the root of summed squares over two; n is 20."""
    a, b = wilson(8, 10), wilson(5, 10)
    mean = mean_of_proportions([a, b])
    assert mean.value == pytest.approx(0.65)
    assert mean.low == pytest.approx(0.65 - np.hypot(0.8 - a.low, 0.5 - b.low) / 2)
    assert mean.high == pytest.approx(0.65 + np.hypot(a.high - 0.8, b.high - 0.5) / 2)
    assert mean.n == 20


def test_mean_of_proportions_is_undefined_where_a_part_is():
    """A class without cases leaves no balanced accuracy, for that class's reason."""
    mean = mean_of_proportions([wilson(3, 4), wilson(0, 0, reason="no negative cases")])
    assert mean.value is None
    assert mean.reason == "no negative cases"
    assert mean_of_proportions([]).value is None
