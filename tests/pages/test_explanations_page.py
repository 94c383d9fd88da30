"""The Explanations page: for leads only, says what is and what is not known, measures in the background, stops and goes on."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import streamlit as st

from core.explain.honesty import benchmark
from core.explain.honesty.table import COLUMNS, control_rows, long_rows, method_rows
from core.records import Refused
from db import engine, heatmap_measures, models, reviews, users
from db.heatmap_measures import MarkedStudy
from pages.ui import explanation_data as data
from pages.ui import jobs
from tests.db.make import review
from tests.pages.conftest import register
from tests.pages.test_datasets_page import add
from tests.pages.test_pages import add_person, add_studies, button, open_page, said


@pytest.fixture(autouse=True)
def _fresh_caches():
    """Pages must not see what another test's pages kept."""
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


def lead() -> users.User:
    """Lea."""
    return add_person("Lea", "lead")


def figure(value, low=None, high=None, n=20):
    """An estimate as the store keeps it."""
    return {"value": value, "low": low, "high": high, "n": n, "method": "test", "reason": ""}


def masks_facts(hit, low, high):
    """Facts of `masks` with that difference to every control."""
    row = {m: figure(hit, 0.1, 0.9) for m in ("hit", "energy", "iou")} | {"threshold": 0.5}
    controls = {name: row for name in ("centre", "brightest", "untrained")}
    gap = {m: {**figure(0.1, low, high), "p": 0.5} for m in ("hit", "energy", "iou")}
    return {"n": 20, "empty": 1, "tuned": 0, "own": row, "controls": controls, "differences": dict.fromkeys(controls, gap),
            "dataset": "spots", "fingerprint": "f"}  # fmt: skip


def keep(version, **parts):
    """Measurements of Grad-CAM."""
    with engine.write() as session:
        for part, facts in parts.items():
            heatmap_measures.put_measure(session, version, "gradcam", part, facts)


def test_reviewers_are_turned_away_and_an_empty_store_says_what_to_do(store):
    """A reviewer reads one sentence; a lead without models learns where to register one."""
    rita = add_person("Rita")
    assert "Only a project lead" in said(open_page("explanations", "Rita"))
    lead()
    assert "No models yet" in said(open_page("explanations", "Lea"))
    with pytest.raises(Refused):
        data.registered(rita)


def test_a_model_that_was_never_measured_says_so(store, trained):
    """And without a dataset of its task, where one comes from."""
    lead()
    register(trained)
    at = open_page("explanations", "Lea")
    assert "Not yet measured" in said(at)
    assert "No dataset of breast mri is registered" in said(at)
    assert button(at, "Measure what is missing (0)").disabled


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.02, 0.3, "better than the image centre"),
        (-0.1, 0.2, "not better than the image centre"),
        (-0.4, -0.1, "worse than"),
    ],
)
def test_the_page_says_whether_a_method_is_better_than_each_control(store, trained, low, high, words):
    """Only an interval above 0 is better; the table and the sentence agree."""
    lead()
    version = register(trained)
    keep(version, masks=masks_facts(0.5, low, high))
    at = open_page("explanations", "Lea")
    assert words in said(at)
    cell = at.dataframe[0].value.loc[0, "vs image centre"]
    assert cell.startswith(words.removesuffix(" the image centre"))
    assert "n = 20)" in cell  # the control's own figure
    warned = [w.value for w in at.warning]
    assert bool(warned) == (low <= 0)
    assert all(w.startswith("Not better than the image centre") and "Grad-CAM" in w for w in warned)
    assert "1 of 20 maps are empty" in said(at)
    assert "weight randomisation not yet checked" in said(at).lower()


def test_a_failed_method_is_called_not_offered(store, trained):
    """With its figure."""
    lead()
    keep(register(trained), randomisation={"passes": False, "correlation": figure(0.8, 0.7, 0.9)})
    text = said(open_page("explanations", "Lea"))
    assert "Not offered to reviewers: maps of re-initialised weights look the same" in text
    assert "rank correlation 0.80 (0.70 to 0.90, n = 20)" in text


def finish(version, seconds=120):
    """Wait for the measuring job; what it said."""
    job = jobs._jobs()[data.key_of(version)]
    return job.future.result(timeout=seconds)


def test_what_is_missing_is_measured_in_the_background_and_stored(store, trained, phantoms):
    """One click measures all parts of the chosen methods; then nothing is missing and every figure is in the CSV."""
    user = lead()
    version = register(trained)
    add(phantoms, "breast-mri", "Phantoms")
    at = open_page("explanations", "Lea")
    at.multiselect[0].set_value(["gradcam"]).run()
    button(at, f"Measure what is missing ({len(benchmark.PARTS)})").click().run()
    assert "Measured 5 part(s)." in finish(version)
    at.run()
    assert not at.exception, at.exception
    measures = data.measures_of(version)
    assert set(measures["gradcam"]) == set(benchmark.PARTS)
    assert data.missing(measures, ["gradcam"], data.datasets_of(user, "breast-mri")[0], ()) == []
    table = pd.DataFrame(long_rows(measures))
    assert list(table.columns) == list(COLUMNS)
    assert {"own.hit", "differences.centre.hit", "correlation", "random_minus_deletion"} <= set(table["figure"])
    assert (table.loc[table["figure"] == "own.hit", "n"] == 5).all()


