"""Results of closed studies: who may see what, under which names; imported studies; counts that a trigger keeps."""

import dataclasses

import pandas as pd
import pytest

from core.reader_records import ImportedStudy
from core.records import Refused
from db import (
    adjudication,
    engine,
    imported_studies,
    predictions,
    reader_studies,
    review_counts,
    reviews,
    studies,
    study_results,
)
from db.adjudication import Decision
from db.engine import StoreError
from db.reviews import ReviewQuery
from tests.db import make
from tests.db.test_reader_studies import read, read_all

ALL = ("model_version", "model_name", "task", "reviewer", "phase", "predicted", "label", "band", "month")


def closed_study(count=3, readers=("Ann", "Bob"), **changes):
    """A closed sequential study that everybody read; gives its id and cases."""
    cases = make.add_studies(count)
    for case in cases:
        make.add_prediction(case, malignant=0.8)
    number = make.reader_study(cases, readers=readers, **changes)
    for reader in readers:
        read_all(number, reader, comment=f"by {reader}", likelihood=70)
    with engine.write() as session:
        reader_studies.close_reader_study(session, number, "Lea")
    return number, cases


def test_readings_come_with_the_models_results_and_decisions(store):
    """Every reading has the model's class and probabilities, and the decision of its case where there is one."""
    number, cases = closed_study()
    with engine.write() as session:
        adjudication.add_decision(session, Decision(cases[1], "benign", "Lea", reader_study=number))
    with engine.read() as session:
        table = study_results.result_readings(session, number)
        assert study_results.newest_decision(session) == 1
    assert len(table) == 2 * 2 * 3
    assert set(table["predicted"]) == {"malignant"}
    assert set(table["protocol"]) == {"sequential"}
    assert table["probabilities"].iloc[0]["malignant"] == 0.8
    assert dict(zip(table["study_id"], table["adjudicated"], strict=True)) == {
        cases[0]: "",
        cases[1]: "benign",
        cases[2]: "",
    }


def test_cases_of_one_patient_share_a_code_that_is_not_theirs(store):
    """P001 and P002 by lot, the same at every look; the store's own name of the patient is nowhere."""
    cases = []
    with engine.write() as session:
        for i, patient in enumerate(("anon-x", "anon-y", "anon-x", "")):
            one = make.study(i, patient_id=patient)
            studies.add_study(session, one)
            cases.append(one.id)
    number = make.reader_study(cases, readers=("Ann", "Bob"))
    for reader in ("Ann", "Bob"):
        read_all(number, reader, likelihood=70)
    with engine.write() as session:
        reader_studies.close_reader_study(session, number, "Lea")
    with engine.read() as session:
        table = study_results.result_readings(session, number)
        again = study_results.result_readings(session, number)
    codes = dict(zip(table["study_id"], table["patient"], strict=True))
    assert codes[cases[0]] == codes[cases[2]] != codes[cases[1]]
    assert {codes[case] for case in cases} == {"P001", "P002", ""}
    assert table["patient"].equals(again["patient"])
    assert "anon-" not in table.to_csv()


def test_results_tell_what_each_reader_was_shown(store):
    """Ann saw what the processor said, Bob what the other device said later; neither a still newer prediction changes."""
    (case,) = make.add_studies(1)
    first = make.add_prediction(case, malignant=0.8)
    number = make.reader_study([case])
    read(number, "Ann")
    read(number, "Ann", prediction_id=first)
    read(number, "Bob")
    with engine.write() as session:
        ids = [predictions.add_prediction(session, make.prediction(case, make.version("model"), malignant, device=device),
               requested_by="Lea") for device, malignant in (("other", 0.4), ("third", 0.1))]  # fmt: skip
    read(number, "Bob", prediction_id=ids[0])
    with engine.write() as session:
        reader_studies.close_reader_study(session, number, "Lea")
        table = study_results.result_readings(session, number)
    shown = {(row.reader, row.phase): (row.predicted, row.probabilities["malignant"]) for row in table.itertuples()}
    assert shown == {
        ("Ann", "unaided"): ("malignant", 0.8), ("Ann", "aided"): ("malignant", 0.8),
        ("Bob", "unaided"): ("benign", 0.4), ("Bob", "aided"): ("benign", 0.4),
    }  # fmt: skip


