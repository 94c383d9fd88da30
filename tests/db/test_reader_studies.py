"""Reader studies in the store: their life, whose turn it is, what a committed reading still allows, what stays hidden."""

import dataclasses
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from core.reader_records import MAX_READERS, Rules, StudyPlan
from core.records import Refused
from db import (
    audit,
    drafts,
    engine,
    holds,
    models,
    reader_cases,
    reader_studies,
    reader_turns,
    readers,
    reading_order,
    reviews,
    studies,
    users,
)
from db.reviews import ReviewQuery
from db.studies import WorklistQuery
from tests.db import make


def at(number, reader="Ann", now=""):
    """Where a reader stands."""
    with engine.read() as session:
        return reader_turns.progress_of(session, reader_studies.get_reader_study(session, number), reader, now)


def read(number, reader="Ann", **changes):
    """Save the reading whose turn it is; gives it."""
    turn = at(number, reader).turn
    shown = make.add_prediction(turn.study_id) if turn.phase == "aided" else None
    values = {"phase": turn.phase, "reviewer": reader, "reader_study": number, "prediction_id": shown} | changes
    token = f"{number}-{reader}-{turn.done}"
    with engine.write() as session:
        return reviews.add_review(session, make.review(changes.pop("study_id", turn.study_id), token, **values))


def read_all(number, reader="Ann", **changes):
    """Read until nothing more is asked now; gives (study id, phase) in order."""
    done = []
    while at(number, reader).turn:
        saved = read(number, reader, **changes)
        done.append((saved.study_id, saved.phase))
    return done


def refused(sentence, function, *arguments):
    """The store refuses this in these words."""
    with pytest.raises(Refused, match=sentence), engine.write() as session:
        function(session, *arguments)


def test_order_is_the_seed_s_and_each_reader_s_own(store):
    """The same seed gives the same order in another study; readers differ from each other and from the lead's list."""
    cases = make.add_studies(12)
    number = make.reader_study(cases, "aided")
    with engine.read() as session:
        study = reader_studies.get_reader_study(session, number)
    orders = {
        name: [step.study_id for step in reading_order.reading_steps(study, cases, name, 0)] for name in ("Ann", "Bob")
    }
    again = reading_order.reading_steps(dataclasses.replace(study, id=99, name="other"), cases[::-1], "Ann", 0)
    assert orders["Ann"] == [case for _, case, _, _ in again]
    assert sorted(orders["Ann"]) == sorted(orders["Bob"]) == sorted(cases)
    assert len({tuple(cases), tuple(orders["Ann"]), tuple(orders["Bob"])}) == 3
    assert [case for case, _ in read_all(number)] == orders["Ann"]


def test_orders_of_a_whole_study_are_kept(store, monkeypatch):
    """As many readers as a study may have: the second round of saves draws none of them again."""
    number = make.reader_study(make.add_studies(1), "aided", readers=tuple(f"R{n}" for n in range(MAX_READERS)))
    drawn = []
    monkeypatch.setattr(reader_turns, "reading_steps", lambda *of: drawn.append(of) or reading_order.reading_steps(*of))
    for _ in range(2):
        for n in range(MAX_READERS):
            at(number, f"R{n}")
    assert len(drawn) == MAX_READERS


def test_sequential_reads_each_case_without_then_with_the_model(store):
    """Two cases are four readings; the numbers count cases."""
    number = make.reader_study(make.add_studies(2))
    first = at(number).turn
    assert (first.phase, first.number, first.total, first.done, first.readings) == ("unaided", 1, 2, 0, 4)
    done = read_all(number)
    assert [phase for _, phase in done] == ["unaided", "aided"] * 2
    assert done[0][0] == done[1][0] == first.study_id
    end = at(number)
    assert (end.turn, end.done, end.readings, end.last) == (None, 4, 4, done[-1][0])