def test_a_measurement_can_be_stopped_and_gone_on_with(store, trained, phantoms, monkeypatch):
    """What was done before the stop is stored; the rest is still missing and can be measured."""
    user = lead()
    version = register(trained)
    entry = add(phantoms, "breast-mri", "Phantoms")
    (model,) = data.registered(user)
    real = benchmark.measure

    def stops(task, wanted):
        for number, made in enumerate(real(task, wanted)):
            yield made
            if number == 0:
                jobs._jobs()[data.key_of(version)].stop.set()

    monkeypatch.setattr(benchmark, "measure", stops)
    data.begin(user, model, entry, ["gradcam"])
    assert "Stopped" in finish(version)
    assert len(data.measures_of(version)["gradcam"]) == 1
    jobs._jobs().clear()
    monkeypatch.setattr(benchmark, "measure", real)
    assert len(data.missing(data.measures_of(version), ["gradcam"], entry, ())) == 4
    data.begin(user, model, entry, ["gradcam"])
    assert "Measured 4" in finish(version)


def test_a_failure_is_said_and_can_be_tried_again(store, trained, phantoms):
    """A dataset that is gone: one sentence, and the button is there again."""
    user = lead()
    version = register(trained)
    add(phantoms, "breast-mri", "Phantoms")
    entry = data.datasets_of(user, "breast-mri")[0]
    (model,) = data.registered(user)
    data.begin(user, model, dataclasses.replace(entry, path="/nowhere"), ["gradcam"])
    with pytest.raises(Refused):
        finish(version)
    at = open_page("explanations", "Lea")
    assert "There is no dataset" in said(at)
    assert not button(at, "Measure what is missing").disabled


def test_reviewers_regions_are_measured_against(store, trained):
    """Two reviewers of two studies: pictures with their regions become cases, and the figures are those of maps against them."""
    user = lead()
    version = register(trained)
    ids = add_studies(2)
    rect = {"kind": "rect", "image": 0, "points": [[2, 2], [12, 14]]}
    with engine.write() as session:
        for token, study in enumerate(ids):
            reviews.add_review(session, review(study, str(token), regions=(rect,)))
        reviews.add_review(session, review(ids[0], "bob", reviewer="Bob", regions=({**rect, "image": 7},)))
    found = data.marked(user, "breast-mri")
    cases = data.marked_cases(found, "breast-mri")
    assert len(found) == 3
    assert len(cases) == 2  # there is no eighth picture
    assert np.argwhere(cases[0].mask).min(axis=0).tolist() == [2, 2]
    (model,) = data.registered(user)
    data.begin(user, model, None, ["gradcam"])
    finish(version)
    jobs._jobs().clear()
    facts = data.measures_of(version)["gradcam"]["reviewers"]
    assert (facts["n"], facts["marked"]) == (2, 3)
    at = open_page("explanations", "Lea")
    control = next(c for c in at.get("button_group"))
    control.set_value("reviewers").run()
    assert "Points into reviewers' regions" in said(at)


def test_rows_of_nothing_and_of_refusals():
    """Every method has a row; a refused part says none and stands in the CSV with its reason."""
    assert len(method_rows({})) == 12
    measures = {"gradcam": {"randomisation": {"refused": "No layer."}, "masks": {"refused": "No masks."}}}
    row = method_rows(measures)[0]
    assert (row["Randomisation"], row["Points into it"]) == ("cannot be made", "none")
    assert row["In words"] == "Not offered to reviewers: No layer."
    assert [r["reason"] for r in long_rows(measures)] == ["No layer.", "No masks."]
    assert control_rows(masks_facts(0.5, 0.1, 0.2))[0]["method − control, IoU"] == "–"


def test_areas_are_named_by_what_is_subtracted_from_what():
    """A deletion 0.1 smaller than that of random orders is a gain of 0.1, in the table as in the CSV."""
    measures = {"gradcam": {"faithfulness": {"deletion_random": figure(0.1), "insertion_random": figure(-0.2)}}}
    row = method_rows(measures)[0]
    assert row["Random − deletion"].startswith("0.10")
    assert row["Insertion − random"].startswith("−0.20")
    named = {r["figure"]: r["value"] for r in long_rows(measures)}
    assert named == {"random_minus_deletion": 0.1, "insertion_minus_random": -0.2}


def test_withdrawn_models_are_left_out(store, trained):
    """They are shown to nobody."""
    user = lead()
    version = register(trained)
    with engine.write() as session:
        models.set_model_status(session, version, "withdrawn", "Lea")
    assert data.registered(user) == []


def test_other_regions_are_measured_again(store):
    """As many regions as before, but elsewhere, are other regions."""
    one = (MarkedStudy("s", "malignant", ({"kind": "point", "points": [[1, 2]]},)),)
    two = (MarkedStudy("s", "malignant", ({"kind": "point", "points": [[1, 3]]},)),)
    there = {"gradcam": {"reviewers": {"marked": 1, "regions": data.fingerprint(one)}}}
    assert data.missing(there, ["gradcam"], None, one) == []
    assert data.missing(there, ["gradcam"], None, two) == [("gradcam", "reviewers")]
    assert data.missing({}, ["gradcam"], None, ()) == []
