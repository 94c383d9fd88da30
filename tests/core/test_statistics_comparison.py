"""Paired comparisons against pROC's output, statsmodels, SciPy, paper and simulation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests

from core.statistics.comparison import compare, holm, mcnemar, paired_bootstrap, paired_delong
from core.statistics.discrimination import auc
from core.statistics.multiclass import macro_auc
from core.tasks import get_task
from tests.core.reference import DATA, needs_data, published
from tests.core.test_statistics_summary import sample


def two_models(n: int, seed: int, b: float = 0.7) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and the scores (n,) of two models that see partly the same: AUC 0.760 for a, Φ(b / √2) for b."""
    rng = np.random.default_rng(seed)
    labels, shared = np.arange(n) % 2, rng.normal(size=n)
    first, second = (np.sqrt(0.5) * shared + np.sqrt(0.5) * rng.normal(size=n) for _ in range(2))
    return labels, first + labels, second + b * labels


def squeezed(scores: np.ndarray) -> np.ndarray:
    """Scores as probabilities of two classes (N, 2)."""
    p = 1 / (1 + np.exp(-scores))
    return np.column_stack([1 - p, p])


# -- Paired DeLong -----------------------------------------------------------------------------------------------------


@needs_data
@pytest.mark.real_data
@pytest.mark.parametrize("pair", ["wfns_vs_s100b", "wfns_vs_ndka", "ndka_vs_s100b"])
def test_paired_delong_equals_proc_on_asah(pair):
    """z and p of the three pairs of aSAH markers are those that pROC prints."""
    table = pd.read_csv(DATA / "reader_studies" / "asah.csv")
    a, b = (table[name].to_numpy() for name in pair.split("_vs_"))
    found = paired_delong((table["outcome"] == "Poor").astype(int), a, b)
    wanted = published()["reader_studies/asah.csv"]["delong_paired_tests"][pair]
    assert found.p == pytest.approx(wanted["p"], rel=1e-9)
    error = (found.high - found.low) / 2 / 1.959963984540054
    assert found.value / error == pytest.approx(wanted["z"], rel=1e-9)
    assert (found.a, found.b, found.n) == (auc(table["outcome"] == "Poor", a).value, found.a - found.value, 113)


def test_paired_delong_variance_equals_its_definition():
    """The covariance of both models' components over all pairs, as DeLong, DeLong & Clarke-Pearson wrote it down."""
    labels, a, b = two_models(60, seed=1)
    components = []
    for scores in (a, b):
        pairs = scores[labels == 1][:, None] - scores[labels == 0][None, :]
        psi = (pairs > 0) + 0.5 * (pairs == 0)
        components.append((psi.mean(axis=1), psi.mean(axis=0)))
    s10, s01 = (np.cov([components[0][i], components[1][i]]) for i in (0, 1))
    variance = np.array([1, -1]) @ (s10 / 30 + s01 / 30) @ np.array([1, -1])
    found = paired_delong(labels, a, b)
    assert (found.high - found.low) / 2 == pytest.approx(1.959964 * np.sqrt(variance), rel=1e-6)


def test_a_model_against_itself_and_turned_round():
    """No difference: 0 with p 1; a − b is −(b − a) with the same p."""
    labels, a, b = two_models(80, seed=2)
    itself = paired_delong(labels, a, a)
    assert (itself.value, itself.low, itself.high, itself.p) == (0, 0, 0, 1)
    there, back = paired_delong(labels, a, b), paired_delong(labels, b, a)
    assert (back.value, back.low, back.p) == pytest.approx((-there.value, -there.high, there.p))
    assert paired_delong([1, 1], [0.1, 0.2], [0.3, 0.1]).reason


def test_paired_delong_covers_and_keeps_its_level():
    """1,000 samples of 120 cases: the true difference is held in 93–97 %, and p < 0.05 in 3–7 % where there is none."""
    truth = stats.norm.cdf(1 / np.sqrt(2)) - stats.norm.cdf(0.7 / np.sqrt(2))
    held = false = 0
    for seed in range(1000):
        found = paired_delong(*two_models(120, seed))
        held += found.low <= truth <= found.high
        false += paired_delong(*two_models(120, 5000 + seed, b=1.0)).p < 0.05
    assert 0.93 <= held / 1000 <= 0.97
    assert 0.03 <= false / 1000 <= 0.07


def test_copied_cases_prove_nothing_more():
    """Every case four times, as its patient's: p is about that of the single cases, not far smaller."""
    labels, a, b = two_models(100, seed=3)
    once, who = paired_delong(labels, a, b), np.repeat(np.arange(100), 4)
    copied = [np.repeat(x, 4) for x in (labels, a, b)]
    assert paired_delong(*copied, patients=who).p == pytest.approx(once.p, abs=0.02)
    assert paired_delong(*copied).p < once.p / 3


