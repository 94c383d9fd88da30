"""What page tests share: a store with a demo in miniature, and the program itself in a browser."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import sync_playwright

from core.checkpoint import load_checkpoint, model_record
from core.datasets.phantom import write_phantoms
from core.evaluation import evaluate
from core.runs import read_case_details, read_run
from core.training import TrainingJob, train
from db import engine as store_engine
from db import models, runs, thumbnails
from tests.pages.serving import CHROMIUM, FLAGS, served

WAIT = 30_000  # ms


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory) -> Path:
    """A folder of 44 simulated patients, as `python -m core phantom` makes it."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, patients={"train": 24, "val": 10, "test": 10}, seed=3, size=96)
    return folder


@pytest.fixture(scope="session")
def trained(phantoms, tmp_path_factory) -> Path:
    """A run folder: a small network trained for one epoch on the phantoms, and scored on the test patients."""
    out = tmp_path_factory.mktemp("run")
    job = TrainingJob(phantoms, "breast-mri", "small-cnn", "default", out, epochs=1, size=32, device="cpu")
    evaluate(train(job), phantoms, "test", out / "test", device="cpu")
    return out


def register(trained: Path, status: str = "active") -> str:
    """Register the trained model and its run in the current store; gives its version."""
    record = model_record(load_checkpoint(trained / "checkpoint.pt"), "Small CNN, test")
    models.store_model_file(trained / "checkpoint.pt", record.version)
    run = read_run(trained / "test")
    thumbnails.put_thumbnails(trained / "test" / "thumbnails.zip", run.provenance["thumbnails_sha256"])
    with store_engine.write() as session:
        models.add_model(session, record)
        if status != "candidate":
            models.set_model_status(session, record.version, status, "test")
        runs.add_run(session, run, read_case_details(trained / "test"))
    return record.version


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[tuple[str, subprocess.Popen]]:
    """`streamlit run streamlit_app.py` on a store of its own, shared by a module's tests, who are different people.

    Its address, and its process for tests that stop it for a moment.
    """
    home = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUMORTRACE_HOME", str(home))
        patch.setenv("TUMORTRACE_DEVICE", "cpu")
        patch.delenv("DATABASE_URL", raising=False)
        store_engine.init()
        try:
            with served(home) as running:
                yield running
        finally:
            store_engine.dispose()


@pytest.fixture(scope="module")
def server_url(server) -> str:
    """Where the module's server answers."""
    return server[0]


@pytest.fixture(scope="session")
def chromium() -> Iterator:
    """One headless Chromium for all browser tests; skips where none is installed."""
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


class Visitor:
    """A signed-in person with a browser window, who notes every request and every websocket frame."""

    def __init__(self, chromium, url, name, role="reviewer"):
        self.url, self.requests, self.frames, self.errors = url, [], [], []
        self.context = chromium.new_context(viewport={"width": 1600, "height": 950}, color_scheme="dark")
        self.page = self.context.new_page()
        self.page.set_default_timeout(WAIT)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("websocket", lambda ws: ws.on("framereceived", lambda frame: self.frames.append(frame)))
        self.page.on("pageerror", lambda error: self.errors.append(f"{error.message}\n{error.stack}"))
        self.page.goto(f"{url}/")
        self.page.fill("#name", name)
        self.page.check(f"input[value={role}]")
        self.page.click("button[type=submit]")
        self.page.wait_for_selector("h1:has-text('Worklist')")

    def go(self, title):
        """Open a page by the navigation, in whichever group it stands."""
        self.page.wait_for_selector("[data-testid=stTopNavSection]")
        link = self.page.locator("[data-testid=stTopNavLink]", has_text=title)
        if link.count():
            return link.first.click()
        for section in self.page.locator("[data-testid=stTopNavSection]").all():
            section.click()
            link = self.page.locator("[data-testid=stTopNavDropdownLink]", has_text=title)
            if link.count():
                return link.first.click()
            self.page.keyboard.press("Escape")
        raise AssertionError(f"no page '{title}' in the navigation")

    def settle(self):
        """Wait until the page has run and been drawn: a click or key just before that may go to what is replaced."""
        self.page.wait_for_timeout(300)  # a run may be about to begin
        self.page.wait_for_selector("[data-test-script-state=notRunning]")
        self.page.wait_for_selector("[data-stale=true]", state="detached")

    def describe(self):
        """Where a window is and what stands in it, for who reads of a test that failed."""
        state = "[...document.querySelectorAll('[data-test-script-state]')].map(e => e.dataset.testScriptState)"
        try:
            words = self.page.evaluate("document.body.innerText") or "Nothing at all."
            return "\n".join((f"{self.page.url} {self.page.evaluate(state)}", words[:2000], *self.errors))
        except PlaywrightError as problem:  # closed, or crashed
            return str(problem)

    def text(self, pattern):
        """Wait until the page says something."""
        self.page.wait_for_selector(f"text=/{pattern}/")

    def received(self, since=0):
        """All that the server sent over the websocket, from that frame on, as text."""
        frames = self.frames[since:]
        return b"\n".join(f if isinstance(f, bytes) else f.encode() for f in frames).decode("latin-1")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A browser test that failed says what its windows showed."""
    report = yield
    if report.failed and call.when == "call" and "visit" in item.funcargs:
        for visitor in item.funcargs["visit"].visitors:
            report.sections.append(("a window", visitor.describe()))
    return report


@pytest.fixture
def visit(chromium, server_url):
    """Sign somebody in; their window closes at the end."""
    visitors = []

    def enter(name, role="reviewer"):
        visitors.append(Visitor(chromium, server_url, name, role))
        return visitors[-1]

    enter.visitors = visitors
    yield enter
    for visitor in visitors:
        visitor.context.close()
    assert [error for visitor in visitors for error in visitor.errors] == [], "no page may throw"
