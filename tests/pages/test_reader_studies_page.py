"""Reader studies and adjudication as pages: who sees what, when; and the clock that counts a reading."""

import math
import re
from types import SimpleNamespace

import pytest
import streamlit as st

from core.reader_records import Rules, StudyPlan
from core.records import Refused
from db import (
    adjudication,
    drafts,
    engine,
    holds,
    models,
    predictions,
    reader_studies,
    reader_turns,
    readers,
    reviews,
    users,
)
from db.adjudication import QueueQuery
from pages.ui import identity, ready, study_form
from pages.ui.clock import Clock
from tests.pages.conftest import register
from tests.pages.test_pages import add_person, add_studies, button, open_page, read, said

LOOSE = Rules(likelihood_required=False)


def make_study(cases, version, protocol="sequential", *, start=True, rules=LOOSE):
    """A reader study that Anna and Ben read; gives its id."""
    for name, role in (("Anna", "reviewer"), ("Ben", "reviewer"), ("Lea", "lead")):
        add_person(name, role)
    plan = StudyPlan("Spring", "breast-mri", protocol, version, tuple(cases), ("Anna", "Ben"), 1, rules)
    with engine.write() as session:
        number = reader_studies.add_reader_study(session, plan, "Lea").id
        if start:
            reader_studies.start_reader_study(session, number, "Lea", "a test's readers may know its cases")
    return number


def turn_of(number, reader="Anna"):
    """What that reader reads next."""
    with engine.read() as session:
        return reader_turns.progress_of(session, reader_studies.get_reader_study(session, number), reader).turn


def open_turn(number, user="Anna", **query):
    """The review page inside a reader study."""
    return open_page("review", user=user, reader_study=str(number), **query)


@pytest.fixture
def version(store, trained):
    """One registered model."""
    return register(trained)


def test_a_sequential_reading_commits_then_reveals_then_goes_on(version):
    """Nothing of the model before the commit, its one model after it, and then the next case; all outside daily work."""
    cases = add_studies(2)
    number = make_study(cases, version)
    first = turn_of(number).study_id
    at = open_turn(number)
    assert "Case 1 of 2" in said(at)
    assert "Small CNN" not in said(at)
    assert not re.search(r"Study 000\d", said(at)), "a name could give the answer away"
    with engine.read() as session:
        assert predictions.get_prediction(session, first, version) is None
    read(at, "Benign", "Save and show the model")
    assert "Small CNN, test" in said(at)
    assert not at.selectbox or at.selectbox[0].label != "Model"
    assert button(at, "Save and next").disabled, "the class is decided anew: agreeing costs what disagreeing costs"
    read(at, "Malignant", "Save and next")
    assert "Case 2 of 2" in said(at)
    with engine.read() as session:
        history = reviews.review_history(session, first, "Anna", number)
        assert [(r.phase, r.label, r.prediction_id is None) for r in history] == [
            ("unaided", "benign", True), ("aided", "malignant", False),
        ]  # fmt: skip
        assert reviews.review_history(session, first, "Anna") == []


def test_the_last_case_can_be_corrected_but_its_unaided_reading_not(version):
    """Looking back opens the aided reading only; the unaided one stands."""
    number = make_study(add_studies(2), version)
    first = turn_of(number).study_id
    at = read(read(open_turn(number), "Benign", "Save and show"), "Benign", "Save and next")
    button(at, "Previous").click().run()
    assert "Previous case" in said(at)
    button(at, "Correct this reading").click().run()
    read(at, "Malignant", "Save and next")
    assert "Case 2 of 2" in said(at)
    with engine.read() as session:
        assert [r.label for r in reviews.review_history(session, first, "Anna", number)] == [
            "benign", "benign", "malignant",
        ]  # fmt: skip


def test_no_link_leads_to_a_case_before_its_turn(version):
    """Asking for another case of the study by its address gives the one whose turn it is."""
    cases = add_studies(3)
    number = make_study(cases, version)
    later = next(case for case in cases if case != turn_of(number).study_id)
    at = open_turn(number, study=later)
    assert "Case 1 of 3" in said(at)
    assert "model hidden" in " ".join(str(b.proto.body) for b in at.get("markdown")) or "Read first" in said(at)


