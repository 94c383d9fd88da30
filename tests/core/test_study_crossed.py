"""The crossed part of a study: what stays, who is left out, and the true reason where too little stays."""

import pytest

from core.records import Refused
from core.study_crossed import Completeness, completeness, crossed
from core.study_cuts import CALLED, CLASS, Cut
from tests.core.study_readings_factory import rows, study


def test_the_cube_holds_every_likelihood_in_its_place():
    """Phases by readers by cases, unaided first; classes become 0 and 1."""
    found = crossed(study())
    assert (found.ratings.modalities, found.ratings.readers) == (("unaided", "aided"), ("Ann", "Bob", "Cid", "Dee"))
    assert found.ratings.ratings[0, 0].tolist() == [80, 60, 40, 20]
    assert found.ratings.ratings[1, 1].tolist() == [70, 30, 60, 10]
    assert found.ratings.truth.tolist() == [1, 1, 0, 0]
    assert (found.cases_left_out, found.readers_left_out) == (0, {})
    called = crossed(study(), CLASS).ratings.ratings
    assert ((called >= CALLED) == (found.ratings.ratings >= 50)).all()
    assert (crossed(study(), Cut("likelihood", least=60)).ratings.ratings == (found.ratings.ratings >= 60)).all()


def test_incomplete_cases_and_absent_readers_are_left_out_with_the_reason():
    """A case without one reading drops out; a reader without a complete case does too, and it is said why."""
    table = rows()
    table = table[~((table["reader"] == "Dee") & (table["phase"] == "aided"))]
    table = table[~((table["reader"] == "Ann") & (table["case"] == "c2") & (table["phase"] == "aided"))]
    found = crossed(study(table))
    assert found.ratings.cases == ("c1", "c3", "c4")
    assert (found.cases_left_out, found.readers_left_out) == (1, {"Dee": "read nothing aided"})
    with pytest.raises(Refused, match="No case has a reference standard"):
        crossed(study(rows(truth="")))
    silent = rows()
    silent.loc[silent["reader"] == "Dee", "likelihood"] = None
    assert crossed(study(silent)).readers_left_out == {"Dee": "gave no likelihood unaided"}
    assert crossed(study(silent), CLASS).readers_left_out == {}
    halves = rows()
    halves = halves[(halves["reader"] != "Dee") | ((halves["phase"] == "aided") == halves["case"].isin(["c1", "c3"]))]
    assert crossed(study(halves)).readers_left_out == {"Dee": "gave a likelihood of no case in every phase"}
    assert len(crossed(study(halves), phases=("aided",), readers=("Ann", "Dee")).ratings.cases) == 2


def test_one_incomplete_reader_is_named_and_can_be_left_out():
    """Bob read c1 alone: all four together have one case, a cancer; without Bob four stay, as the page says beforehand."""
    table = rows()
    table = table[(table["reader"] != "Bob") | (table["case"] == "c1")]
    with pytest.raises(Refused, match=r"of 4 cases only 1, positive, has .* all 4 readers .* Bob 1, Cid 4"):
        crossed(study(table))
    assert completeness(study(table)) == Completeness(4, 1, 1, {"Ann": 4, "Bob": 1, "Cid": 4, "Dee": 4}, {"Bob": 4})
    others = ("Ann", "Cid", "Dee")
    assert completeness(study(table), readers=others) == Completeness(
        4, 4, 2, {"Ann": 4, "Bob": 1, "Cid": 4, "Dee": 4}, {}
    )
    found = crossed(study(table), readers=others)
    assert (found.ratings.readers, len(found.ratings.cases), found.cases_left_out) == (others, 4, 0)


def test_nothing_in_common_is_said_so():
    """Two readers of different cases; a single reader needs nobody else."""
    table = rows()
    table = table[
        (table["reader"] == "Ann") & (table["case"] < "c3") | (table["reader"] == "Bob") & (table["case"] > "c2")
    ]
    with pytest.raises(Refused, match=r"none of 4 cases has a class of all 2 readers in every phase.*Ann 2, Bob 2"):
        crossed(study(table), CLASS)
    assert completeness(study(table)).stay == 0
    with pytest.raises(Refused, match=r"only 2, positive each, have a likelihood of the chosen reader"):
        crossed(study(table), readers=("Ann",))
    assert completeness(study(rows(truth=""))).own == {"Ann": 0, "Bob": 0, "Cid": 0, "Dee": 0}
