"""Reading when something gets in the way: two tabs, second clicks, corrections, models and heatmaps that fail."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import streamlit as st

from core.explain import Cancelled, Request
from core.records import Image, Window
from db import drafts, engine, models, reviews
from pages.ui import assessment, heatmap_jobs
from tests.pages.conftest import register
from tests.pages.test_pages import add_person, add_studies, button, open_page, read, said


def history(study):
    """Anna's readings of a study, oldest first."""
    with engine.read() as session:
        return reviews.review_history(session, study, "Anna")


def draft_of(study):
    """What Anna has entered and not saved."""
    with engine.read() as session:
        return drafts.get_draft(session, study, "Anna")


@pytest.fixture
def study(store, monkeypatch):
    """One study that Anna reads aided only."""
    monkeypatch.setenv("TUMORTRACE_PROTOCOL", "aided")
    add_person()
    return add_studies()[0]


def test_a_correction_starts_from_what_was_said_but_not_from_the_class(study):
    """Flag, comment and marks of the first reading are in the correction; the class must be chosen again."""
    mark = {"kind": "point", "image": 0, "points": [[3.0, 4.0]]}
    at = open_page("review", study=study)
    at.text_area[0].set_value("look at the edge").run()
    button(at, "Flag").click().run()
    with engine.write() as session:
        drafts.save_draft(session, study, "Anna", draft_of(study) | {"regions": [mark]})
    at = read(open_page("review", study=study), "Benign", "Save and next")
    at = open_page("review", study=study)
    button(at, "Correct this reading").click().run()
    assert at.text_area[0].value == "look at the edge"
    assert button(at, "Save and next").disabled
    read(at, "Malignant", "Save and next")
    first, second = history(study)
    assert (first.label, second.label) == ("benign", "malignant")
    assert (second.comment, second.flagged, second.regions) == ("look at the edge", True, (mark,))
    assert second.supersedes == first.id


def test_a_second_click_on_save_stores_one_reading(study):
    """Clicking Save again before the page has changed does nothing and says nothing."""
    at = open_page("review", study=study)
    button(at, "Benign").click().run()
    stale = open_page("review", study=study)
    button(at, "Save and next").click().run()
    button(stale, "Save and next").click().run()
    assert len(history(study)) == 1
    assert not stale.exception
    assert not stale.error


def test_drafts_and_the_beat_share_the_writers_commits(study, monkeypatch):
    """No transaction of their own, which would wait for the disk beside fifty saves that share one."""
    begun, write = [], engine.write
    monkeypatch.setattr(engine, "write", lambda: begun.append(threading.current_thread().name) or write())
    at = open_page("review", study=study)
    button(at, "Benign").click().run()
    assert draft_of(study)["label"] == "benign"
    assert begun
    assert set(begun) == {"store-writer"}


def test_what_arrives_together_with_the_save_is_saved(study):
    """A comment and a confidence that reach the server in the same moment as Save are part of the reading, without complaint."""
    at = open_page("review", study=study)
    button(at, "Benign").click().run()
    at.text_area[0].set_value("edge is smooth")
    at.slider[0].set_value(80)
    button(at, "Save and next").click()
    at.run()
    (saved,) = history(study)
    assert (saved.comment, saved.confidence) == ("edge is smooth", 80)
    assert not at.error
    assert draft_of(study) is None


def test_a_save_handled_before_the_comment_beside_it_still_holds_the_comment(study, monkeypatch):
    """The browser decides whose callback comes first: Save takes the widgets' values even where theirs have not run."""
    monkeypatch.setattr(assessment, "_keep", lambda *_: None)
    at = open_page("review", study=study)
    button(at, "Benign").click().run()
    at.text_area[0].set_value("edge is smooth")
    at.slider[0].set_value(80)
    button(at, "Save and next").click()
    at.run()
    (saved,) = history(study)
    assert (saved.comment, saved.confidence) == ("edge is smooth", 80)


def test_a_class_that_arrives_together_with_the_save_is_looked_at_again(study):
    """Which came first is not known: nothing is saved, the page says so, and a second Save stores what is then shown."""
    at = open_page("review", study=study)
    button(at, "Benign").click().run()
    button(at, "Malignant").click()
    button(at, "Save and next").click()
    at.run()
    assert history(study) == []
    assert "in the moment of saving" in said(at)
    button(at, "Save and next").click().run()
    assert [r.label for r in history(study)] == ["malignant"]


