"""What a plan, its rules and a decision refuse at the border."""

import pytest

from core.reader_records import Decision, Rules, StudyPlan
from core.records import BIRADS, Refused, Review
from core.tasks import TASKS


@pytest.mark.parametrize("days", [-1, 366])
def test_a_washout_has_limits(days):
    """Nobody waits less than no day or more than a year."""
    with pytest.raises(Refused, match=str(days)):
        Rules(washout_days=days)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": "x" * 81}, "1 to 80"),
        ({"name": "a\nb"}, "printable"),
        ({"protocol": "other"}, "aided, sequential or washout"),
        ({"cases": tuple(map(str, range(5001)))}, "5001"),
        ({"readers": ("Ann", "Ann")}, "reader stands in the list twice"),
    ],
)
def test_a_plan_says_what_is_wrong(changes, sentence):
    """One sentence each."""
    values = {
        "name": "n",
        "task": "breast-mri",
        "protocol": "aided",
        "model_version": "v",
        "cases": ("c",),
        "readers": ("r",),
    }
    with pytest.raises(Refused, match=sentence):
        StudyPlan(**values | changes)


@pytest.mark.parametrize("changes", [{"likelihood": 101}, {"likelihood": -1}, {"birads": "4"}, {"birads": "7"}])
def test_a_review_refuses_what_no_reader_can_say(changes):
    """A likelihood lies in 0–100, category 4 has a letter."""
    with pytest.raises(ValueError, match=r"likelihood|BI-RADS"):
        Review("s", "Ann", "aided", "benign", "t", **changes)


def test_categories_belong_to_breast_imaging_tasks():
    """Not to histopathology and not to blood cells; the codes stand in order of suspicion."""
    assert {name for name, task in TASKS.items() if task.birads} == {"breast-mri", "breast-ultrasound", "mammography"}
    assert BIRADS[4:7] == ("4A", "4B", "4C")


def test_a_decision_needs_a_class_and_a_known_category():
    """An empty class or an unknown category is no decision."""
    with pytest.raises(ValueError, match="needs a class"):
        Decision("s", "", "Lea")
    with pytest.raises(ValueError, match="4D"):
        Decision("s", "benign", "Lea", birads="4D")
