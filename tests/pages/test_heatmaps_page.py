"""Heatmaps on the review page: several side by side, results made ahead and sent late, files to download."""

from __future__ import annotations

import io
import re
import time
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from PIL import Image as PILImage

from core.explain import METHODS, Request
from core.predict import predict_study
from core.records import Heatmap, Image, Study, full_range_window
from db import engine, heatmap_measures, holds, predictions
from pages.ui import heatmap_checks, heatmap_jobs, heatmap_panels, heatmap_row, ready, resources
from pages.ui.heatmap_row import caption, details
from tests.pages.conftest import register
from tests.pages.test_pages import add_person, add_studies, open_page, read, said


def until(condition, seconds=30):
    """Wait for something that happens in the background."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def stored(study, version):
    """The prediction in the store, or None."""
    with engine.read() as session:
        return predictions.get_prediction(session, study, version)


def made_ahead(study):
    """Whether the prediction of a study waits in memory."""
    return any(key[1] == study and future.done() for key, future in ready._made().items())


def test_results_are_made_ahead_and_neither_sent_nor_stored(store, trained):
    """A case read blind and the one after it are predicted in the background; page and store have nothing of it until the save."""
    add_person()
    version = register(trained)
    one, two = add_studies(2)
    at = open_page("review", study=one)
    until(lambda: made_ahead(one) and made_ahead(two))
    at.run()
    assert "Small CNN" not in said(at)
    assert not at.get("multiselect")
    assert stored(one, version) is None
    assert stored(two, version) is None
    calls = []
    keep = resources.engine().answer
    resources.engine().answer = lambda *a: calls.append(a) or keep(*a)
    try:
        at = read(at, "Benign", "Save and show the model")
        assert "Says **" in said(at)
        assert calls == []  # the result was there
        assert stored(one, version) is not None
        image = resources.study_pixels(one).images[0]
        job = heatmap_jobs.heatmap_job(image, version, Request("gradcam", "benign"))
        assert job.future.done()
        assert job.future.result().parameters["engine"] == "PyTorch"
    finally:
        del resources.engine().answer


def test_a_failed_prediction_ahead_is_tried_again_and_told_when_asked_for(store, trained):
    """The exception reaches who asks, and the next one who asks gets a result."""
    version = register(trained)
    add_person()
    (one,) = add_studies()
    keep = resources.engine().answer

    def fails(*_):
        raise RuntimeError("no")

    resources.engine().answer = fails
    try:
        with pytest.raises(RuntimeError, match="no"):
            ready.prediction_of(one, version, "Anna")
    finally:
        resources.engine().answer = keep
    assert ready.prediction_of(one, version, "Anna")[1].model_version == version
    del resources.engine().answer


def test_a_prediction_made_ahead_of_masking_is_not_the_masked_studys(store, trained):
    """Masking keeps the study's id: what was made from its pixels as they were is not stored afterwards."""
    version = register(trained)
    lead = add_person("Lea", "lead")
    (one,) = add_studies()
    _, before = ready._future(one, version)
    image = resources.study_pixels(one).images[0]
    with engine.write() as session:
        holds.hold_again(session, one, lead, "a name in the corner")
    masked = replace(image, pixels=np.zeros_like(image.pixels))
    with engine.write() as session:
        holds.release(session, one, lead, {0: masked})
    _, after = ready.prediction_of(one, version, "Lea")
    assert after.probabilities != before.result(60).probabilities
    assert after.probabilities == predict_study(resources.engine(), version, resources.study_pixels(one)).probabilities


def panels(at):
    """The titles of the panels beneath the picture."""
    return [m.value for m in at.markdown if m.value.startswith(("**Grad-CAM of", "**Occlusion of"))]


@pytest.fixture
def several(store, trained, monkeypatch):
    """The review page with two methods and every class, finished."""
    monkeypatch.setenv("TUMORTRACE_PROTOCOL", "aided")
    add_person()
    register(trained)
    (one,) = add_studies()
    at = open_page("review", study=one)
    (choice,) = [c for c in at.multiselect if c.label == "Heatmap"]
    at = choice.set_value(["gradcam", "occlusion"]).run()
    (target,) = [s for s in at.selectbox if s.label == "Class"]
    at = target.set_value("every class").run()
    for _ in range(60):
        if len(panels(at)) == 4:
            break
        time.sleep(0.2)
        at.run()
    assert not at.exception, at.exception
    return at


def test_several_maps_stand_side_by_side_with_their_facts(several):
    """Two methods and two classes are four panels; one scale for all is on request, and each panel says which."""
    assert len(panels(several)) == 4
    beneath = [c.value for c in several.caption if "ull colour" in c.value or "Zero everywhere" in c.value]
    assert len(beneath) == 4  # each panel has its own sentence, whatever stands behind its popover
    assert all("; not a lesion outline." in text or "Zero everywhere" in text for text in beneath)
    assert sum("No finer than its windows of " in text for text in beneath) == 2
    assert "enlarged" in said(several)
    assert said(several).count("Full colour ") + said(several).count("Zero everywhere") >= 2  # Grad-CAM of either class
    assert said(several).count("Blue against, orange for") == 2  # Occlusion's colours go both ways
    assert said(several).count("its own maximum") >= 2
    (same,) = [t for t in several.toggle if t.label == "One colour scale for all"]
    at = same.set_value(True).run()
    scales = re.findall(r"ull colour ±?([0-9.e-]+), all these maps' maximum", said(at))
    assert len(scales) >= 3
    assert len(set(scales)) == 1
    assert not at.exception