def test_a_washout_session_shows_no_model_and_then_waits(version):
    """Whoever begins unaided sees no model in the whole session; then the page says when the second one opens."""
    number = make_study(add_studies(2), version, "washout")
    with engine.read() as session:
        halves = readers.list_readers(session, number)
    blind = next(name for name, half in halves.items() if half == 0)
    at = open_turn(number, blind)
    for _ in range(2):
        assert "Small CNN" not in said(at)
        assert "without the model" in said(at)
        read(at, "Benign", "Save and next")
    assert "First session done" in said(at)
    assert not [b for b in at.button if b.label.startswith("Previous")]
    aided = next(name for name, half in halves.items() if half == 1)
    assert "Small CNN" in said(open_turn(number, aided))


def test_what_the_rules_ask_for_is_said_and_nothing_is_lost(version):
    """Saving without a likelihood ends in a sentence; with it, the reading is stored."""
    number = make_study(add_studies(1), version, "aided", rules=Rules(True, False))
    at = read(open_turn(number), "Benign", "Save and next")
    assert "asks for a likelihood" in said(at)
    field = next(n for n in at.number_input if n.label.startswith("Likelihood"))
    field.set_value(35).run()
    button(at, "Save and next").click().run()
    assert "All read" in said(at)
    with engine.read() as session:
        (saved,) = reviews.review_history(session, read_case(number), "Anna", number)
    assert (saved.likelihood, saved.label, saved.confidence) == (35, "benign", None)


def read_case(number):
    """The study's only case."""
    with engine.read() as session:
        return reader_studies.list_cases(session, number)[0]


def test_a_model_withdrawn_meanwhile_goes_on_in_its_study(version):
    """What the study began with is what it ends with, whatever daily work gets by then."""
    number = make_study(add_studies(1), version)
    at = read(open_turn(number), "Benign", "Save and show")
    with engine.write() as session:
        models.set_model_status(session, version, "withdrawn", "Lea")
    at = open_turn(number)
    assert "Small CNN, test" in said(at)
    read(at, "Benign", "Save and next")
    assert turn_of(number) is None


def test_without_a_result_there_is_no_aided_reading(version, monkeypatch):
    """A model that gives none would make an unaided reading count as aided: refused, and what was entered is kept."""
    number = make_study(add_studies(1), version, "aided")

    def fails(*_):
        raise Refused("The model's file is damaged.")

    monkeypatch.setattr(ready, "prediction_of", fails)
    at = read(open_turn(number), "Benign", "Save and next")
    assert "no aided reading" in " ".join(e.value for e in at.error)
    assert turn_of(number).done == 0
    assert not button(at, "Save and next").disabled


def test_drafts_and_the_clock_s_sum_survive_a_reload(version):
    """Another tab goes on with what was entered and with the seconds counted so far."""
    number = make_study(add_studies(1), version)
    at = open_turn(number)
    button(at, "Benign").click().run()
    case = read_case(number)
    with engine.write() as session:
        draft = drafts.get_draft(session, case, "Anna", number)
        drafts.save_draft(session, case, "Anna", draft | {"seconds": 100.0}, number)
        assert drafts.get_draft(session, case, "Anna") is None
    read(open_turn(number), "Benign", "Save and show")
    with engine.read() as session:
        assert 100 <= reviews.review_history(session, case, "Anna", number)[0].seconds < 160


def test_a_case_of_a_running_study_is_closed_to_its_readers_daily_work(version):
    """By address it is refused in a sentence; the agreement page forgets it; another reviewer goes on reading it."""
    (case,) = add_studies(1)
    add_person()
    at = open_page("review", study=case)
    read(at, "Benign", "Save and show")
    read(at, "Benign", "Save and next")
    assert "Reviewer and model" in said(open_page("agreement")) or open_page("agreement").dataframe
    number = make_study([case], version)
    at = open_page("review", study=case)
    assert "running reader study" in said(at)
    assert "Small CNN" not in said(at)
    assert "No aided readings yet" in said(open_page("agreement"))
    add_person("Cleo")
    assert "Study 0000" in said(open_page("review", user="Cleo", study=case))
    with engine.write() as session:
        reader_studies.close_reader_study(session, number, "Lea")
    assert open_page("agreement").dataframe


OTHERS = (
    "worklist",
    "agreement",
    "runs",
    "performance",
    "comparison",
    "features",
    "models",
    "datasets",
    "adjudication",
)


