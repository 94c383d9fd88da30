"""Coefficients of many readers against published values, statsmodels, Cohen's kappa and paper."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import stdtrit
from statsmodels.stats.inter_rater import aggregate_raters
from statsmodels.stats.inter_rater import fleiss_kappa as other_fleiss

from core.statistics.agreement import cohen_kappa, positive_agreement
from core.statistics.agreement_alpha import LEVELS, _alpha, distances, krippendorff_alpha
from core.statistics.agreement_many import (
    brennan_prediger,
    conger_kappa,
    fleiss_kappa,
    gwet_ac,
    percent_agreement,
    specific_agreement,
)
from core.statistics.agreement_table import counts_of
from core.statistics.agreement_weights import agreement_weights
from tests.core.reference import DATA, needs_data, published

FOLDER = DATA / "reader_studies"
OF_COUNTS = {"gwet_ac1": gwet_ac, "fleiss_kappa": fleiss_kappa, "brennan_prediger": brennan_prediger,
             "percent_agreement": percent_agreement, "krippendorff_alpha": krippendorff_alpha}  # fmt: skip


def standard_error(estimate, cases):
    """What the lower limit, which nothing cuts here, was made from."""
    return (estimate.value - estimate.low) / stdtrit(cases - 1, 0.975)


def raw_ratings():
    """Codes (12, 4) of the file with gaps."""
    table = pd.read_csv(FOLDER / "cac.raw4raters.csv").set_index("Units")
    return table.fillna(0).to_numpy().astype(int) - 1


@needs_data
def test_six_raters_as_published():
    """Values and standard errors of 15 subjects; alpha's error is linearised in another way and near the published one."""
    wanted = published()["reader_studies/distrib.6raters.csv"]
    counts = pd.read_csv(FOLDER / "distrib.6raters.csv").iloc[:, 1:].to_numpy()
    assert percent_agreement(counts).value == pytest.approx(wanted["percent_agreement"], abs=5e-8)
    for name in ("gwet_ac1", "fleiss_kappa", "brennan_prediger", "krippendorff_alpha"):
        estimate = OF_COUNTS[name](counts)
        assert estimate.value == pytest.approx(wanted[name][0], abs=5e-8)
        near = 0.03 * wanted[name][1] if name == "krippendorff_alpha" else 5e-8
        assert standard_error(estimate, 15) == pytest.approx(wanted[name][1], abs=near)
        assert estimate.n == 15


@needs_data
def test_four_raters_with_gaps_as_published():
    """Values and standard errors of 12 units, one of which has a single rating."""
    wanted, codes = published()["reader_studies/cac.raw4raters.csv"], raw_ratings()
    counts = counts_of(codes, 5)
    for name in ("percent_agreement", "gwet_ac1", "fleiss_kappa", "krippendorff_alpha"):
        estimate = OF_COUNTS[name](counts)
        assert estimate.value == pytest.approx(wanted[name][0], abs=6e-6)
        cases, near = (11, 0.03 * wanted[name][1]) if name == "krippendorff_alpha" else (12, 6e-6)
        assert standard_error(estimate, cases) == pytest.approx(wanted[name][1], abs=near)
        assert estimate.n == 11
    conger = conger_kappa(codes, 5)
    assert (conger.value, standard_error(conger, 12)) == pytest.approx(wanted["conger_kappa"], abs=6e-6)


@needs_data
def test_two_raters_as_published():
    """A 3×3 table of 100 subjects; the published errors of two raters divide by n, these by n − 1."""
    wanted = published()["reader_studies/cont3x3abstractors.csv"]
    table = pd.read_csv(FOLDER / "cont3x3abstractors.csv").iloc[:, 1:].to_numpy()
    codes = np.array([(i, j) for i in range(3) for j in range(3) for _ in range(table[i, j])])
    counts = counts_of(codes, 3)
    found = {name: function(counts) for name, function in OF_COUNTS.items()}
    found |= {"cohen_kappa": conger_kappa(codes, 3), "scott_pi": found["fleiss_kappa"]}
    for name in ("cohen_kappa", "scott_pi", "gwet_ac1", "brennan_prediger", "percent_agreement", "krippendorff_alpha"):
        value, error = wanted[name][:2]
        assert found[name].value == pytest.approx(value, abs=5e-8)
        if name != "krippendorff_alpha":
            assert standard_error(found[name], 100) * np.sqrt(0.99) == pytest.approx(error, abs=5e-8)


