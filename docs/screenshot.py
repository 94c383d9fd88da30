"""Makes docs/review.png from the running program: a fresh demo, one blind reading, then the model's result and Grad-CAM.

`make screenshot`; needs Chromium and the development requirements, and takes about as long as the demo.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.pages.serving import CHROMIUM, FLAGS, ROOT, served


def read_one_case(page: Page, url: str) -> None:
    """Sign in, read the next study blind, and ask for Grad-CAM."""
    page.goto(url)
    page.fill("#name", "Reviewer 1")
    page.click("button[type=submit]")
    page.wait_for_selector("button:has-text('Read next unread'):enabled")
    page.keyboard.press("n")
    page.wait_for_selector("canvas[data-shown*='pixels/']")
    page.keyboard.press("2")
    page.wait_for_selector("button:has-text('Save and show the model'):enabled")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("text=Model visible")
    page.keyboard.press("g")
    page.wait_for_selector("canvas[data-heat=on]")
    page.keyboard.press("2")
    page.wait_for_selector("button:has-text('Save and next'):enabled")
    page.wait_for_selector("text=Saved:", state="detached")


def main() -> None:
    """Make the demo in a folder of its own, start the program, take the picture, stop the program."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"TUMORTRACE_HOME": folder, "TUMORTRACE_DEVICE": "cpu"}
        subprocess.run([sys.executable, "-m", "db", "demo"], cwd=ROOT, env=environment, check=True)
        with served(Path(folder), environment) as (url, _), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
            page = browser.new_page(viewport={"width": 1600, "height": 950}, color_scheme="dark")
            read_one_case(page, url)
            page.screenshot(path=str(ROOT / "docs" / "review.png"))
            browser.close()


if __name__ == "__main__":
    main()