# -- McNemar -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", [(50, 12, 5, 20), (10, 24, 0, 3), (300, 40, 22, 30), (5, 13, 12, 1), (9, 0, 0, 3)])
def test_mcnemar_equals_statsmodels(table):
    """Exact below 25 discordant cases, else chi-square with continuity correction: both p are statsmodels'."""
    both, only_a, only_b, neither = table
    a = np.repeat([True, True, False, False], table)
    b = np.repeat([True, False, True, False], table)
    exact = only_a + only_b < 25
    found = mcnemar(a, b)
    wanted = statsmodels_mcnemar([[both, only_a], [only_b, neither]], exact=exact, correction=True)
    assert found.p == pytest.approx(wanted.pvalue, abs=1e-12)
    assert ("exact" in found.method) == exact
    assert found.value == pytest.approx((only_a - only_b) / sum(table))
    assert found.low <= found.value <= found.high


def test_interval_of_paired_proportions_is_newcombes():
    """Table II of Newcombe (1998, Stat Med 17:2635): 36, 12, 2, 0 of 50 gives 0.0569 to 0.3404 by method 10."""
    found = mcnemar(np.repeat([True, True, False], [36, 12, 2]), np.repeat([True, False, True], [36, 12, 2]))
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((0.0569, 0.3404), abs=5e-5)


def test_mcnemar_interval_covers_95_percent():
    """2,000 samples of 100 cases by two models that share half of what they see: 93–97 %."""
    rng, held = np.random.default_rng(4), 0
    truth = stats.norm.cdf(0.8 / np.sqrt(2)) - stats.norm.cdf(0.4 / np.sqrt(2))
    for _ in range(2000):
        shared = rng.normal(size=100)
        found = mcnemar(shared + rng.normal(size=100) > -0.8, shared + rng.normal(size=100) > -0.4)
        held += found.low <= truth <= found.high
    assert 0.93 <= held / 2000 <= 0.97


def test_mcnemar_of_nothing_and_of_unequal_lengths():
    """No cases are undefined; shapes that differ raise ValueError."""
    assert mcnemar([], []).reason == "no cases"
    with pytest.raises(ValueError, match="same shape"):
        mcnemar([True], [True, False])


# -- Paired bootstrap and Holm -----------------------------------------------------------------------------------------


def test_paired_bootstrap_agrees_with_paired_delong():
    """On the AUC of 400 cases, limits within 0.01 and the same verdict."""
    labels, a, b = two_models(400, seed=6, b=0.5)
    exact = paired_delong(labels, a, b)
    drawn = paired_bootstrap(labels, a, b, lambda y, s: auc(y, s).value, replicates=500)
    assert drawn.value == pytest.approx(exact.value, abs=1e-12)
    assert (drawn.low, drawn.high) == pytest.approx((exact.low, exact.high), abs=0.012)
    assert (drawn.p < 0.05) == (exact.p < 0.05)


