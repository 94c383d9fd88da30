"""Which cases wait for an adjudicator, what a decision is, and that its history stays."""

import pytest
from sqlalchemy import text

from core.reader_records import Decision
from core.records import Refused
from db import adjudication, audit, engine, holds, reader_studies, reviews
from db.adjudication import QueueQuery
from db.engine import StoreError
from db.users import User
from tests.db import make


def say(case, reader, label, **changes):
    """A reading."""
    with engine.write() as session:
        return reviews.add_review(session, make.review(case, f"{case[:8]}{reader}{label}{changes}", reviewer=reader,
                                                       label=label, **changes))  # fmt: skip


def decide(case, label="benign", **changes):
    """Lea's decision."""
    with engine.write() as session:
        return adjudication.add_decision(session, Decision(case, label, "Lea", **changes))


def queue(**changes):
    """(study id, kind) of what waits."""
    with engine.read() as session:
        table = adjudication.list_queue(session, QueueQuery(**changes))
        counts = adjudication.count_queue(session, QueueQuery(**changes))
    assert len(table) == (counts[changes["kind"]] if changes.get("kind") else counts["readers"] + counts["model"])
    return list(zip(table["study_id"], table["kind"], strict=True))


@pytest.fixture
def cases(store):
    """Four cases: readers differ; both against the model; both with it; one reader without a prediction."""
    made = make.add_studies(4)
    shown = [make.add_prediction(case, malignant=0.9) for case in made[:3]]
    say(made[0], "Ann", "malignant", prediction_id=shown[0])
    say(made[0], "Bob", "benign", prediction_id=shown[0])
    for reader in ("Ann", "Bob"):
        say(made[1], reader, "benign", prediction_id=shown[1])
        say(made[2], reader, "malignant", prediction_id=shown[2])
    say(made[3], "Ann", "benign")
    return made


def test_disagreements_between_readers_and_with_the_model_wait(cases):
    """Unanimous readings that the model shares, or that no model was shown to, do not."""
    assert queue() == [(cases[0], "readers"), (cases[1], "model")]
    assert queue(kind="model") == [(cases[1], "model")]
    assert queue(task="mammography") == []


def test_only_newest_readings_count_and_aided_ones_go_before_unaided(cases):
    """A correction ends the disagreement; an unaided reading counts only where no aided one followed."""
    with engine.read() as session:
        shown = reviews.latest_review(session, cases[0], "Ann", "aided").prediction_id
    say(cases[0], "Bob", "malignant", prediction_id=shown)
    say(cases[3], "Cem", "malignant", phase="unaided")
    assert queue() == [(cases[1], "model"), (cases[3], "readers")]
    say(cases[3], "Cem", "benign")
    assert queue() == [(cases[1], "model")]


def test_a_held_case_is_not_in_the_queue_and_is_not_decided(cases):
    """It comes back with its release."""
    with engine.write() as session:
        holds.hold_again(session, cases[0], User("Lea", "lead", ""), "a name")
    assert queue() == [(cases[1], "model")]
    with pytest.raises(Refused, match="held"):
        decide(cases[0])
    with engine.write() as session:
        holds.release(session, cases[0], User("Lea", "lead", ""), {})
    assert queue() == [(cases[0], "readers"), (cases[1], "model")]


def test_a_decision_takes_the_case_off_the_queue_and_becomes_a_reference(cases):
    """Beside the dataset's own, with who and when."""
    decided = decide(cases[0], "malignant", birads="4B", reason="spiculated")
    assert queue() == [(cases[1], "model")]
    with engine.read() as session:
        assert adjudication.count_queue(session, QueueQuery())["decided"] == 1
        assert adjudication.adjudicated_references(session, "breast-mri") == {cases[0]: "malignant"}
        assert adjudication.adjudicated_references(session, "mammography") == {}
        (row,) = adjudication.list_decisions(session, QueueQuery()).to_dict("records")
        assert audit.list_entries(session, limit=1)["action"][0] == "adjudication.add"
    assert (row["label"], row["birads"], row["reason"], row["decided_by"]) == ("malignant", "4B", "spiculated", "Lea")
    assert row["created_at"] == decided.created_at
    assert row["reference_standard"] is None or str(row["reference_standard"]) in ("<NA>", "nan")


