"""Clean, in a browser: a sheet of held pictures released with two keys, one of them kept back and masked."""

from __future__ import annotations

import pytest

from core.reading import Source
from db import engine, holds
from db.importing import import_exams
from tests.core.reading.samples import NARROW, picture

pytestmark = pytest.mark.browser


def test_a_sheet_is_released_by_keyboard(visit, server_url):
    """Fourteen held: A chooses twelve, one is given up, Ctrl+Enter releases eleven; their pixels come from no address."""
    anna = visit("Anna")
    files = [Source.of_bytes(f"{n}.png", picture(NARROW // 2 + n, "PNG")) for n in range(14)]
    assert all(imported.held for exam in import_exams(files, "breast-ultrasound", by="Anna") for imported in exam)
    anna.go("Clean")
    anna.text("14 held")
    page = anna.page
    page.wait_for_function(
        "[...document.querySelectorAll('[data-testid=stImage] img')].filter(i => i.naturalWidth).length == 12"
    )
    assert not [url for url in anna.requests if url.endswith((".jpg", ".jpeg")) or "/pixels/" in url]
    page.keyboard.press("a")
    page.wait_for_selector("button:has-text('Nothing to mask: release 12')")
    anna.settle()
    page.locator("[data-testid=stCheckbox] label").nth(2).click()
    page.wait_for_selector("button:has-text('Nothing to mask: release 11')")
    page.keyboard.press("Control+Enter")
    anna.text("3 held")
    with engine.read() as session:
        left = holds.held_ids(session)
    assert len(left) == 3
    page.locator("[class*=st-key-clean_open] button").first.click()
    page.wait_for_selector("canvas")
    assert page.url.split("study=")[1] in left
