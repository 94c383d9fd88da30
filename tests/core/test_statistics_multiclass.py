"""Macro figures against scikit-learn, a slow bootstrap and the published BloodMNIST tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from core.statistics.discrimination import auc, confusion_matrix
from core.statistics.multiclass import macro_auc, macro_f1, one_vs_rest_counts
from tests.core.reference import DATA, needs_data


def scored(n: int, classes: int, seed: int, decimals: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n,) and probabilities (n, classes) of a fair model; every class occurs, and few decimals make ties."""
    rng = np.random.default_rng(seed)
    labels = np.r_[np.arange(classes), rng.integers(0, classes, n - classes)]
    logits = rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[labels]
    weights = np.round(np.exp(logits), decimals) + 10.0**-decimals
    return labels, weights / weights.sum(axis=1, keepdims=True)


def test_one_vs_rest_counts_of_the_table_published_by_r3():
    """The reference system R3 published benign TP 57 TN 79 FP 1 FN 3, malignant TP 79 TN 57 FP 3 FN 1."""
    assert one_vs_rest_counts(np.array([[57, 3], [1, 79]])).tolist() == [[57, 79, 1, 3], [79, 57, 3, 1]]


@pytest.mark.parametrize("decimals", [1, 6])
@pytest.mark.parametrize("classes", [2, 3, 8])
def test_macro_auc_equals_scikit_learn(classes, decimals):
    """The value is the unweighted mean of the one-vs-rest AUCs, ties included."""
    labels, p = scored(300, classes, seed=classes, decimals=decimals)
    wanted = np.mean([metrics.roc_auc_score(labels == k, p[:, k]) for k in range(classes)])
    assert macro_auc(labels, p, replicates=20).value == pytest.approx(wanted, abs=1e-12)


def test_macro_auc_interval_equals_a_slow_bootstrap():
    """200 stratified resamples, each scored anew by scikit-learn, give the same limits within sampling error."""
    labels, p = scored(120, 3, seed=1)
    rng, draws = np.random.default_rng(5), []
    for _ in range(200):
        rows = np.concatenate([rng.choice(np.flatnonzero(labels == k), np.sum(labels == k)) for k in range(3)])
        draws.append(metrics.roc_auc_score(labels[rows], p[rows], multi_class="ovr"))
    estimate = macro_auc(labels, p)
    assert (estimate.low, estimate.high) == pytest.approx(np.percentile(draws, [2.5, 97.5]), abs=0.015)


def test_macro_auc_of_two_classes_agrees_with_delong():
    """With two classes it is the AUC itself, and the bootstrap and DeLong's interval differ by little at n = 800."""
    labels, p = scored(800, 2, seed=2)
    macro, plain = macro_auc(labels, p), auc(labels, p[:, 1])
    assert macro.value == pytest.approx(plain.value, abs=1e-6)
    assert (macro.low, macro.high) == pytest.approx((plain.low, plain.high), abs=0.005)


def test_ties_count_half_in_the_draws_too():
    """Scores of only three levels: the bootstrap still agrees with DeLong's interval, and keeps the value in its middle."""
    labels, p = scored(800, 2, seed=4)
    coarse = np.array([0.2, 0.5, 0.8])[np.digitize(p[:, 1], [0.3, 0.7])]
    macro, plain = macro_auc(labels, np.column_stack([1 - coarse, coarse])), auc(labels, coarse)
    assert (macro.low, macro.high) == pytest.approx((plain.low, plain.high), abs=0.005)


def test_draws_in_several_chunks_cover_every_replicate():
    """60,000 cases are resampled 33 at a time; the interval is as narrow as DeLong's for one class against the rest."""
    labels, p = scored(60_000, 2, seed=3, decimals=3)
    macro, plain = macro_auc(labels, p, replicates=70), auc(labels, p[:, 1])
    assert (macro.high - macro.low) == pytest.approx(plain.high - plain.low, rel=0.35)


