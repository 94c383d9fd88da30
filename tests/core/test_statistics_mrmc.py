"""Multi-reader multi-case analysis against published listings, plain loops and paper."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from core.records import Refused
from core.statistics.mrmc import analyse
from core.statistics.mrmc_covariance import COVARIANCES, figures_of
from core.statistics.mrmc_data import CrossedRatings, crossed_ratings
from core.statistics.paired import paired_delong
from core.statistics.proportions import wilson
from tests.core.readers import as_table, made_study, public_study
from tests.core.reference import DATA, needs_data, published

BOTH = "readers and cases"


@needs_data
def test_van_dyke_by_delong_is_the_published_analysis():
    """Every printed digit of components, F, degrees of freedom, p, standard error and interval."""
    wanted = published()["reader_studies/vandyke.csv"]
    result, printed = analyse(public_study("vandyke")), wanted["random_readers_random_cases"]["delong"]
    values = np.array([[result.by_reader[m, r].value for r in result.readers] for m in ("1", "2")])
    np.testing.assert_allclose(values, [wanted["empirical_auc"]["1"], wanted["empirical_auc"]["2"]], atol=5e-9)
    c, both = result.components, result.analyses[BOTH]
    for name in ("error", "cov1", "cov2", "cov3"):
        assert getattr(c, name) == pytest.approx(printed[name], abs=5e-11)
    assert (both.test.statistic, both.test.df1) == (pytest.approx(printed["F"], abs=5e-7), 1)
    assert both.test.df2 == pytest.approx(printed["df2"], abs=5e-6)
    assert both.test.p == pytest.approx(printed["p"], abs=5e-9)
    (contrast,) = both.differences
    assert contrast.standard_error == pytest.approx(printed["stderr_difference"], abs=5e-8)
    assert (contrast.difference.low, contrast.difference.high) == pytest.approx(printed["ci_difference"], abs=5e-10)
    assert contrast.difference.p == pytest.approx(both.test.p, abs=1e-12)  # two modalities: t² is F
    anova = wanted["anova"]
    assert (c.ms_modality, c.ms_reader, c.ms_modality_reader) == pytest.approx(
        (anova["MS_T"], anova["MS_R"], anova["MS_TR"]), abs=5e-10
    )


@needs_data
def test_van_dyke_by_unbiased_covariance_and_for_sensitivity():
    """F, degrees of freedom and p as published."""
    wanted, study = published()["reader_studies/vandyke.csv"], public_study("vandyke")
    for printed, result in (
        (wanted["random_readers_random_cases"]["unbiased"], analyse(study, covariance="unbiased")),
        (wanted["sensitivity_at_rating_ge_3"], analyse(study, "sensitivity", "delong", 3)),
        (wanted["sensitivity_at_rating_ge_3"], analyse(study, "sensitivity", "jackknife", 3)),
    ):
        test = result.analyses[BOTH].test
        assert test.statistic == pytest.approx(printed["F"], abs=5e-7)
        assert test.df2 == pytest.approx(printed["df2"], abs=5e-6)
        assert test.p == pytest.approx(printed["p"], abs=5e-8)
    shares = [result.by_reader["1", r].value for r in result.readers]
    assert [round(s, 3) for s in shares] == wanted["sensitivity_at_rating_ge_3"]["treatment 1"]
    assert result.by_reader["2", "4"] == wilson(45, 45)  # a perfect reader keeps an interval


def listing_rows(pattern):
    """Numbers of every line of the OR-DBM MRMC listing that matches."""
    text = (DATA / "reader_studies" / "vandyke_OR-DBM-MRMC_2.51_output.txt").read_text()
    number = r"[-+]?\d*\.\d+|\d+"
    return [[float(x) for x in re.findall(number, line)] for line in text.splitlines() if re.search(pattern, line)]


@needs_data
def test_van_dyke_by_jackknife_is_the_listing_of_or_dbm_mrmc():
    """All three analyses, each modality alone, each reader alone, components: to the digits printed there."""
    result = analyse(public_study("vandyke"), covariance="jackknife")
    differences = listing_rows(r"^   1 - 2  ")
    singles = listing_rows(r"^ +[12]  0\.\d{8}  0\.\d{8}.*\(")
    for k, kind in enumerate(result.analyses):
        analysis = result.analyses[kind]
        (contrast,) = analysis.differences
        d, row = contrast.difference, differences[k]
        assert (d.value, contrast.standard_error) == pytest.approx((row[2], row[3]), abs=5.1e-6)
        assert (d.p, d.low, d.high) == pytest.approx(row[-3:], abs=5.1e-5)
        for i, modality in enumerate("12"):
            estimate, single = analysis.modalities[modality], singles[2 * k + i]
            low, high = single[-3:-1] if kind == BOTH else single[-2:]
            assert (estimate.value, estimate.low, estimate.high) == pytest.approx((single[1], low, high), abs=1e-8)
    for contrast, row in zip(result.reader_differences, listing_rows(r"^ +\d    1 - 2 "), strict=True):
        d = contrast.difference
        assert (d.value, contrast.standard_error, d.p) == pytest.approx((row[3], row[4], row[6]), abs=5.1e-5)
        assert (d.low, d.high) == pytest.approx(row[7:], abs=5.1e-6)
    c = result.components
    for name, line in (("reader", r"Var\(R\) "), ("modality_reader", r"Var\(T\*R\) "), ("error", r"Var\(Error\) +0"),
                       ("cov1", "COV1"), ("cov2", "COV2"), ("cov3", "COV3")):  # fmt: skip
        printed = next(x for row in listing_rows(rf"^ {line}") for x in row if 0 < x < 0.1)
        assert getattr(c, name) == pytest.approx(printed, abs=5.1e-9)


@needs_data
def test_van_dykes_fixed_readers_and_single_readers_as_published():
    """Chi-square of fixed readers, F of fixed cases, and every reader's own jackknife interval."""
    wanted, result = published()["reader_studies/vandyke.csv"], analyse(public_study("vandyke"), covariance="jackknife")
    fixed = wanted["fixed_readers_random_cases_jackknife"]
    test = result.analyses["cases"].test
    assert (test.statistic, test.p) == pytest.approx((fixed["X2"], fixed["p"]), abs=5e-7)
    assert [c.difference.p for c in result.reader_differences] == pytest.approx(fixed["per_reader_p"], abs=5e-9)
    readers = wanted["random_readers_fixed_cases"]
    test = result.analyses["readers"].test
    assert (round(test.statistic, 3), test.df2, test.p) == (readers["F"], 4, pytest.approx(readers["p"], abs=5e-9))
    own = wanted["single_reader_95ci_jackknife"]
    for modality in "12":
        limits = [(e.low, e.high) for (m, _), e in result.by_reader.items() if m == modality]
        np.testing.assert_allclose(limits, own[f"treatment {modality}"], atol=5e-8)


