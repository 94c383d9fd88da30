"""The agreement page: groups of readings, the downloads, regions against heatmaps, and that readings are kept up to date."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import streamlit as st

from core.records import Review
from db import engine, reviews
from pages.ui import daily_agreement, daily_data, jobs, reviews_download
from pages.ui import explanation_data as data
from pages.ui.daily_data import Scope
from pages.ui.jobs import Job
from tests.pages.test_explanations_page import finish
from tests.pages.test_pages import add_aided, add_person, add_studies, button, open_page, readings, said, section  # noqa: F401


@pytest.fixture(autouse=True)
def _fresh_caches():
    """Pages must not see what another test's pages kept."""
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


EVERYBODY, ANNA = Scope(), Scope("Anna", "Anna")
RECT = {"kind": "rect", "image": 0, "points": [[2, 2], [12, 14]]}


def group_by(at, name):
    """The section with that grouping."""
    return at.selectbox(key="agr_by").set_value(name).run()


def test_groups_are_of_all_readings_with_n_and_interval(readings):  # noqa: F811
    """By reviewer, class and confidence; one reviewer's own page knows no other reviewer."""
    at = section(open_page("agreement", "Lea"), "Groups and time")
    table = group_by(at, "Reviewer").dataframe[0].value.set_index("Reviewer")
    assert table.loc["Anna", "Raw agreement"].startswith("0.67 (")
    assert table.loc["Anna", "Raw agreement"].endswith("n = 6")
    assert list(group_by(at, "Class").dataframe[0].value["Class"]) == ["benign", "malignant"]
    assert list(group_by(at, "Confidence").dataframe[0].value["Confidence"]) == ["80–100 %"]
    assert "12 readings, all there are" in said(at)
    own = section(open_page("agreement", "Anna"), "Groups and time")
    assert "Reviewer" not in own.selectbox(key="agr_by").options
    assert "6 readings, all there are" in said(own)
    assert not own.exception


def test_with_the_model_and_groups_say_the_same(readings):  # noqa: F811
    """One reviewer's agreement with the model, on both sections, with intervals over patients."""
    at = open_page("agreement", "Lea")
    over = at.dataframe[0].value.set_index("Reviewer")
    group = group_by(section(at, "Groups and time"), "Reviewer").dataframe[0].value.set_index("Reviewer")
    for figure in ("Raw agreement", "Cohen's kappa"):
        assert over[figure].to_dict() == group[figure].to_dict()
    assert over["n"].to_dict() == {"Anna": 6, "Ben": 6}


def test_readings_of_one_patient_widen_the_overview(readings, monkeypatch):  # noqa: F811
    """The overview's interval knows that six studies are of two patients."""
    found = daily_data.readings(EVERYBODY, "breast-mri")
    plain = daily_agreement.by_model_and_reviewer(found, "breast-mri")[("Anna", readings)]["raw"]
    two = replace(found, cases=found.cases.assign(patient=np.arange(len(found.cases)) % 2))
    wide = daily_agreement.by_model_and_reviewer(two, "breast-mri")[("Anna", readings)]["raw"]
    assert (wide.value, wide.n) == (plain.value, plain.n)
    assert "2 patients" in wide.method
    assert wide.high - wide.low > plain.high - plain.low


def test_all_groupings_stand_in_one_table(readings):  # noqa: F811
    """What the download holds: every grouping, group and figure, with n, interval and method."""
    found = daily_data.readings(EVERYBODY, "breast-mri")
    choices = {"Class": None, **daily_agreement.groupings(found, True)}
    rows = daily_agreement.long_rows(
        {name: daily_agreement.estimates(found, "breast-mri", one) for name, one in choices.items()}
    )
    assert {"Class", "Month", "Confidence", "Model", "Reviewer"} <= set(rows["grouping"])
    ben = rows[(rows["group"] == "Ben") & (rows["figure"] == "raw")].iloc[0]
    assert (ben["value"], ben["n"]) == (0.0, 6)
    assert 0 == ben["low"] < ben["high"] < 0.5


def test_a_reading_counts_at_once_and_a_restored_store_is_read_anew(readings):  # noqa: F811
    """New reviews and corrections come in without a restart; another store under the same address is told by its last review."""
    before = daily_data.readings(EVERYBODY, "breast-mri")
    assert len(before) == 12
    new = add_studies(7)[6]
    add_aided(new, "Anna", "benign", None)
    assert len(daily_data.readings(EVERYBODY, "breast-mri")) == 12  # without a prediction there is nothing to compare
    with engine.read() as session:
        row = reviews.list_reviews(session, reviews.ReviewQuery(reviewer="Ben")).iloc[0]
        review = reviews.review_history(session, row["study_id"], "Ben")[0]
    with engine.write() as session:
        reviews.add_review(
            session,
            Review(review.study_id, "Ben", "aided", row["predicted"], "corrected", prediction_id=review.prediction_id),
        )
    after = daily_data.readings(EVERYBODY, "breast-mri")
    label, predicted = after.codes("breast-mri")
    assert (len(after), int((label == predicted).sum())) == (12, 5)
    assert daily_data.fingerprint(EVERYBODY, before) != daily_data.fingerprint(EVERYBODY, after)
    daily_data._KEPT.update({key: (kept, "not its token") for key, (kept, _) in daily_data._KEPT.items()})
    assert len(daily_data.readings(ANNA, "breast-mri")) == 6


