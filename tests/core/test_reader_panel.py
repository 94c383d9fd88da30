"""A reader beside the panel: medians and ranges of the others, never the reader's own value among them."""

import pytest

from core.reader_panel import beside_panel, cases_again, reliance_beside_panel
from core.records import Refused
from tests.core.study_readings_factory import rows, study


def test_median_and_range_are_of_the_others():
    """Bob's unaided accuracy is 0.25; the others' are 1, 1 and 0.75 (Dee misses c2)."""
    row = next(r for r in beside_panel(study(), "Bob") if (r.figure, r.phase) == ("accuracy", "unaided"))
    assert (row.own.value, row.median, row.low, row.high, row.others) == (0.25, 1, 0.75, 1, 3)


def test_two_others_are_not_shown():
    """Their range would be their two values."""
    few = study(rows()[lambda t: t["reader"] != "Dee"])
    assert all(r.median is None and r.low is None and r.others <= 2 for r in beside_panel(few, "Bob"))


def test_own_reliance_beside_the_others():
    """Ann gave up c2, one of the two that she had right against the model; Bob had none, so two others are known."""
    found = {r.figure: r for r in reliance_beside_panel(study(), "Ann", replicates=50)}
    assert (found["over_reliance"].own.value, found["over_reliance"].own.n) == (0.5, 2)
    assert found["changed"].median is not None
    assert found["over_reliance"].median is None


def test_cases_to_look_at_again_begin_with_what_was_lost():
    """Ann lost c2; Bob's c2 and c3 were wrong all along, and the model was wrong on both."""
    ann = cases_again(study(), "Ann")
    assert ann[["case", "why"]].values.tolist() == [["c2", "right before the model was shown"]]
    bob = cases_again(study(), "Bob")
    assert bob["case"].tolist() == ["c2", "c3"]
    assert bob["why"].str.startswith("model and you").all()


def test_whoever_did_not_read_is_refused():
    """No page without readings."""
    with pytest.raises(Refused, match="no readings"):
        beside_panel(study(), "Eve")