@needs_data
def test_franken():
    """AUCs, F, degrees of freedom (all of them: Cov2 is below Cov3) and p."""
    wanted, result = published()["reader_studies/franken.csv"], analyse(public_study("franken"))
    for modality, aucs in wanted["empirical_auc"].items():
        assert [result.by_reader[modality, r].value for r in result.readers] == pytest.approx(aucs, abs=5e-9)
    test, printed = result.analyses[BOTH].test, wanted["delong_random_readers_random_cases"]
    assert (test.statistic, test.df2, test.p) == pytest.approx((printed["F"], printed["df2"], printed["p"]), abs=5e-7)


def test_fixed_cases_with_two_modalities_is_the_paired_t_test():
    """F of random readers and fixed cases is the square of SciPy's t on the readers' AUCs."""
    study = made_study(2, 6, 40, levels=5)
    result = analyse(study)
    aucs = np.array([[roc_auc_score(study.truth, study.ratings[t, r]) for r in range(6)] for t in range(2)])
    t, p = stats.ttest_rel(aucs[0], aucs[1])
    test = result.analyses["readers"].test
    assert (test.statistic, test.p) == pytest.approx((t * t, p), abs=1e-10)
    assert [e.value for e in result.by_reader.values()] == pytest.approx(aucs.ravel())


def test_one_reader_with_delong_is_the_paired_delong_test():
    """Fixed readers, of whom there is one: the difference, interval and p of `paired_delong`; no random-reader analysis."""
    study = made_study(2, 1, 60)
    result = analyse(study)
    other = paired_delong(study.truth, study.ratings[0, 0], study.ratings[1, 0])
    ours = result.analyses["cases"].differences[0].difference
    assert (ours.value, ours.low, ours.high, ours.p) == pytest.approx((other.value, other.low, other.high, other.p))
    for kind in (BOTH, "readers"):
        assert result.analyses[kind].test.statistic is None
        assert "two readers" in result.analyses[kind].test.reason
        assert result.analyses[kind].modalities["m0"].value is None
        assert result.analyses[kind].differences[0].difference.low is None


