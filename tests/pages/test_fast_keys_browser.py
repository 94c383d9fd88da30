"""Keys typed faster than the program answers: never on the case that is being saved, and not lost for the next one."""

import signal
import time
from contextlib import contextmanager

import numpy as np
import pytest

from core.reader_records import Rules, StudyPlan
from core.records import Prediction
from db import drafts, engine, predictions, reader_studies, reading_order, reviews, users
from tests.pages.conftest import register
from tests.pages.test_pages import add_studies

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def version(server_url, trained):
    """The version of the one active model."""
    return register(trained)


@contextmanager
def stopped(server):
    """The program stands still: what the browser sends meanwhile reaches it all at once."""
    server[1].send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server[1].send_signal(signal.SIGCONT)


def aided_study(version, reader, likelihood_required=False):
    """A running study of three cases with stored results; its number, and the cases in this reader's order."""
    cases = add_studies(3)
    with engine.write() as session:
        users.add_user(session, reader, "reviewer")
        rules = Rules(likelihood_required, False, 28)
        plan = StudyPlan(f"Fast {reader}", "breast-mri", "aided", version, tuple(cases), (reader,), 1, rules)
        study = reader_studies.add_reader_study(session, plan, "Lea")
        reader_studies.start_reader_study(session, study.id, "Lea")
        for case in cases:
            made = Prediction(
                case, version, "breast-mri", {"benign": 0.4, "malignant": 0.6}, np.array([[0.4, 0.6]]), "malignant", None,
                "cpu", {"size": [32, 32], "channels": 1, "mean": [0.5], "std": [0.5]}, {},
            )  # fmt: skip
            predictions.add_prediction(session, made, requested_by="Lea")
    steps = reading_order.reading_steps(study, cases, reader, 0)
    return study.id, list(dict.fromkeys(step.study_id for step in steps))


def begin(visitor, number, key):
    """Open the reader's turn and choose a class; the save key would save now."""
    visitor.page.goto(f"{visitor.url}/review?reader_study={number}")
    visitor.text("Case 1 of 3")
    visitor.page.wait_for_selector("canvas[data-shown*='pixels/']")
    visitor.page.keyboard.press(key)
    visitor.page.wait_for_selector("[class*='st-key-save-'] button:enabled")
    visitor.page.wait_for_selector("[data-test-script-state=notRunning]")


def draft_when(reader, number, case, **expected):
    """The draft of a case once it holds what is expected; what it holds after ten seconds otherwise."""
    deadline = time.monotonic() + 10
    while True:
        with engine.read() as session:
            draft = drafts.get_draft(session, case, reader, number) or {}
        if expected.items() <= draft.items() or time.monotonic() > deadline:
            return draft
        time.sleep(0.05)


def saved(reader, number, case):
    """(class, likelihood) of what is stored of a case."""
    with engine.read() as session:
        return [(r.label, r.likelihood) for r in reviews.review_history(session, case, reader, number)]


def test_keys_right_after_the_save_key_belong_to_the_next_case(server, version, visit):
    """Class and likelihood typed before the server has answered: the saved reading has its own, the next case gets these."""
    number, cases = aided_study(version, "Gus")
    gus = visit("Gus")
    begin(gus, number, "1")
    keys = gus.page.keyboard
    with stopped(server):
        keys.press("Control+Enter")
        keys.press("2")
        keys.press("l")
        keys.type("85")
        keys.press("Control+Enter")
        gus.page.wait_for_timeout(1500)
        gus.text("Saving … 4 keys wait for the next case")
    gus.text("Case 2 of 3")
    assert saved("Gus", number, cases[0]) == [("benign", None)]
    gus.page.wait_for_function("document.activeElement?.value === '85'")
    keys.press("Tab")
    draft = draft_when("Gus", number, cases[1], likelihood=85)
    assert (draft.get("label"), draft.get("likelihood")) == ("malignant", 85)
    assert saved("Gus", number, cases[1]) == [], "a save key is never kept for a case that nobody has seen"
    gus.page.wait_for_selector("[class*='st-key-save-'] button:enabled")
    keys.press("Control+Enter")
    gus.text("Case 3 of 3")
    assert saved("Gus", number, cases[1]) == [("malignant", 85)]


def test_keys_after_a_refused_save_are_dropped(server, version, visit):
    """The save lacks a likelihood: what was typed for the next case changes nothing in this one."""
    number, cases = aided_study(version, "Hal", likelihood_required=True)
    hal = visit("Hal")
    begin(hal, number, "1")
    with stopped(server):
        hal.page.keyboard.press("Control+Enter")
        hal.page.keyboard.press("2")
        hal.page.keyboard.press("l")
        hal.page.keyboard.type("85")
    hal.text("asks for a likelihood")
    hal.text("Not saved; (1 key typed meanwhile was|4 keys typed meanwhile were) dropped")
    draft = draft_when("Hal", number, cases[0], label="benign")
    assert (draft.get("label"), draft.get("likelihood")) == ("benign", None)
    assert saved("Hal", number, cases[0]) == []
    hal.page.keyboard.press("2")
    assert draft_when("Hal", number, cases[0], label="malignant")["label"] == "malignant", "and keys work again"


