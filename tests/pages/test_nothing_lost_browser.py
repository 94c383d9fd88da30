"""What is entered is never lost: not by what comes right after it, not on a busy store, not by leaving without a Tab."""

import time
from contextlib import contextmanager

import pytest

from db import engine, reviews, users
from tests.pages.test_fast_keys_browser import aided_study, begin, draft_when, saved, stopped, version
from tests.pages.test_pages import add_studies
from tests.pages.test_whole_path_browser import hide

__all__ = ["version"]  # a fixture
pytestmark = pytest.mark.browser
SAVE = "[class*='st-key-save-'] button:enabled"


@contextmanager
def busy_store():
    """Somebody else writes: what the program wants to store waits until the end of the block."""
    with engine.write() as session:
        users.list_users(session)  # the transaction begins with its first statement
        yield


@pytest.fixture
def open_case(visit):
    """Sign somebody in and open the first of three unread studies; gives the visitor and the studies' ids."""

    def enter(name):
        cases, visitor = add_studies(3), visit(name)
        visitor.page.goto(f"{visitor.url}/review?study={cases[0]}")
        visitor.page.wait_for_selector("canvas[data-shown*='pixels/']")
        settle(visitor.page)
        return visitor, cases

    return enter


def settle(page):
    """Until the page is drawn whole."""
    page.wait_for_selector("[class*='st-key-flag'] button")
    page.wait_for_selector("[data-test-script-state=notRunning]")


def arrived(page):
    """Until the program has begun to take in what was sent."""
    page.wait_for_selector("[data-test-script-state=running]")
    page.wait_for_timeout(200)


def comment(page):
    """Type a comment and leave it."""
    page.fill("textarea", "half a thought")
    page.keyboard.press("Tab")


def confidence(page):
    """Move the slider one step up from where it stands."""
    page.focus("[class*='st-key-confidence'] input")
    page.keyboard.press("ArrowRight")
    page.evaluate("document.activeElement.blur()")


def region(page):
    """Draw a rectangle on the picture."""
    box = page.locator("canvas[data-shown]").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.keyboard.press("b")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 40, steps=4)
    page.mouse.up()


def entered(reader, case, **expected):
    """Fail unless the draft comes to hold what is expected."""
    draft = draft_when(reader, None, case, **expected)
    assert {name: draft.get(name) for name in expected} == expected


def test_what_is_entered_stays_when_a_class_follows_while_it_is_stored(open_case):
    """The store is busy with a comment, a category, a confidence or a region when the class key comes: both are kept."""
    visitor, (case, *_) = open_case("Ada")
    page = visitor.page
    steps = [
        (comment, {"comment": "half a thought", "label": "benign"}),
        (lambda page: page.keyboard.press("Shift+Digit5"), {"birads": "5", "label": "malignant"}),
        (confidence, {"confidence": 55, "label": "benign"}),
        (region, {"label": "malignant"}),
    ]
    for act, expected in steps:
        with busy_store():
            act(page)
            arrived(page)
            page.keyboard.press("1" if expected["label"] == "benign" else "2")
            page.wait_for_timeout(600)
        entered("Ada", case, **expected)
        settle(page)
    draft = draft_when("Ada", None, case, birads="5", confidence=55, comment="half a thought")
    assert [r["kind"] for r in draft["regions"]] == ["rect"]


def test_a_class_stays_when_a_comment_follows_at_once(server, open_case):
    """Both reach the program in the same moment."""
    visitor, (case, *_) = open_case("Bea")
    with stopped(server):
        visitor.page.keyboard.press("2")
        comment(visitor.page)
        visitor.page.wait_for_timeout(300)
    entered("Bea", case, comment="half a thought", label="malignant")


def test_the_class_of_before_is_never_saved_in_place_of_the_one_just_chosen(server, open_case):
    """Another class and the save key in the same moment: the new class is saved, or nothing yet."""
    visitor, (case, *_) = open_case("Cid")
    visitor.page.keyboard.press("1")
    visitor.page.wait_for_selector(SAVE)
    settle(visitor.page)
    with stopped(server):
        visitor.page.keyboard.press("2")
        visitor.page.wait_for_timeout(100)
        visitor.page.keyboard.press("Control+Enter")
        visitor.page.wait_for_timeout(300)
    visitor.text("in the moment of saving|Model visible")
    with engine.read() as session:
        labels = [review.label for review in reviews.review_history(session, case, "Cid")]
    assert labels in ([], ["malignant"])
    if not labels:
        entered("Cid", case, label="malignant")


