"""Agreement against statsmodels, scikit-learn, published tables and paper."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import cohens_kappa

from core.statistics.agreement import (
    cohen_kappa,
    cohen_kappa_from_table,
    negative_agreement,
    positive_agreement,
    raw_agreement,
    raw_agreement_from_table,
)
from core.statistics.proportions import wilson
from tests.core.reference import DATA, needs_data, published

WEIGHTS = (None, "linear", "quadratic")
PAPER = np.array([[20, 5], [10, 15]])  # agreement 0.7, by chance 0.5


def test_raw_agreement_is_a_proportion_with_wilsons_interval():
    """Three of four equal: 0.75, the limits of 3 / 4, from labels of any kind or from their table."""
    estimate = raw_agreement(["a", "b", "b", "a"], ["a", "b", "b", "b"])
    assert estimate == wilson(3, 4)
    assert raw_agreement_from_table([[1, 1], [0, 2]]) == estimate
    assert raw_agreement([], []).value is None
    with pytest.raises(ValueError, match="same shape"):
        raw_agreement([0, 1], [0])


def test_kappa_on_paper():
    """(0.7 − 0.5) / (1 − 0.5) = 0.4; two classes have but one kind of disagreement, so weights change nothing."""
    for weights in WEIGHTS:
        estimate = cohen_kappa_from_table(PAPER, weights)
        assert estimate.value == pytest.approx(0.4)
        assert estimate.n == 50


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("classes", [2, 3, 8])
def test_kappa_and_standard_error_equal_statsmodels(weights, classes):
    """Value and asymptotic standard error are those of an independent implementation."""
    rng = np.random.default_rng(classes)
    table = rng.integers(1, 9, (classes, classes)) + 20 * np.eye(classes, dtype=int)
    other = cohens_kappa(table, wt=weights)
    estimate = cohen_kappa_from_table(table, weights)
    assert estimate.value == pytest.approx(other.kappa, abs=1e-12)
    assert (estimate.low, estimate.high) == pytest.approx((other.kappa_low, other.kappa_upp), abs=1e-9)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_kappa_of_labels_equals_scikit_learn(weights):
    """From two label arrays, with a class that nobody used."""
    rng = np.random.default_rng(1)
    a = rng.integers(0, 3, 90)
    b = np.where(rng.random(90) < 0.6, a, rng.integers(0, 3, 90))
    wanted = cohen_kappa_score(a, b, labels=range(4), weights=weights)
    assert cohen_kappa(a, b, 4, weights).value == pytest.approx(wanted, abs=1e-12)


def test_kappa_covers_95_percent():
    """In 2,000 samples of 200 cases in three classes the interval holds the true kappa in 93–97 %."""
    cells = np.array([[0.30, 0.05, 0.02], [0.06, 0.25, 0.04], [0.01, 0.07, 0.20]])
    chance = cells.sum(axis=1) @ cells.sum(axis=0)
    truth = (np.trace(cells) - chance) / (1 - chance)
    tables = np.random.default_rng(2).multinomial(200, cells.ravel(), size=2000).reshape(-1, 3, 3)
    estimates = [cohen_kappa_from_table(table) for table in tables]
    assert 0.93 <= np.mean([e.low <= truth <= e.high for e in estimates]) <= 0.97


@pytest.mark.parametrize("weights", WEIGHTS)
def test_perfect_agreement_keeps_an_interval_with_a_width(weights):
    """Ten of ten: kappa 1, but the lower limit is that of 10 / 10 agreements, (0.7225 − 0.5) / (1 − 0.5)."""
    estimate = cohen_kappa_from_table([[5, 0], [0, 5]], weights)
    assert (estimate.value, estimate.high) == (1.0, 1.0)
    assert estimate.low == pytest.approx((wilson(10, 10).low - 0.5) / 0.5)
    assert "Wilson" in estimate.method


def test_a_reader_who_never_varies_has_kappa_zero_and_a_wide_interval():
    """One reader says benign ten times, the other five: kappa is 0 whatever happens, which says nothing precise."""
    estimate = cohen_kappa_from_table([[5, 5], [0, 0]])
    assert estimate.value == 0
    assert estimate.low < -0.4 < 0.4 < estimate.high


def test_kappa_is_undefined_where_chance_agreement_is_complete():
    """Both readers used one and the same class, or there are no cases: None with a reason, not 1 or NaN."""
    for table, n in (([[7, 0], [0, 0]], 7), ([[0, 0], [0, 0]], 0)):
        for weights in WEIGHTS:
            estimate = cohen_kappa_from_table(table, weights)
            assert (estimate.value, estimate.low, estimate.n) == (None, None, n)
            assert estimate.reason


def test_complete_disagreement_stays_above_minus_one():
    """Kappa −1 is cut at −1 and keeps a width too."""
    estimate = cohen_kappa_from_table([[0, 6], [6, 0]])
    assert estimate.value == estimate.low == -1.0
    assert estimate.high > -0.9


def test_broken_tables_and_weights_are_refused():
    """A table that is not square counts, labels outside the classes, or unknown weights raise ValueError."""
    with pytest.raises(ValueError, match="table must"):
        cohen_kappa_from_table([[1, 2, 3], [4, 5, 6]])
    with pytest.raises(ValueError, match="from 0 to 1"):
        cohen_kappa([0, 2], [0, 1], 2)
    with pytest.raises(ValueError, match="weights must be"):
        cohen_kappa_from_table(PAPER, "cubic")


def test_positive_and_negative_agreement_on_paper():
    """2·15 / (2·15 + 15) = 2/3 and 2·20 / (2·20 + 15) = 8/11, each inside its interval."""
    positive, negative = positive_agreement(PAPER), negative_agreement(PAPER)
    assert positive.value == pytest.approx(2 / 3)
    assert negative.value == pytest.approx(8 / 11)
    for estimate in (positive, negative):
        assert estimate.low < estimate.value < estimate.high


def test_specific_agreement_without_such_calls_is_undefined():
    """If neither reader ever says positive, there is no positive agreement; the negative one is 1."""
    table = [[9, 0], [0, 0]]
    assert positive_agreement(table).reason == "neither called any case positive"
    assert negative_agreement(table).value == 1.0


@needs_data
@pytest.mark.real_data
def test_kappa_of_three_abstractors_equals_the_published_value():
    """cont3x3abstractors: kappa 0.7964, standard error 0.0589, agreement 0.89 of 100, as the R package irrCAC prints."""
    table = pd.read_csv(DATA / "reader_studies" / "cont3x3abstractors.csv").iloc[:, 1:].to_numpy()
    wanted = published()["reader_studies/cont3x3abstractors.csv"]
    estimate = cohen_kappa_from_table(table)
    assert estimate.value == pytest.approx(wanted["cohen_kappa"][0], abs=5e-8)
    half = 1.959963985 * wanted["cohen_kappa"][1]
    assert (estimate.high - estimate.low) / 2 == pytest.approx(half, abs=5e-8)
    assert raw_agreement_from_table(table).value == wanted["percent_agreement"][0]


@needs_data
@pytest.mark.real_data
@pytest.mark.parametrize(
    ("weights", "key"), [(None, "cohen_kappa"), ("linear", "linear_weighted"), ("quadratic", "quadratic_weighted")]
)
def test_weighted_kappas_of_the_anxiety_ratings(weights, key):
    """Raters 1 and 2 of the anxiety data: plain, linear and quadratic kappa equal the reference values."""
    table = pd.read_csv(DATA / "reader_studies" / "anxiety_3raters.csv")
    estimate = cohen_kappa(table["rater1"].to_numpy() - 1, table["rater2"].to_numpy() - 1, 6, weights)
    wanted = published()["reader_studies/anxiety_3raters.csv"]["rater1_vs_rater2"][key]
    assert estimate.value == pytest.approx(wanted, abs=1e-12)
