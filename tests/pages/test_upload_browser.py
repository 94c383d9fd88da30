"""Upload, in a browser: sixty files at once, one of them wrong, and the same again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import TimeoutError

from db import engine, studies
from tests.core.reading.samples import picture, zipped
from tests.pages.conftest import WAIT

pytestmark = pytest.mark.browser
FILES = 60
MANY = 240


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
    choose_task(page)
    page.set_input_files("input[type=file]", files)
    page.wait_for_function(
        f"document.body.innerText.includes('of {FILES + 1} files') || document.body.innerText.includes('1 refused')"
    )
    anna.go("Worklist")
    page.wait_for_selector("h1:has-text('Worklist')")
    anna.go("Upload")
    anna.text("60 stored, 1 refused")
    page.wait_for_selector(
        "[data-testid=stAlert]:has-text('The file is text, not a picture')"
    )  # not the table's hidden cell
    assert stored() == FILES
    with page.expect_download() as download:
        page.locator("[data-testid=stDownloadButton] button").first.click()
    assert "note.png" in Path(download.value.path()).read_text()
    page.set_input_files("input[type=file]", files)
    anna.text("60 already there, 1 refused")
    assert stored() == FILES


def choose_task(page) -> None:
    """What pictures without a DICOM header show, once the page is there: the worklist has a field for tasks too."""
    page.wait_for_selector("h1:has-text('Upload')")
    option = page.get_by_role("option", name="Breast MRI").first
    for _ in range(3):  # a run of the page that ends just then closes the menu
        page.get_by_role("combobox").first.click()
        try:
            option.click(timeout=5000)
            return
        except TimeoutError:
            page.keyboard.press("Escape")
    option.click()


def many_in_a_zip(count: int, seed: int) -> bytes:
    """Pictures that no two tests share, as one archive."""
    dice = np.random.default_rng(seed)
    return zipped({f"{n:04}.png": picture(dice.integers(0, 255, (48, 48), np.uint8), "PNG") for n in range(count)})


def test_a_zip_shows_what_it_holds_and_stops_in_the_middle(visit, tmp_path):
    """Progress over its members; Stop keeps what is done, and the same ZIP again brings the rest."""
    (tmp_path / "many.zip").write_bytes(many_in_a_zip(MANY, 7))
    before = stored()
    page = (zoe := visit("Zoe")).page
    zoe.go("Upload")
    choose_task(page)
    page.set_input_files("input[type=file]", str(tmp_path / "many.zip"))
    zoe.text(f"of {MANY} files")
    page.get_by_role("button", name="Stop").click()
    zoe.text("You stopped the import")
    done = stored() - before
    assert 0 < done < MANY
    page.set_input_files("input[type=file]", str(tmp_path / "many.zip"))
    zoe.text(f"{MANY - done} stored, {done} already there, 0 refused")
    assert stored() - before == MANY


def test_a_closed_tab_does_not_end_an_import(visit, tmp_path):
    """The tab goes while a ZIP is being read; another tab finds all of it stored, and listed."""
    (tmp_path / "more.zip").write_bytes(many_in_a_zip(MANY, 8))
    before = stored()
    page = (eve := visit("Eve")).page
    eve.go("Upload")
    choose_task(page)
    page.set_input_files("input[type=file]", str(tmp_path / "more.zip"))
    eve.text(f"of {MANY} files")
    second = eve.context.new_page()
    page.close()
    assert stored() - before < MANY
    second.goto(f"{eve.url}/upload")
    second.wait_for_selector(f"text=/{MANY} stored, 0 refused/", timeout=4 * WAIT)
    assert stored() - before == MANY


def test_an_empty_folder_says_nothing_wrong(visit, tmp_path):
    """Choosing a folder without files leaves the page as it was, ready for the next choice."""
    (tmp_path / "empty").mkdir()
    page = (ida := visit("Ida")).page
    ida.go("Upload")
    page.get_by_text("Choose a whole folder").click()
    page.wait_for_selector("input[type=file][webkitdirectory]", state="attached")
    page.set_input_files("input[type=file]", str(tmp_path / "empty"))
    ida.text("Nothing uploaded in this session")
    assert page.locator("[data-testid=stAlert], [data-testid=stException]").count() == 0