def test_a_changed_decision_keeps_the_first_and_says_why(cases):
    """The chain has both; without a reason the change is refused."""
    first = decide(cases[0])
    with pytest.raises(Refused, match="say why"):
        decide(cases[0], "malignant", reason=" ", supersedes=first.id)
    second = decide(cases[0], "malignant", reason="biopsy", supersedes=first.id)
    with engine.read() as session:
        assert adjudication.decision_history(session, cases[0]) == [first, second]
        assert adjudication.adjudicated_references(session, "breast-mri") == {cases[0]: "malignant"}
        assert len(adjudication.list_decisions(session, QueueQuery())) == 1
    assert second.supersedes == first.id


def test_a_decision_replaces_only_the_one_that_was_seen(cases):
    """Two leads at once: the second hears of the first, and replaces it once that is what they look at."""
    first = decide(cases[0])
    with pytest.raises(Refused, match=r"Lea decided this case meanwhile \(benign\)"):
        decide(cases[0], "malignant", reason="biopsy")
    second = decide(cases[0], "malignant", reason="biopsy", supersedes=first.id)
    with pytest.raises(Refused, match=r"meanwhile \(malignant\)"):
        decide(cases[0], "benign", reason="late", supersedes=first.id)
    with engine.read() as session:
        assert adjudication.decision_history(session, cases[0]) == [first, second]


@pytest.mark.parametrize("change", ["UPDATE adjudications SET id = id", "DELETE FROM adjudications"])
def test_decisions_refuse_changes(cases, change):
    """No statement alters one."""
    decide(cases[0])
    with pytest.raises(StoreError, match="only ever added"), engine.write() as session:
        session.execute(text(change))


def test_readings_are_anonymous_and_letters_do_not_follow_a_reader(store):
    """No name is in the table; over many cases Ann is A about as often as she is B."""
    made = make.add_studies(20)
    letters = []
    for case in made:
        say(case, "Ann", "malignant", comment="mine")
        say(case, "Bob", "benign")
        with engine.read() as session:
            table = adjudication.anonymous_readings(session, case)
        assert "reviewer" not in table.columns
        assert list(table["reader"]) == ["A", "B"]
        letters.append(table.set_index("comment").loc["mine", "reader"])
    assert 3 <= letters.count("A") <= 17


def test_a_running_reader_study_is_not_adjudicated(store):
    """Neither queue nor readings nor decision before it is closed; then its readings count apart from daily work."""
    (case,) = make.add_studies(1)
    number = make.reader_study([case], "aided")
    shown = make.add_prediction(case)
    say(case, "Ann", "benign", reader_study=number, prediction_id=shown)
    say(case, "Bob", "malignant", reader_study=number, prediction_id=shown)
    for call in (
        lambda s: adjudication.list_queue(s, QueueQuery(number)),
        lambda s: adjudication.anonymous_readings(s, case, number),
        lambda s: adjudication.add_decision(s, Decision(case, "benign", "Lea", reader_study=number)),
    ):
        with pytest.raises(Refused, match="once it is closed"), engine.read() as session:
            call(session)
    assert queue() == []
    with engine.write() as session:
        reader_studies.close_reader_study(session, number, "Lea")
    assert queue(reader_study=number) == [(case, "readers")]
    decide(case, reader_study=number)
    assert queue(reader_study=number) == []


def test_an_unknown_study_is_refused(store):
    """A decision needs a case."""
    with pytest.raises(Refused, match="not in the store"):
        decide("x")


def test_the_queue_looks_each_reading_up_once(sqlite_only):
    """Paged by the database; what supersedes a reading and whether it has an aided one is found in an index, never by a scan."""
    with engine.read() as session:
        for number in (None, 1):
            found = adjudication._disagreements_of(number).compile(
                engine.current_engine(), compile_kwargs={"literal_binds": True}
            )
            plan = [row[3] for row in session.execute(text(f"EXPLAIN QUERY PLAN {found}"))]
            assert [line for line in plan if line.startswith("SCAN")] in (["SCAN reviews"], []), plan
            assert any("SEARCH" in line and "(supersedes=?)" in line for line in plan), plan
            assert any("SEARCH" in line and "(reviewer=? AND study_id=? AND phase=?" in line for line in plan), plan
