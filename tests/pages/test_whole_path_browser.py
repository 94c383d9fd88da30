"""The whole path, in a browser, on the running program: a study goes in, a reading and its agreement come out."""

import json
import re
import time

import numpy as np
import pytest

from core.reader_records import StudyPlan
from core.records import Prediction
from db import drafts, engine, predictions, reader_studies, reader_turns, reading_order, reviews, studies, users
from tests.pages.conftest import WAIT, register

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def version(server_url, trained):
    """The version of the one active model."""
    return register(trained)


def wait_for_draft(study_id, reviewer, **expected):
    """Until the store holds what was entered; what comes together with the save is tested in test_reading_edges.py."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with engine.read() as session:
            draft = drafts.get_draft(session, study_id, reviewer) or {}
        if expected.items() <= draft.items():
            return
        time.sleep(0.05)
    pytest.fail(f"the draft never held {expected}: {draft}")


def phantom(phantoms, number):
    """The DICOM file of a malignant test patient."""
    return sorted((phantoms / "images" / "test" / "malignant").rglob("*.dcm"))[number]


def test_a_study_is_uploaded_read_blind_read_again_and_stands_on_the_agreement_page(version, phantoms, visit):
    """Upload a DICOM phantom, read it unaided, see model and Grad-CAM, read again: two reviews stored, one counted."""
    anna = visit("Anna")
    page = anna.page

    anna.go("Upload")
    page.set_input_files("input[type=file]", phantom(phantoms, 0))
    anna.text("1 stored, 0 refused")
    with engine.read() as session:
        study_id = studies.next_unread(session, studies.WorklistQuery(reviewer="Anna"))

    anna.go("Worklist")
    page.wait_for_selector("button:has-text('Read next unread')")
    anna.settle()
    page.keyboard.press("n")
    anna.text("Blind reading: model hidden")
    page.wait_for_selector("canvas[data-shown*='pixels/']")
    page.keyboard.press("2")
    page.wait_for_selector("button:has-text('Save and show the model'):enabled")
    assert "Small CNN" not in anna.received(), "the model's name reached the browser before the reading was saved"
    assert version[:8] not in anna.received()
    before = page.locator("canvas[data-shown*='pixels/']").bounding_box()

    page.keyboard.press("Control+Enter")
    anna.text("Model visible")
    anna.text("at its operating point youden")
    anna.settle()
    assert page.locator("canvas[data-shown*='pixels/']").bounding_box() == before, "the picture stays where it is"
    page.keyboard.press("g")
    anna.text(
        "not a lesion outline|Zero everywhere"
    )  # after one epoch Grad-CAM may be empty, and an empty map is not drawn
    anna.settle()
    assert page.locator("canvas[data-shown*='pixels/']").bounding_box() == before, "a heatmap does not move it either"
    page.keyboard.press("g")
    anna.settle()
    page.click("[data-testid=stMultiSelect] input")
    page.keyboard.type("Occlusion")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    page.wait_for_selector("canvas[data-heat=on]")
    page.keyboard.press("1")
    page.click("text=Partly")
    page.fill("textarea", "edge is smooth")
    page.keyboard.press("Tab")
    wait_for_draft(study_id, "Anna", comment="edge is smooth")
    page.wait_for_selector("button:has-text('Save and next'):enabled")
    page.keyboard.press("Control+Enter")
    anna.text("Your aided reading")

    with engine.read() as session:
        first = reviews.latest_review(session, study_id, "Anna", "unaided")
        second = reviews.latest_review(session, study_id, "Anna", "aided")
        table = reviews.list_reviews(session, reviews.ReviewQuery(reviewer="Anna"))
    assert (first.label, first.prediction_id) == ("malignant", None)
    assert (second.label, second.comment, second.heatmap_verdict) == ("benign", "edge is smooth", "partly")
    assert second.seconds > 0
    aided = table[table["id"] == second.id].iloc[0]
    assert aided["model_version"] == version
    assert bool(aided["agrees"]) == (aided["predicted"] == "benign")

    anna.go("Agreement")
    anna.text("Reviewer and model, n = 1")
    page.get_by_text("Disagreements", exact=True).click()
    disagrees = 0 if aided["agrees"] else 1
    anna.text(f"Disagreements \\({disagrees}\\)")
    outside = [url for url in anna.requests if not re.match(r"(http|ws)://127\.0\.0\.1:|data:|blob:", url)]
    assert outside == [], "a request left the box"


def test_no_byte_of_a_planted_score_arrives_before_a_reader_commits(version, phantoms, visit):
    """In a reader study: two blind readings by keys, all traffic recorded; the stored scores come with the reveal, not before.

    The clock stands while the window is hidden, and its sum outlives a reload.
    """
    cleo = visit("Cleo")
    page = cleo.page
    cleo.go("Upload")
    page.set_input_files("input[type=file]", [phantom(phantoms, 2), phantom(phantoms, 3)])
    cleo.text("2 stored, 0 refused")
    number, planted = planted_study(version)
    before = len(cleo.frames)

    def leaked():
        sent = cleo.received(since=before) + "\n".join(cleo.requests)
        return [mark for mark in (*planted, "Small CNN", version[:8]) if mark in sent]

    cleo.go("Reader studies")
    page.wait_for_selector("button:has-text('Begin reading')")
    cleo.settle()
    page.keyboard.press("n")
    cleo.text("Case 1 of 2")
    page.wait_for_selector("canvas[data-shown*='pixels/']")
    hide(page, True)
    wait_for_clock(number, "Cleo")
    stood = clock_of(number, "Cleo")
    time.sleep(1.5)
    assert clock_of(number, "Cleo") == stood
    page.reload()
    page.wait_for_selector("canvas[data-shown*='pixels/']")
    page.keyboard.press("2")
    page.wait_for_selector("button:has-text('Save and show the model'):enabled")
    page.keyboard.press("Shift+Digit4")
    page.wait_for_selector("[class*='st-key-birads'] [role=radio][aria-checked=true]:has-text('4A')")
    page.keyboard.press("l")
    page.keyboard.type("85")
    assert leaked() == []
    page.keyboard.press("Control+Enter")
    cleo.text("Model visible")
    cleo.text(planted[1].replace(".", "\\."))
    assert {planted[1], "Small CNN"} <= set(leaked()), "the recording does not see what is shown: it proved nothing"
    with engine.read() as session:
        (case,) = [c for c in reader_studies.list_cases(session, number)
                   if reviews.review_history(session, c, "Cleo", number)]  # fmt: skip
        (saved,) = reviews.review_history(session, case, "Cleo", number)
    assert (saved.label, saved.birads, saved.likelihood) == ("malignant", "4A", 85)
    assert saved.seconds >= stood

    page.keyboard.press("1")
    page.keyboard.press("l")
    page.keyboard.type("12")
    page.wait_for_selector("button:has-text('Save and next'):enabled")
    before = len(cleo.frames)
    cleo.requests.clear()
    page.keyboard.press("Control+Enter")
    cleo.text("Case 2 of 2")
    page.wait_for_selector("button:has-text('Save and show the model')")
    time.sleep(1)  # whatever would be fetched ahead
    sent = cleo.received(since=before)
    assert not [mark for mark in planted[2:] if mark in sent], "the second case's score came before its commit"


def planted_study(version):
    """A running reader study of the two newest studies, for Cleo, whose results are stored with scores nobody could guess.

    Gives its id and the texts in which the scores would appear: raw and in percent, for the first and for the second case.
    """
    scores = (0.73162841, 0.64295173)
    with engine.write() as session:
        users.get_user(session, "Lena") or users.add_user(session, "Lena", "lead")
        cases = tuple(studies.list_worklist(session, studies.WorklistQuery("Lena", sort="newest"))["id"][:2])
        plan = StudyPlan("Planted", "breast-mri", "sequential", version, cases, ("Cleo",), 1)
        study = reader_studies.add_reader_study(session, plan, "Lena")
        reader_studies.start_reader_study(session, study.id, "Lena")
        order = [
            case for _, case, phase, _ in reading_order.reading_steps(study, list(cases), "Cleo", 0) if phase == "aided"
        ]
        for case, score in zip(order, scores, strict=True):
            values = {"benign": 1 - score, "malignant": score}
            made = Prediction(
                case, version, "breast-mri", values, np.array([[1 - score, score]]), "malignant", None, "cpu",
                {"size": [32, 32], "channels": 1, "mean": [0.5], "std": [0.5]}, {},
            )  # fmt: skip
            predictions.add_prediction(session, made, requested_by="Lena")
    return study.id, (str(scores[0]), "73.2%", "64.3%", str(scores[1]))


def hide(page, hidden):
    """What the browser says when the window is covered or shown again."""
    page.evaluate(
        """hidden => { Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
           document.dispatchEvent(new Event("visibilitychange")) }""",
        hidden,
    )


def clock_of(number, reader):
    """Seconds kept with the draft of the case that this person reads now; None where there is no draft."""
    with engine.read() as session:
        turn = reader_turns.progress_of(session, reader_studies.get_reader_study(session, number), reader).turn
        draft = drafts.get_draft(session, turn.study_id, reader, number) or {}
    return draft.get("seconds")


def wait_for_clock(number, reader):
    """Until a hidden window's message has stopped the clock above zero and stored its sum."""
    deadline = time.monotonic() + 20
    while not (clock_of(number, reader) or 0) > 0:
        assert time.monotonic() < deadline, "the clock was never stored"
        time.sleep(0.1)
    time.sleep(1)  # a heartbeat under way