def test_washout_keeps_the_second_session_shut(store):
    """Halves begin with either kind of reading; the second session opens the given days after the reader's last one."""
    number = make.reader_study(make.add_studies(3), "washout")
    with engine.read() as session:
        halves = readers.list_readers(session, number)
    assert sorted(halves.values()) == [0, 1]
    for reader, half in halves.items():
        assert {phase for _, phase in read_all(number, reader)} == {("unaided", "aided")[half]}
        shut = at(number, reader)
        assert (shut.turn, shut.done, shut.readings) == (None, 3, 6)
        last = shut.opens_at
        with engine.read() as session:
            history = reviews.review_history(session, shut.last, reader, number)
        assert datetime.fromisoformat(last) == datetime.fromisoformat(history[-1].created_at) + timedelta(days=14)
        just_before = (datetime.fromisoformat(last) - timedelta(milliseconds=1)).isoformat(timespec="milliseconds")
        assert at(number, reader, just_before).turn is None
        opened = at(number, reader, last).turn
        assert (opened.phase, opened.session, opened.number, opened.done) == (("aided", "unaided")[half], 2, 1, 3)
        early = make.review(
            opened.study_id, f"early-{reader}", reviewer=reader, phase=opened.phase, reader_study=number
        )
        refused("another case's turn", reviews.add_review, early)


def test_no_washout_days_open_the_second_session_at_once(store):
    """A wash-out of zero days is two sessions in a row, in another order of the cases or not."""
    number = make.reader_study(make.add_studies(3), "washout", rules=Rules(False, False, 0))
    assert len(read_all(number)) == 6


def test_an_unaided_reading_never_changes_after_the_commit(store):
    """Neither before nor after the aided one; its repeat with the same token is harmless."""
    number = make.reader_study(make.add_studies(2))
    saved = read(number)
    again = dataclasses.replace(saved, id=None, created_at="", supersedes=None)
    with engine.write() as session:
        assert reviews.add_review(session, again).id == saved.id
    other = dataclasses.replace(again, client_token="other", label="benign")
    refused("can no longer change", reviews.add_review, other)
    read(number)
    refused("can no longer change", reviews.add_review, other)


def test_an_aided_reading_can_be_corrected_while_the_study_runs(store):
    """A correction supersedes and takes no turn; after closing it is refused, and in a wash-out always."""
    number = make.reader_study(make.add_studies(2), "aided")
    first = read(number)
    change = dataclasses.replace(first, id=None, client_token="change", label="benign")
    with engine.write() as session:
        assert reviews.add_review(session, change).supersedes == first.id
    assert at(number).done == 1
    with engine.write() as session:
        reader_studies.close_reader_study(session, number, "Lea")
    refused("does not run", reviews.add_review, dataclasses.replace(change, client_token="late"))
    washout = make.reader_study(make.add_studies(2), "washout")
    committed = read(washout)
    refused(
        "can no longer change", reviews.add_review, dataclasses.replace(committed, id=None, client_token="w", label="x")
    )


def test_only_the_reader_whose_turn_it_is_saves(store):
    """A stranger, another case, another phase and a draft study are refused; nothing is stored."""
    cases = make.add_studies(3)
    number = make.reader_study(cases)
    turn = at(number).turn
    elsewhere = next(case for case in cases if case != turn.study_id)
    review = make.review(turn.study_id, "t", phase="unaided", reader_study=number)
    refused("not a reader", reviews.add_review, dataclasses.replace(review, reviewer="Cleo"))
    refused("another case's turn", reviews.add_review, dataclasses.replace(review, study_id=elsewhere))
    refused("another case's turn", reviews.add_review, dataclasses.replace(review, phase="aided"))
    draft = make.reader_study(cases[:1], name="draft", start=False)
    refused("does not run", reviews.add_review, dataclasses.replace(review, reader_study=draft))
    refused("does not run", reviews.add_review, dataclasses.replace(review, reader_study=999))
    assert at(number).done == 0


