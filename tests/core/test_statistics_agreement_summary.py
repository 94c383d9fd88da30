"""Tables of ratings, numbers, and pairs of readers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from core.records import BIRADS, BIRADS_ORDERED, Refused
from core.statistics.agreement import cohen_kappa, negative_agreement, positive_agreement
from core.statistics.agreement_many import fleiss_kappa
from core.statistics.agreement_numbers import icc_2_1, limits_of_agreement
from core.statistics.agreement_summary import PAIR_STATISTICS, against, agreement_summary, coefficient_names, pairwise
from core.statistics.agreement_table import Ratings, ratings_table
from core.statistics.proportions import wilson
from tests.core.reference import DATA, needs_data, published


def long(codes):
    """A long table of a matrix (N, R); None is a gap."""
    rows = [(f"c{i}", f"r{j}", value) for i, row in enumerate(codes) for j, value in enumerate(row)]
    return pd.DataFrame(rows, columns=["case", "reader", "rating"])


@needs_data
def test_anxiety_scores_as_published():
    """Two raters' kappas by scikit-learn's values; ICC(2,1) of three as the R package irr prints it."""
    table = pd.read_csv(DATA / "reader_studies" / "anxiety_3raters.csv")
    ratings, wanted = ratings_table(long(table.to_numpy())), published()["reader_studies/anxiety_3raters.csv"]
    pair = wanted["rater1_vs_rater2"]
    for statistic, name in (
        ("kappa", "cohen_kappa"),
        ("linear", "linear_weighted"),
        ("quadratic", "quadratic_weighted"),
    ):
        assert pairwise(ratings, statistic).estimates["r0", "r1"].value == pytest.approx(pair[name], abs=1e-12)
    found = agreement_summary(ratings, "interval")["ICC(2,1)"]
    assert [round(x, 3) for x in (found.value, found.low, found.high)] == [0.198, -0.039, 0.494]


def test_shrout_and_fleiss():
    """Their table 2 (1979): six targets, four judges, ICC(2,1) = 0.29; limits 0.019 and 0.761 (McGraw & Wong)."""
    judged = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])
    found = icc_2_1(judged)
    assert [round(x, 3) for x in (found.value, found.low, found.high)] == [0.290, 0.019, 0.761]
    with_gap = np.vstack([judged, [np.nan, 1, 2, 3]])
    assert icc_2_1(with_gap) == found
    assert icc_2_1(judged * 10.0 + 3).value == pytest.approx(found.value)


def test_icc_borders():
    """Equal numbers have none, exact agreement has no interval, one case or reader is too few."""
    assert icc_2_1(np.full((5, 2), 3.0)).value is None
    exact = icc_2_1(np.array([[1, 1], [2, 2], [5, 5]]))
    assert (exact.value, exact.low) == (1.0, None)
    assert exact.reason
    swapped = icc_2_1(np.array([[1, 2], [2, 1]]))
    assert (swapped.value, swapped.reason) == (None, "neither cases nor readers differ in their means")
    level = icc_2_1(np.array([[0, 2], [1, 1]]))  # BMS 0, readers 1, rest 1: value −1, no degrees of freedom
    assert (level.value, level.low) == (-1.0, None)
    assert "degrees of freedom" in level.reason
    assert icc_2_1(np.zeros((1, 2))).value is None
    pairs = np.array([[1, 2, np.nan], [np.nan, 2, 3], [1, np.nan, 2], [2, 3, np.nan], [4, 5, 6.0]])
    assert (
        icc_2_1(pairs[:4]).reason
        == "at least two cases that every reader rated are needed, and none was rated by all 3 readers"
    )
    assert "only one was rated by all 3 readers" in icc_2_1(pairs).reason
    assert "only one reader rated any" in icc_2_1(np.arange(4.0)[:, None]).reason
    assert icc_2_1(np.full((3, 2), np.nan)).reason.endswith("no ratings")
    silent = np.column_stack([[1, 2, 4], [1, 3, 4], [np.nan] * 3])
    assert icc_2_1(silent) == icc_2_1(silent[:, :2])
    assert icc_2_1(np.arange(4.0)[:, None]).value is None
    with pytest.raises(ValueError, match=r"\(N, R\)"):
        icc_2_1(np.zeros(3))


def test_bland_and_altmans_peak_flow_meters():
    """17 people, large against mini meter (Lancet 1986): mean −2.1 (−22.0 to 17.8), sd 38.8."""
    large = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
    mini = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]
    found = limits_of_agreement(np.array(large), np.array(mini))
    assert [round(x, 1) for x in (found.bias.value, found.bias.low, found.bias.high)] == [-2.1, -22.0, 17.8]
    assert round(found.sd, 1) == 38.8
    assert found.upper.value - found.lower.value == pytest.approx(2 * 1.959964 * found.sd, rel=1e-6)
    assert (found.lower.low, found.lower.high) == pytest.approx(
        (-114.3, -45.1), abs=2
    )  # theirs: 2 sd, an older formula


def test_limits_cover():
    """In 2,000 samples of 30 the upper limit's interval holds the true one in 93–97 %."""
    gaps = np.random.default_rng(1).normal(2, 3, (2000, 30))
    found = [limits_of_agreement(row, np.zeros(30)).upper for row in gaps]
    assert 0.93 <= np.mean([e.low <= 2 + 1.959964 * 3 <= e.high for e in found]) <= 0.97