@needs_data
def test_fleiss_diagnoses():
    """30 patients and 6 raters (Fleiss 1971), by the published value and by statsmodels."""
    table = pd.read_csv(FOLDER / "fleiss1971_diagnoses.csv")
    counts, _ = aggregate_raters(pd.Categorical(table.to_numpy().ravel()).codes.reshape(table.shape))
    wanted = published()["reader_studies/fleiss1971_diagnoses.csv"]["fleiss_kappa"]
    assert fleiss_kappa(counts).value == pytest.approx(wanted, abs=5e-9)
    assert fleiss_kappa(counts).value == pytest.approx(other_fleiss(counts), abs=1e-12)


@pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
def test_conger_of_two_readers_is_cohens_kappa(weights):
    """Weighted or not, with a category that nobody used; its interval is near Cohen's own."""
    rng = np.random.default_rng(5)
    a = rng.integers(0, 3, 200)
    b = np.where(rng.random(200) < 0.6, a, rng.integers(0, 3, 200))
    ours, cohen = conger_kappa(np.stack([a, b], 1), 4, agreement_weights(4, weights)), cohen_kappa(a, b, 4, weights)
    assert ours.value == pytest.approx(cohen.value, abs=1e-12)
    assert (ours.low, ours.high) == pytest.approx((cohen.low, cohen.high), abs=0.004)


def test_on_paper():
    """Two readers, four cases, three agreements: AC1 with shares 5/8 and 3/8 expects 15/32, Fleiss 17/32, B–P 1/2."""
    counts = counts_of(np.array([[0, 0], [0, 0], [1, 1], [0, 1]]), 2)
    assert percent_agreement(counts).value == 0.75
    assert gwet_ac(counts).value == pytest.approx((3 / 4 - 15 / 32) / (17 / 32))
    assert fleiss_kappa(counts).value == pytest.approx((3 / 4 - 17 / 32) / (15 / 32))
    assert brennan_prediger(counts).value == pytest.approx(0.5)