def test_a_confidence_nobody_gave_is_not_stored(study):
    """The slider's starting place is no answer."""
    read(open_page("review", study=study), "Benign", "Save and next")
    assert history(study)[0].confidence is None


def test_a_stale_tab_can_not_change_or_double_a_saved_reading(study):
    """A class chosen in a tab that still shows the form of a saved reading is refused in a sentence; nothing is stored."""
    stale = open_page("review", study=study)
    read(open_page("review", study=study), "Benign", "Save and next")
    button(stale, "Malignant").click().run()
    assert not stale.exception
    assert "saved already" in said(stale)
    assert draft_of(study) is None
    assert [r.label for r in history(study)] == ["benign"]


def test_changes_from_two_tabs_are_said_not_swallowed(study):
    """Save in a tab whose draft another tab has taken over says so, and keeps what was entered last."""
    first, second = open_page("review", study=study), open_page("review", study=study)
    button(first, "Benign").click().run()
    button(second, "Malignant").click().run()
    button(first, "Save and next").click().run()
    assert not first.exception
    assert "another tab" in said(first)
    assert history(study) == []
    assert draft_of(study)["label"] == "malignant"


def test_the_form_stands_when_the_model_fails(study, trained):
    """A checkpoint that has vanished from disk gives a warning, and the reading can still be saved."""
    version = register(trained)
    st.cache_resource.clear()  # an engine of an earlier test may hold the model in memory
    models.model_file(version).unlink()
    at = open_page("review", study=study)
    assert at.warning
    read(at, "Benign", "Save and next")
    assert history(study)[0].prediction_id is None


def test_reviewers_get_the_model_activated_last(study, trained, tmp_path):
    """With two active models, the newer activation stands first and is the one that is shown."""
    from core.checkpoint import load_checkpoint, model_record, save_checkpoint

    register(trained)
    other = replace(load_checkpoint(trained / "checkpoint.pt"), provenance={"seed": 2})
    newer = save_checkpoint(other, tmp_path / "newer.pt")
    models.store_model_file(tmp_path / "newer.pt", newer)
    with engine.write() as session:
        models.add_model(session, model_record(load_checkpoint(tmp_path / "newer.pt"), "Newer"))
        models.set_model_status(session, newer, "active", "Lea")
    assert open_page("review", study=study).selectbox[0].value == newer


@pytest.fixture
def picture():
    """A random picture of 32 × 32."""
    pixels = np.random.default_rng(1).integers(0, 4096, (32, 32)).astype(np.uint16)
    return Image(pixels, Window(2000, 4000))


def test_a_stopped_heatmap_stays_stopped_until_asked_for_again(store, trained, picture):
    """A rerun of the page gets the stopped job, not a new one; "Try again" makes it."""
    version, request = register(trained), Request("occlusion", "malignant", parameters={"stride": 1, "batch": 1})
    job = heatmap_jobs.heatmap_job(picture, version, request)
    job.cancel.set()
    with pytest.raises(Cancelled):
        job.future.result(timeout=60)
    assert heatmap_jobs.heatmap_job(picture, version, request) is job
    job.forget()
    again = heatmap_jobs.heatmap_job(picture, version, request)
    assert again.future.result(timeout=60).values.shape == (32, 32)


def test_the_same_pixels_through_another_window_are_another_heatmap(store, trained, picture):
    """The window is part of the model's input, so it is part of what a kept heatmap is found by."""
    version, request = register(trained), Request("gradcam", "malignant")
    other = Image(picture.pixels, Window(1000, 500))
    jobs = [heatmap_jobs.heatmap_job(image, version, request) for image in (picture, other)]
    assert jobs[0] is not jobs[1]
    assert jobs[0].key[0] != jobs[1].key[0]
    assert heatmap_jobs.heatmap_job(picture, version, request) is jobs[0]


def test_a_damaged_heatmap_file_is_made_again(store, trained, picture):
    """A truncated file on disk costs the time to make the map, not the map."""
    version, request = register(trained), Request("gradcam", "benign")
    job = heatmap_jobs.heatmap_job(picture, version, request)
    expected = job.future.result(timeout=60).values
    (file,) = (store / "heatmaps").rglob("*-benign.npz")
    file.write_bytes(file.read_bytes()[:40])
    job.forget()
    np.testing.assert_array_equal(
        heatmap_jobs.heatmap_job(picture, version, request).future.result(60).values, expected
    )
    assert file.stat().st_size > 40
    assert time.time() - file.stat().st_mtime < 60