def test_limits_borders():
    """A missing number drops its pair; one pair is too few; equal numbers have limits of 0."""
    found = limits_of_agreement(np.array([1.0, 2, np.nan, 4]), np.array([1.0, 2, 3, 4]))
    assert (found.bias.value, found.upper.high, found.bias.n) == (0.0, 0.0, 3)
    assert limits_of_agreement(np.array([1.0]), np.array([2.0])).bias.value is None
    with pytest.raises(ValueError, match="same shape"):
        limits_of_agreement(np.zeros(2), np.zeros(3))


def test_a_long_table_becomes_ratings():
    """Numbers are ordered by size and 3, 3.0 and "3" are one category; gaps are −1."""
    ratings = ratings_table(long([[10, "3"], [3.0, None], [2, 10]]))
    assert ratings.categories == ("2", "3", "10")
    assert ratings.codes.tolist() == [[2, 1], [1, -1], [0, 2]]
    assert ratings.values.tolist() == [2, 3, 10]
    assert ratings.counts.tolist() == [[0, 1, 1], [0, 1, 0], [1, 0, 1]]
    words = ratings_table(long([["malignant", "benign"]]))
    assert (words.categories, words.values) == (("benign", "malignant"), None)
    assert ratings_table(long([["b", "a"]]), ("c", "b", "a")).codes.tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("table", "categories", "words"),
    [
        (long([[1, 2]]).drop(columns="reader"), (), "reader is missing"),
        (pd.concat([long([[1, 2]])] * 2), (), "Reader r0 rated case c0 twice"),
        (long([[None, None]]), (), "no ratings"),
        (long([[1, 2]]), ("1", "3"), "'2' is none of 1, 3"),
        (long([[1, 2]]).assign(case=None), (), "without a case"),
        (long(np.arange(2002).reshape(1001, 2)), (), "at most 1,000"),
    ],
)
def test_wrong_tables_are_refused(table, categories, words):
    """One sentence each."""
    with pytest.raises(Refused, match=words):
        ratings_table(table, categories)


def test_codes_are_checked():
    """Shape and range."""
    with pytest.raises(ValueError, match="cases, readers"):
        Ratings(("a",), ("r",), ("x",), np.zeros((2, 1), int))
    with pytest.raises(ValueError, match="lie in"):
        Ratings(("a",), ("r",), ("x",), np.ones((1, 1), int))


def test_every_two_readers():
    """A symmetric matrix without a diagonal, each cell on the cases both rated."""
    rng = np.random.default_rng(4)
    codes = rng.integers(-1, 3, (60, 4))
    ratings = Ratings(tuple(map(str, range(60))), tuple("abcd"), ("x", "y", "z"), codes)
    for statistic in PAIR_STATISTICS:
        matrix = pairwise(ratings, statistic, "y")
        assert len(matrix.estimates) == 12
        assert matrix.estimates["a", "c"] == matrix.estimates["c", "a"]
    both = (codes[:, 0] >= 0) & (codes[:, 2] >= 0)
    kappa = pairwise(ratings).estimates["a", "c"]
    assert kappa == cohen_kappa(codes[both, 0], codes[both, 2], 3)
    own = np.array([[np.sum((codes[both, 0] == 1) == p) for p in (False, True)]])
    assert pairwise(ratings, "positive", "y").estimates["a", "c"].n <= own.sum()
    with pytest.raises(Refused, match="No rating is 'q'"):
        pairwise(ratings, "positive", "q")