def brute_jackknife(study):
    """Leave one case out, N times, by scikit-learn."""
    n, flat = len(study.truth), study.ratings.reshape(-1, len(study.truth))
    left = np.array([[roc_auc_score(np.delete(study.truth, i), np.delete(row, i)) for i in range(n)] for row in flat])
    gap = left - left.mean(axis=1, keepdims=True)
    return (n - 1) / n * gap @ gap.T


def test_the_closed_jackknife_is_the_loop():
    """Covariances of all cells, with ties and unequal classes."""
    study = made_study(2, 2, 21, levels=4)
    study = replace(study, truth=(np.arange(21) < 8).astype(int))
    ours = figures_of(study, covariance="jackknife").covariance.reshape(4, 4)
    np.testing.assert_allclose(ours, brute_jackknife(study), atol=1e-14)


def test_the_unbiased_covariance_has_the_right_mean():
    """Over every equally likely sample of a tiny population its mean is the true covariance of the two AUCs, exactly."""
    rng = np.random.default_rng(3)
    positives, negatives = rng.integers(0, 4, (2, 3)), rng.integers(0, 3, (2, 3))  # two readers, populations of 3 cases
    draws = np.stack(np.meshgrid(*[range(3)] * 4, indexing="ij")).reshape(4, -1).T  # 81 samples of 2 + 2 cases
    truth, aucs, estimates = np.array([1, 1, 0, 0]), [], []
    for a, b, c, d in draws:
        ratings = np.concatenate([positives[:, [a, b]], negatives[:, [c, d]]], axis=1)[None].astype(float)
        found = figures_of(CrossedRatings(("m",), ("r", "s"), tuple("abcd"), truth, ratings), covariance="unbiased")
        aucs.append(found.values[0])
        estimates.append(found.covariance[0, :, 0, :])
    np.testing.assert_allclose(np.mean(estimates, axis=0), np.cov(np.array(aucs).T, ddof=0), atol=1e-14)


def test_covariance_of_shares_on_paper():
    """Hits 1, 1, 0, 1 and 1, 0, 0, 1: the sample covariance of the hits over the cases is (1/4)/(3)/... = 1/24."""
    ratings = np.array([[[9, 9, 1, 9, 0, 0], [9, 1, 1, 9, 0, 0]]], dtype=float)
    study = CrossedRatings(("m",), ("r", "s"), tuple("abcdef"), np.array([1, 1, 1, 1, 0, 0]), ratings)
    found = figures_of(study, "sensitivity", "unbiased", 5)
    assert found.values.tolist() == [[0.75, 0.5]]
    assert found.covariance[0, 0, 0, 1] == pytest.approx(np.cov([1, 1, 0, 1], [1, 0, 0, 1])[0, 1] / 4)
    assert found.covariance[0, 0, 0, 1] == pytest.approx(1 / 24)
    assert (found.n, figures_of(study, "specificity", "delong", 5).n) == (4, 2)


def test_components_on_paper():
    """AUC-like values [[.6, .8], [.8, .8]]: mean squares 0.01, 0.01, 0.01; a covariance of zeros leaves them to the readers."""
    from core.statistics.mrmc import components_of
    from core.statistics.mrmc_covariance import Figures

    values = np.array([[0.6, 0.8], [0.8, 0.8]])
    c = components_of(Figures("auc", values, np.zeros((2, 2, 2, 2)), 10, 5, "made"))
    assert (c.ms_modality, c.ms_reader, c.ms_modality_reader) == pytest.approx((0.01, 0.01, 0.01))
    assert (c.modality_reader, c.reader) == (pytest.approx(0.01), pytest.approx(0.0))


def test_three_modalities_have_three_differences():
    """Pairs in order, degrees of freedom (t − 1)(r − 1) for fixed cases."""
    result = analyse(made_study(3, 4, 60))
    pairs = [(c.first, c.second) for c in result.analyses[BOTH].differences]
    assert pairs == [("m0", "m1"), ("m0", "m2"), ("m1", "m2")]
    assert result.analyses["readers"].test.df2 == 6
    assert result.analyses["cases"].test.df1 == 2
    assert len(result.reader_differences) == 12


def test_one_modality_has_means_but_no_test():
    """Its own reader ANOVA; no differences."""
    result = analyse(made_study(1, 4, 60))
    for analysis in result.analyses.values():
        assert analysis.test.statistic is None
        assert analysis.differences == ()
        assert 0 < analysis.modalities["m0"].low < analysis.modalities["m0"].value < analysis.modalities["m0"].high < 1
    assert result.components.modality_reader is None


