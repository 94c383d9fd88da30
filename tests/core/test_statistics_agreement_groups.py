"""Agreement by class and in groups."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from core.statistics.agreement import cohen_kappa
from core.statistics.agreement_groups import (
    agreement_by_class,
    agreement_in_groups,
    clustered_kappa,
    reader_agreement_in_groups,
    table_of_counts,
)
from core.statistics.agreement_table import ratings_table
from core.statistics.proportions import dice

CLASSES = ("benign", "malignant")
COUNTS = pd.DataFrame(
    [("2026-01", "benign", "benign", 8), ("2026-01", "malignant", "benign", 2), ("2026-02", "malignant", "malignant", 5),
     ("2026-02", "benign", "malignant", 5)],
    columns=["month", "label", "predicted", "n"],
)  # fmt: skip


def test_rows_are_the_reviewer_and_columns_the_model():
    """Counts land in their cells; an unknown class is no cell."""
    assert table_of_counts(COUNTS, CLASSES).tolist() == [[8, 5], [2, 5]]
    with pytest.raises(ValueError, match="none of the classes"):
        table_of_counts(COUNTS.assign(label="odd"), CLASSES)


LABEL = np.array([0] * 8 + [1] * 2 + [1] * 5 + [0] * 5)
MODEL = np.array([0] * 10 + [1] * 10)
MONTHS = pd.Categorical(["2026-02"] * 10 + ["2026-01"] * 10, ["2026-02", "2026-01", "2026-03"])
EACH = np.arange(20)


def test_each_group_has_its_own_agreement():
    """5 of 10 and 8 of 10, in order; kappa over all equals scikit-learn's; nobody's group is left out."""
    found = agreement_in_groups(LABEL, MODEL, MONTHS, 2, EACH)
    assert list(found) == ["2026-01", "2026-02"]
    assert [found[m]["raw"].value for m in found] == [0.5, 0.8]
    assert [found[m]["raw"].n for m in found] == [10, 10]
    whole = agreement_in_groups(LABEL, MODEL, pd.Categorical(["all"] * 20), 2, EACH)["all"]
    assert whole["kappa"].value == pytest.approx(cohen_kappa_score(LABEL, MODEL))
    assert whole["kappa"] == cohen_kappa(LABEL, MODEL, 2)
    some = pd.Categorical([None] * 19 + ["a"])
    assert agreement_in_groups(LABEL, MODEL, some, 2, EACH)["a"]["raw"].n == 1
    assert agreement_in_groups(LABEL[:0], MODEL[:0], MONTHS[:0], 2, EACH[:0]) == {}


def test_agreement_on_a_class_counts_both_sides():
    """malignant: 5 together, 2 and 5 alone: 10 / 17; of 7 readings 5, of 10 predictions 5. Wilson's limits go along."""
    found = agreement_by_class(LABEL, MODEL, CLASSES, EACH)["malignant"]
    assert found["specific"].value == pytest.approx(10 / 17)
    assert found["specific"].low == pytest.approx(dice(5, 12, reason="").low)
    assert (found["row"].value, found["row"].n) == (pytest.approx(5 / 7), 7)
    assert (found["column"].value, found["column"].n) == (0.5, 10)
    empty = agreement_by_class(LABEL[:8], MODEL[:8], CLASSES, EACH[:8])["malignant"]
    assert empty["specific"].value is None
    assert empty["specific"].reason


def test_readings_of_one_patient_are_one_source_of_chance():
    """Every reading five times over is no new knowledge: the interval stays about as wide as that of the first."""
    again = np.tile(EACH, 5)
    once = clustered_kappa(LABEL, MODEL, 2, EACH)
    five = clustered_kappa(np.tile(LABEL, 5), np.tile(MODEL, 5), 2, again)
    assert five.value == pytest.approx(once.value)
    assert five.n == 100
    assert (five.high - five.low) / (once.high - once.low) == pytest.approx(1, abs=0.1)
    plain = cohen_kappa(np.tile(LABEL, 5), np.tile(MODEL, 5), 2)
    assert five.high - five.low > 2 * (plain.high - plain.low)
    all_alike = clustered_kappa(np.tile(MODEL, 5), np.tile(MODEL, 5), 2, again)
    assert (all_alike.value, all_alike.high) == (1.0, 1.0)
    assert all_alike.low < 0.75
    assert clustered_kappa(LABEL, MODEL, 2, np.zeros(20, dtype=int)).value is None


def test_intervals_over_patients_cover_95_percent():
    """400 samples of 60 patients with up to six readings each that err together."""
    rng = np.random.default_rng(5)

    def sample(count):
        patients = np.repeat(np.arange(count), rng.integers(1, 7, count))
        model = (rng.random(count) < 0.4).astype(int)[patients]
        hard = (rng.random(count) < 0.25)[patients]
        return np.where(rng.random(len(patients)) < np.where(hard, 0.6, 0.08), 1 - model, model), model, patients

    label, model, patients = sample(100_000)
    truth = clustered_kappa(label, model, 2, patients).value
    found = [clustered_kappa(a, b, 2, who) for a, b, who in (sample(60) for _ in range(400))]
    assert 0.91 <= np.mean([e.low <= truth <= e.high for e in found]) <= 0.98


def test_pairs_of_readers_agree_within_their_group():
    """Group a: both cases alike; group b: one of three pairs each; cases without a group are left out."""
    said = {"1": "bbb", "2": "mmm", "3": "bbm", "4": "bmm", "5": "bbb"}
    table = pd.DataFrame(
        [(c, r, label) for c, labels in said.items() for r, label in enumerate(labels)],
        columns=["case", "reader", "rating"],
    )  # fmt: skip
    found = reader_agreement_in_groups(ratings_table(table), ["a", "a", "b", "b", ""])
    assert found["a"].value == 1
    assert found["b"].value == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="one name for each"):
        reader_agreement_in_groups(ratings_table(table), ["a"])