def test_krippendorffs_own_example():
    """Four observers, 12 units with gaps (Krippendorff 2011): nominal 0.743, ordinal 0.815, interval 0.849."""
    nan = -1
    units = [[1, 1, nan, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4], [4, 4, 4, 4],
             [1, 1, 2, 1], [2, 2, 2, 2], [nan, 5, 5, 5], [nan, nan, 1, 1], [nan, nan, 3, nan]]  # fmt: skip
    codes = np.array(units)
    counts = counts_of(np.where(codes > 0, codes - 1, -1), 5)
    for level, value in (("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)):
        estimate = krippendorff_alpha(counts, level)
        assert round(estimate.value, 3) == value
        assert estimate.low < value < estimate.high
        assert estimate.n == 11


def test_alpha_of_interval_values_does_not_depend_on_their_unit():
    """Numbers ten times as large, and shifted, have the same alpha and interval."""
    counts = counts_of(np.random.default_rng(1).integers(0, 3, (30, 3)), 3)
    one = krippendorff_alpha(counts, "interval", values=np.array([0.0, 1.0, 5.0]))
    ten = krippendorff_alpha(counts, "interval", values=np.array([7.0, 17.0, 57.0]))
    assert (one.value, one.low, one.high) == pytest.approx((ten.value, ten.low, ten.high))
    assert one.value != pytest.approx(krippendorff_alpha(counts, "interval").value)


@pytest.mark.parametrize("level", LEVELS)
def test_alphas_linearised_error_is_that_of_the_jackknife(level):
    """Leaving out one of 60 cases at a time gives the same standard error to a few per cent."""
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 4, (60, 1))
    codes = np.where(rng.random((60, 4)) < 0.6, truth, rng.integers(-1, 4, (60, 4)))
    counts = counts_of(codes, 4)
    left = [krippendorff_alpha(np.delete(counts, i, axis=0), level).value for i in range(60)]
    jackknife = np.sqrt(59 / 60 * np.sum((left - np.mean(left)) ** 2))
    estimate = krippendorff_alpha(counts, level)
    assert standard_error(estimate, estimate.n) == pytest.approx(jackknife, rel=0.05)


@pytest.mark.parametrize("function", [fleiss_kappa, gwet_ac, krippendorff_alpha])
def test_intervals_cover_95_percent(function):
    """500 samples of 80 cases and three readers; truth is the value of a very large sample."""
    rng = np.random.default_rng(3)

    def sample(n):
        truth = rng.random((n, 1)) < 0.3
        return counts_of(np.where(rng.random((n, 3)) < 0.8, truth, ~truth).astype(int), 2)

    truth = function(sample(200_000)).value
    estimates = [function(sample(80)) for _ in range(500)]
    assert 0.92 <= np.mean([e.low <= truth <= e.high for e in estimates]) <= 0.975


def test_specific_agreement():
    """Two readers: Cicchetti & Feinstein's positive agreement; three readers on paper: 6 + 2 of 6 + 4 + 2 pairs."""
    codes = np.array([[1, 1]] * 7 + [[1, 0]] * 2 + [[0, 1]] + [[0, 0]] * 10)
    table = np.array([[10, 1], [2, 7]])
    assert specific_agreement(counts_of(codes, 2), 1).value == pytest.approx(positive_agreement(table).value)
    three = np.array([[0, 3], [1, 2], [2, 1], [3, 0]])
    estimate = specific_agreement(three, 1)
    assert (estimate.value, estimate.n) == (pytest.approx(8 / 12), 3)
    assert specific_agreement(np.array([[2, 0], [3, 0]]), 1).value is None


def test_perfect_agreement_keeps_a_width_and_one_category_is_undefined():
    """Wilson's limits of the agreement at the expected one; None with the reason where chance agreement is complete."""
    perfect = np.array([[3, 0], [0, 3], [3, 0], [0, 3]])
    for function in (fleiss_kappa, gwet_ac, brennan_prediger, krippendorff_alpha, percent_agreement):
        estimate = function(perfect)
        assert (estimate.value, estimate.high) == (1.0, 1.0)
        assert estimate.low < 0.75
    codes = np.array([[0, 0], [1, 1], [0, 0]])
    assert conger_kappa(codes, 2).low < 0.75
    for function in (fleiss_kappa, krippendorff_alpha):
        same = function(np.array([[3, 0], [3, 0]]))
        assert (same.value, same.n) == (None, 2)
        assert "one category" in same.reason
    assert gwet_ac(np.array([[3, 0], [3, 0]])).value == 1.0  # what Gwet's coefficient is for


@pytest.mark.parametrize("counts", [np.zeros((0, 2), int), np.zeros((3, 2), int), np.array([[1, 0], [0, 1]])])
def test_nothing_to_compare_is_undefined(counts):
    """No cases, no ratings, or one rating each."""
    for function in (*OF_COUNTS.values(), lambda c: specific_agreement(c, 0)):
        estimate = function(counts)
        assert (estimate.value, estimate.low, estimate.n) == (None, None, 0)
        assert estimate.reason
    assert conger_kappa(np.array([[0, -1], [-1, 1]]), 2).value is None
    assert conger_kappa(np.full((2, 2), -1), 2).value is None


def test_with_gaps_a_coefficient_can_lie_below_minus_one():
    """Two disagreements beside nine single ratings of one category: (0 − 101/121) / (20/121), and an interval that holds it."""
    estimate = fleiss_kappa(np.array([[1, 1]] * 2 + [[1, 0]] * 9))
    assert estimate.value == pytest.approx(-101 / 20)
    assert estimate.low <= estimate.value <= estimate.high


def test_one_case_has_no_interval():
    """So it has no value either."""
    for function in OF_COUNTS.values():
        assert function(np.array([[2, 1]])).value is None


def test_wrong_arguments():
    """Negative counts, weights of another size, unknown names."""
    with pytest.raises(ValueError, match="counts"):
        fleiss_kappa(np.array([[-1, 2]]))
    with pytest.raises(ValueError, match="weights must have shape"):
        fleiss_kappa(np.array([[1, 2]]), np.eye(3))
    with pytest.raises(ValueError, match="level"):
        krippendorff_alpha(np.array([[1, 2]]), "ratio")
    with pytest.raises(ValueError, match="linear or quadratic"):
        agreement_weights(3, "cubic")


def test_the_derivative_of_ordinal_alpha_is_that_of_small_changes():
    """A case that counts a millionth more moves alpha by its influence, distances included."""
    counts = counts_of(np.random.default_rng(1).integers(0, 4, (30, 3)), 4).astype(float)
    influence = _alpha(counts, "ordinal", None)[1]

    def weighed(step):
        totals, pairs = step @ counts, 0
        for row, weight in zip(counts, step, strict=True):
            pairs = pairs + weight * (np.outer(row, row) - np.diag(row)) / (row.sum() - 1)
        apart = distances(totals, "ordinal")
        return 1 - (totals.sum() - 1) * np.sum(pairs * apart) / (totals @ apart @ totals)

    for i in range(5):
        step = np.ones(30)
        step[i] += 1e-6
        assert (weighed(step) - weighed(np.ones(30))) / 1e-6 == pytest.approx(influence[i], rel=1e-3, abs=1e-6)


def test_weights_on_paper():
    """Three categories 0, 1, 5 apart: the largest distance is a weight of 0."""
    np.testing.assert_allclose(agreement_weights(3, "linear", np.array([0, 1, 5]))[0], [1, 0.8, 0])
    np.testing.assert_allclose(agreement_weights(3, "quadratic")[0], [1, 0.75, 0])
