"""A wash-out through both of its sessions, in a browser, by a reader who looks wherever the model might be found."""

import time

import numpy as np
import pytest
from sqlalchemy import text

from core.reader_records import Rules, StudyPlan
from core.records import Prediction
from db import engine, predictions, reader_studies, reader_turns, reading_order, reviews, users
from tests.pages.conftest import register
from tests.pages.test_pages import add_studies

pytestmark = pytest.mark.browser
SCORES = (0.73162841, 0.64295173)
MARKS = ("0.73162841", "73.2%", "0.64295173", "64.3%")
ELSEWHERE = (
    "Worklist",
    "Upload",
    "Clean",
    "Agreement",
    "Runs",
    "Performance",
    "Comparison",
    "Features",
    "Models",
    "My results",
)
# What somebody may type who knows the program: the case in daily work, pages for leads, another case of the study.
TYPED = ("review?study={0}", "review?study={1}", "adjudication", "datasets", "features?study={0}", "performance?study={0}",
         "review?reader_study={2}&study={1}", "adjudication?reader_study={2}")  # fmt: skip


@pytest.fixture(scope="module")
def version(server_url, trained):
    """The version of the one active model."""
    return register(trained)


def washout(version):
    """A running wash-out of two cases, whose readers Dora and Emil begin unaided and aided, with planted scores; gives its id."""
    cases = add_studies(2)
    with engine.write() as session:
        for name in ("Dora", "Emil"):
            users.add_user(session, name, "reviewer")
        lots = ([reading_order.drawn_number(seed, name) for name in ("Dora", "Emil")] for seed in range(99))
        seed = next(seed for seed, lot in enumerate(lots) if lot == sorted(lot))
        plan = StudyPlan(
            "Two sessions",
            "breast-mri",
            "washout",
            version,
            tuple(cases),
            ("Dora", "Emil"),
            seed,
            Rules(True, False, 28),
        )
        number = reader_studies.add_reader_study(session, plan, "Lea").id
        reader_studies.start_reader_study(session, number, "Lea")
        for case, score in zip(cases, SCORES, strict=True):
            made = Prediction(
                case, version, "breast-mri", {"benign": 1 - score, "malignant": score}, np.array([[1 - score, score]]),
                "malignant", None, "cpu", {"size": [32, 32], "channels": 1, "mean": [0.5], "std": [0.5]}, {},
            )  # fmt: skip
            predictions.add_prediction(session, made, requested_by="Lea")
    return number, cases


def leaked(reader, *more):
    """Which planted texts have reached this browser, in whatever it sent for or was sent."""
    sent = reader.received() + "\n".join(reader.requests)
    return [mark for mark in (*MARKS, *more) if mark in sent]


def read(reader, key, likelihood):
    """Class and likelihood by keys, then save."""
    page = reader.page
    page.wait_for_selector("canvas[data-shown*='pixels/']")
    page.keyboard.press(key)
    page.wait_for_selector("button:has-text('Save and next'):enabled")
    page.wait_for_timeout(500)  # the rerun after the class: a busy machine draws the field anew in it
    page.keyboard.press("l")
    page.wait_for_function("document.activeElement?.tagName === 'INPUT'")
    page.keyboard.type(likelihood, delay=50)
    page.wait_for_function("value => document.activeElement?.value === value", arg=likelihood)
    page.keyboard.press("Control+Enter")


def draw(page):
    """A rectangle on the picture."""
    box = page.locator("canvas[data-shown*='pixels/']").bounding_box()
    page.keyboard.press("b")
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x - 60, y - 40)
    page.mouse.down()
    page.mouse.move(x + 60, y + 40, steps=5)
    page.mouse.up()


def begin(reader):
    """From the reader's list into the case whose turn it is."""
    reader.go("Reader studies")
    reader.page.wait_for_selector("button:has-text('reading')")
    reader.settle()
    reader.page.keyboard.press("n")


def test_two_sessions_by_keyboard_and_nothing_of_the_model_in_the_first(version, visit):
    """Unaided: no link, address, page or reload gives the planted scores away. The second session opens by its date alone."""
    number, cases = washout(version)
    dora = visit("Dora")
    page = dora.page
    begin(dora)
    dora.text("Case 1 of 2")
    dora.text("This session is read without the model")
    page.wait_for_selector("canvas[data-shown*='pixels/']")
    draw(page)
    page.wait_for_timeout(500)
    for title in ELSEWHERE:
        dora.go(title)
        page.wait_for_selector(f"h1:has-text('{title}')")
    for address in TYPED:
        page.goto(f"{dora.url}/{address.format(*cases, number)}")
        page.wait_for_selector("text=/Research use/")
        page.wait_for_timeout(400)
    for address in (f"pixels/{cases[0]}", f"media/{cases[0]}", "component/x", "_stcore/message?hash=1"):
        answer = dora.context.request.get(f"{dora.url}/{address}")
        assert not [mark for mark in MARKS if mark in answer.text()]
    assert leaked(dora) == []

    begin(dora)
    dora.text("Case 1 of 2")
    read(dora, "2", "85")
    dora.text("Case 2 of 2")
    page.go_back()
    dora.text("Continue reading")
    page.go_forward()
    dora.text("Case 2 of 2")
    page.reload()
    dora.text("Case 2 of 2")
    read(dora, "1", "10")
    dora.text("First session done")
    assert leaked(dora) == []
    with engine.read() as session:
        table = {case: reviews.review_history(session, case, "Dora", number) for case in cases}
    (regions,) = [saved.regions for (saved,) in table.values() if saved.regions]
    assert regions[0]["kind"] == "rect", "the mark drawn before the walk was kept"

    page.goto(f"{dora.url}/review?reader_study={number}&study={cases[0]}")
    dora.text("First session done")
    with engine.write() as session:  # 28 days later
        session.execute(
            text("UPDATE reader_studies SET rules = :r"), {"r": '{"likelihood_required": true, "washout_days": 0}'}
        )
    page.reload()
    dora.text("Session 2 of 2")
    dora.text("Model visible")
    dora.text("73\\.2%|64\\.3%")
    assert len(leaked(dora)) == 1, "one case's result in percent, and nothing ahead of its turn"
    read(dora, "1", "50")
    dora.text("Case 2 of 2")
    read(dora, "2", "50")
    dora.text("All read")
    with engine.read() as session:
        progress = reader_turns.progress_of(session, reader_studies.get_reader_study(session, number), "Dora")
    assert (progress.done, progress.turn) == (4, None)


def test_a_lead_closes_while_a_reader_types(version, visit):
    """The save is refused in a sentence, the page says that the study is closed, and what was saved before stays."""
    with engine.read() as session:
        (study,) = reader_studies.list_reader_studies(session, reader="Emil", status="running")
    emil = visit("Emil")
    begin(emil)
    emil.text("Model visible")
    read(emil, "1", "30")
    emil.text("Case 2 of 2")
    emil.page.wait_for_selector("canvas[data-shown*='pixels/']")
    emil.page.keyboard.press("2")
    emil.page.wait_for_selector("button:has-text('Save and next'):enabled")
    with engine.write() as session:
        reader_studies.close_reader_study(session, study.id, "Lea")
    emil.page.keyboard.press("l")
    emil.page.keyboard.type("40")
    emil.page.keyboard.press("Control+Enter")
    emil.text("does not run, so nothing can be saved")
    emil.text("This reader study is closed")
    emil.text("1 of your 4 readings are saved")
    time.sleep(0.5)
    with engine.read() as session:
        readings = reader_studies.study_readings(session, study.id)
    assert (readings["reader"] == "Emil").sum() == 1
