"""Subgroups and their gap, aggregation to breasts, and suspected labels: on paper, on public data and by simulation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from core.statistics.aggregation import aggregate
from core.statistics.discrimination import auc
from core.statistics.label_noise import suspects
from core.statistics.subgroups import bands, column_names, gap_test, ordered, subgroup_metrics
from core.statistics.summary import evaluate
from core.tasks import get_task
from tests.core.reference import DATA, needs_data, published
from tests.core.test_statistics_discrimination import scored
from tests.core.test_statistics_summary import sample

MRI = get_task("breast-mri")

# -- Subgroups ---------------------------------------------------------------------------------------------------------


def test_a_subgroups_figures_are_those_of_its_cases():
    """Site 1 and 2 get what `evaluate` makes of their cases; 4 cases without a site are named and get nothing."""
    labels, p = sample(MRI, n=100)
    column = [1] * 60 + [2] * 36 + [None, np.nan, "", None]
    one, two, missing = subgroup_metrics(labels, p, column, MRI, 0.4)
    assert (one.name, one.n, one.positives) == ("1", 60, int(labels[:60].sum()))
    assert one.metrics == evaluate(labels[:60], p[:60], MRI, 0.4)
    assert two.metrics == evaluate(labels[60:96], p[60:96], MRI, 0.4)
    assert (missing.name, missing.n, missing.metrics, missing.reason) == ("missing", 4, {}, "fewer than 10 cases")


def test_subgroups_of_patients_have_intervals_over_patients():
    """The patients given are used inside each subgroup; a task without a positive class counts none."""
    labels, p = sample(MRI, n=80)
    (only,) = subgroup_metrics(labels, p, ["L"] * 80, MRI, 0.4, patients=np.arange(80) // 2)
    assert "40 patients" in only.metrics["accuracy"].method
    cells = get_task("blood-cells")
    labels, p = sample(cells, n=160)
    assert {g.positives for g in subgroup_metrics(labels, p, np.arange(160) % 2, cells)} == {None}
    with pytest.raises(ValueError, match="column must have shape"):
        subgroup_metrics(labels, p, ["L"], cells)


def test_names_of_any_column_and_their_order():
    """Whole numbers lose their .0; numbers go by size, words by alphabet, bands from low to high, missing last."""
    names = column_names([10.0, 2, "B", None, float("nan"), 2.5, True])
    assert names.tolist() == ["10", "2", "B", "missing", "missing", "2.5", "True"]
    assert ordered(names) == ["2", "2.5", "10", "B", "True", "missing"]
    assert ordered(np.array(["> 70", "40–50", "≤ 40", "50–70", "missing"])) == [
        "≤ 40",
        "40–50",
        "50–70",
        "> 70",
        "missing",
    ]


def test_bands_are_open_on_the_left():
    """40 is in the band up to 40, 40.1 and 50 in 40–50; what is missing stays so."""
    assert bands([40, 40.1, 50, 71, None, float("nan")], [40, 50, 70]) == [
        "≤ 40", "40–50", "40–50", "> 70", "missing", "missing",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="rise"):
        bands([1], [50, 40])


def test_gap_on_paper():
    """AUC 1 in one half and ½ in the other: gap ½; the largest less the smallest sensitivity at 0.5 is ½ too."""
    labels = [0, 0, 1, 1] * 6
    scores = [0.1, 0.2, 0.8, 0.9] * 3 + [0.1, 0.9, 0.2, 0.8] * 3
    halves = ["x"] * 12 + ["y"] * 12
    found = gap_test(labels, scores, halves, replicates=200)
    assert found.values == {"x": 1.0, "y": 0.5}
    assert found.gap == 0.5
    assert found.p < 0.05
    sensitivity = gap_test(labels, scores, halves, metric="sensitivity", threshold=0.5, replicates=50)
    assert (sensitivity.gap, sensitivity.values) == (0.5, {"x": 1.0, "y": 0.5})


@pytest.mark.parametrize("decimals", [1, 6])
def test_aucs_of_all_groups_at_once_are_those_of_each(decimals):
    """Seven sites in one pass: each AUC is that of its own cases, ties included."""
    labels, scores = scored(300, seed=7, decimals=decimals)
    column = np.arange(300) * 11 % 7
    found = gap_test(labels, scores, column, replicates=1)
    for site in range(7):
        own = column == site
        assert found.values[str(site)] == pytest.approx(auc(labels[own], scores[own]).value, abs=1e-12)


def test_gap_p_is_exact_where_all_permutations_can_be_counted():
    """3 + 3 positives, hits in one half only: of 20 divisions 2 have so wide a gap, so p is near 0.1."""
    found = gap_test(
        [1] * 6, [1, 1, 1, 0, 0, 0], list("xxxyyy"), metric="sensitivity", threshold=0.5, min_n=1, replicates=4000
    )
    assert found.gap == 1
    assert found.p == pytest.approx(0.1, abs=0.015)


def test_gap_test_keeps_its_level_and_is_seeded():
    """300 columns of pure chance: p < 0.05 in 2–9 %; the same seed gives the same p."""
    rng, hits = np.random.default_rng(1), 0
    for seed in range(300):
        labels, scores = scored(60, seed)
        hits += gap_test(labels, scores, rng.integers(0, 3, 60), min_n=5, replicates=60, seed=seed).p <= 0.05
    assert 0.02 <= hits / 300 <= 0.09
    labels, scores = scored(100, seed=2)
    column = np.arange(100) % 2
    assert gap_test(labels, scores, column, replicates=50) == gap_test(labels, scores, column, replicates=50)


def test_copied_cases_do_not_make_a_gap():
    """Every case five times, as its patient's: with patients p is about that of the single cases, without far smaller."""
    labels, scores = scored(60, seed=11)
    column = (np.arange(60) * 7 % 3).astype(str)
    once = gap_test(labels, scores, column, replicates=400)
    copied = [np.repeat(x, 5) for x in (labels, scores, column)]
    kept = gap_test(*copied, patients=np.repeat(np.arange(60), 5), replicates=400)
    fooled = gap_test(*copied, replicates=400)
    assert kept.gap == pytest.approx(once.gap)
    assert kept.p == pytest.approx(once.p, abs=0.06)
    assert fooled.p < once.p - 0.1