def test_downloads_are_offered_for_each_map(several):
    """Overlay and raw values, as PNG, NPZ and DICOM, for whichever map is chosen."""
    labels = [b.proto.label for b in several.get("download_button")]
    assert labels == ["Overlay, PNG", "Raw values, NPZ", "Overlay, DICOM", "Raw values, DICOM"]
    (choice,) = [s for s in several.selectbox if s.label == "Heatmap" and s.options]
    assert len(choice.options) == 4


@pytest.mark.parametrize("top", [0.5, None])
def test_overlays_have_the_same_colours_as_png_and_as_dicom(top, monkeypatch):
    """Both have the reference's full colour, or the map's own."""
    pixels = np.full((64, 300), 90, np.uint8)
    image = Image(pixels, full_range_window(pixels))
    study = Study("s" * 64, "one", "MR", (image,))
    made = Heatmap(np.array([[0.0, 0.1]], np.float32), "gradcam", "benign", "layer4", "v", image.content_hash, False)
    monkeypatch.setattr(resources, "study_pixels", lambda _: study)
    png, _, dicom, raw = (make() for *_, make in heatmap_panels.files(study.id, image, made, top))
    with PILImage.open(io.BytesIO(png)) as picture:
        drawn = np.asarray(picture)
    assert (pydicom.dcmread(io.BytesIO(dicom)).pixel_array == drawn).all()
    assert (abs(int(drawn[32, 299, 0]) - 90) > 60) == (top is None)  # a fifth of the colour, or all of it
    assert pydicom.dcmread(io.BytesIO(raw)).pixel_array.max() == np.float32(0.1)


def test_the_caption_is_a_sentence_and_the_rest_is_in_the_details():
    """What the map is not stands beneath it; resolution, scale, share and intervals of 7 × 7 over 224 × 224 in the popover."""
    pixels = np.zeros((224, 224), np.uint8)
    image = Image(pixels, full_range_window(pixels))
    values = np.full((7, 7), 0.01, np.float32)
    made = Heatmap(values, "gradcam", "benign", "layer4", "v", "h", False, {"share": 0.49, "class_score": 1.0})
    assert caption(made, 0.5) == METHODS["gradcam"].what
    assert "do not compare them between pictures" in caption(made, None)
    text = " ".join(details(made, image, None, {}))
    assert "7 × 7 values, enlarged 32 times." in text
    assert "maximum is 0.01, which is full colour" in text
    assert "adds up to 49% of the class score, 1." in text
    assert "Grad-CAM on this model: Not yet measured." in text
    more = replace(made, parameters={"share": 5.0, "class_score": 0.2})
    assert "adds up to 1, more than the class score, 0.2." in " ".join(details(more, image, None, {}))
    facts = {"share": None, "low": [-1.0, 0.1], "high": [1.0, 0.2], "superpixels": 2, "r2": 0.5}
    lime = Heatmap(np.ones((224, 224), np.float32), "lime", "benign", "input", "v", "h", True, facts)
    text = " ".join(details(lime, image, 0.5, {}))
    assert "1 of 2 superpixels differ from zero at 95 %; R² 0.50." in text
    assert "2 superpixels of the model's input, 224 × 224." in text
    assert "enlarged" not in text


@pytest.mark.parametrize(
    ("method", "words"), [("gradcam", "speaks for benign"), ("lime", "speaks for or against benign")]
)
def test_a_map_of_nothing_says_so(method, words):
    """Instead of what such maps show."""
    empty = Heatmap(np.zeros((7, 7), np.float32), method, "benign", "x", "v", "h", METHODS[method].signed)
    assert caption(empty, None).endswith(f"nothing that {words}.")


def test_other_parameters_are_another_heatmap(store, trained):
    """Score-CAM over all maps is not the one over 64, in memory and on disk."""
    version = register(trained)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    image = Image(pixels, full_range_window(pixels))
    jobs = [
        heatmap_jobs.heatmap_job(image, version, Request("score-cam", "benign", parameters=more))
        for more in ({}, {"channels": 5})
    ]
    assert jobs[0] is not jobs[1]
    assert [job.future.result(60).parameters["channels"] for job in jobs] == [64, 5]
    assert len(list((store / "heatmaps").rglob("*-benign.npz"))) == 2


def keep(version, method, part, facts):
    """A measurement of that method on the model."""
    with engine.write() as session:
        heatmap_measures.put_measure(session, version, method, part, facts)