def test_rules_are_kept_by_the_store(store):
    """A likelihood and a category that the rules ask for must be there."""
    number = make.reader_study(make.add_studies(1), "aided", rules=Rules(True, True))
    case = at(number).turn.study_id
    review = make.review(case, "t", reader_study=number, prediction_id=make.add_prediction(case))
    refused("likelihood", reviews.add_review, review)
    refused("BI-RADS", reviews.add_review, dataclasses.replace(review, likelihood=0))
    with engine.write() as session:
        saved = reviews.add_review(session, dataclasses.replace(review, likelihood=0, birads="4A"))
    assert (saved.likelihood, saved.birads) == (0, "4A")


def test_an_unaided_reading_names_no_prediction_and_an_aided_one_only_the_study_s(store):
    """A review made beside another model's result, or any before the commit, is no reading of this study."""
    (case,) = make.add_studies(1)
    number = make.reader_study([case])
    right, other = make.add_prediction(case), make.add_prediction(case, "other model")
    refused(
        "protocol shows", reviews.add_review,
        make.review(case, "t", phase="unaided", reader_study=number, prediction_id=right),
    )  # fmt: skip
    read(number)
    refused("protocol shows", reviews.add_review, make.review(case, "t", reader_study=number, prediction_id=other))
    assert read(number, prediction_id=right).prediction_id == right


def test_daily_work_and_reader_studies_do_not_mix(store):
    """One case is read in both; lists, counts, drafts and the worklist of daily work know nothing of the study."""
    (case,) = make.add_studies(1)
    prediction = make.add_prediction(case, malignant=0.1)
    with engine.write() as session:
        reviews.add_review(session, make.review(case, "daily", prediction_id=prediction))
    number = make.reader_study([case], "aided")
    read(number, label="benign", prediction_id=prediction)
    with engine.write() as session:
        drafts.save_draft(session, case, "Ann", {"label": "benign"}, number)
        assert drafts.get_draft(session, case, "Ann") is None
        drafts.delete_draft(session, case, "Ann", number)
        assert drafts.get_draft(session, case, "Ann", number) is None
        assert reviews.latest_review(session, case, "Ann", "aided").label == "malignant"
        assert reviews.latest_review(session, case, "Ann", "aided", number).label == "benign"
        assert list(reviews.list_reviews(session, ReviewQuery())["label"]) == ["malignant"]
        assert reviews.first_altered(session) is None
        assert audit.verify(session) is None


def test_cases_of_a_running_study_leave_the_reader_s_daily_work(store):
    """For its readers only, and until it is closed: on the worklist, its counts, its neighbours and the lists of reviews."""
    cases = make.add_studies(3)
    with engine.write() as session:
        reviews.add_review(session, make.review(cases[0], "daily"))
    number = make.reader_study(cases[:2])

    def seen(reader):
        query = WorklistQuery(reviewer=reader)
        with engine.read() as session:
            counts = studies.count_statuses(session, reader)
            assert sum(counts.values()) == studies.count_worklist(session, query)
            for case in cases[:2]:
                assert reader_turns.is_held_back(session, reader, case) == (reader == "Ann" and running)
            return list(studies.list_worklist(session, query)["id"]), studies.next_unread(session, query)

    running = True
    assert seen("Ann") == ([cases[2]], cases[2])
    assert seen("Cleo") == (cases, cases[0])
    with engine.read() as session:
        assert studies.neighbours(session, WorklistQuery(reviewer="Ann"), cases[2]) == (None, None)
        assert reviews.count_reviews(session, ReviewQuery(shown_to="Ann")) == 0
        assert reviews.count_reviews(session, ReviewQuery(shown_to="Cleo")) == 1
    with engine.write() as session:
        reader_studies.close_reader_study(session, number, "Lea")
    running = False
    assert seen("Ann")[0] == cases