def test_a_case_whose_model_nobody_saw_has_the_study_s_or_the_newest_result(store):
    """Bob's unaided reading stands beside what Ann was shown; before anybody was shown any, beside the newest."""
    cases = make.add_studies(2)
    for case in cases:
        make.add_prediction(case, malignant=0.8)
    number = make.reader_study(cases)
    read_all(number, "Ann")
    read(number, "Bob")
    late = make.reader_study(cases, name="late", readers=("Eve",))
    read(late, "Eve")
    with engine.write() as session:
        for case in cases:
            other = make.prediction(case, make.version("model"), 0.4, device="other")
            predictions.add_prediction(session, other, requested_by="Lea")
        for study in (number, late):
            reader_studies.close_reader_study(session, study, "Lea")
        bob, eve = (study_results.result_readings(session, study) for study in (number, late))
    assert [p["malignant"] for p in bob.loc[bob["reader"] == "Bob", "probabilities"]] == [0.8]
    assert [p["malignant"] for p in eve["probabilities"]] == [0.4]


def test_nothing_is_given_of_a_study_that_runs(store):
    """Neither to the lead's page nor to a reader's own."""
    number = make.reader_study(make.add_studies(1))
    with engine.read() as session:
        for call in (lambda: study_results.result_readings(session, number),
                     lambda: study_results.panel_readings(session, number, "Ann")):  # fmt: skip
            with pytest.raises(Refused, match="once it is closed"):
                call()


def test_a_reader_sees_the_others_without_names_comments_and_times(store):
    """Own rows as they are; of the others no name, comment, region or moment; a stranger sees nothing."""
    number, _ = closed_study(readers=("Ann", "Bob", "Cid"))
    with engine.read() as session:
        table = study_results.panel_readings(session, number, "Ann")
        with pytest.raises(Refused, match="not a reader"):
            study_results.panel_readings(session, number, "Eve")
    assert set(table["reader"]) == {"Ann", "panel 1", "panel 2"}
    others = table[table["reader"] != "Ann"]
    assert not others["comment"].any()
    assert not others["created_at"].any()
    assert not any(map(len, others["regions"]))
    assert "Bob" not in table.to_csv()
    assert "Cid" not in table.to_csv()
    assert (table.loc[table["reader"] == "Ann", "comment"] == "by Ann").all()


def test_cases_of_a_running_study_are_left_out_of_a_readers_page(store):
    """They would give away what is read blind there."""
    number, cases = closed_study()
    make.reader_study(cases[:1], name="second", readers=("Ann",))
    with engine.read() as session:
        own, other = (study_results.panel_readings(session, number, name) for name in ("Ann", "Bob"))
    assert set(own["study_id"]) == set(cases[1:])
    assert set(other["study_id"]) == set(cases)


def test_pseudonyms_stay_and_follow_no_alphabet(store):
    """The same at each call, one for each reader, also for one who read nothing."""
    readers = tuple(f"Reader {letter}" for letter in "ABCDEFGH")
    number = make.reader_study(make.add_studies(1), readers=readers)
    with engine.read() as session:
        first, again = (study_results.pseudonyms(session, number) for _ in range(2))
        with pytest.raises(Refused, match="not in the store"):
            study_results.pseudonyms(session, 99)
    assert first == again
    assert sorted(first.values()) == [f"R{n:02d}" for n in range(1, 9)]
    assert [first[name] for name in readers] != sorted(first.values())


def test_case_facts_follow_the_leads_order(store):
    """One row per case, facts as JSON."""
    number, cases = closed_study()
    with engine.read() as session:
        table = study_results.case_facts(session, number)
    assert table["study_id"].tolist() == cases
    assert table["facts"].tolist() == ["{}"] * 3


RECORD = ImportedStudy(0, "Elsewhere", "breast-mri", "ab" * 32, False, 2, 3, 4, "Lea", "")
READINGS = pd.DataFrame({"case": ["1", "2"], "likelihood": [0.5, None]})


def test_an_imported_study_is_stored_once_and_comes_back(store):
    """The same content again adds nothing, under any name; readings come back as they were; the audit log knows."""
    with engine.write() as session:
        added = imported_studies.add_imported_study(session, RECORD, READINGS)
    with engine.write() as session:
        assert imported_studies.add_imported_study(session, dataclasses.replace(RECORD, name="again"), READINGS) is None
    with engine.read() as session:
        assert imported_studies.list_imported_studies(session) == [added]
        pd.testing.assert_frame_equal(imported_studies.imported_readings(session, added.id), READINGS)
        with pytest.raises(Refused, match="not in the store"):
            imported_studies.imported_readings(session, 99)
    assert added.id
    assert added.created_at
    assert added.name == "Elsewhere"