def test_a_save_is_finished_when_something_else_happens_meanwhile(open_case):
    """The window is covered while an aided reading is being stored: the next case opens all the same."""
    visitor, cases = open_case("Dan")
    page = visitor.page
    for badge in ("Blind reading", "Model visible"):
        visitor.text(badge)
        settle(page)
        page.keyboard.press("1")
        page.wait_for_selector(SAVE)
        settle(page)
        with busy_store():
            page.keyboard.press("Control+Enter")
            arrived(page)
            hide(page, True)
            page.wait_for_timeout(600)
            hide(page, False)
    page.wait_for_url(f"**study={cases[1]}")
    with engine.read() as session:
        assert len(reviews.review_history(session, cases[0], "Dan")) == 2


def test_a_comment_is_kept_by_a_reload_without_tab(open_case):
    """The page is reloaded with the cursor still in the comment."""
    visitor, _ = open_case("Eve")
    visitor.page.click("textarea")
    visitor.page.keyboard.type("in the middle of a sen")
    visitor.page.reload()
    visitor.page.wait_for_function("document.querySelector('textarea')?.value === 'in the middle of a sen'")


def test_a_comment_is_kept_by_a_reload_while_the_store_is_busy(open_case):
    """The window that sent it is gone before the store takes it."""
    visitor, (case, *_) = open_case("Flo")
    with busy_store():
        comment(visitor.page)
        arrived(visitor.page)
        visitor.page.keyboard.press("1")
        visitor.page.wait_for_timeout(100)
        visitor.page.goto("about:blank")
        time.sleep(0.5)
    entered("Flo", case, comment="half a thought", label="benign")


def test_a_comment_is_kept_by_a_pause_and_goes_on_after_it(open_case):
    """Whoever stops typing for a moment finds the comment stored, the cursor where it was, and types on."""
    visitor, (case, *_) = open_case("Gil")
    visitor.page.click("textarea")
    visitor.page.keyboard.type("first")
    entered("Gil", case, comment="first")
    settle(visitor.page)
    visitor.page.keyboard.type(", second")
    entered("Gil", case, comment="first, second")


def test_a_comment_is_kept_by_a_step_to_the_next_case(open_case):
    """Alt+Right with the cursor still in the comment."""
    visitor, (case, after, _) = open_case("Hux")
    visitor.page.click("textarea")
    visitor.page.keyboard.type("come back to this")
    visitor.page.keyboard.press("Alt+ArrowRight")
    visitor.page.wait_for_url(f"**study={after}")
    entered("Hux", case, comment="come back to this")


def test_a_comment_is_kept_by_a_step_to_another_page_on_a_busy_store(open_case):
    """A link of the navigation is clicked while the class before the comment is still being stored."""
    visitor, (case, *_) = open_case("Kai")
    with busy_store():
        visitor.page.keyboard.press("1")
        arrived(visitor.page)
        comment(visitor.page)
        visitor.page.wait_for_timeout(100)
        visitor.go("Worklist")
        visitor.page.wait_for_timeout(300)
    entered("Kai", case, comment="half a thought", label="benign")


def test_a_comment_is_saved_by_the_save_key_without_tab(open_case):
    """Ctrl+Enter with the cursor still in the comment."""
    visitor, (case, *_) = open_case("Ivy")
    visitor.page.keyboard.press("1")
    visitor.page.wait_for_selector(SAVE)
    visitor.page.click("textarea")
    visitor.page.keyboard.type("smooth")
    visitor.page.keyboard.press("Control+Enter")
    visitor.text("Model visible")
    with engine.read() as session:
        (review,) = reviews.review_history(session, case, "Ivy")
    assert (review.label, review.comment) == ("benign", "smooth")


def test_a_likelihood_in_a_reader_study_is_kept_and_saved(version, visit):
    """Typed while the store is busy with another answer, left by a reload, and saved without a Tab."""
    number, cases = aided_study(version, "Jan")
    jan = visit("Jan")
    begin(jan, number, "1")
    page = jan.page
    with busy_store():
        page.keyboard.press("Shift+Digit4")
        arrived(page)
        page.keyboard.press("l")
        page.keyboard.type("85")
        page.wait_for_timeout(100)
        page.reload(wait_until="commit")
    page.wait_for_function("document.querySelector(\"[class*='st-key-likelihood'] input\")?.value === '85'")
    draft = draft_when("Jan", number, cases[0], birads="4A", likelihood=85)
    assert (draft.get("birads"), draft.get("likelihood"), draft.get("label")) == ("4A", 85, "benign")
    page.wait_for_selector(SAVE)
    settle(page)
    page.keyboard.press("l")
    page.keyboard.type("90")
    page.keyboard.press("Control+Enter")
    jan.text("Case 2 of 3")
    assert saved("Jan", number, cases[0]) == [("benign", 90)]