@pytest.mark.parametrize("page", [*OTHERS, "reader_studies", "review"])
@pytest.mark.parametrize("user", ["Anna", "Cleo"])
def test_no_page_tells_a_reviewer_of_other_readers_or_the_reference(version, page, user):
    """While a study runs: neither Ben's comment nor the reference standard of its case is on any page, reader or not."""
    cases = add_studies(1)
    number = make_study(cases, version)
    add_person("Cleo")
    at = open_turn(number, "Ben")
    at.text_area[0].set_value("ben-was-here")
    read(at, "Malignant", "Save and show")
    shown = open_page(page, user=user)
    text = said(shown) + " ".join(str(frame.value.to_dict()) for frame in shown.dataframe)
    assert "ben-was-here" not in text
    assert "reference_standard" not in text
    if page in ("datasets", "adjudication"):
        assert "Only a project lead" in text
    if page == "reader_studies":
        assert "Ben" not in text


def test_the_lead_sees_completeness_and_no_result_while_it_runs(version):
    """Names, counts and times; classes and comments come with adjudication after closing."""
    number = make_study(add_studies(1), version)
    at = open_turn(number, "Ben")
    at.text_area[0].set_value("ben-was-here")
    read(at, "Malignant", "Save and show")
    lead = open_page("reader_studies", user="Lea")
    (table,) = [frame.value for frame in lead.dataframe if "Reader" in frame.value]
    assert list(table["Readings"]) == ["0 of 2", "1 of 2"]
    assert "alignant" not in str(table.to_dict())
    text = said(open_page("adjudication", user="Lea"))
    assert "Nothing to decide" in text
    assert "ben-was-here" not in text + said(open_page("agreement", user="Lea"))


def test_a_lead_or_a_stranger_cannot_read_in_it(version):
    """Not even by the address."""
    number = make_study(add_studies(1), version)
    add_person("Cleo")
    for name in ("Lea", "Cleo"):
        assert "not a reader" in said(open_turn(number, name))
    draft = make_study_named("Draft", version)
    assert "no such reader study" in said(open_turn(draft))
    assert "no such reader study" in said(open_turn(999))


def make_study_named(name, version):
    """A draft of that name, of one new case."""
    with engine.write() as session:
        cases = tuple(reader_studies.list_cases(session, 1))
        plan = StudyPlan(name, "breast-mri", "aided", version, cases, ("Anna",), 1, LOOSE)
        return reader_studies.add_reader_study(session, plan, "Lea").id


def test_a_lead_draws_up_starts_and_closes_a_study(version):
    """By the page's own controls: sample, draft, start, close."""
    add_studies(4)  # all malignant
    for name, role in (("Anna", "reviewer"), ("Lea", "lead")):
        add_person(name, role)
    at = open_page("reader_studies", user="Lea")
    assert button(at, "Create draft").disabled
    at.text_input(key="rs_name").set_value("Autumn").run()
    at.multiselect(key="rs_readers").set_value(["Anna"]).run()
    at.number_input(key="rs_n:breast-mri:malignant").set_value(3).run()
    assert "3 cases × 1 readers × 2 phases = 6 readings" in said(at)
    button(at, "Create draft").click().run()
    assert not at.exception
    assert "Autumn" in said(at)
    button(at, "Start Autumn").click().run()
    mine = open_page("reader_studies", user="Anna")
    assert "0 of 6 readings saved" in mine.get("progress")[0].proto.text
    assert button(mine, "Begin reading")
    at = open_page("reader_studies", user="Lea")
    button(at, "Close Autumn").click().run()
    with engine.read() as session:
        (study,) = reader_studies.list_reader_studies(session)
    assert (study.status, study.cases, study.rules.likelihood_required) == ("closed", 3, True)