@pytest.mark.parametrize("name", ["", "x" * 81, "elsewhere", "SEQUENTIAL study"])
def test_names_of_imported_studies_are_names_and_free(store, name):
    """Also not one of a study of this store; nothing is kept then."""
    make.reader_study(make.add_studies(1))
    with engine.write() as session:
        imported_studies.add_imported_study(session, RECORD, READINGS)
    other = dataclasses.replace(RECORD, name=name, fingerprint="cd" * 32)
    with pytest.raises(Refused, match=r"name|called"), engine.write() as session:
        imported_studies.add_imported_study(session, other, READINGS)
    with engine.read() as session:
        assert len(imported_studies.list_imported_studies(session)) == 1


def counted(**query):
    """What the counts say, as sorted tuples."""
    with engine.read() as session:
        table = review_counts.review_counts(session, ALL, **query)
    return sorted(table.itertuples(index=False, name=None))


def by_hand(**query):
    """The same from the reviews themselves."""
    with engine.read() as session:
        table = reviews.list_reviews(session, ReviewQuery(**query))
    table = table[table["predicted"].notna()]
    band = [-1 if pd.isna(c) else min(4, int(c) // 20) for c in table["confidence"]]
    table = table.assign(band=band, month=table["created_at"].str[:7])
    return sorted(table.groupby(list(ALL)).size().reset_index().itertuples(index=False, name=None))


def daily(cases, shown):
    """Reviews of two people with corrections, with and without a prediction, and confidences at the bands' borders."""
    with engine.write() as session:
        for i, case in enumerate(cases):
            for reader in ("Ann", "Bob"):
                reviews.add_review(session, make.review(case, f"{reader}-u-{i}", reviewer=reader, phase="unaided"))
                first = make.review(
                    case, f"{reader}-{i}", reviewer=reader, prediction_id=shown[case], confidence=[None, 0, 79, 80][i]
                )
                reviews.add_review(session, first)
        for i, label in enumerate(("benign", "malignant", "benign")):
            again = make.review(cases[1], f"again-{i}", prediction_id=shown[cases[1]], label=label, confidence=100)
            reviews.add_review(session, again)


def test_counts_are_those_of_the_current_reviews(store):
    """Whatever was added, corrected or made in a reader study, a trigger keeps the counts equal to the reviews."""
    cases = make.add_studies(4)
    shown = {case: make.add_prediction(case, malignant=0.2 + 0.2 * i) for i, case in enumerate(cases)}
    assert counted() == []
    daily(cases, shown)
    number = make.reader_study(cases[2:], "aided", readers=("Cid", "Dee"))
    read_all(number, "Cid")
    assert counted() == by_hand()
    assert sum(row[-1] for row in counted()) == 8
    assert counted(reviewer="Ann") == by_hand(reviewer="Ann")
    assert counted(task="mammography") == []


def test_counts_hide_what_a_reader_must_not_know_yet(store):
    """Cases that Ann reads blind in a running study do not count on her page; on others' they do."""
    cases = make.add_studies(4)
    shown = {case: make.add_prediction(case, malignant=0.2 + 0.2 * i) for i, case in enumerate(cases)}
    daily(cases, shown)
    make.reader_study(cases[:2], readers=("Ann",))
    assert counted(reviewer="Ann", shown_to="Ann") == by_hand(reviewer="Ann", shown_to="Ann")
    assert sum(row[-1] for row in counted(reviewer="Ann", shown_to="Ann")) == 2
    assert sum(row[-1] for row in counted(reviewer="Bob", shown_to="Bob")) == 4
    with engine.read() as session, pytest.raises(ValueError, match="own counts"):
        review_counts.review_counts(session, ["label"], shown_to="Ann")


def test_a_refused_review_is_not_counted(store):
    """The trigger's work is undone with the transaction."""
    case = make.add_studies(1)[0]
    shown = make.add_prediction(case)

    def add_and_fail():
        with engine.write() as session:
            reviews.add_review(session, make.review(case, "t", prediction_id=shown))
            session.connection().exec_driver_sql("DELETE FROM reviews")

    with pytest.raises(StoreError):
        add_and_fail()
    assert counted() == []