def test_a_column_that_varies_inside_patients_is_shuffled_inside_them():
    """Left and right of each patient: a side that always scores higher is found though patients differ far more."""
    rng = np.random.default_rng(4)
    who, side = np.repeat(np.arange(40), 4), np.tile(["L", "L", "R", "R"], 40)
    labels = np.repeat(np.arange(40) % 2, 4)
    scores = rng.normal(scale=3, size=40)[who] + 1.5 * (side == "R") + rng.normal(scale=0.1, size=160)
    found = gap_test(labels, scores, side, metric="specificity", threshold=0.0, patients=who, replicates=300)
    assert found.p < 0.05
    assert found.method.endswith("with their patients")


def test_what_cannot_be_compared_is_left_out_by_name():
    """A site of 3 cases and one without findings drop out; with one left there is no gap, and the reason."""
    labels, scores = scored(40, seed=5)
    labels[20:30] = 0
    column = ["a"] * 20 + ["b"] * 10 + ["c"] * 7 + ["d"] * 3
    found = gap_test(labels, scores, column, replicates=20)
    assert found.left_out == ("b", "c", "d")
    assert (found.gap, found.p) == (None, None)
    assert found.reason == "fewer than two subgroups can be compared"
    with pytest.raises(ValueError, match="needs a threshold"):
        gap_test(labels, scores, column, metric="sensitivity")
    with pytest.raises(ValueError, match="auc, sensitivity or specificity"):
        gap_test(labels, scores, column, metric="f1")


# -- Aggregation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "k", "wanted"),
    [("max", 3, [0.9, 0.4]), ("mean", 3, [0.5, 0.3]), ("top-k", 2, [0.7, 0.3]), ("top-k", 9, [0.5, 0.3])],
)
def test_aggregation_on_paper(rule, k, wanted):
    """Breast A has 0.9, 0.5, 0.1 and one finding, B 0.2, 0.4 and none, whatever their order."""
    groups = ["B", "A", "A", "B", "A"]
    found = aggregate([0, 0, 1, 0, 0], [0.2, 0.5, 0.1, 0.4, 0.9], groups, rule=rule, k=k)
    assert found.names.tolist() == ["A", "B"]
    assert found.labels.tolist() == [1, 0]
    assert found.sizes.tolist() == [3, 2]
    assert found.scores.tolist() == pytest.approx(wanted)


def test_aggregation_of_nothing_and_of_nonsense():
    """No cases give no groups; another rule, k of 0 and unequal lengths are refused."""
    assert len(aggregate([], [], []).names) == 0
    with pytest.raises(ValueError, match="max, mean or top-k"):
        aggregate([0], [0.1], ["A"], rule="median")
    with pytest.raises(ValueError, match="at least 1"):
        aggregate([0], [0.1], ["A"], rule="top-k", k=0)
    with pytest.raises(ValueError, match="groups must have shape"):
        aggregate([0], [0.1], ["A", "B"])


