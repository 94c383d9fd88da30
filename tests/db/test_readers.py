"""Second readings as they are read and stored, and readers who are taken out of a running reader study."""

import dataclasses

import pytest

from core.reader_records import Rules
from core.records import Refused
from core.study_exchange import export_table, read_study
from core.study_readings import StudyReadings, stored_readings
from core.tasks import get_task
from db import (
    adjudication,
    audit,
    drafts,
    engine,
    holds,
    reader_studies,
    reader_turns,
    readers,
    reading_order,
    reviews,
    study_files,
    study_results,
)
from db.adjudication import QueueQuery
from tests.db import make
from tests.db.test_reader_studies import at, read, read_all, refused

TWICE = Rules(False, False, 0, repeats=2)


def test_a_second_reading_is_a_reading_of_its_own(store):
    """It has its own chain; its first reading neither changes nor is shown; the reader's progress counts both."""
    number = make.reader_study(make.add_studies(4), "aided", rules=TWICE)
    assert (at(number).readings, at(number).turn.total) == (6, 6)
    early = make.review(at(number).turn.study_id, "early", reader_study=number, repeat=1)
    refused("another case's turn", reviews.add_review, early)
    first = {}
    while not at(number).turn.repeat:
        saved = read(number, label="benign")
        first[saved.study_id] = saved.id
    assert at(number).turn.number == at(number).turn.done + 1
    again = read(number, label="malignant", repeat=1)
    assert (again.repeat, again.supersedes) == (1, None)
    with engine.read() as session:
        assert reviews.latest_review(session, again.study_id, "Ann", "aided", number).id == first[again.study_id]
        for repeat, wanted in ((0, first[again.study_id]), (1, again.id)):
            (only,) = reviews.review_history(session, again.study_id, "Ann", number, repeat)
            assert only.id == wanted
        assert reviews.first_altered(session) is None
    assert (at(number).last, at(number).last_repeat) == (again.study_id, 1)
    with engine.write() as session:
        corrected = reviews.add_review(session, dataclasses.replace(again, id=None, client_token="c", label="benign"))
    assert corrected.supersedes == again.id


def test_the_two_readings_of_a_case_have_drafts_of_their_own(store):
    """A correction of the first, half entered, is still there when the case has come again and is saved."""
    number = make.reader_study(make.add_studies(4), "aided", rules=TWICE)
    while not at(number).turn.repeat:
        read(number)
    case = at(number).turn.study_id
    with engine.write() as session:
        drafts.save_draft(session, case, "Ann", {"comment": "first", "repeat": 0}, number)
        drafts.save_draft(session, case, "Ann", {"comment": "second", "repeat": 1}, number, repeat=1)
        drafts.save_draft(session, case, "Ann", {"comment": "second, more", "repeat": 1}, number, repeat=1)
        assert drafts.get_draft(session, case, "Ann", number)["comment"] == "first"
        assert drafts.get_draft(session, case, "Ann", number, 1)["comment"] == "second, more"
    read(number, repeat=1)
    with engine.read() as session:
        assert drafts.get_draft(session, case, "Ann", number)["comment"] == "first"
        assert drafts.get_draft(session, case, "Ann", number, 1) is None


def all_of(number, reader, label="malignant"):
    """Read everything that is asked of that reader, second readings too."""
    while turn := at(number, reader).turn:
        read(number, reader, repeat=turn.repeat, label="benign" if turn.repeat else label)


@pytest.mark.parametrize("protocol", ["aided", "sequential", "washout"])
def test_results_tell_second_readings_from_first_ones(store, protocol):
    """In every protocol each reader reads all cases and two of them again, in each phase."""
    cases = make.add_studies(4)
    number = make.reader_study(cases, protocol, rules=TWICE)
    phases = 1 if protocol == "aided" else 2
    for reader in ("Ann", "Bob"):
        all_of(number, reader)
        assert at(number, reader).done == 6 * phases
    with engine.write() as session:
        assert list(reader_turns.list_progress(session, number)["readings"]) == [6 * phases] * 2
        reader_studies.close_reader_study(session, number, "Lea")
        study, _ = study_files.finished_study(session, str(number))
        queue = adjudication.list_queue(session, QueueQuery(number))
    assert len(study.readings) == 2 * 4 * phases
    assert len(study.repeats) == 2 * 2 * phases
    assert set(study.readings["label"]) == {"malignant"}  # what the second readings say is nowhere among the first
    assert set(study.repeats["label"]) == {"benign"}
    assert queue.empty  # the model said malignant, and so did all first readings


def test_held_cases_come_again_as_late_as_they_can(store):
    """A case whose first reading waited for its release is not read twice in a row while anything else is left."""
    number = make.reader_study(make.add_studies(6), "aided", rules=TWICE)
    with engine.read() as session:
        study, cases = reader_studies.get_reader_study(session, number), reader_studies.list_cases(session, number)
    steps = reading_order.reading_steps(study, cases, "Ann", 0)
    late = next(step.study_id for step in steps if step.repeat)  # the one that comes again first
    lea = make.users.User("Lea", "lead", "")
    with engine.write() as session:
        holds.add_hold(session, late, "a name in the corner", "Ann")
    order = []
    while turn := at(number).turn:
        order.append((turn.study_id, turn.repeat))
        read(number, repeat=turn.repeat)
        if len(order) == 4:
            with engine.write() as session:
                holds.release(session, late, lea, {})
    assert sorted(order) == sorted((step.study_id, step.repeat) for step in steps)
    assert order[4] == (late, 0)  # released: it comes first
    assert order[-1] == (late, 1)  # too soon after that for all that is left