def test_paired_bootstrap_takes_any_metric_and_whole_patients():
    """F1 of classes by scikit-learn; patients are named; a metric that is nowhere defined gives no number."""
    labels, a, b = two_models(60, seed=7)

    def f1(y: np.ndarray, s: np.ndarray) -> float:
        return metrics.f1_score(y, s > 0.5)

    found = paired_bootstrap(labels, a, b, f1, patients=np.arange(60) // 2, replicates=30)
    assert found.value == pytest.approx(f1(labels, a) - f1(labels, b))
    assert found.method.endswith("clustered by patient (30 patients)")
    nothing = paired_bootstrap(labels, a, b, lambda y, s: np.nan, replicates=5)
    assert (nothing.value, nothing.p) == (None, None)


def test_paired_bootstrap_p_never_is_zero():
    """A model that is always better: p is 2 / (replicates + 1), the smallest that so many draws can show."""
    labels = np.arange(40) % 2
    found = paired_bootstrap(labels, labels * 1.0, 1.0 - labels, lambda y, s: auc(y, s).value, replicates=99)
    assert found.p == pytest.approx(2 / 100)


def test_holm_on_paper_and_in_statsmodels():
    """0.01, 0.04, 0.03, 0.005 become 0.03, 0.06, 0.06, 0.02; any list as in statsmodels; None is no comparison."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    p = np.random.default_rng(8).random(30) ** 3
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert holm([0.02, None, 0.03]) == [0.04, None, 0.04]
    assert holm([]) == []


# -- The whole comparison ----------------------------------------------------------------------------------------------


def test_compare_two_classes():
    """Each difference is that of its own test; counts add up; brier is SciPy's paired t test with a normal quantile."""
    labels, a, b = two_models(200, seed=9)
    pa, pb = squeezed(a), squeezed(b)
    result = compare(labels, pa, pb, get_task("breast-mri"), (0.6, 0.5))
    assert result.differences["auc"] == paired_delong(labels, pa[:, 1], pb[:, 1])
    right_a, right_b = (pa[:, 1] >= 0.6) == labels, (pb[:, 1] >= 0.5) == labels
    np.testing.assert_array_equal(result.right_a, right_a)
    assert result.differences["accuracy"] == mcnemar(right_a, right_b)
    assert result.differences["sensitivity"] == mcnemar(right_a[labels == 1], right_b[labels == 1])
    assert result.differences["specificity"] == mcnemar(right_a[labels == 0], right_b[labels == 0])
    assert sum(result.disagreement.values()) == result.n == 200
    assert result.disagreement["only_a"] == np.sum(right_a & ~right_b)
    losses = (pa[:, 1] - labels) ** 2, (pb[:, 1] - labels) ** 2
    t = stats.ttest_rel(*losses)
    assert result.differences["brier"].p == pytest.approx(2 * stats.norm.sf(abs(t.statistic)), rel=1e-9)
    assert list(result.differences) == ["auc", "accuracy", "sensitivity", "specificity", "brier", "log_loss"]


def test_compare_takes_the_tasks_positive_class():
    """Ultrasound has malignant first; turned round, the same cases give the same differences."""
    labels, a, b = two_models(100, seed=10)
    mri = compare(labels, squeezed(a), squeezed(b), get_task("breast-mri"), (0.4, 0.4)).differences
    turned = compare(1 - labels, squeezed(-a), squeezed(-b), get_task("breast-ultrasound"), (0.4, 0.4)).differences
    for name in mri:
        assert (turned[name].value, turned[name].p) == pytest.approx((mri[name].value, mri[name].p), abs=1e-9), name


def test_compare_without_operating_points():
    """Without thresholds sensitivity has no meaning and says so; accuracy is that of the most probable class."""
    labels, a, b = two_models(100, seed=11)
    result = compare(labels, squeezed(a), squeezed(b), get_task("breast-mri"))
    assert result.differences["sensitivity"].reason == "a model has no operating point"
    assert result.differences["accuracy"].a == pytest.approx(np.mean((a > 0) == labels))


def test_compare_many_classes():
    """Eight classes: the macro AUC difference is the difference of the macro AUCs, and no sensitivity is made up."""
    task = get_task("blood-cells")
    labels, a = sample(task, seed=1)
    _, b = sample(task, seed=2)
    result = compare(labels, a, b, task)
    wanted = macro_auc(labels, a, replicates=2).value - macro_auc(labels, b, replicates=2).value
    assert result.differences["auc"].value == pytest.approx(wanted, abs=1e-12)
    assert 0 < result.differences["auc"].p < 1
    assert "sensitivity" not in result.differences
    assert compare(labels[labels > 0], a[labels > 0], b[labels > 0], task).differences["auc"].value is None


def test_compare_over_patients():
    """Every case three times, as its patient's: nearly the single cases' p for every difference, and the method says why."""
    labels, a, b = two_models(150, seed=12)
    once = compare(labels, squeezed(a), squeezed(b), get_task("breast-mri"), (0.6, 0.6))
    copied = [np.repeat(x, 3, axis=0) for x in (labels, squeezed(a), squeezed(b))]
    often = compare(*copied, get_task("breast-mri"), (0.6, 0.6), patients=np.repeat(np.arange(150), 3))
    fooled = compare(*copied, get_task("breast-mri"), (0.6, 0.6))
    for name, difference in often.differences.items():
        assert difference.value == pytest.approx(once.differences[name].value), name
        assert "clustered by patient" in difference.method
        assert difference.p > fooled.differences[name].p, name
    for name in ("auc", "brier", "log_loss"):  # the others' plain p has a continuity correction
        assert often.differences[name].p == pytest.approx(once.differences[name].p, abs=0.02), name


def test_compare_refuses_other_shapes():
    """Three columns for two classes, or a missing row, raise ValueError naming the shape."""
    labels, a, b = two_models(10, seed=13)
    with pytest.raises(ValueError, match=r"shape \(10, 2\)"):
        compare(labels, squeezed(a), squeezed(b)[:9], get_task("breast-mri"))


def test_paired_bootstrap_covers_95_percent():
    """200 samples of 100 cases, 100 replicates each: a difference of mean scores is held in 91–98 % (simulation error 1.6 %)."""
    held = 0
    for seed in range(200):
        labels, a, b = two_models(100, seed=seed)
        found = paired_bootstrap(labels, a, b, lambda y, s: float(s.mean()), replicates=100, seed=seed)
        held += found.low <= 0.5 - 0.35 <= found.high  # half of the cases are positive, and lie 1 and 0.7 higher
    assert 0.91 <= held / 200 <= 0.98