def test_a_study_goes_from_draft_to_running_to_closed_and_nowhere_else(store):
    """Each step once, audited; results come with closing only."""
    number = make.reader_study(make.add_studies(2), "aided", start=False)
    refused("only a running", reader_studies.close_reader_study, number, "Lea")
    refused("is draft", reader_studies.study_readings, number)
    with engine.write() as session:
        reader_studies.start_reader_study(session, number, "Lea")
    refused("only a draft", reader_studies.start_reader_study, number, "Lea")
    refused("only a draft", reader_studies.discard_draft_study, number, "Lea")
    read(number, likelihood=80)
    refused("is running", reader_studies.study_readings, number)
    with engine.write() as session:
        reader_studies.close_reader_study(session, number, "Lea")
        table = reader_studies.study_readings(session, number)
        actions = list(audit.list_entries(session)["action"])
    assert table[["reader", "label", "likelihood"]].values.tolist() == [["Ann", "malignant", 80]]
    assert [a for a in actions if a.startswith("reader_study")][::-1] == [
        "reader_study.add", "reader_study.start", "reader_study.close",
    ]  # fmt: skip
    refused("only a running", reader_studies.close_reader_study, number, "Lea")


def test_a_discarded_draft_is_gone_but_not_from_the_log(store):
    """Its name is free again."""
    cases = make.add_studies(1)
    number = make.reader_study(cases, start=False)
    with engine.write() as session:
        reader_studies.discard_draft_study(session, number, "Lea")
        assert reader_studies.list_reader_studies(session) == []
        assert "reader_study.discard" in list(audit.list_entries(session)["action"])
    make.reader_study(cases, start=False)


def test_a_draft_can_be_changed_and_a_running_study_not(store):
    """All that a plan says takes the place of what was there, in the log as well; a name in use stays refused, its own does not."""
    cases = make.add_studies(4)
    number = make.reader_study(cases[:3], "aided", name="first", start=False)
    make.reader_study(cases[3:], "aided", name="second")
    with engine.write() as session:
        users.add_user(session, "Cleo", "reviewer")
        plan = StudyPlan(
            "First",
            "breast-mri",
            "washout",
            make.version("model"),
            tuple(cases[:0:-1]),
            ("Cleo",),
            9,
            Rules(True, True, 3),
        )
        changed = reader_studies.change_draft_study(session, number, plan, "Leo")
        assert changed == reader_studies.get_reader_study(session, number)
        assert reader_studies.list_cases(session, number) == cases[:0:-1]
        assert readers.list_readers(session, number) == {"Cleo": 0}
        assert audit.list_entries(session)["action"].iloc[0] == "reader_study.change"
    assert (changed.name, changed.protocol, changed.seed, changed.rules) == (
        "First",
        "washout",
        9,
        Rules(True, True, 3),
    )
    assert (changed.created_by, changed.cases) == ("Lea", 3)
    change = reader_studies.change_draft_study
    refused("already a reader study called 'second'", change, number, dataclasses.replace(plan, name="second"), "Leo")
    refused("cannot read", change, number, dataclasses.replace(plan, readers=("Nobody",)), "Leo")
    with engine.write() as session:
        reader_studies.start_reader_study(session, number, "Lea")
    refused("only a draft can be changed", change, number, plan, "Leo")
    refused("not in the store", change, 99, plan, "Leo")


def test_readers_may_join_while_it_runs_and_nobody_else_s_order_changes(store):
    """A third reader joins the smaller half; a lead, a stranger and a second entry are refused, and so is a closed study."""
    number = make.reader_study(make.add_studies(5), "washout", readers=("Ann", "Bob", "Cem"))
    before = at(number).turn
    with engine.write() as session:
        users.add_user(session, "Dora", "reviewer")
        users.add_user(session, "Lea", "lead")
        halves = readers.list_readers(session, number)
        readers.add_reader(session, number, "Dora", "Lea")
        after = readers.list_readers(session, number)
    assert sorted(after.values()) == [0, 0, 1, 1]
    assert {name: after[name] for name in halves} == halves
    assert at(number).turn == before
    refused("already", readers.add_reader, number, "Dora", "Lea")
    refused("Lea cannot read", readers.add_reader, number, "Lea", "Lea")
    refused("Zoe cannot read", readers.add_reader, number, "Zoe", "Lea")
    with engine.write() as session:
        reader_studies.close_reader_study(session, number, "Lea")
    refused("is closed", readers.add_reader, number, "Eve", "Lea")