def test_perfect_readers_keep_intervals_or_say_why_not():
    """All AUCs 1: fixed readers have the limits of the case numbers, random readers are undefined; nothing is NaN."""
    truth = np.arange(20) % 2
    study = CrossedRatings(("a", "b"), ("r", "s"), tuple(map(str, range(20))), truth, np.tile(truth * 1.0, (2, 2, 1)))
    for covariance in COVARIANCES:
        result = analyse(study, covariance=covariance)
        fixed = result.analyses["cases"]
        assert (fixed.modalities["a"].value, fixed.modalities["a"].high) == (1.0, 1.0)
        assert 0.5 < fixed.modalities["a"].low < 0.95
        assert fixed.test.statistic is None
        assert result.analyses[BOTH].modalities["a"].value is None
        assert "spread" in result.analyses[BOTH].test.reason
        difference = fixed.differences[0].difference
        assert (difference.value, difference.low, difference.p) == (0.0, None, None)


def test_twenty_readers_and_a_thousand_cases_take_less_than_two_seconds():
    """Two modalities, by jackknife; in fact some 10 ms, so a slow machine passes too."""
    study = made_study(2, 20, 1000)
    start = time.perf_counter()
    analyse(study, covariance="jackknife")
    assert time.perf_counter() - start < 2


def test_a_long_table_becomes_the_study_whatever_the_order_of_its_rows():
    """Shuffled rows, text truth and an unused column."""
    study = made_study(2, 3, 12)
    table = as_table(study).sample(frac=1, random_state=1).assign(comment="x")
    found = crossed_ratings(table.replace({"truth": {0: "benign", 1: "malignant"}}), modalities=("m0", "m1"))
    order = [[names.index(name) for name in given] for names, given in
             ((study.readers, found.readers), (study.cases, found.cases))]  # fmt: skip
    np.testing.assert_array_equal(found.ratings, study.ratings[:, order[0]][:, :, order[1]])
    np.testing.assert_array_equal(found.truth, study.truth[order[1]])
    assert crossed_ratings(table, positive="0").positives == study.negatives


def spoiled(**changes):
    """The table of a small study with some columns replaced."""
    table = as_table(made_study(2, 2, 6))
    return table.assign(**changes)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (spoiled().drop(columns="truth"), "truth is missing"),
        (spoiled().iloc[:0], "no rows"),
        (spoiled().iloc[:-1], "reader r1 rated case c5 in modality m1 not at all"),
        (spoiled().iloc[[*range(24), 0]], "reader r0 rated case c0 in modality m0 more than once"),
        (spoiled(rating="high"), "'high' is not a number"),
        (spoiled(rating=np.inf), "is not a number"),
        (spoiled(truth=1), "same truth"),
        (spoiled(truth="maybe"), "neither 0 nor 1"),
        (spoiled(truth=[0, 1] * 3 + [1, 0] + [0, 1] * 8), "two different truths"),
        (spoiled(case=None), "empty cell"),
        (spoiled(reader=[f"r{i}" for i in range(24)]), "not at all"),
    ],
)
def test_wrong_tables_are_refused_in_one_sentence(table, words):
    """Each says what is wrong."""
    with pytest.raises(Refused, match=words) as refusal:
        crossed_ratings(table)
    assert str(refusal.value).endswith(".")


def test_other_refusals():
    """Unknown names, a missing threshold, classes of one case, wrong shapes."""
    table = as_table(made_study(2, 2, 6))
    with pytest.raises(Refused, match="no modality 'mri'"):
        crossed_ratings(table, modalities=("m0", "mri"))
    with pytest.raises(Refused, match="'cancer'; there are"):
        crossed_ratings(table, positive="cancer")
    with pytest.raises(Refused, match="threshold"):
        analyse(made_study(2, 2, 6), "sensitivity")
    with pytest.raises(Refused, match="two positive"):
        analyse(made_study(2, 2, 3))
    with pytest.raises(ValueError, match="finite"):
        CrossedRatings(("m",), ("r",), ("c",), np.array([1]), np.full((1, 1, 1), np.nan))
    many = as_table(made_study(1, 1, 4000)).assign(reader=[f"r{i}" for i in range(4000)])
    with pytest.raises(Refused, match="not fully crossed"):
        crossed_ratings(many)
