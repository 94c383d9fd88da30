"""Which studies wait for somebody's eyes, and what masking does to pixels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as Pillow
from pydicom import uid

from core import settings
from core.deidentify.hold import MAX_RECTANGLES, blacked_out, masked, reason_to_hold
from core.reading import read_upload
from core.records import Image, Refused, Study, full_range_window
from core.tasks import TASKS
from tests.core.dicom_factory import make_dicom

GREY = np.full((4, 6), 100, dtype=np.uint8)


def study(**elements) -> Study:
    """A DICOM file with these elements, read."""
    return read_upload("a.dcm", make_dicom(GREY, **elements), task="breast-mri")[0]


@pytest.mark.parametrize(
    ("elements", "held"),
    [
        ({"Modality": "US"}, True),
        ({"Modality": "US", "BurnedInAnnotation": "NO"}, False),
        ({"Modality": "US", "BurnedInAnnotation": "maybe"}, True),
        ({"Modality": "XC"}, True),
        ({"Modality": "OT"}, True),
        ({"Modality": "RF"}, True),
        ({"Modality": "ES"}, True),
        ({"Modality": "MR"}, False),
        ({"Modality": "MG"}, False),
        ({"Modality": "MR", "BurnedInAnnotation": "YES"}, True),
        ({"Modality": "MG", "SOPClassUID": uid.SecondaryCaptureImageStorage}, True),
        ({"Modality": "MG", "SOPClassUID": uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage}, True),
        ({"Modality": "MR", "BurnedInAnnotation": "NO", "RecognizableVisualFeatures": "YES"}, True),
        ({"Modality": "MR", "RecognizableVisualFeatures": "NO"}, False),
    ],
)
def test_what_is_usually_held(elements, held):
    """By what the file says, and where it says nothing by what its kind commonly shows."""
    assert bool(reason_to_hold(study(**elements))) is held


def test_the_policy_can_be_stricter_or_looser(monkeypatch):
    """`all` holds an MR that does not say NO, `declared` lets an ultrasound through that says nothing; YES is always held."""
    for policy, expected in (("all", [True, True, False, True]), ("declared", [False, False, False, True])):
        monkeypatch.setenv("TUMORTRACE_HOLD", policy)
        files = [{"Modality": "MR"}, {"Modality": "US"}, {"Modality": "US", "BurnedInAnnotation": "NO"}]
        files.append({"Modality": "MR", "BurnedInAnnotation": "YES"})
        assert [bool(reason_to_hold(study(**elements))) for elements in files] == expected
    monkeypatch.setenv("TUMORTRACE_HOLD", "some")
    with pytest.raises(Refused, match="usual, all or declared"):
        settings.hold_policy()


@pytest.mark.parametrize("task", list(TASKS))
def test_a_picture_without_header_is_held_where_its_task_is_ultrasound(task):
    """PNGs exported from ultrasound devices often show a name; patches of tissue and cells do not."""
    stream = io.BytesIO()
    Pillow.fromarray(GREY).save(stream, "PNG")
    assert bool(reason_to_hold(read_upload("a.png", stream.getvalue(), task=task)[0])) is (task == "breast-ultrasound")


def test_one_file_that_shows_names_holds_the_whole_study():
    """Flags of any file count for the study that they are joined to."""
    from core.reading import read_uploads

    clean = make_dicom(GREY, Modality="MR", InstanceNumber=1, BurnedInAnnotation="NO")
    shown = make_dicom(GREY + 1, Modality="MR", InstanceNumber=2, RecognizableVisualFeatures="YES")
    (outcome, _) = read_uploads([("a", clean), ("b", shown)])
    assert reason_to_hold(outcome.studies[0])


def rect(image: int, *corners: float) -> dict:
    """A rectangle (left, top, right, bottom) as the viewer gives it."""
    left, top, right, bottom = corners
    return {"kind": "rect", "image": image, "points": [[left, top], [right, bottom]]}


def grey() -> Image:
    """4 × 6, all 100."""
    return Image(GREY, full_range_window(GREY))


def test_masked_pixels_are_black_and_no_others_change():
    """Columns 1–2 and row 2 of a 4 × 6 picture, edges rounded outwards: exactly two pixels."""
    image = grey()
    out = blacked_out(image, [rect(0, 1.4, 2.0, 2.6, 3.0)])
    expected = GREY.copy()
    expected[2, 1:3] = 0
    assert (out.pixels == expected).all()
    assert (image.pixels == 100).all()
    assert out.window == image.window


def test_colour_pictures_are_masked_in_all_channels():
    """(H, W, 3): black is 0, 0, 0."""
    out = blacked_out(Image(np.full((2, 2, 3), 9, dtype=np.uint8)), [rect(0, 0, 0, 1, 1)])
    assert out.pixels[0, 0].tolist() == [0, 0, 0]
    assert out.pixels[1, 1].tolist() == [9, 9, 9]


def test_rectangles_belong_to_one_image_or_to_all():
    """Only the touched image changes, or each with every rectangle; points mask nothing."""
    images, drawn = [grey(), grey(), grey()], [rect(1, 0, 0, 1, 1), {"kind": "point", "image": 2, "points": [[1, 1]]}]
    assert sorted(masked(images, drawn)) == [1]
    everywhere = masked(images, drawn, everywhere=True)
    assert sorted(everywhere) == [0, 1, 2]
    assert all(image.pixels[0, 0] == 0 and image.pixels[1, 1] == 100 for image in everywhere.values())
    assert masked(images, []) == {}


def test_masks_that_would_mask_nothing_are_refused():
    """Outside the picture, of no image, too many, or shared by images of two sizes."""
    small = Image(GREY[:2], full_range_window(GREY[:2]))
    with pytest.raises(Refused, match="outside"):
        masked([grey()], [rect(0, 6, 0, 9, 2)])
    with pytest.raises(Refused, match="no image"):
        masked([grey()], [rect(1, 0, 0, 1, 1)])
    with pytest.raises(Refused, match="At most 100"):
        masked([grey()], [rect(0, 0, 0, 1, 1)] * (MAX_RECTANGLES + 1))
    with pytest.raises(Refused, match="differ in size"):
        masked([grey(), small], [rect(0, 0, 0, 1, 1)], everywhere=True)