def test_each_new_draft_has_a_seed_of_its_own(version, monkeypatch):
    """Drawn by lot, shown, stored, and the lead's to change; the draft that is edited keeps what it has."""
    add_studies(4)
    for name, role in (("Anna", "reviewer"), ("Lea", "lead")):
        add_person(name, role)
    lots = [11, 22, 33, 44]
    monkeypatch.setattr(study_form.secrets, "randbelow", lambda below: lots.pop(0) if below == 2**31 else 0)
    at = open_page("reader_studies", user="Lea")
    assert at.number_input(key="rs_seed").value == 11
    at.text_input(key="rs_name").set_value("Lot").run()
    at.multiselect(key="rs_readers").set_value(["Anna"]).run()
    assert at.number_input(key="rs_seed").value == 11
    button(at, "Create draft").click().run()
    assert at.number_input(key="rs_seed").value == 22
    assert (at.text_input(key="rs_name").value, at.multiselect(key="rs_readers").value) == ("", [])
    assert "Still to give: a name, readers" in said(at)
    assert "seed 11" in said(at)
    button(at, "Edit").click().run()
    assert at.number_input(key="rs_seed").value == 11
    at.number_input(key="rs_seed").set_value(5).run()
    button(at, "Save draft").click().run()
    assert "seed 5" in said(at)


def test_a_lead_asks_for_second_readings_as_a_number_or_a_share(version):
    """The form says how many readings that makes and how far apart; the draft keeps the number, and refuses too many."""
    add_studies(4)
    for name, role in (("Anna", "reviewer"), ("Lea", "lead")):
        add_person(name, role)
    at = open_page("reader_studies", user="Lea")
    at.text_input(key="rs_name").set_value("Twice").run()
    at.multiselect(key="rs_readers").set_value(["Anna"]).run()
    at.number_input(key="rs_n:breast-mri:malignant").set_value(4).run()
    at.number_input(key="rs_twice").set_value(3).run()
    assert "leave room for 2 of 4 cases" in said(at)
    button(at, "Create draft").click().run()
    assert "2 of 4 cases can be read twice, not 3" in said(at)
    at.segmented_control(key="rs_twice_as").set_value("share").run()
    at.number_input(key="rs_twice").set_value(50).run()
    at.number_input(key="rs_between").set_value(1).run()
    assert "(4 cases + 2 again) × 1 readers × 2 phases = 12 readings" in said(at)
    assert "after 1 others or more" in said(at)
    button(at, "Create draft").click().run()
    with engine.read() as session:
        (study,) = reader_studies.list_reader_studies(session)
    assert (study.rules.repeats, study.rules.least_between, study.shown) == (2, 1, 6)
    at = open_page("reader_studies", user="Lea")
    assert "2 read twice" in said(at)
    button(at, "Edit").click().run()
    assert (at.number_input(key="rs_twice").value, at.number_input(key="rs_between").value) == (2, 1)


def test_a_reader_is_not_told_which_case_comes_again(version):
    """The second reading looks as the first did: a number, no earlier answers, an empty form."""
    number = make_study(add_studies(3), version, rules=Rules(False, False, 0, repeats=1, least_between=2))
    seen = []
    for place in range(1, 5):
        seen.append(turn_of(number).study_id)
        at = open_turn(number)
        assert f"Case {place} of 4" in said(at)
        assert "Your unaided reading" not in said(at)
        assert "Small CNN" not in said(at)
        assert button(at, "Save and show").disabled
        read(at, "Malignant", "Save and show the model")
        assert "Your unaided reading" in said(at)
        read(at, "Malignant", "Save and next")
    assert (len(seen), len(set(seen))) == (4, 3)
    with engine.write() as session:
        reader_studies.close_reader_study(session, number, "Lea")
        table = reader_studies.study_readings(session, number)
    assert sorted(table["repeat"]) == [0] * 6 + [1] * 2


def test_a_lead_withdraws_a_reader_who_is_told(version):
    """Only with a reason; the page marks the reader, who reads no more and does not stand in the sum."""
    cases = add_studies(2)
    number = make_study(cases, version, "aided")
    add_person("Lea", "lead")
    at = open_page("reader_studies", user="Lea")
    at.selectbox(key=f"rs_out:{number}").set_value("Anna").run()
    button(at, "Withdraw").click().run()
    assert "Say why" in said(at)
    at.text_input(key=f"rs_out_why:{number}").set_value("moved away").run()
    button(at, "Withdraw").click().run()
    assert not at.exception
    assert "Anna (withdrawn)" in list(at.dataframe[0].value["Reader"])
    with engine.read() as session:
        (gone,) = readers.list_withdrawals(session, number)
    assert (gone.reader, gone.because) == ("Anna", "moved away")
    mine = open_page("reader_studies", user="Anna")
    assert "A project lead has withdrawn you from Spring" in said(mine)
    assert "no longer read this study" in said(open_turn(number))


