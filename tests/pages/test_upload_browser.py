"""Upload, in a browser: sixty files at once, one of them wrong, and the same again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from db import engine, studies
from tests.core.reading.samples import picture

pytestmark = pytest.mark.browser
FILES = 60


def stored() -> int:
    """How many studies there are."""
    with engine.read() as session:
        return studies.count_studies(session)


def test_many_files_are_stored_and_repeating_doubles_nothing(visit, server_url, tmp_path):
    """Sixty pictures and a text: all but the text are stored although the page is left at once; the refusal is there as CSV."""
    rng = np.random.default_rng(5)
    for number in range(FILES):
        (tmp_path / f"{number:02}.png").write_bytes(picture(rng.integers(0, 255, (16, 16), dtype=np.uint8), "PNG"))
    (tmp_path / "note.png").write_bytes(b"hello, no picture")
    files = sorted(str(path) for path in tmp_path.iterdir())
    anna = visit("Anna")
    anna.go("Upload")
    page = anna.page
    page.get_by_role("combobox").first.click()
    page.get_by_role("option", name="Breast MRI").first.click()
    page.set_input_files("input[type=file]", files)
    page.wait_for_function(
        f"document.body.innerText.includes('of {FILES + 1} files') || document.body.innerText.includes('1 refused')"
    )
    anna.go("Worklist")
    page.wait_for_selector("h1:has-text('Worklist')")
    anna.go("Upload")
    anna.text("60 stored, 1 refused")
    anna.text("The file is text, not a picture")
    assert stored() == FILES
    with page.expect_download() as download:
        page.locator("[data-testid=stDownloadButton] button").first.click()
    assert "note.png" in Path(download.value.path()).read_text()
    page.set_input_files("input[type=file]", files)
    anna.text("60 already there, 1 refused")
    assert stored() == FILES