def test_nobody_reads_a_case_in_two_running_studies(store):
    """Aided in one would spoil unaided in the other: starting is refused, and so is joining."""
    cases = make.add_studies(3)
    make.reader_study(cases[:2], "aided")
    later = make.reader_study(cases[1:], start=False)
    refused("still runs", reader_studies.start_reader_study, later, "Lea")
    apart = make.reader_study(cases[1:], name="apart", readers=("Cem",))
    refused("still runs", readers.add_reader, apart, "Ann", "Lea")


def test_progress_counts_readings_and_says_nothing_else(store):
    """Corrections do not count twice; a reader who has not begun is there with zero."""
    number = make.reader_study(make.add_studies(2), "aided")
    saved = read(number)
    with engine.write() as session:
        reviews.add_review(session, dataclasses.replace(saved, id=None, client_token="again", label="benign"))
        table = reader_turns.list_progress(session, number)
    assert list(table.columns) == ["reader", "half", "added_at", "withdrawn_at", "done", "last_active", "readings"]
    assert table[["reader", "done", "readings"]].values.tolist() == [["Ann", 1, 2], ["Bob", 0, 2]]
    assert table["last_active"].notna().tolist() == [True, False]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": " "}, "1 to 80"),
        ({"name": "SEQUENTIAL study"}, "already a reader study"),
        ({"protocol": "blind"}, "protocol is"),
        ({"cases": ()}, "1 to 5000 cases"),
        ({"cases": ("x", "x")}, "twice"),
        ({"cases": ("x",)}, "1 of the 1 cases are no readable"),
        ({"readers": ()}, "1 to 100 readers"),
        ({"readers": ("Zoe",)}, "Zoe cannot read"),
        ({"model_version": "0"}, "needs a registered model"),
        ({"task": "mammography"}, "needs a registered model"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(store, changes, sentence):
    """Each in one sentence, before anything is stored."""
    cases = make.add_studies(1)
    make.reader_study(cases)
    plan = {"name": "new", "task": "breast-mri", "protocol": "aided", "model_version": make.version("model"),
            "cases": tuple(cases), "readers": ("Ann",)}  # fmt: skip
    with pytest.raises(Refused, match=sentence), engine.write() as session:
        reader_studies.add_reader_study(session, StudyPlan(**plan | changes), "Lea")


def test_a_withdrawn_model_starts_no_study(store):
    """Withdrawn between draft and start."""
    number = make.reader_study(make.add_studies(1), start=False)
    with engine.write() as session:
        models.set_model_status(session, make.version("model"), "withdrawn", "Lea")
    refused("withdrawn", reader_studies.start_reader_study, number, "Lea")


def test_cases_are_chosen_by_query_list_and_sample(store):
    """A sample is reproducible and has the classes asked for; an unknown line of a list is named."""
    made = [make.study(n, reference_standard="malignant" if n % 3 == 0 else "benign") for n in range(12)]
    with engine.write() as session:
        for one in made:
            studies.add_study(session, one)
        ids = [one.id for one in made]
        assert reader_cases.cases_by_query(session, "breast-mri", "study 1") == [ids[1], ids[10], ids[11]]
        assert reader_cases.cases_by_query(session, "mammography") == []
        listed, unknown = reader_cases.cases_by_list(
            session, "breast-mri", [ids[3][:8], " Study 5 ", "patient-3", "", "nothing", ids[3][:7]]
        )
        assert (listed, unknown) == ([ids[3], ids[5]], ["nothing", ids[3][:7]])
        assert reader_cases.reference_counts(session, "breast-mri") == {"malignant": 4, "benign": 8}
        sample = reader_cases.cases_by_sample(session, "breast-mri", {"malignant": 3, "benign": 2}, 5)
        assert sample == reader_cases.cases_by_sample(session, "breast-mri", {"malignant": 3, "benign": 2}, 5)
        assert sample != reader_cases.cases_by_sample(session, "breast-mri", {"malignant": 3, "benign": 2}, 6)
        assert [made[ids.index(case)].reference_standard for case in sample] == ["malignant"] * 3 + ["benign"] * 2
        with pytest.raises(Refused, match="Only 4"):
            reader_cases.cases_by_sample(session, "breast-mri", {"malignant": 5}, 5)


def test_held_studies_are_no_cases(store):
    """What may show a name is in no sample, query or list, and a plan that names it is refused."""
    cases = make.add_studies(2)
    make.reader_study(cases[1:])
    with engine.write() as session:
        holds.add_hold(session, cases[0], "It may show a name.", "Ann")
        assert reader_cases.cases_by_query(session, "breast-mri") == cases[1:]
        assert reader_cases.cases_by_list(session, "breast-mri", [cases[0]]) == ([], [cases[0]])
        assert reader_cases.reference_counts(session, "breast-mri") == {}
    with pytest.raises(Refused, match="no readable"):
        make.reader_study(cases, name="other")


def test_a_reader_s_place_is_found_in_an_index(sqlite_only):
    """Without it SQLite looks through the first reviews of everybody at each save: 0.1 s at 2,000 cases, more each year."""
    where = "reader_study = 1 AND reviewer = 'Ann' AND supersedes IS NULL"
    with engine.read() as session:
        for what in ("count(*)", "max(created_at)"):
            plan = session.execute(text(f"EXPLAIN QUERY PLAN SELECT {what} FROM reviews WHERE {where}")).all()
            assert "COVERING INDEX ix_reviews_of_reader (reader_study=? AND reviewer=?" in str(plan)


def test_a_clock_that_was_set_back_changes_no_order(store, monkeypatch):
    """Which case was read last and which comes next follow from what is saved, not from the times of it."""
    number = make.reader_study(make.add_studies(3), "aided")
    first = at(number).turn.study_id
    read(number)
    second = at(number).turn.study_id
    monkeypatch.setattr(reviews, "utc_now", lambda: "2001-01-01T00:00:00.000+00:00")
    read(number)
    here = at(number)
    assert (here.done, here.last) == (2, second)
    assert here.turn.study_id not in (first, second)


def test_the_case_after_the_turn_is_known_within_a_session_only(store):
    """So that its picture can be fetched ahead; the last case of a session has none after it."""
    cases = make.add_studies(2)
    for protocol in ("aided", "sequential", "washout"):
        number = make.reader_study(cases, protocol, name=protocol, rules=Rules(False, False, 0))
        seen = []
        while (here := at(number)).turn:
            seen.append((here.turn.study_id, here.after))
            read(number)
        once = {"aided": 1, "sequential": 2, "washout": 1}[protocol]
        (first, second) = dict.fromkeys(case for case, _ in seen[: 2 * once])
        assert seen[: 2 * once] == [(first, second)] * once + [(second, "")] * once
        assert seen[-1][1] == ""
        with engine.write() as session:
            reader_studies.close_reader_study(session, number, "Lea")


def test_a_list_of_thousands_is_looked_up_at_once(store):
    """Ids in capitals, a line that fits two studies, odd characters and SQL's own wildcards; one query for all lines."""
    odd = 'Müller, O\'Brien "%_" 乳房'
    made = [make.study(n, name=odd if n < 2 else f"Study {n}", patient_id=f"P%{n}") for n in range(4)]
    with engine.write() as session:
        for one in made:
            studies.add_study(session, one)
        lines = [odd, made[2].id.upper(), "P%_", "%", *(f"unknown {n}" for n in range(3000))]
        listed, unknown = reader_cases.cases_by_list(session, "breast-mri", lines)
        assert listed == [made[0].id, made[1].id, made[2].id]
        assert unknown[:3] == ["P%_", "%", "unknown 0"]
        assert len(unknown) == 3002
        assert reader_cases.cases_by_list(session, "breast-mri", ["", " "]) == ([], [])


def held(case):
    """Somebody saw a name in the picture after the study had begun."""
    with engine.write() as session:
        holds.hold_again(session, case, users.User("Lea", "lead", ""), "a name in the corner")


def release(case):
    """Nothing to mask after all."""
    with engine.write() as session:
        holds.release(session, case, users.User("Lea", "lead", ""), {})


def test_readers_go_on_around_a_held_case_and_come_back_to_it(store):
    """Held before it was read: passed over and counted as held; released: it is the turn at once, then the order goes on."""
    number = make.reader_study(make.add_studies(4), "aided")
    order = [read(number).study_id]
    skipped = at(number).turn.study_id
    held(skipped)
    order.append(read(number).study_id)
    here = at(number)
    assert (here.done, here.held, here.readings, here.turn.number) == (2, 1, 4, 4)
    assert here.turn.study_id not in (*order, skipped)
    assert here.last == order[-1]
    release(skipped)
    assert (at(number).turn.study_id, at(number).turn.number, at(number).held) == (skipped, 2, 0)
    order += [case for case, _ in read_all(number)]
    assert order[2] == skipped
    assert len(set(order)) == 4
    assert (at(number).turn, at(number).done, at(number).held) == (None, 4, 0)


def test_the_rest_of_a_study_waits_where_all_of_it_is_held(store):
    """Nothing to read now, and it says how many readings wait; a save that was on its way is refused."""
    cases = make.add_studies(2)
    number = make.reader_study(cases)
    read(number)
    begun = at(number).turn
    for case in cases:
        held(case)
    here = at(number)
    assert (here.turn, here.done, here.held, here.last) == (None, 1, 3, "")
    with engine.read() as session:
        assert reader_turns.count_held_cases(session, number) == 2
    late = make.review(begun.study_id, "late", phase="aided", reviewer="Ann", reader_study=number)
    refused("held until somebody has looked", reviews.add_review, late)
    release(begun.study_id)
    assert (at(number).turn.study_id, at(number).turn.phase, at(number).held) == (begun.study_id, "aided", 2)


def test_a_case_held_between_its_two_readings_is_not_looked_back_at(store):
    """Its unaided reading is saved, its aided one waits: the next case is the turn, and the model is not shown by Previous."""
    number = make.reader_study(make.add_studies(3))
    first = read(number).study_id
    held(first)
    here = at(number)
    assert (here.turn.phase, here.turn.number, here.held, here.last) == ("unaided", 2, 1, "")
    release(first)
    assert (at(number).turn.study_id, at(number).turn.phase, at(number).last) == (first, "aided", first)


def test_a_washout_counts_from_a_case_that_was_read_late(store):
    """Held in the first session and released in the second: it is read as in the first, and the wash-out begins anew."""
    number = make.reader_study(make.add_studies(3), "washout")
    read(number)
    late = at(number).turn
    held(late.study_id)
    read(number)
    shut = at(number)
    assert (shut.turn, shut.held) == (None, 2)
    assert shut.opens_at
    assert at(number, now=shut.opens_at).turn.session == 2
    release(late.study_id)
    again = at(number, now=shut.opens_at).turn
    assert (again.study_id, again.phase, again.session) == (late.study_id, late.phase, 1)
    read(number)
    assert at(number).turn is None
    assert at(number).opens_at >= shut.opens_at


def test_a_case_held_and_released_before_the_start_changes_nothing(store):
    """Only holds while the study runs make its order need a second look."""
    cases = make.add_studies(3)
    held(cases[0])
    release(cases[0])
    number = make.reader_study(cases, "aided")
    assert at(number).held == 0
    assert len(read_all(number)) == 3


def test_an_aided_reading_without_a_result_is_none(store):
    """The store refuses it too: a page that failed to ask would make an unaided reading pass for an aided one."""
    (case,) = make.add_studies(1)
    number = make.reader_study([case], "aided")
    review = make.review(case, "t", phase="aided", reviewer="Ann", reader_study=number, prediction_id=None)
    refused("gave no result", reviews.add_review, review)
    assert at(number).done == 0