def test_a_lead_changes_a_draft_with_the_form_it_was_drawn_up_in(version):
    """The form holds what the draft says, keeps its cases unless others are chosen, and a new study starts empty again."""
    cases = add_studies(4)
    number = make_study(cases[:2], version, "washout", start=False)
    at = open_page("reader_studies", user="Lea")
    button(at, "Edit").click().run()
    assert not at.exception
    assert not at.warning, "no widget has two values"
    assert at.text_input(key="rs_name").value == "Spring"
    assert "2 cases × 2 readers × 2 phases = 8 readings" in said(at)
    at.text_input(key="rs_name").set_value("Late *Spring*").run()
    at.number_input(key="rs_days").set_value(5).run()
    at.multiselect(key="rs_readers").set_value(["Ben"]).run()
    button(at, "Save draft").click().run()
    assert not at.exception
    with engine.read() as session:
        (study,) = reader_studies.list_reader_studies(session)
        assert reader_studies.list_cases(session, number) == cases[:2]
        assert list(readers.list_readers(session, number)) == ["Ben"]
    assert (study.id, study.name, study.protocol, study.rules.washout_days) == (number, "Late *Spring*", "washout", 5)
    assert r"**Late \*Spring\***" in [m.value for m in at.markdown], "shown as typed, not as a style"
    assert at.text_input(key="rs_name").value == ""
    assert button(at, "Create draft").disabled


def test_a_draft_started_meanwhile_is_not_changed(version):
    """Another lead starts it while the form is open: one sentence, nothing stored; the form is for new studies again."""
    number = make_study(add_studies(2), version, start=False)
    at = open_page("reader_studies", user="Lea")
    button(at, "Edit").click().run()
    at.text_input(key="rs_name").set_value("Other").run()
    with engine.write() as session:
        reader_studies.start_reader_study(session, number, "Leo")
    button(at, "Save draft").click().run()
    assert "only a draft can be changed" in " ".join(e.value for e in at.error)
    assert button(at, "Create draft")
    with engine.read() as session:
        assert reader_studies.get_reader_study(session, number).name == "Spring"


def test_unknown_lines_of_a_pasted_list_are_named(version):
    """One sentence with the first ten and how many more, as they were pasted; what is known is taken."""
    cases = add_studies(2)
    add_person("Lea", "lead")
    at = open_page("reader_studies", user="Lea")
    at.segmented_control(key="rs_source").set_value("list").run()
    lines = [cases[0][:8], "*nobody*", *(f"unknown {n}" for n in range(11))]
    at.text_area(key="rs_list").set_value("\n".join(lines)).run()
    (warning,) = [w.value for w in at.warning if "No study of this task" in w.value]
    assert r"“\*nobody\*”, “unknown 0”" in warning
    assert "and 2 more" in warning
    assert "1 cases ×" in said(at)


def test_only_leads_draw_up_and_decide(store):
    """The form and the steps refuse a reviewer, whatever the navigation hides."""
    reviewer = add_person()
    for function in (lambda: study_form.show(reviewer), lambda: study_form._keep(reviewer, (), None)):
        with pytest.raises(Refused, match="Only a project lead"):
            function()
    with pytest.raises(Refused, match="Only a project lead"):
        identity.require_lead(reviewer)


def test_the_adjudicator_decides_and_gets_the_next(version):
    """Readings without names; one class key and one save per case; then the empty state, and the decision as a reference."""
    cases = add_studies(2)
    number = make_study(cases, version, "aided")
    for name, label in (("Anna", "Benign"), ("Ben", "Malignant")):
        at = open_turn(number, name)
        for _ in cases:
            read(at, label, "Save and next")
    with engine.write() as session:
        reader_studies.close_reader_study(session, number, "Lea")
    at = open_page("adjudication", user="Lea", reader_study=str(number))
    for _ in cases:
        table = next(frame.value for frame in at.dataframe if "Reader" in frame.value)
        assert sorted(table["Class"]) == ["benign", "malignant"]
        assert list(table["Reader"]) == ["A", "B"]
        text = said(at)
        assert "Anna" not in text
        assert "Ben" not in text.replace("Benign", "")
        button(at, "Malignant").click().run()
        button(at, "Decide and next").click().run()
        assert not at.exception
    assert "Nothing to decide" in said(at)
    with engine.read() as session:
        assert adjudication.count_queue(session, QueueQuery(number)) == {"readers": 0, "model": 0, "decided": 2}
        assert set(adjudication.adjudicated_references(session, "breast-mri").values()) == {"malignant"}