def test_perfect_results_keep_an_interval_with_a_width():
    """Twelve perfect cases: resampling shows no spread, so the limits come from the classes' own intervals."""
    labels = np.repeat([0, 1, 2], 4)
    area, f1 = macro_auc(labels, np.eye(3)[labels]), macro_f1(4 * np.eye(3))
    for estimate in (area, f1):
        assert (estimate.value, estimate.high) == (1.0, 1.0)
        assert 0.4 < estimate.low < 0.95
        assert "no spread" in estimate.method


def test_macro_auc_names_the_class_that_is_missing():
    """A class without cases leaves no macro AUC, and the reason names it."""
    p = np.full((4, 3), 1 / 3)
    assert macro_auc([0, 1, 0, 1], p, ("a", "b", "platelet")).reason == "no cases of platelet"
    assert macro_auc([0, 1, 0, 1], p).reason == "no cases of class 2"
    assert macro_auc([], np.empty((0, 3))).reason == "no cases"
    with pytest.raises(ValueError, match=r"shape \(N, C\)"):
        macro_auc([0, 1], [0.2, 0.8])


def test_macro_f1_equals_scikit_learn():
    """The value is scikit-learn's macro F1; the interval holds it and is the same every time."""
    rng = np.random.default_rng(6)
    labels = rng.integers(0, 4, 200)
    predicted = np.where(rng.random(200) < 0.7, labels, rng.integers(0, 4, 200))
    matrix = confusion_matrix(labels, predicted, 4)
    estimate = macro_f1(matrix)
    assert estimate.value == pytest.approx(metrics.f1_score(labels, predicted, average="macro"), abs=1e-12)
    assert estimate.low < estimate.value < estimate.high
    assert estimate == macro_f1(matrix)


def test_macro_f1_of_an_absent_class_is_undefined():
    """A class that is neither there nor predicted has no F1, so there is no mean of all."""
    assert macro_f1(np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])).value is None
    assert macro_f1(np.zeros((3, 3))).reason == "no cases"


def test_macro_f1_survives_draws_that_miss_a_rare_class():
    """A single case of a class is missing from a third of the draws; the limits stay numbers in [0, 1]."""
    estimate = macro_f1(np.array([[40, 3, 0], [4, 50, 0], [0, 0, 1]]))
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


@needs_data
@pytest.mark.real_data
def test_bloodmnist_tables_are_reproduced():
    """Macro F1 and accuracy of the five published BloodMNIST matrices equal the published summary."""
    folder = DATA / "predictions" / "bloodmnist_confusion"
    summary = pd.read_csv(folder / "experiment_comparison.csv").set_index("run_name")
    assert len(summary) == 5
    for run in summary.index:
        matrix = pd.read_csv(folder / run / "test_confusion_matrix.csv").to_numpy()
        assert macro_f1(matrix).value == pytest.approx(summary.loc[run, "test_macro_f1"], abs=1e-9)
        assert np.trace(matrix) / matrix.sum() == pytest.approx(summary.loc[run, "test_accuracy"], abs=1e-9)
        assert matrix.sum() == 3421


def test_bootstrap_intervals_of_macro_figures_cover_95_percent():
    """300 samples of 150 cases in three classes: macro AUC and macro F1 are held in 90–97 % (simulation error 1.4 %).

    Percentile limits of figures near 1 fall one or two per cent short of 95 % in samples of this size; the averages of
    `report`, by the delta method, do not. The truth is taken from 60,000 cases.
    """
    labels, p = scored(60_000, 3, seed=0)
    truths = (
        np.mean([auc(labels == k, p[:, k]).value for k in range(3)]),
        macro_f1(confusion_matrix(labels, p.argmax(axis=1), 3), replicates=1).value,
    )
    held = np.zeros(2)
    for seed in range(1, 301):
        labels, p = scored(150, 3, seed=seed)
        found = (
            macro_auc(labels, p, replicates=150),
            macro_f1(confusion_matrix(labels, p.argmax(axis=1), 3), replicates=300),
        )
        held += [e.low <= truth <= e.high for e, truth in zip(found, truths, strict=True)]
    assert ((held / 300 >= 0.90) & (held / 300 <= 0.97)).all(), held / 300