def opened(trained, monkeypatch):
    """The review page of one study with its model shown, and the model's version."""
    monkeypatch.setenv("TUMORTRACE_PROTOCOL", "aided")
    add_person()
    version = register(trained)
    (one,) = add_studies()
    return one, version


def ask_for(at, *methods):
    """Choose methods and wait for their maps."""
    (choice,) = [c for c in at.multiselect if c.label == "Heatmap"]
    at = choice.set_value(list(methods)).run()
    for _ in range(50):
        if "not a lesion outline" in said(at):
            break
        time.sleep(0.1)
        at.run()
    assert not at.exception, at.exception
    return at


def test_a_method_that_fails_the_randomisation_is_not_offered_with_the_reason(store, trained, monkeypatch):
    """It is missing from the choice, named with its figure; others stay, and the key G takes the first of them."""
    one, version = opened(trained, monkeypatch)
    found = {"value": 0.8, "low": 0.7, "high": 0.9, "n": 12, "method": "median", "reason": ""}
    keep(version, "gradcam", "randomisation", {"passes": False, "correlation": found})
    at = open_page("review", study=one)
    (choice,) = [c for c in at.multiselect if c.label == "Heatmap"]
    assert "Grad-CAM" not in choice.options
    assert "HiResCAM" in choice.options
    (named,) = [c for c in at.caption if c.value == "Not offered for this model: Grad-CAM."]
    assert "Grad-CAM: maps of re-initialised weights look the same: rank correlation 0.80" in named.proto.help
    at = next(b for b in at.button if b.label == "Heatmap").click().run()
    (choice,) = [c for c in at.multiselect if c.label == "Heatmap"]
    assert choice.value == ["hirescam"]


def test_a_method_that_does_not_suit_the_network_is_not_offered_with_the_reason(store, trained, monkeypatch):
    """Before anything was measured."""
    one, _ = opened(trained, monkeypatch)
    monkeypatch.setattr(heatmap_row, "unfit", lambda method, _: "because" if method.name == "lime" else "")
    at = open_page("review", study=one)
    (choice,) = [c for c in at.multiselect if c.label == "Heatmap"]
    assert "LIME" not in choice.options
    (named,) = [c for c in at.caption if c.value == "Not offered for this model: LIME."]
    assert named.proto.help == "- LIME: because."


def test_colours_are_relative_to_the_reference_where_there_is_one(store, trained, monkeypatch):
    """With it the caption tells how many maps and the full colour; without it, that there is none; checks likewise."""
    one, version = opened(trained, monkeypatch)
    at = ask_for(open_page("review", study=one), "gradcam")
    assert "No reference scale has been measured" in said(at)
    assert "do not compare them between pictures" in said(at)
    assert "Grad-CAM on this model: Not yet measured." in said(at)
    keep(version, "gradcam", "reference", {"n": 200, "quantiles": {"0.99": 1.3}, "maximum": 2.0})
    at.run()
    assert "Colours relative to 200 validation maps: full colour is their 99th percentile, 1.3." in said(at)
    assert "do not compare" not in said(at)
    assert "Weight randomisation not yet checked." in said(at)
    assert "No reference scale" not in said(at)


def test_the_badge_is_made_after_the_map_and_kept(store, trained, monkeypatch):
    """First it says that it checks, then what was found; a second look finds it on disk."""
    one, _ = opened(trained, monkeypatch)
    heatmap_checks._checks().clear()
    at = ask_for(open_page("review", study=one), "gradcam")
    until(lambda: all(c.future.done() for c in heatmap_checks._checks().values()) and heatmap_checks._checks())
    at.run()
    assert "Deletion: " in said(at)
    assert re.search("Stable|Not stable", said(at))
    (kept,) = (store / "heatmaps").rglob("*.check.json")
    (check,) = [c for c in heatmap_checks._checks().values() if c.key in kept.name]
    check.forget()
    monkeypatch.setattr(heatmap_checks, "check_map", lambda *_: pytest.fail("made again"))
    at.run()
    until(lambda: heatmap_checks._checks()[check.key].future.done())
    assert heatmap_checks._checks()[check.key].future.result() == check.future.result()


def test_a_stopped_check_says_so_and_can_be_made_again(store, trained, monkeypatch):
    """Cancelling ends it before the next batch."""
    one, _ = opened(trained, monkeypatch)
    monkeypatch.setattr(heatmap_checks, "_give_way", lambda: time.sleep(0.2))
    heatmap_checks._checks().clear()
    at = ask_for(open_page("review", study=one), "layercam")
    (key,) = heatmap_checks._checks()
    check = heatmap_checks._checks()[key]
    check.cancel.set()
    until(check.future.done)
    at.run()
    assert "Check stopped" in said(at)
    monkeypatch.setattr(heatmap_checks, "_give_way", lambda: None)
    at = next(b for b in at.button if b.label == "Check again").click().run()
    until(lambda: heatmap_checks._checks()[key].future.done())
    at.run()
    assert "Insertion: " in said(at)