@needs_data
@pytest.mark.real_data
def test_rsna_breasts_have_the_published_auc():
    """The maximum over each test breast's images gives the published image-only AUC of 0.98675 over 2,384 breasts, 50 cancers."""
    images = pd.read_csv(DATA / "predictions" / "rsna" / "image_level_predictions.csv")
    facts = pd.read_csv(DATA / "rsna" / "train.csv", usecols=["image_id", "patient_id", "laterality", "cancer"])
    table = images[images["split"] == "test"].merge(facts, on="image_id")
    breasts = table["patient_id"].astype(str) + table["laterality"]
    found = aggregate(table["cancer"].to_numpy(), table["preds"].to_numpy(), breasts.to_numpy())
    assert (len(found.names), found.labels.sum()) == (2384, 50)
    assert auc(found.labels, found.scores).value == pytest.approx(0.98675236, abs=5e-8)


@needs_data
@pytest.mark.real_data
def test_rsna_subgroups_have_the_published_aucs():
    """By density and age band of 2,384 breasts: the ensemble's published AUCs and the n of each band."""
    table = pd.read_csv(DATA / "predictions" / "rsna" / "ensemble_test_predictions.csv")
    facts = pd.read_csv(DATA / "rsna" / "train.csv", usecols=["patient_id", "age"])
    table = table.merge(facts.drop_duplicates("patient_id"), on="patient_id")
    wanted = published()["predictions/rsna"]["auc_by_age_published"]
    names = np.array(bands(table["age"], [40, 50, 60, 70]))
    for name, key in zip(["≤ 40", "40–50", "50–60", "60–70", "> 70"], list(wanted)[:5], strict=True):
        own = table[names == name]
        assert f"n={len(own)}" in key
        value = auc(own["cancer"].to_numpy(), own["prob"].to_numpy()).value
        assert value == pytest.approx(wanted[key][1], abs=5e-5)


# -- Label noise -------------------------------------------------------------------------------------------------------


def test_suspects_on_paper():
    """Means of the right class: 0.7 for class 0, 0.7 for class 1. Of the wrong ones 0.8 and 0.75 reach it, 0.6 does not."""
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    p1 = np.array([0.0, 0.0, 0.4, 0.8, 1.0, 1.0, 0.25, 0.55])
    found = suspects(labels, p1)
    # class 0: (1 + 1 + 0.6 + 0.2) / 4 = 0.7; class 1: (1 + 1 + 0.25 + 0.55) / 4 = 0.7
    assert found.rows.tolist() == [3, 6]
    assert found.given.tolist() == [0, 1]
    assert found.suggested.tolist() == [1, 0]
    assert found.margin.tolist() == pytest.approx([0.6, 0.5])


def test_flipped_labels_come_first():
    """Of 2,000 cases of a good model, 20 labels flipped: about half are suspected, and nothing else is."""
    rng = np.random.default_rng(6)
    labels = rng.integers(0, 2, 2000)
    p1 = 1 / (1 + np.exp(-(rng.normal(size=2000) + 6 * labels - 3)))
    flipped = rng.choice(2000, 20, replace=False)
    given = labels.copy()
    given[flipped] = 1 - given[flipped]
    found = suspects(given, p1, limit=20)
    assert set(found.rows) <= set(flipped)
    assert len(found.rows) >= 8
    assert (np.diff(found.margin) <= 0).all()


def test_suspects_of_several_classes_and_of_none():
    """A class without cases is never suggested; a right model has no suspects; lengths are checked."""
    p = np.array([[0.1, 0.1, 0.8], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1]])
    assert suspects([0, 1, 1], p).rows.tolist() == []
    assert suspects([0, 1, 0], np.array([[0.9, 0.1], [0.2, 0.8], [0.0, 1.0]])).rows.tolist() == [2]
    with pytest.raises(ValueError, match="equally many"):
        suspects([0, 1], p)


def test_suspects_agree_with_accuracy():
    """Every suspect is a case that the most probable class gets wrong."""
    labels, p = sample(get_task("blood-cells"), n=400, seed=3)
    rows = suspects(labels, p).rows
    assert len(rows)
    assert metrics.accuracy_score(labels[rows], p[rows].argmax(axis=1)) == 0
