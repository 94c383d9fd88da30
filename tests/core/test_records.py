"""The records keep their contracts."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest

from core import records
from core.records import Heatmap, Image, Review, Study, StudyRejected, Window, full_range_window, study_id

GREY = np.arange(12, dtype=np.uint16).reshape(3, 4)
WINDOW = Window(5, 10)


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        # DICOM PS3.3 C.11.2.1.2.1 (LINEAR): centre 2048, width 4096 maps 0 to black and 4095 to white.
        (Window(2048, 4096), {0: 0.0, 4095: 1.0}),
        # LINEAR_EXACT (C.11.2.1.3.2): y = (x - c) / w + 0.5.
        (Window(100, 200, "LINEAR_EXACT"), {0: 0.0, 50: 0.25, 100: 0.5, 200: 1.0, 300: 1.0}),
        # SIGMOID (C.11.2.1.3.1): y = 1 / (1 + exp(-4 (x - c) / w)).
        (Window(100, 40, "SIGMOID"), {100: 0.5, 110: 1 / (1 + np.exp(-1)), 60: 1 / (1 + np.exp(4))}),
        # LINEAR with width 1 is a step.
        (Window(10, 1), {9: 0.0, 10: 1.0}),
        # A table of three entries for 9, 10 and 11: its ends hold beyond it (C.11.2.1.1).
        (
            Window(10, 3, "TABLE", table=np.array([0, 65535, 13107], "<u2").tobytes()),
            {0: 0, 9: 0, 10: 1, 11: 0.2, 99: 0.2},
        ),
    ],
)
def test_windows_follow_the_dicom_standard(window, expected):
    """Brightness at chosen values equals the standard's formulas."""
    shown = window.apply(np.array(list(expected)))
    np.testing.assert_allclose(shown, list(expected.values()), atol=1e-6)


@pytest.mark.parametrize(("center", "width"), [(0, 0), (0, -1), (float("nan"), 1), (0, float("inf"))])
def test_a_window_without_width_or_place_is_refused(center, width):
    """Width must be positive and both finite."""
    with pytest.raises(ValueError, match="finite centre and a positive width"):
        Window(center, width)


@pytest.mark.parametrize(("function", "table"), [("TABLE", b""), ("TABLE", b"abc"), ("LINEAR", b"ab"), ("CUBIC", b"")])
def test_a_table_belongs_to_its_function_only(function, table):
    """A table window without whole 16-bit entries, another with one, or an unknown function is refused."""
    with pytest.raises(ValueError, match=r"table of 16-bit entries|window function must be"):
        Window(1, 2, function, table=table)


def test_the_facts_of_a_window_are_json_safe_and_name_its_table() -> None:
    """SHA-256 of four zero bytes, as sha256sum gives it."""
    facts = Window(2.0, 4.0, "TABLE", "BONE", bytes(4)).facts()
    assert json.loads(json.dumps(facts)) == {
        "center": 2.0,
        "width": 4.0,
        "function": "TABLE",
        "explanation": "BONE",
        "table_sha256": "df3f619804a92fdb4057192dc43dd748ea778adc52bc498ce80524c014b81119",
    }
    assert Window(2.0, 4.0).facts() == {"center": 2.0, "width": 4.0, "function": "LINEAR"}


def test_full_range_shows_every_level():
    """0 is black and the dtype's maximum is white."""
    for dtype in (np.uint8, np.uint16):
        window = full_range_window(np.zeros((1, 1), dtype))
        np.testing.assert_allclose(window.apply(np.array([0, np.iinfo(dtype).max])), [0, 1])


@pytest.mark.parametrize(
    ("pixels", "window"),
    [
        (GREY.astype(np.float32), WINDOW),
        (GREY.astype(np.int16), WINDOW),
        (GREY[0], WINDOW),
        (np.zeros((2, 2, 4), np.uint8), None),
        (np.zeros((2, 2, 3), np.uint16), None),
        (np.zeros((0, 5), np.uint8), WINDOW),
        (GREY, None),
        (np.zeros((2, 2, 3), np.uint8), WINDOW),
    ],
)
def test_images_that_break_the_intensity_contract_are_refused(pixels, window):
    """Only (H, W) uint8/uint16 with a window, or (H, W, 3) uint8 without one."""
    with pytest.raises(ValueError, match=r"pixels must be|needs a window|has no window"):
        Image(pixels, window)


def test_content_hash_is_computed_once(monkeypatch):
    """Pages ask for it at every rerun; a mammogram's takes a tenth of a second. A changed copy has its own."""
    image = Image(GREY, Window(1, 2))
    first = image.content_hash
    monkeypatch.setattr(records.hashlib, "sha256", None)
    assert image.content_hash == first
    monkeypatch.undo()
    assert replace(image, pixels=GREY + 1).content_hash != first
    assert pickle.loads(pickle.dumps(image)).content_hash == first


def test_content_hash_depends_on_values_shape_and_type_only():
    """Equal pictures have equal hashes whatever their memory layout; any difference changes it."""
    image = Image(GREY, WINDOW)
    assert image.content_hash == Image(np.asfortranarray(GREY), Window(1, 2)).content_hash
    others = (GREY + np.uint16(1), GREY.reshape(4, 3), GREY.astype(np.uint8))
    assert len({image.content_hash, *(Image(o, WINDOW).content_hash for o in others)}) == 4


def test_study_id_tells_patients_and_order_apart():
    """The same pictures of another patient, or in another order, are another study."""
    a, b = Image(GREY, WINDOW), Image(GREY + np.uint16(1), WINDOW, frame=1)
    ids = {study_id((a, b)), study_id((b, a)), study_id((a, b), "P-1"), study_id((a,))}
    assert len(ids) == 4
    assert study_id((a, b), "P-1") == study_id((a, b), "P-1")


def test_a_study_needs_an_image():
    """No pictures, no study."""
    with pytest.raises(ValueError, match="at least one image"):
        Study("id", "name", "MR", ())


@pytest.mark.parametrize("values", [np.zeros((2, 2)), np.full((2, 2), np.nan, np.float32), np.zeros(3, np.float32)])
def test_heatmaps_are_finite_float32(values):
    """Another type, NaN or another shape is refused."""
    with pytest.raises(ValueError, match="finite float32"):
        Heatmap(values, "gradcam", "malignant", "layer4", "v", "h", False)


@pytest.mark.parametrize(
    "wrong", [{"phase": "second"}, {"confidence": 101}, {"confidence": -1}, {"label": ""}], ids=lambda w: next(iter(w))
)
def test_reviews_out_of_range_are_refused(wrong):
    """Phase, confidence and class are checked where a review is made."""
    fields = {"study_id": "s", "reviewer": "Anna", "phase": "aided", "label": "benign", "client_token": "t"}
    with pytest.raises(ValueError, match=r"phase|confidence|class"):
        Review(**{**fields, **wrong})


def test_a_rejection_survives_the_way_between_processes():
    """Reason and hint are the same after pickling."""
    sent = pickle.loads(pickle.dumps(StudyRejected("It is a text file.", "Upload an image.")))
    assert (sent.reason, sent.hint, str(sent)) == (
        "It is a text file.",
        "Upload an image.",
        "It is a text file. Upload an image.",
    )