def test_a_reload_keeps_the_draft_and_the_person(version, phantoms, visit):
    """F5 in the middle of a reading loses neither who is signed in nor what was entered."""
    ben = visit("Ben")
    page = ben.page
    ben.go("Upload")
    page.set_input_files("input[type=file]", phantom(phantoms, 1))
    ben.text("1 stored")
    ben.go("Review")
    ben.text("Blind reading")
    page.fill("textarea", "half a thought")
    page.keyboard.press("Tab")
    page.keyboard.press("1")
    page.wait_for_selector("button:has-text('Save and show the model'):enabled")
    page.reload()
    page.wait_for_selector("button:has-text('Save and show the model'):enabled")
    page.wait_for_function("document.querySelector('textarea')?.value === 'half a thought'")
    page.keyboard.press("Control+Enter")
    ben.text("Model visible")
    with engine.read() as session:
        table = reviews.list_reviews(session, reviews.ReviewQuery(reviewer="Ben", phase="unaided"))
    assert json.loads(table[["label", "comment"]].to_json(orient="records")) == [
        {"label": "benign", "comment": "half a thought"}
    ]


def test_nothing_is_served_without_signing_in(chromium, server_url):
    """Without the cookie there is no page, no picture and no websocket, and a forged identity header changes nothing."""
    context = chromium.new_context(extra_http_headers={"X-TumorTrace-User": "Anna"})
    page = context.new_page()
    page.goto(f"{server_url}/review?study=x")
    assert "/sign-in?next=/review" in page.url
    assert context.request.get(f"{server_url}/pixels/{'a' * 64}").status == 401
    opened = page.evaluate(
        """url => new Promise(done => { const ws = new WebSocket(url); ws.onopen = () => done(true);
           ws.onerror = ws.onclose = () => done(false) })""",
        f"{server_url.replace('http', 'ws')}/_stcore/stream",
    )
    assert opened is False
    context.close()


def test_sign_in_leads_back_to_the_page_asked_for_and_never_to_another_host(chromium, server_url):
    """After signing in the reader lands on the link followed; a crafted target is ignored."""
    targets = (("/models", "/models"), ("/worklist", "/"), ("//example.org/x", "/"), ("https://example.org", "/"))
    for target, expected in targets:
        context = chromium.new_context()
        page = context.new_page()
        page.goto(f"{server_url}/sign-in?next={target}")
        page.fill("#name", "Cleo")
        page.click("button[type=submit]")
        page.wait_for_selector("[data-testid=stAppViewContainer]", timeout=WAIT)
        assert page.url.rstrip("/") == f"{server_url}{expected}".rstrip("/")
        context.close()
