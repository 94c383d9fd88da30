"""The Clean page: held studies for those who may clean them, masked for good, and hidden from everybody's reading until then."""

from __future__ import annotations

import numpy as np
import pytest

from core.reading import Source
from core.records import Refused
from db import audit, engine, holds, studies
from db.importing import import_exams
from db.pixels import pixel_path
from pages.ui import cleaning
from pages.ui.frames import frames_of, prefetch_of
from pages.ui.resources import study_pixels
from tests.core.dicom_factory import make_dicom
from tests.core.reading.samples import picture
from tests.pages.test_pages import add_person, add_studies, button, open_page, said, upload


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


def held_pictures(count: int) -> list[str]:
    """Ids of breast ultrasound pictures as Anna uploads them, oldest first; they are held."""
    files = [Source.of_bytes(f"{n}.png", picture(np.full((40, 60), n, np.uint8), "PNG")) for n in range(count)]
    exams = list(import_exams(files, "breast-ultrasound", by="Anna"))
    return [imported.study_ids[0] for exam in exams for imported in exam]


def held():
    """Ids of the studies that are held."""
    with engine.read() as session:
        return holds.held_ids(session)


def test_a_sheet_releases_what_is_chosen_and_nothing_else(store):
    """Thirteen pictures: nothing is chosen at first; all of the sheet less one are released, and that one stays with the last."""
    add_person()
    ids = held_pictures(13)
    at = open_page("clean")
    assert len(at.checkbox) == 12
    assert not any(box.value for box in at.checkbox)
    assert button(at, "Nothing to mask").disabled
    button(at, "Choose all").click().run()
    at.checkbox[3].uncheck().run()
    button(at, "Nothing to mask: release 11").click().run()
    assert not at.exception
    assert held() == {ids[3], ids[12]}
    assert [box.value for box in at.checkbox] == [False, False]
    with engine.read() as session:
        assert audit.list_entries(session)["action"].tolist().count("study released") == 11


def test_a_picture_with_text_is_opened_from_the_sheet(store):
    """Mask opens the viewer for that study, and the sheet is one click away."""
    add_person()
    ids = held_pictures(3)
    at = open_page("clean")
    [b for b in at.button if b.label == "Mask"][1].click().run()
    assert at.query_params["study"] in (ids[1], [ids[1]])
    assert button(at, "Mask and release").disabled
    button(at, "All on sheets").click().run()
    assert len(at.checkbox) == 3


def test_a_sheet_shows_nobody_elses_studies(store):
    """Bob sees none of Anna's; a lead sees them."""
    add_person("Bob")
    add_person("Lea", "lead")
    held_pictures(2)
    assert not open_page("clean", user="Bob").checkbox
    assert len(open_page("clean", user="Lea").checkbox) == 2


def test_a_release_by_mistake_is_taken_back(store):
    """Released from the sheet, held again from the same page: its pixels are refused, then masked ones are what is read."""
    anna = add_person()
    ids = held_pictures(2)
    at = open_page("clean")
    button(at, "Choose all").click().run()
    button(at, "Nothing to mask: release 2").click().run()
    assert study_pixels(ids[1]).images[0].pixels.max() == 1
    assert "Nothing for you to clean" in said(at)
    at.text_input[0].set_value("a name").run()
    button(at, "Hold again").click().run()
    assert not at.exception
    assert held() == {ids[1]}
    with pytest.raises(Refused, match="held"):
        study_pixels(ids[1])
    cleaning.release(anna, summary(ids[1]), [{**RECTANGLE, "points": [[0, 0], [60, 40]]}], everywhere=False)
    assert study_pixels(ids[1]).images[0].pixels.max() == 0


def test_a_link_to_a_released_study_offers_to_hold_it(store):
    """Leads may hold what was never held; others are refused in a sentence."""
    lead = add_person("Lea", "lead")
    add_person()
    (one,) = add_studies()
    for user, expected in (("Anna", set()), (lead.name, {one})):
        at = open_page("clean", user=user, study=one)
        at.text_input[0].set_value("a name").run()
        button(at, "Hold again").click().run()
        assert held() == expected
    assert "No such study" in said(open_page("clean", study="f" * 64))


def test_the_review_page_leads_to_holding_again_for_who_may(store):
    """A lead finds the link beside the worklist; for somebody who did not upload the study there is none."""
    add_person("Lea", "lead")
    add_person()
    (one,) = add_studies()
    links = {user: [link.proto.label for link in open_page("review", user=user, study=one).get("page_link")]
             for user in ("Lea", "Anna")}  # fmt: skip
    assert "Hold again" in links["Lea"]
    assert "Hold again" not in links["Anna"]


def test_a_held_study_is_shown_by_no_page(store):
    """The adjudication page of a held study says so and sends no picture."""
    lead = add_person("Lea", "lead")
    (one,) = add_studies()
    with engine.write() as session:
        holds.hold_again(session, one, lead, "a name")
    at = open_page("adjudication", user="Lea", study=one)
    assert "is held" in said(at)
    assert not at.get("bidi_component")