def test_two_adjudicators_do_not_overrule_each_other_unseen(version):
    """The second is told, keeps what was typed, sees the first decision, and may then replace it with a reason."""
    (case,) = add_studies(1)
    number = make_study([case], version, "aided")
    for name, label in (("Anna", "Benign"), ("Ben", "Malignant")):
        read(open_turn(number, name), label, "Save and next")
    with engine.write() as session:
        reader_studies.close_reader_study(session, number, "Lea")
    add_person("Leo", "lead")
    first, second = (open_page("adjudication", user=name, reader_study=str(number)) for name in ("Lea", "Leo"))
    for at, label in ((first, "Benign"), (second, "Malignant")):
        button(at, label).click().run()
    second.text_area(key=f"adj:{case}:reason").set_value("seen on the biopsy").run()
    button(first, "Decide and next").click().run()
    button(second, "Decide and next").click().run()
    assert "Lea decided this case meanwhile (benign)" in said(second)
    assert "Change the decision" in said(second)
    assert second.text_area(key=f"adj:{case}:reason").value == "seen on the biopsy"
    button(second, "Decide and next").click().run()
    assert not second.error
    with engine.read() as session:
        assert [d.label for d in adjudication.decision_history(session, case)] == ["benign", "malignant"]


def test_a_clock_counts_only_while_somebody_looks():
    """10 s, a pause, 5 s: 15 s. Idle seconds before the pause do not count, and nothing makes it run backwards."""
    clock = Clock(0.0, 100.0)
    assert clock.seconds(110.0) == 10.0
    paused = clock.paused(110.0)
    assert paused.seconds(500.0) == 10.0
    assert paused.paused(600.0) is paused
    again = paused.resumed(500.0)
    assert again.resumed(550.0) is again
    assert again.seconds(505.0) == 15.0
    assert clock.paused(110.0, 4.0).counted == 6.0
    assert clock.paused(110.0, 1e9).counted == 0.0
    assert clock.paused(110.0, -5.0).counted == 10.0
    assert clock.paused(110.0, math.nan).counted == 10.0


def test_a_hidden_window_s_message_stops_the_clock_and_is_stored(version, monkeypatch):
    """`attend` keeps the sum in the draft at once, so that a reload from a hidden window loses nothing."""
    from pages.ui import case as cases_module

    number = make_study(add_studies(1), version)
    monkeypatch.setattr(st, "session_state", {})
    moment = [1000.0]
    monkeypatch.setattr(cases_module.time, "monotonic", lambda: moment[0])
    case = cases_module.open_turn(number, "Anna")
    cases_module.begin_clock(case)
    moment[0] = 1030.0
    cases_module.attend(case, active=False, idle_s=10.0)
    moment[0] = 2000.0
    assert cases_module.seconds_spent(case) == 20.0
    with engine.read() as session:
        assert drafts.get_draft(session, case.study.id, "Anna", number)["seconds"] == 20.0
    cases_module.attend(case, active=True, idle_s=0.0)
    moment[0] = 2005.0
    assert cases_module.seconds_spent(case) == 25.0


def test_a_lead_hears_which_readers_know_cases_with_the_model(version, monkeypatch):
    """In the form, and at the start, which asks why that is accepted; the results say how many readings it touches."""
    monkeypatch.setenv("TUMORTRACE_PROTOCOL", "aided")
    cases = add_studies(2)
    for name, role in (("Anna", "reviewer"), ("Lea", "lead")):
        add_person(name, role)
    read(open_page("review", study=cases[0]), "Benign", "Save and next")
    at = open_page("reader_studies", user="Lea")
    at.text_input(key="rs_name").set_value("Known").run()
    at.multiselect(key="rs_readers").set_value(["Anna"]).run()
    at.toggle(key="rs_likelihood").set_value(False).run()
    assert "seen a model's result of the case before: 1 (Anna 1)" in said(at).replace("\\", "")
    button(at, "Create draft").click().run()
    button(at, "Start Known").click().run()
    assert "Say why that is accepted" in said(at)
    with engine.read() as session:
        (study,) = reader_studies.list_reader_studies(session)
    assert study.status == "draft"
    at.text_input(key=f"rs_start_why:{study.id}").set_value("a year ago").run()
    button(at, "Start Known").click().run()
    while turn := turn_of(study.id):
        read(open_turn(study.id), "Benign", "Save and show" if turn.phase == "unaided" else "Save and next")
    with engine.write() as session:
        reader_studies.close_reader_study(session, study.id, "Lea")
    text = said(open_page("study_results", user="Lea"))
    assert "1 of 2 unaided readings are of readers who had seen a model's result" in text