def test_a_click_on_the_form_while_it_is_saved_does_nothing(server, version, visit):
    """Save by the mouse, then another class before the answer: the reading that is stored is the one that was saved."""
    number, cases = aided_study(version, "Ida")
    ida = visit("Ida")
    begin(ida, number, "1")
    save = ida.page.locator("[class*='st-key-save-'] button").bounding_box()
    other = ida.page.locator("[class*='st-key-class-malignant'] button").bounding_box()
    with stopped(server):
        for box in (save, other):
            ida.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        ida.text("Saving …")
    ida.text("Case 2 of 3")
    assert saved("Ida", number, cases[0]) == [("benign", None)]
    assert saved("Ida", number, cases[1]) == []


def test_after_signing_out_in_one_tab_nothing_is_saved_in_another(version, visit):
    """Neither under the old name, by whoever sits there now, nor under the next one's; a draft of before is kept."""
    number, cases = aided_study(version, "Jon")
    jon = visit("Jon")
    begin(jon, number, "1")
    other = jon.context.new_page()
    other.goto(f"{jon.url}/sign-out")
    jon.page.keyboard.press("Control+Enter")
    jon.text("not signed in any more")
    assert saved("Jon", number, cases[0]) == []
    other.fill("#name", "Kim")
    other.click("button[type=submit]")
    other.wait_for_selector("h1:has-text('Worklist')")
    jon.page.reload()
    jon.text("You are not a reader of this study")
    assert saved("Jon", number, cases[0]) == saved("Kim", number, cases[0]) == []
    assert draft_when("Jon", number, cases[0], label="benign")["label"] == "benign"


def test_another_person_signing_in_ends_what_the_first_has_open(version, visit):
    """Without a sign-out: the sign-in form takes the machine over, and the first person's windows with it."""
    number, cases = aided_study(version, "Lou")
    lou = visit("Lou")
    begin(lou, number, "1")
    other = lou.context.new_page()
    other.goto(f"{lou.url}/sign-in")
    other.fill("#name", "Mia")
    other.click("button[type=submit]")
    other.wait_for_selector("h1:has-text('Worklist')")
    lou.page.keyboard.press("Control+Enter")
    lou.text("not signed in any more")
    assert saved("Lou", number, cases[0]) == []


def test_keys_before_the_form_is_there_wait_for_it(version, visit):
    """The picture of a page that is opened stands before the buttons beside it: class and likelihood are not lost."""
    number, cases = aided_study(version, "Nia")
    nia = visit("Nia")
    held = []
    nia.page.route("**/static/js/Button.*.js", lambda route: held.append(route))  # the browser's code for the buttons
    nia.page.goto(f"{nia.url}/review?reader_study={number}")
    nia.page.wait_for_selector("canvas[data-shown*='pixels/']")
    nia.page.keyboard.press("2")
    nia.page.keyboard.press("l")
    nia.page.keyboard.type("85")
    nia.page.wait_for_timeout(500)
    assert held, "the buttons were not there yet"
    for route in held:
        route.continue_()
    nia.page.wait_for_function("document.activeElement?.value === '85'")
    nia.page.keyboard.press("Tab")
    draft = draft_when("Nia", number, cases[0], likelihood=85)
    assert (draft.get("label"), draft.get("likelihood")) == ("malignant", 85)


@contextmanager
def form_incomplete(visitor, address, field):
    """A case is opened whose form has its buttons, but not yet that field of Streamlit's: it comes after the block."""
    held = []
    visitor.page.route(f"**/static/js/{field}.*.js", lambda route: held.append(route))
    visitor.page.goto(f"{visitor.url}/review?{address}")
    visitor.page.wait_for_selector("canvas[data-shown*='pixels/']")
    visitor.page.wait_for_selector("[class*='st-key-save-'] button")
    yield
    assert held, "the form was whole already"
    for route in held:
        route.continue_()
    visitor.page.wait_for_selector(".st-key-assessment [data-testid=stSkeleton]", state="detached")
    visitor.settle()


@pytest.mark.parametrize("by", ["key", "click"])
def test_nothing_is_saved_while_a_class_key_waits_for_the_form(version, visit, by):
    """The class of before stands in the form and could be saved: the one just typed is what counts."""
    number, cases = aided_study(version, f"Pia {by}")
    pia = visit(f"Pia {by}")
    begin(pia, number, "1")
    with form_incomplete(pia, f"reader_study={number}", "NumberInput"):
        pia.page.wait_for_selector("[class*='st-key-save-'] button:enabled")
        pia.page.keyboard.press("2")
        if by == "key":
            pia.page.keyboard.press("Control+Enter")
        else:
            pia.page.locator("[class*='st-key-save-'] button").click()
        pia.text("1 key waits for this case's form")
    assert draft_when(f"Pia {by}", number, cases[0], label="malignant")["label"] == "malignant"
    assert saved(f"Pia {by}", number, cases[0]) == []


def test_keys_before_the_form_are_dropped_with_a_word_by_a_step_to_another_case(version, visit):
    """Meant for the case that was left: neither case gets them, and the page says so."""
    cases, oli = add_studies(2), visit("Oli")
    with form_incomplete(oli, f"study={cases[0]}", "Slider"):
        oli.page.keyboard.press("2")
        oli.text("1 key waits for this case's form")
        oli.page.keyboard.press("Alt+ArrowRight")
        oli.text("1 key was typed before the form was there and dropped")
    with engine.read() as session:
        assert not [case for case in cases if (drafts.get_draft(session, case, "Oli") or {}).get("label")]