@pytest.mark.parametrize("at_once", [2, 5, 100])
def test_downloads_hold_every_reading_once(readings, monkeypatch, at_once):  # noqa: F811
    """However small the pieces, in both formats; a reviewer's holds their own; a stop ends it."""
    monkeypatch.setattr(reviews_download, "AT_ONCE", at_once)
    with engine.read() as session:
        whole = reviews.list_reviews(session, reviews.ReviewQuery())
    csv = pd.read_csv(io.BytesIO(reviews_download.make(EVERYBODY, "csv").getvalue()))
    parquet = pd.read_parquet(io.BytesIO(reviews_download.make(EVERYBODY, "parquet").getvalue()))
    assert list(csv["id"]) == list(parquet["id"]) == list(whole["id"])
    assert list(parquet.columns) == list(whole.columns)
    assert set(pd.read_csv(io.BytesIO(reviews_download.make(ANNA, "csv").getvalue()))["reviewer"]) == {"Anna"}
    job = Job()
    job.stop.set()
    stopped = pd.read_csv(io.BytesIO(reviews_download.make(EVERYBODY, "csv", job).getvalue()))
    assert len(stopped) == min(at_once, len(whole))
    assert job.done == len(stopped)


def test_many_readings_are_prepared_with_progress(readings, monkeypatch):  # noqa: F811
    """A button first, then the file; nothing is made before somebody asks."""
    monkeypatch.setattr(reviews_download, "AT_ONCE", 5)
    at = open_page("agreement", "Lea")
    button(at, "Prepare CSV").click().run()
    for _ in range(20):
        if not jobs.running(("reviews", daily_data.settings.database_url(), "Lea", "csv")):
            break
        at.run()
    assert not at.exception
    assert "Prepare CSV again" in [b.label for b in at.button]


def test_regions_are_held_against_heatmaps_when_asked(readings):  # noqa: F811
    """Without regions it says what to do; then a button compares, and every figure stands beside its controls."""
    at = section(open_page("agreement", "Lea"), "Regions and heatmaps")
    assert "No reviewer has drawn a region" in said(at)
    with engine.read() as session:
        row = reviews.list_reviews(session, reviews.ReviewQuery(reviewer="Anna")).iloc[0]
        review = reviews.review_history(session, row["study_id"], "Anna")[0]
    with engine.write() as session:
        again = Review(review.study_id, "Anna", "aided", review.label, "with", review.prediction_id, regions=(RECT,))
        reviews.add_review(session, again)
    at = section(open_page("agreement", "Lea"), "Regions and heatmaps")
    assert "Not yet compared" in said(at)
    at.multiselect(key="agr_methods").set_value(["gradcam"]).run()
    button(at, "Compare what is missing (1)").click().run()
    if jobs.running(data.key_of(readings)):  # it may be done within the click's own run
        finish(readings)
    jobs._jobs().clear()
    at = section(open_page("agreement", "Lea"), "Regions and heatmaps")
    row = at.dataframe[0].value.iloc[0]
    assert (row["Method"], row["Regions"]) == ("Grad-CAM", "these")
    assert "n = 1" in row["Points into it"]
    assert "n = 1" in row["Pointing, the image centre"]
    assert "Beside the controls" in said(at)
    facts = data.measures_of(readings)["gradcam"]["reviewers"]
    assert (facts["marked"], facts["n"]) == (1, 1)
    with engine.write() as session:
        moved = Review(
            review.study_id, "Anna", "aided", review.label, "moved", review.prediction_id,
            regions=({**RECT, "points": [[3, 3], [9, 9]]},),
        )  # fmt: skip
        reviews.add_review(session, moved)
    at = section(open_page("agreement", "Lea"), "Regions and heatmaps")
    assert at.dataframe[0].value.iloc[0]["Regions"].startswith("earlier")
    assert not button(at, "Compare what is missing").disabled


def test_reviewers_have_no_section_of_regions(readings):  # noqa: F811
    """It would show others' readings."""
    add_person("Cem")
    options = open_page("agreement", "Anna").segmented_control(key="agr_part").options
    assert "Regions and heatmaps" not in options