@pytest.fixture
def moment(monkeypatch):
    """The seconds that the pages' clock shows, as the only item of a list."""
    from pages.ui import case as cases_module

    now = [1000.0]
    monkeypatch.setattr(cases_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_waiting_for_the_model_is_no_reading_time(version, monkeypatch, moment):
    """30 s of inference, then 5 s of reading: 5 s."""
    number, real = make_study(add_studies(1), version, "aided"), ready.prediction_of
    waits = [30.0]

    def slow(*which):
        moment[0] += waits.pop() if waits else 0.0
        return real(*which)

    monkeypatch.setattr(ready, "prediction_of", slow)
    at = open_turn(number)
    moment[0] += 5.0
    read(at, "Benign", "Save and next")
    with engine.read() as session:
        assert [r.seconds for r in reviews.review_history(session, read_case(number), "Anna", number)] == [5.0]


def test_a_correction_counts_on_from_the_reading_that_it_corrects(version, moment):
    """40 s, corrected in 4 s: the case took 44 s, of which the newest row tells."""
    number = make_study(add_studies(2), version, "aided")
    case, at = turn_of(number).study_id, open_turn(number)
    moment[0] += 40.0
    read(at, "Benign", "Save and next")
    moment[0] += 100.0  # on the next case
    button(at, "Previous").click().run()
    button(at, "Correct this reading").click().run()
    moment[0] += 4.0
    read(at, "Malignant", "Save and next")
    with engine.read() as session:
        history = reviews.review_history(session, case, "Anna", number)
    assert [(r.label, r.seconds) for r in history] == [("benign", 40.0), ("malignant", 44.0)]


def test_another_page_and_another_case_stop_the_clock(version, moment):
    """A minute on the list of studies and a minute on the case before are not of this case."""
    number = make_study(add_studies(2), version, "aided")
    at = read(open_turn(number), "Benign", "Save and next")
    case = turn_of(number).study_id
    moment[0] += 7.0
    at.switch_page("reader_studies.py").run()
    moment[0] += 60.0
    at.query_params["reader_study"] = str(number)
    at.switch_page("review.py").run()
    moment[0] += 2.0
    button(at, "Previous").click().run()
    moment[0] += 60.0
    button(at, "Back to my turn").click().run()
    read(at, "Benign", "Save and next")
    with engine.read() as session:
        assert [r.seconds for r in reviews.review_history(session, case, "Anna", number)] == [9.0]


def test_the_study_s_own_model_is_made_ahead(store, trained, monkeypatch):
    """Whatever daily work uses: here no model is active at all."""
    version = register(trained, "candidate")
    number, asked = make_study(add_studies(1), version), []
    monkeypatch.setattr(ready, "_entry", lambda *which: (asked.append(which), (None, None, False))[1])
    open_turn(number)
    assert asked == [(read_case(number), version)]


def test_a_held_case_stops_no_reader_and_is_said(version):
    """The next case comes instead; reader and lead are told; once all of the rest is held, the page says that too."""
    cases = add_studies(2)
    number = make_study(cases, version, "aided")
    first = turn_of(number).study_id
    lead = users.User("Lea", "lead", "")
    with engine.write() as session:
        holds.hold_again(session, first, lead, "a name in the corner")
    at = open_turn(number)
    assert "Case 2 of 2" in said(at)
    assert "1 reading is left out while the case is held" in said(at)
    assert "1 reading is left out" in said(open_page("reader_studies"))
    assert "1 of 2 cases is held" in said(open_page("reader_studies", user="Lea"))
    with engine.write() as session:
        holds.hold_again(session, next(case for case in cases if case != first), lead, "another")
    at = open_turn(number)
    assert "The rest is held" in said(at)
    assert "2 readings are left out" in said(at)