def test_positive_and_negative_pairs_are_those_of_the_folded_table():
    """Two categories: the statistics of the 2×2 table itself."""
    codes = np.array([[1, 1]] * 7 + [[1, 0]] * 2 + [[0, 1]] + [[0, 0]] * 10)
    ratings = Ratings(tuple(map(str, range(20))), ("a", "b"), ("no", "yes"), codes)
    table = np.array([[10, 1], [2, 7]])
    assert pairwise(ratings, "positive", "yes").estimates["a", "b"] == positive_agreement(table)
    assert pairwise(ratings, "negative", "yes").estimates["a", "b"] == negative_agreement(table)


def test_models_against_readers():
    """A row per model; a case the model has not seen does not count."""
    codes = np.array([[0, 1], [1, 1], [0, 0]])
    ratings = Ratings(("a", "b", "c"), ("r", "s"), ("0", "1"), codes)
    matrix = against(ratings, {"net": np.array([0, 1, -1])}, "raw")
    assert (matrix.rows, matrix.columns) == (("net",), ("r", "s"))
    assert matrix.estimates["net", "r"] == wilson(2, 2)
    assert matrix.estimates["net", "s"] == wilson(1, 2)


def test_ratings_without_a_place_in_the_order_are_left_out_of_weighted_coefficients():
    """BI-RADS 0 and 6: nominal coefficients count them, the others are those of the ratings without them."""
    codes = np.random.default_rng(2).integers(0, len(BIRADS), (80, 3))
    ratings = Ratings(tuple(map(str, range(80))), ("a", "b", "c"), BIRADS, codes)
    found = agreement_summary(ratings, "ordinal", ordered=BIRADS_ORDERED)
    table = long([[None if BIRADS[k] in ("0", "6") else BIRADS[k] for k in row] for row in codes])
    without = agreement_summary(ratings_table(table, BIRADS_ORDERED), "ordinal")
    weighted = [name for name in found if "linear" in name or "quadratic" in name or "ordinal" in name]
    assert len(weighted) == 7
    assert all(found[name] == without[name] for name in weighted)
    plain = agreement_summary(ratings)
    assert all(found[name] == plain[name] for name in plain)
    assert ratings.given - ratings.only(BIRADS_ORDERED).given == int(np.isin(codes, (0, 8)).sum())
    far = Ratings(
        ("1", "2", "3"), ("a", "b"), BIRADS, np.array([[0, 7], [2, 2], [7, 7]])
    )  # 0 against 5: no distance at all
    assert agreement_summary(far, "ordinal", ordered=BIRADS_ORDERED)["Fleiss' kappa, quadratic"].value == 1
    assert agreement_summary(far, "ordinal")["Fleiss' kappa, quadratic"].value < 1


def test_only_what_is_asked_for_is_computed(monkeypatch):
    """The names are known without any rating; what is not shown costs nothing."""
    ratings = ratings_table(long(np.random.default_rng(6).integers(0, 3, (40, 3))))
    for level in ("nominal", "ordinal", "interval"):
        assert coefficient_names(level, ratings.categories, "2") == tuple(agreement_summary(ratings, level, "2"))
    whole = agreement_summary(ratings, "interval")
    monkeypatch.setattr("core.statistics.agreement_summary.fleiss_kappa", None)
    asked = ("ICC(2,1)", "Krippendorff's alpha, interval")
    assert agreement_summary(ratings, "interval", only=asked) == {name: whole[name] for name in reversed(asked)}
    with pytest.raises(ValueError, match="no such coefficient"):
        agreement_summary(ratings, only=("ICC(2,1)",))


def test_the_summary_holds_what_the_level_allows():
    """More for ordered categories, most for numbers; positive agreement where asked."""
    codes = np.random.default_rng(6).integers(0, 3, (40, 3))
    ratings = ratings_table(long(codes))
    nominal, ordinal, interval = (agreement_summary(ratings, level) for level in ("nominal", "ordinal", "interval"))
    assert set(nominal) < set(ordinal)
    assert "ICC(2,1)" in interval
    assert "ICC(2,1)" not in ordinal
    assert nominal["Fleiss' kappa"] == fleiss_kappa(ratings.counts)
    assert all(e.low <= e.value <= e.high for e in interval.values())
    assert "agreement on 2" in agreement_summary(ratings, positive="2")
    words = ratings_table(long([["a", "b"], ["a", "a"], ["b", "b"]]))
    assert {"agreement on a", "agreement on b"} <= set(agreement_summary(words, positive="b"))
    with pytest.raises(Refused, match="numbers"):
        agreement_summary(words, "interval")
