"""How long the agreement page takes in a real browser, from click to drawn, with a million reviews in the store.

Run with `python -m benchmarks.agreement_browser [reviews] [rounds] [lead|reviewer]`; needs Chromium. The program runs on a
scratch store filled as in `benchmarks.agreement`, or on one filled before in the folder AGREEMENT_HOME. Before each round one
more review is saved, so that nothing can be shown from what was kept of the round before. An empty page, timed in the same
rounds, is the floor.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from playwright.sync_api import Locator, Page, sync_playwright

from benchmarks.agreement import CASES, REVIEWERS, fill
from tests.pages.serving import CHROMIUM, FLAGS, served

FLOOR = "an empty page"
# Resolves with the milliseconds from the click until the script has run, nothing of the page before is left, and `ready` holds.
_TIMED = """async (element, ready) => {
  const app = document.querySelector('[data-testid=stApp]'), holds = new Function('return ' + ready);
  const before = holds();
  let ran = false;
  const watch = new MutationObserver(() => { ran ||= app.dataset.testScriptState === 'running'; });
  watch.observe(app, {attributes: true});
  const start = performance.now();
  element.click();
  return await new Promise((done, fail) => {
    const look = () => {
      const waited = performance.now() - start;
      const still = (ran || !before) && app.dataset.testScriptState === 'notRunning';
      const left = document.querySelector('[data-stale=true], [data-testid=stProgress], [data-testid=stSkeleton]');
      if (still && !left && holds()) { watch.disconnect(); requestAnimationFrame(() => done(performance.now() - start)); }
      else if (waited > 60000) fail('nothing came of the click in a minute: ' + ready);
      else requestAnimationFrame(look);
    };
    look();
  });
}"""
Action = tuple[str, Callable[[Page], Locator], str]


def chart(title: str) -> str:
    """A chart whose title begins so is drawn."""
    return f"[...document.querySelectorAll('.gtitle')].some(t => t.textContent.startsWith('{title}'))"


def says(text: str) -> str:
    """The page says so, and its table is drawn."""
    return f"document.body.innerText.includes('{text}') && document.querySelector('[data-testid=stDataFrame] canvas')"


def link(title: str) -> Callable[[Page], Locator]:
    """A page in the navigation."""

    def find(page: Page) -> Locator:
        for section in page.locator("[data-testid=stTopNavSection]").all():
            section.click()
            page.wait_for_timeout(300)
            found = page.locator("[data-testid=stTopNavDropdownLink]", has_text=title)
            if found.count():
                return found.first
            page.keyboard.press("Escape")
        raise AssertionError(f"no page '{title}'")

    return find


def segment(text: str) -> Callable[[Page], Locator]:
    """A segment of a segmented control."""
    return lambda page: (
        page.locator("[data-testid=stButtonGroup] button").filter(has_text=re.compile(f"^{text}$")).first
    )


def option(text: str) -> Callable[[Page], Locator]:
    """A choice of "Group by"."""

    def find(page: Page) -> Locator:
        page.locator("[data-testid=stSelectbox] input").first.click()
        return page.get_by_role("option", name=text, exact=True)

    return find


def step(page: Page) -> Locator:
    """The button to the next page of disagreements."""
    return page.locator("[data-testid=stNumberInputStepUp]")


GROUPS = {"Class": "Agreement on it"} | dict.fromkeys(
    ("Confidence", "Reviewer", "Site", "Manufacturer", "Density", "Laterality", "View", "Age", "Month"), "Raw agreement"
)
EMPTY: Action = (FLOOR, link("Runs"), "document.querySelector('h1')?.textContent === 'Runs'")
OPEN = link("Agreement")
LEAD: tuple[Action, ...] = (
    EMPTY,
    ("open the page", OPEN, chart("Reviewer and model")),
    ("Groups and time", segment("Groups and time"), chart("Raw agreement by month")),
    *((f"group by {name.lower()}", option(name), chart(f"{GROUPS[name]} by {name.lower()}")) for name in GROUPS),
    ("kappa by month", segment("Cohen's kappa"), chart("Cohen")),
    ("Two by two", segment("Two by two"), chart("Cohen") + " && document.querySelectorAll('.gtitle').length === 2"),
    ("two by two, raw agreement", segment("Raw agreement"), chart("Raw agreement, model")),
    ("Coefficients", segment("Coefficients"), says("20,000 cases")),
    ("coefficients of BI-RADS", segment("BI-RADS"), says("20,000 cases") + " && !document.body.innerText.includes('agreement on')"),
    ("coefficients of likelihoods", segment("Likelihood"), says("Mean difference")),
    ("Disagreements", segment("Disagreements"), says("Disagreements (")),
    ("disagreements, another page", step, says("Disagreements (")),
    ("With the model", segment("With the model"), chart("Reviewer and model")),
)  # fmt: skip
OWN: tuple[Action, ...] = (
    EMPTY,
    ("open the page", OPEN, chart("Reviewer and model")),
    ("Groups and time", segment("Groups and time"), chart("Raw agreement by month")),
    ("group by site", option("Site"), chart("Raw agreement by site")),
    ("group by month", option("Month"), chart("Raw agreement by month")),  # kept for the next round's "Groups and time"
    ("Two by two", segment("Two by two"), chart("Cohen")),
    ("Disagreements", segment("Disagreements"), says("Disagreements (")),
    ("disagreements, another page", step, says("Disagreements (")),
    ("With the model", segment("With the model"), chart("Reviewer and model")),
)


def save_one(number: int) -> None:
    """One more review, by somebody new."""
    from core.records import Review
    from db import engine, reviews

    case = number % CASES
    review = Review(
        f"{case:064x}", f"reader {number // CASES}", "aided", "benign", f"more {number}", prediction_id=case + 1
    )
    with engine.write() as session:
        reviews.add_review(session, review)


def timed(page: Page, actions: tuple[Action, ...], rounds: int, first: int) -> dict[str, list[float]]:
    """Milliseconds of each action in each round."""
    found: dict[str, list[float]] = {name: [] for name, *_ in actions}
    for number in range(rounds + 1):
        save_one(first + number)
        for name, find, ready in actions:
            took = find(page).element_handle().evaluate(_TIMED, ready)
            page.wait_for_timeout(150)  # what follows a run, such as closing menus
            if number:  # the first round loads the browser's own parts
                found[name].append(took)
    return found


def report(who: str, found: dict[str, list[float]]) -> None:
    """Lines of a Markdown table."""
    floor = np.median(found[FLOOR])
    for name, times in found.items():
        p50, p95 = np.percentile(times, [50, 95])
        print(f"| {who}: {name} | {len(times)} | {p50:.0f} | {p95:.0f} | {p50 / floor:.1f} |", flush=True)


def main(reviews: int = CASES * REVIEWERS, rounds: int = 20, *wanted: str) -> None:
    """Fill a store, start the program and time every action of a lead and of a reviewer, or of those wanted."""
    from db import engine, users

    with tempfile.TemporaryDirectory() as folder:
        home = os.environ.get("AGREEMENT_HOME") or folder  # one that is filled already
        os.environ |= {
            "TUMORTRACE_HOME": home,
            "DATABASE_URL": f"sqlite:///{home}/store.db",
            "TUMORTRACE_DEVICE": "cpu",
        }
        filled = (Path(home) / "store.db").exists()
        engine.init()
        if not filled:
            fill(reviews)
        with engine.write() as session:
            for name, role in (("Lea", "lead"), ("reviewer 7", "reviewer")):
                if users.get_user(session, name) is None:
                    users.add_user(session, name, role)
        with served(Path(home)) as (url, _), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
            print("| action | n | p50 ms | p95 ms | ratio to an empty page |\n| --- | --- | --- | --- | --- |")
            for place, (name, who, actions) in enumerate((("Lea", "lead", LEAD), ("reviewer 7", "reviewer", OWN))):
                if wanted and who not in wanted:
                    continue
                page = browser.new_context(viewport={"width": 1600, "height": 950}).new_page()
                page.goto(url)
                page.fill("#name", name)
                page.click("button[type=submit]")
                page.wait_for_selector("h1:has-text('Worklist')")
                page.wait_for_timeout(3000)
                report(who, timed(page, actions, rounds, int(time.time()) % 10**6 * 100 + place * 50))
                page.context.close()
            browser.close()
        engine.dispose()


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    main(*(*numbers, *(CASES * REVIEWERS, 20)[len(numbers) :]), *(word for word in sys.argv[1:] if not word.isdigit()))
