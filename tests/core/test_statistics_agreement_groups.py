"""Agreement by class and in groups."""

import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from core.statistics.agreement_groups import (
    agreement_by_class,
    agreement_in_groups,
    reader_agreement_in_groups,
    table_of_counts,
)
from core.statistics.agreement_table import ratings_table

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


def test_each_group_has_its_own_agreement():
    """8 of 10 and 5 of 10; kappa over all equals scikit-learn's."""
    found = agreement_in_groups(COUNTS, "month", CLASSES)
    assert list(found) == ["2026-01", "2026-02"]
    assert [found[m]["raw"].value for m in found] == [0.8, 0.5]
    whole = agreement_in_groups(COUNTS.assign(month="all"), "month", CLASSES)["all"]["kappa"]
    a, b = (COUNTS.loc[COUNTS.index.repeat(COUNTS["n"]), name] for name in ("label", "predicted"))
    assert whole.value == pytest.approx(cohen_kappa_score(a, b))
    assert agreement_in_groups(COUNTS.iloc[:0], "month", CLASSES) == {}


def test_agreement_on_a_class_counts_both_sides():
    """malignant: 5 together, 2 and 5 alone: 10 / 17; of 7 readings 5, of 10 predictions 5."""
    found = agreement_by_class(table_of_counts(COUNTS, CLASSES), CLASSES)["malignant"]
    assert found["specific"].value == pytest.approx(10 / 17)
    assert (found["row"].value, found["row"].n) == (pytest.approx(5 / 7), 7)
    assert (found["column"].value, found["column"].n) == (0.5, 10)
    empty = agreement_by_class([[3, 0], [0, 0]], CLASSES)["malignant"]
    assert empty["specific"].value is None
    assert empty["specific"].reason


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
