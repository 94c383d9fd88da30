"""Cases that a reader reads twice: which, where, and that everybody's order stays as it was without them."""

import dataclasses

import pytest

from core.reader_records import Rules, StudyPlan, repeat_gap
from core.records import Refused
from db import reader_studies, reading_order
from db.engine import read as reading
from tests.db import make


def record(cases, protocol="aided", **rules):
    """A reader study of that many cases in the store, as a record with those rules."""
    number = make.reader_study(make.add_studies(cases), protocol, start=False)
    with reading() as session:
        study, ids = reader_studies.get_reader_study(session, number), reader_studies.list_cases(session, number)
    return dataclasses.replace(study, rules=Rules(False, False, 14, **rules)), ids


@pytest.mark.parametrize(
    ("repeats", "between", "wanted"), [(6, 0, 12), (12, 0, 12), (3, 20, 20), (20, 4, 4), (23, 1, 1)]
)
def test_a_case_comes_again_far_behind_its_first_reading(store, repeats, between, wanted):
    """Of 24 cases: the number asked for, the same ones for each reader, each with at least so many others in between."""
    study, cases = record(24, repeats=repeats, least_between=between)
    assert repeat_gap(study.rules, 24) == wanted
    again = reading_order.repeated_cases(study, cases)
    assert len(again) == repeats
    for reader in ("Ann", "Bob", "Cleo"):
        steps = reading_order.reading_steps(study, cases, reader, 0)
        assert len(steps) == study.shown == 24 + repeats
        assert [s.study_id for s in steps if s.repeat == 0] != cases
        assert {s.study_id for s in steps if s.repeat == 0} == set(cases)
        assert {s.study_id for s in steps if s.repeat == 1} == again
        places = {(step.study_id, step.repeat): place for place, step in enumerate(steps)}
        for case in again:
            between_them = {s.study_id for s in steps[places[case, 0] + 1 : places[case, 1]]}
            assert case not in between_them
            assert len(between_them) >= wanted


def test_every_phase_and_session_repeats_the_same_cases(store):
    """Unaided and aided follow each other at both readings; in a wash-out each session has its own order and its repeats."""
    study, cases = record(6, "sequential", repeats=2)
    steps = reading_order.reading_steps(study, cases, "Ann", 0)
    pairs = [steps[i : i + 2] for i in range(0, len(steps), 2)]
    assert len(pairs) == 8
    assert all(a[1::2] == b[1::2] and (a.phase, b.phase) == ("unaided", "aided") for a, b in pairs)
    study = dataclasses.replace(study, protocol="washout")
    sessions = [[s for s in reading_order.reading_steps(study, cases, "Ann", 1) if s.session == n] for n in (1, 2)]
    assert [{s.phase for s in own} for own in sessions] == [{"aided"}, {"unaided"}]
    twice = [{s.study_id for s in own if s.repeat} for own in sessions]
    assert twice[0] == twice[1] == reading_order.repeated_cases(study, cases)
    assert [s.study_id for s in sessions[0]] != [s.study_id for s in sessions[1]]


def test_orders_without_repeats_are_those_of_the_seed_alone(store):
    """Studies that ran before cases could come twice go on in the order that they had."""
    study, cases = record(9)
    wanted = sorted(cases, key=lambda case: reading_order.drawn_number(study.seed, "Ann", 1, case))
    assert [tuple(s) for s in reading_order.reading_steps(study, cases, "Ann", 0)] == [
        (1, c, "aided", 0) for c in wanted
    ]


def test_places_of_repeats_are_drawn_for_each_reader(store):
    """Neither their order nor their places are the same for two readers, nor are they all at the end."""
    study, cases = record(40, repeats=10)
    places = []
    for reader in ("Ann", "Bob"):
        steps = reading_order.reading_steps(study, cases, reader, 0)
        places.append([(place, step.study_id) for place, step in enumerate(steps) if step.repeat])
        assert min(place for place, _ in places[-1]) < 40
    assert places[0] != places[1]


def test_a_plan_refuses_more_repeats_than_there_is_room_for():
    """With half of the cases in between, half of them can be read twice."""
    plan = {"name": "x", "task": "breast-mri", "protocol": "aided", "model_version": "v", "readers": ("Ann",)}
    cases = tuple("abcdefg")
    StudyPlan(**plan, cases=cases, rules=Rules(repeats=3))
    with pytest.raises(Refused, match="With 4 other cases in between, 3 of 7 cases can be read twice, not 4"):
        StudyPlan(**plan, cases=cases, rules=Rules(repeats=4))
    with pytest.raises(Refused, match="0 of 7 cases can be read twice, not 1"):
        StudyPlan(**plan, cases=cases, rules=Rules(repeats=1, least_between=9))
    with pytest.raises(Refused, match="0 or more"):
        Rules(repeats=-1)
