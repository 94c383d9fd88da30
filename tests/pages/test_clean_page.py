"""The Clean page: held studies for those who may clean them, masked for good, and hidden from everybody's reading until then."""

from __future__ import annotations

import numpy as np
import pytest

from core.records import Refused
from db import engine, holds, studies
from db.pixels import pixel_path
from pages.ui import cleaning
from pages.ui.frames import frames_of, prefetch_of
from pages.ui.resources import study_pixels
from tests.core.dicom_factory import make_dicom
from tests.pages.test_pages import add_person, button, open_page, said, upload


def ultrasound(value: int = 9, **elements) -> bytes:
    """Two frames of 8 × 8, all `value`, that do not say whether text is burned in."""
    values = np.full((2, 8, 8), value, dtype=np.uint8)
    values[1] += 1
    return make_dicom(values, NumberOfFrames=2, Modality="US", **elements)


def uploaded(**files: bytes):
    """The id of the study that the first file became, as Anna uploads it; and the page."""
    at = upload(**files)
    with engine.read() as session:
        return sorted(holds.held_ids(session)), at


RECTANGLE = {"kind": "rect", "image": 0, "points": [[0, 0], [8, 2]]}


def summary(study_id: str):
    """The stored study without pixels."""
    with engine.read() as session:
        return studies.get_study_summary(session, study_id)


def test_an_uploaded_ultrasound_is_held_and_cannot_be_reviewed(store):
    """The upload says so, the worklist too; the review page shows a sentence and no picture, and no function gives pixels."""
    add_person()
    (study_id,), at = uploaded(a_dot_dcm=ultrasound())
    assert at.dataframe[0].value["Result"].iloc[0] == ["Held"]
    assert "until you have looked" in said(at)
    assert ["Held"] in list(open_page("worklist").dataframe[0].value["status"])
    review = open_page("review", study=study_id)
    assert "is held" in said(review)
    assert not [b for b in review.button if "Save" in b.label]
    with pytest.raises(Refused, match="held"):
        frames_of(summary(study_id))
    with pytest.raises(Refused, match="held"):
        study_pixels(study_id)
    assert prefetch_of(study_id) == []


def test_only_the_uploader_and_leads_find_it_on_the_page(store):
    """Another reviewer is told that one is held, and is refused where the page would act."""
    anna, bob = add_person(), add_person("Bob")
    lead = add_person("Lea", "lead")
    (study_id,), _ = uploaded(a_dot_dcm=ultrasound())
    assert button(open_page("clean"), "Nothing to mask")
    assert "Nothing for you to clean" in said(open_page("clean", user="Bob"))
    assert button(open_page("clean", user="Lea"), "Nothing to mask")
    with pytest.raises(Refused, match="uploaded"):
        cleaning.release(bob, summary(study_id), [RECTANGLE], everywhere=True)
    assert summary(study_id).held
    assert {anna.role, lead.role} == {"reviewer", "lead"}


def test_confirming_releases_and_goes_to_the_next(store):
    """Two held studies: after the first one, the second is shown; after both, nothing is left and both can be read."""
    add_person()
    uploaded(a_dot_dcm=ultrasound(PatientID="a", StudyInstanceUID="1.2.1"))
    ids, _ = uploaded(b_dot_dcm=ultrasound(50, PatientID="b", StudyInstanceUID="1.2.2"))
    at = open_page("clean")
    for left in (1, 0):
        button(at, "Nothing to mask").click().run()
        assert not at.exception
        with engine.read() as session:
            assert len(holds.held_ids(session)) == left
    assert "Nothing for you to clean" in said(at)
    assert len(ids) == 2
    assert all(frames_of(summary(study_id)) for study_id in ids)


def test_masking_all_images_blackens_each_and_the_same_file_brings_nothing_back(store):
    """Rows 0–1 of both frames are black, the old files gone; the second upload finds the study and stores no pixels."""
    anna = add_person()
    (study_id,), _ = uploaded(a_dot_dcm=ultrasound())
    old = [image.pixel_hash for image in summary(study_id).images]
    cleaning.release(anna, summary(study_id), [RECTANGLE], everywhere=True)
    for image in study_pixels(study_id).images:
        assert (image.pixels[:2] == 0).all()
        assert (image.pixels[2:] > 0).all()
    again, at = uploaded(a_dot_dcm=ultrasound())
    assert again == []
    assert at.dataframe[0].value["Result"].iloc[0] == ["Already stored"]
    assert not any(pixel_path(each).exists() for each in old)
