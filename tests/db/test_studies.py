"""Studies: kept once, given back whole, without their reference standard where a reviewer looks."""

import dataclasses

import numpy as np
import pytest

from core.records import Study, Window, study_id
from db import engine, studies
from db.engine import StoreError
from db.pixels import pixel_path
from tests.db import make


def full_study() -> Study:
    """Two grey images and a colour one, every field filled; the second has a look-up table and a window to choose from."""
    table = Window(7.5, 8.0, "TABLE", "NORMAL", np.arange(0, 65536, 8192, dtype="<u2").tobytes())
    choices = (table, Window(4, 8, "SIGMOID", "SOFT"))
    placed = dataclasses.replace(
        make.grey(2),
        window=table,
        windows=choices,
        series=1,
        phase=2,
        slice=3,
        frame_time_ms=33.5,
        orientation=("P", "F"),
    )
    images = (make.grey(1), placed, make.colour())
    return Study(
        id=study_id(images, "p1"),
        name="Ünïcode ' study",
        modality="MG",
        images=images,
        patient_id="p1",
        task="mammography",
        reference_standard="cancer",
        metadata={"rows": 3, "maker": "Acme", "list": [1, 2.5, None]},
    )


def test_a_study_comes_back_whole(store):
    """Every field and every pixel is as it was, in the images' order."""
    study = full_study()
    with engine.write() as session:
        assert studies.add_study(session, study)
    with engine.read() as session:
        loaded = studies.get_study(session, study.id)
    assert loaded is not None
    for field in dataclasses.fields(Study):
        if field.name != "images":
            assert getattr(loaded, field.name) == getattr(study, field.name), field.name
    for stored, image in zip(loaded.images, study.images, strict=True):
        np.testing.assert_array_equal(stored.pixels, image.pixels)
        assert dataclasses.replace(stored, pixels=image.pixels) == image
    assert study_id(loaded.images, loaded.patient_id) == study.id


def test_the_same_study_is_kept_once(store):
    """A second upload of the same pictures adds nothing and says so; its pixels are put back if they were lost."""
    study = full_study()
    lost = pixel_path(study.images[0].content_hash)
    with engine.write() as session:
        assert studies.add_study(session, study)
    lost.unlink()
    with engine.write() as session:
        assert not studies.add_study(session, dataclasses.replace(study, name="other name"))
    with engine.read() as session:
        assert studies.count_studies(session) == 1
        loaded = studies.get_study(session, study.id)
    assert loaded is not None
    assert loaded.name == study.name


def test_a_summary_has_no_pixels_and_no_reference_standard(store):
    """What pages show to reviewers describes the images and cannot give the answer away."""
    study = full_study()
    with engine.write() as session:
        studies.add_study(session, study)
    with engine.read() as session:
        summary = studies.get_study_summary(session, study.id)
        assert studies.reference_standard(session, study.id) == "cancer"
    assert summary is not None
    assert "cancer" not in repr(summary)
    assert summary.created_at.endswith("+00:00")
    grey, _, colour = summary.images
    assert (grey.height, grey.width, grey.bits, grey.colour, grey.shape) == (3, 4, 16, False, (3, 4))
    assert (grey.window, grey.spacing_mm, grey.frame) == (study.images[0].window, (0.07, 0.1), 1)
    assert (colour.bits, colour.shape, colour.window) == (8, (2, 5, 3), None)
    assert [image.pixel_hash for image in summary.images] == [image.content_hash for image in study.images]


def test_unknown_studies_are_none(store):
    """No id, no study, no summary, no reference standard."""
    with engine.read() as session:
        assert studies.get_study(session, "x") is None
        assert studies.get_study_summary(session, "x") is None
        assert studies.reference_standard(session, "x") is None


def test_without_pixels_there_is_no_row(store):
    """When the pixels cannot be kept, the study is not kept either."""
    store.mkdir(exist_ok=True)
    (store / "pixels").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="nothing was saved"), engine.write() as session:
        studies.add_study(session, full_study())
    with engine.read() as session:
        assert studies.count_studies(session) == 0


def test_lost_pixels_are_said(store):
    """A study whose pixels are gone gives a sentence; its summary is still there."""
    (study,) = make.add_studies(1)
    with engine.read() as session:
        summary = studies.get_study_summary(session, study)
    assert summary is not None
    pixel_path(summary.images[0].pixel_hash).unlink()
    with pytest.raises(StoreError, match="upload the study again"), engine.read() as session:
        studies.get_study(session, study)
