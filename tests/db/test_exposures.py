"""Readers who know a case with the model and are asked to read it without: counted, said, accepted with a reason, marked."""

import json

import pytest

from core.study_exchange import export_table
from db import audit, engine, exposures, reader_studies, readers, reviews, study_files, study_results, users
from tests.db import make
from tests.db.test_reader_studies import read_all, refused


@pytest.fixture
def cases(store):
    """Three cases: Ann has read the first with a model's result, the second without one, and the third blind; Bob none."""
    made = make.add_studies(3)
    with engine.write() as session:
        users.add_user(session, "Ann", "reviewer")
    shown = make.add_prediction(made[0], "another")
    with engine.write() as session:
        for case, phase, prediction in zip(made, ("aided", "aided", "unaided"), (shown, None, None), strict=True):
            reviews.add_review(session, make.review(case, f"daily-{case}", phase=phase, prediction_id=prediction))
    return made


def test_aided_readings_with_a_result_are_counted(cases):
    """Of any model, in daily work and in other studies, each case once; what was read without a result does not count."""
    with engine.read() as session:
        assert exposures.seen_before(session, ("Ann", "Bob"), cases) == {"Ann": 1}
        assert exposures.seen_before(session, ("Ann",), cases[1:]) == {}
    number = make.reader_study(cases, "aided")
    read_all(number)
    with engine.read() as session:
        assert exposures.seen_before(session, ("Bob", "Ann"), cases) == {"Ann": 3}


@pytest.mark.parametrize("protocol", ["sequential", "washout"])
def test_a_study_with_known_cases_starts_with_a_reason_only(cases, protocol):
    """Refused with who and how many; the log keeps reason and numbers."""
    number = make.reader_study(cases, protocol, start=False)
    refused(r"before: 1 \(Ann 1\)\. Say why", reader_studies.start_reader_study, number, "Lea", " ")
    with engine.write() as session:
        reader_studies.start_reader_study(session, number, "Lea", " seen a year ago ")
        details = json.loads(audit.list_entries(session).iloc[0]["details"])
    assert (details["seen_before"], details["accepted"]) == ({"Ann": 1}, "seen a year ago")


def test_an_aided_study_asks_nothing(cases):
    """There the model is beside every reading anyway."""
    assert make.reader_study(cases, "aided")


def test_a_reader_who_joins_is_looked_at_too(cases):
    """Ann joins Bob's study with a reason; somebody who knows no case needs none, and the log then says nothing of it."""
    number = make.reader_study(cases, readers=("Bob",))
    refused("Say why that is accepted", readers.add_reader, number, "Ann", "Lea")
    with engine.write() as session:
        readers.add_reader(session, number, "Ann", "Lea", "too few readers")
        assert json.loads(audit.list_entries(session).iloc[0]["details"])["accepted"] == "too few readers"
        users.add_user(session, "Cid", "reviewer")
        readers.add_reader(session, number, "Cid", "Lea")
        assert "accepted" not in audit.list_entries(session).iloc[0]["details"]


def test_results_and_exports_mark_what_was_known_before(cases):
    """Ann's readings of the first case, in both phases; nothing that was read within the study itself."""
    number = make.reader_study(cases, start=False)
    with engine.write() as session:
        reader_studies.start_reader_study(session, number, "Lea", "accepted")
    for reader in ("Ann", "Bob"):
        read_all(number, reader)
    with engine.write() as session:
        reader_studies.close_reader_study(session, number, "Lea")
    with engine.write() as session:  # afterwards: too late to have been known before
        reviews.add_review(session, make.review(cases[1], "later", prediction_id=make_prediction(session, cases[1])))
    with engine.read() as session:
        study, names = study_files.finished_study(session, str(number))
        table = study_results.result_readings(session, number)
    marked = table[table["seen_before"]]
    assert set(zip(marked["reader"], marked["study_id"], marked["phase"], strict=True)) == {
        ("Ann", cases[0], "unaided"), ("Ann", cases[0], "aided"),
    }  # fmt: skip
    exported = export_table(study, names)
    assert (exported["seen_before"].sum(), exported["seen_before"].dtype) == (2, bool)


def make_prediction(session, case):
    """Id of the prediction that there is."""
    from db import predictions

    return predictions.get_prediction(session, case, make.version("model"))[0]