def test_a_withdrawn_reader_reads_no_more(store):
    """The readings stay; the cases go back to daily work, another study may ask for them; the log has who, why and how many."""
    cases = make.add_studies(2)
    number = make.reader_study(cases)
    read(number)
    refused("Say why", readers.withdraw_reader, number, "Ann", "  ", "Lea")
    refused("'Cleo' does not read", readers.withdraw_reader, number, "Cleo", "ill", "Lea")
    with engine.write() as session:
        gone = readers.withdraw_reader(session, number, "Ann", " knew the cases ", "Lea")
        assert readers.list_withdrawals(session, number) == [gone]
        entry = audit.list_entries(session).iloc[0]
        assert not reader_turns.is_held_back(session, "Ann", cases[0])
        assert reader_turns.is_held_back(session, "Bob", cases[0])
        assert len(reviews.review_history(session, at_first(session, number), "Ann", number)) == 1
    assert (gone.reader, gone.because) == ("Ann", "knew the cases")
    assert (entry["action"], entry["actor"]) == ("reader_study.withdraw", "Lea")
    assert '"readings":1' in entry["details"].replace(" ", "")
    with pytest.raises(Refused, match="no longer read this study"):
        at(number)
    refused("'Ann' does not read", readers.withdraw_reader, number, "Ann", "again", "Lea")
    refused("cannot read it again", readers.add_reader, number, "Ann", "Lea")
    refused("only reader", readers.withdraw_reader, number, "Bob", "ill", "Lea")
    make.reader_study(cases, name="another", readers=("Ann",))


def at_first(session, number):
    """The case that Ann read."""
    table = reader_turns.list_progress(session, number).set_index("reader")
    assert (table.loc["Ann", "done"], table.loc["Bob", "withdrawn_at"]) == (1, "")
    assert table.loc["Ann", "withdrawn_at"]
    return next(
        c for c in reader_studies.list_cases(session, number) if reviews.review_history(session, c, "Ann", number)
    )


def test_readers_are_withdrawn_from_running_studies_only(store):
    """A draft is changed; of a closed study the results are known."""
    number = make.reader_study(make.add_studies(1), start=False)
    refused("is draft; a reader can be withdrawn only while", readers.withdraw_reader, number, "Ann", "ill", "Lea")
    with engine.write() as session:
        reader_studies.start_reader_study(session, number, "Lea")
        reader_studies.close_reader_study(session, number, "Lea")
    refused("is closed; a reader can be withdrawn only while", readers.withdraw_reader, number, "Ann", "ill", "Lea")


def test_a_replacement_takes_the_half_that_became_free(store):
    """Halves of a wash-out are balanced among those who still read."""
    number = make.reader_study(make.add_studies(1), "washout", readers=("Ann", "Bob", "Cleo", "Dora"))
    with engine.write() as session:
        before = readers.list_readers(session, number)
        readers.withdraw_reader(session, number, "Bob", "ill", "Lea")
        make.users.add_user(session, "Eve", "reviewer")
        readers.add_reader(session, number, "Eve", "Lea")
        assert readers.list_readers(session, number) == before | {"Eve": before["Bob"]}


def test_results_leave_withdrawn_readers_out_unless_they_are_wanted(store):
    """In figures, the adjudication queue and other readers' pages; exports hold their readings with a mark, and bring it back."""
    cases = make.add_studies(2)
    number = make.reader_study(cases, "aided", readers=("Ann", "Bob", "Cleo"))
    read(number, "Cleo", label="benign")
    with engine.write() as session:
        readers.withdraw_reader(session, number, "Cleo", "ill", "Lea")
    for reader in ("Ann", "Bob"):
        read_all(number, reader)
    with engine.write() as session:
        reader_studies.close_reader_study(session, number, "Lea")
        assert adjudication.count_queue(session, QueueQuery(number)) == {"readers": 0, "model": 0, "decided": 0}
        assert set(study_results.panel_readings(session, number, "Ann")["reader"]) == {"Ann", "panel 1"}
        with pytest.raises(Refused, match="not a reader"):
            study_results.panel_readings(session, number, "Cleo")
        table = study_results.result_readings(session, number)
        names = study_results.pseudonyms(session, number)
    study = StudyReadings("s", "breast-mri", stored_readings(table, get_task("breast-mri")))
    assert (study.readers, study.withdrawn) == (("Ann", "Bob"), ("Cleo",))
    everybody = dataclasses.replace(study, with_withdrawn=True)
    assert everybody.readers == ("Ann", "Bob", "Cleo")
    assert everybody.fingerprint != study.fingerprint
    exported = export_table(study, names)
    assert exported["withdrawn"].sum() == 1
    assert set(exported.loc[exported["withdrawn"], "reader"]) == {names["Cleo"]}
    back, _ = read_study(exported.assign(truth="benign").to_csv(index=False).encode(), "a.csv", "breast-mri")
    assert StudyReadings("back", "breast-mri", back).withdrawn == (names["Cleo"],)
