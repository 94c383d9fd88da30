"""Matthews correlation and likelihood ratios against scikit-learn, a published table and paper."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from core.statistics.contingency import extreme_limits, likelihood_ratios, matthews, mcc_value


def cases(matrix: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Labels and calls (N,) that have this confusion matrix."""
    rows, columns = np.indices(np.shape(matrix))
    counts = np.ravel(matrix)
    return np.repeat(rows.ravel(), counts), np.repeat(columns.ravel(), counts)


def test_matthews_on_paper():
    """TN 1, FP 1, FN 0, TP 2: (2 · 1 − 1 · 0) / √(3 · 2 · 2 · 1) = 2 / √12."""
    assert matthews([[1, 1], [0, 2]]).value == pytest.approx(2 / np.sqrt(12))


@pytest.mark.parametrize("matrix", [[[50, 10], [5, 35]], [[90, 1], [8, 1]], [[10, 40], [30, 5]]])
def test_matthews_equals_scikit_learn_and_its_slope_a_step(matrix):
    """The value is scikit-learn's; the derivative is what adding a millionth of a case does."""
    value, slope = mcc_value(np.array(matrix))
    assert matthews(matrix).value == pytest.approx(metrics.matthews_corrcoef(*cases(matrix)), abs=1e-12)
    for i, j in np.ndindex(2, 2):
        step = np.array(matrix, dtype=float)
        step[i, j] += 1e-6
        assert (mcc_value(step)[0] - value) / 1e-6 == pytest.approx(slope[i, j], abs=1e-5)


def test_matthews_interval_is_that_of_phi():
    """The variance is the one of Bishop, Fienberg & Holland (1975) for phi, put on Fisher's scale."""
    matrix = np.array([[50, 10], [5, 35]])
    phi, n = matthews(matrix).value, 100
    (r0, r1), (c0, c1) = matrix.sum(axis=1) / n, matrix.sum(axis=0) / n
    rows, columns = (r1 - r0) / np.sqrt(r1 * r0), (c1 - c0) / np.sqrt(c1 * c0)
    variance = (1 - phi**2 + phi * (1 + phi**2 / 2) * rows * columns - 0.75 * phi**2 * (rows**2 + columns**2)) / n
    half = 1.959964 * np.sqrt(variance) / (1 - phi**2)
    wanted = np.tanh([np.arctanh(phi) - half, np.arctanh(phi) + half])
    assert (matthews(matrix).low, matthews(matrix).high) == pytest.approx(wanted, abs=1e-6)


def test_perfect_calls_keep_an_interval():
    """20 + 10 cases all right (or all wrong) are not known to be ±1 for ever."""
    right, wrong = matthews([[20, 0], [0, 10]]), matthews([[0, 20], [10, 0]])
    assert (right.value, right.high, wrong.value, wrong.low) == (1, 1, -1, -1)
    assert 0.5 < right.low < 0.9
    assert wrong.high == pytest.approx(-right.low)
    assert extreme_limits(1.0, 1000, 1000)[0] > right.low


@pytest.mark.parametrize("matrix", [[[5, 0], [3, 0]], [[0, 0], [3, 4]], [[0, 0], [0, 0]]])
def test_matthews_needs_both_rows_and_columns(matrix):
    """All called negative, or one class only: undefined with a reason, where scikit-learn says 0."""
    estimate = matthews(matrix)
    assert (estimate.value, estimate.low) == (None, None)
    assert estimate.reason


def test_likelihood_ratios_of_a_published_table():
    """Simel, Samsa & Matchar's way on paper: TP 90 of 100, FP 20 of 100 give 4.5 · exp(∓1.96 · √(1/90 − 1/100 + 1/20 − 1/100))."""
    positive, negative = likelihood_ratios([[80, 20], [10, 90]])
    half = 1.959964 * np.sqrt(1 / 90 - 1 / 100 + 1 / 20 - 1 / 100)
    assert (positive.value, positive.low, positive.high) == pytest.approx(
        (4.5, 4.5 * np.exp(-half), 4.5 * np.exp(half))
    )
    half = 1.959964 * np.sqrt(1 / 10 - 1 / 100 + 1 / 80 - 1 / 100)
    assert (negative.value, negative.low) == pytest.approx((0.125, 0.125 * np.exp(-half)))
    assert positive.method == "log method, Simel 1991"


def test_likelihood_ratios_at_their_ends():
    """No false positive: LR+ has no end. No missed case: LR− is 0 with an upper limit above it."""
    positive, negative = likelihood_ratios([[50, 0], [0, 30]])
    assert positive.value is None
    assert "no negative case was called positive" in positive.reason
    assert (negative.value, negative.low) == (0, 0)
    assert 0 < negative.high < 0.3
    assert [e.reason for e in likelihood_ratios([[5, 1], [0, 0]])] == ["no positive cases"] * 2
    assert [e.reason for e in likelihood_ratios([[0, 0], [2, 1]])] == ["no negative cases"] * 2


@pytest.mark.parametrize("n", [60, 300])
def test_intervals_cover_95_percent(n):
    """2,000 tables of n cases: Matthews correlation and both likelihood ratios are held in 93–97 %."""
    cells, rng = np.array([[0.54, 0.16], [0.075, 0.225]]), np.random.default_rng(n)
    truths = mcc_value(cells)[0], (0.225 / 0.3) / (0.16 / 0.7), (0.075 / 0.3) / (0.54 / 0.7)
    held, defined = np.zeros(3), np.zeros(3)
    for draw in rng.multinomial(n, cells.ravel(), size=2000):
        table = draw.reshape(2, 2)
        for i, estimate in enumerate((matthews(table), *likelihood_ratios(table))):
            if estimate.value is not None:
                defined[i] += 1
                held[i] += estimate.low <= truths[i] <= estimate.high
    assert (defined > 1990).all()
    assert ((held / defined >= 0.93) & (held / defined <= 0.975)).all(), (
        held / defined
    )  # wide where a cell is nearly empty
