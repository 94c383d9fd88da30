"""What the viewer's Python side sends to the browser and what it accepts from there."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.records import Heatmap, Image, Window
from pages.ui import viewer
from pages.ui.viewer import Frame, own_scale, received_regions, study_viewer, viewer_heatmap


def heatmap(values, *, method="gradcam", signed=False, target_class="malignant", image_hash="i") -> Heatmap:
    """A heatmap of these values."""
    return Heatmap(np.asarray(values, np.float32), method, target_class, "layer4", "v1", image_hash, signed)


def grid_of(packet) -> np.ndarray:
    """The numbers that the browser will read."""
    return np.frombuffer(base64.b64decode(packet["data"]), "<f4").reshape(packet["h"], packet["w"])


def test_heatmap_travels_raw_with_its_meaning():
    """The grid arrives number for number, with image, scale, maximum and a label in the reviewer's words."""
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    packet = viewer_heatmap(heatmap(values, target_class="immature_granulocyte"), 2, (0, 20), title="Grad-CAM")
    np.testing.assert_array_equal(grid_of(packet), values)
    assert (packet["image"], packet["scale_max"], packet["raw_max"], packet["signed"]) == (2, 20.0, 11.0, False)
    assert packet["label"] == "Grad-CAM · immature granulocyte · 3 × 4"
    json.dumps(packet)


def test_what_covers_parts_is_labelled_by_its_parts():
    """Windows and superpixels have no grid of their own, whatever their values are painted on or shown as."""
    values = np.ones((300, 300), np.float32)
    made = replace(
        heatmap(values, method="occlusion", signed=True), parameters={"window": [32, 32], "stride": [16, 16]}
    )
    packet = viewer_heatmap(made, 0, (-1, 1), title="Occlusion")
    assert (packet["label"], packet["painted"]) == ("Occlusion · malignant · windows of 32 × 32 every 16 pixels", True)
    assert viewer_heatmap(heatmap(values), 0, (0, 1))["painted"] is False


def test_heatmap_id_tells_heatmaps_apart():
    """Method, class, image and values each make another id; the same heatmap has the same one."""
    base = viewer_heatmap(heatmap([[0, 1]]), 0, (0, 1))["id"]
    assert viewer_heatmap(heatmap([[0, 1]]), 0, (0, 1))["id"] == base
    others = [
        heatmap([[0, 1]], method="occlusion"),
        heatmap([[0, 1]], target_class="benign"),
        heatmap([[0, 1]], image_hash="j"),
        heatmap([[0, 0.5]]),
        heatmap([[0], [1]]),
    ]
    assert len({base, *(viewer_heatmap(other, 0, (0, 1))["id"] for other in others)}) == 6


@pytest.mark.parametrize(
    ("signed", "scale"),
    [(False, (0.1, 1)), (False, (-1, 1)), (True, (0, 1)), (True, (-2, 1)), (False, (0, np.nan)), (False, (0, 0))],
)
def test_scale_on_which_zero_has_a_colour_is_refused(signed, scale):
    """Unsigned scales start at 0, signed ones are symmetric, and a scale of 0 fits only a heatmap of zeros."""
    with pytest.raises(ValueError, match="scale"):
        viewer_heatmap(heatmap([[0, 1]], signed=signed), 0, scale)


def test_own_scale_reaches_the_strongest_value_on_either_side():
    """The strongest of [−3, 2] is 3: a signed scale is (−3, 3), an unsigned one of [0, 2] is (0, 2); zeros are allowed."""
    assert own_scale(heatmap([[-3, 2]], signed=True)) == (-3.0, 3.0)
    assert own_scale(heatmap([[0, 2]])) == (0.0, 2.0)
    zero = heatmap([[0, 0]])
    assert viewer_heatmap(zero, 0, own_scale(zero))["raw_max"] == 0


def test_large_grids_are_averaged_by_area():
    """512 × 4 becomes 256 × 4 of pair means; 384 becomes 256 of means over one and a half cells; the mean stays."""
    ramp = np.arange(512, dtype=np.float32)[:, None].repeat(4, axis=1)
    packet = viewer_heatmap(heatmap(ramp), 0, (0, 511))
    np.testing.assert_allclose(grid_of(packet)[:, 0], np.arange(256) * 2 + 0.5)
    assert "512 × 4, shown as 256 × 4" in packet["label"]

    uneven = np.arange(384, dtype=np.float32)[None, :]
    small = grid_of(viewer_heatmap(heatmap(uneven), 0, (0, 383)))
    # Cells 0 and half of 1, then the other half of 1 and all of 2: (0 + 0.5 · 1) / 1.5 and (0.5 · 1 + 2) / 1.5.
    np.testing.assert_allclose(small[0, :2], [1 / 3, 5 / 3], rtol=1e-6)
    assert small.mean() == pytest.approx(uneven.mean())


def test_frame_of_an_image_carries_its_window_depth_and_units():
    """A 16-bit grey image and a colour image become the frames that the browser needs."""
    grey = Image(
        np.zeros((3, 5), np.uint16), Window(40, 400, "SIGMOID"), "L", "CC", spacing_mm=(0.1, 0.2), slope=2, intercept=-9
    )
    frame = Frame.of(grey, "pixels/1", "first")
    assert (frame.width, frame.height, frame.bits, frame.colour) == (5, 3, 16, False)
    assert (frame.window_center, frame.window_width, frame.function) == (40, 400, "SIGMOID")
    assert (frame.laterality, frame.view, frame.spacing_mm) == ("L", "CC", (0.1, 0.2))
    assert (frame.slope, frame.intercept, frame.marks) == (2, -9, ("", ""))
    colour = Frame.of(Image(np.zeros((3, 5, 3), np.uint8)), "pixels/2")
    assert (colour.bits, colour.colour) == (8, True)


RECTANGLE = {"kind": "rect", "image": 1, "points": [[1.5, 2.0], [3.0, 4.0]]}
POINT = {"kind": "point", "image": 0, "points": [[7.0, 8.0]]}


def test_received_regions_keep_their_case_and_drop_what_is_no_region(monkeypatch):
    """Well-formed regions come through under their view_key; wrong kinds, counts, numbers and places do not."""
    wrong = [
        None,
        "rect",
        {},
        {**POINT, "kind": "circle"},
        {**RECTANGLE, "points": [[1, 2]]},
        {**POINT, "image": -1},
        {**POINT, "points": [[float("nan"), 1]]},
        {**POINT, "points": [[1e9, 1]]},
        {**POINT, "points": [["a", 1]]},
        {**POINT, "points": 3},
    ]
    items = [{**RECTANGLE, "extra": "x"}, *wrong, POINT]
    monkeypatch.setattr(
        st, "session_state", {"viewer": {"regions": {"view_key": "case-1", "items": items, "serial": 4}}}
    )
    assert received_regions() == ("case-1", [RECTANGLE, POINT])


@pytest.mark.parametrize(
    "state", [{}, {"viewer": {"regions": None}}, {"viewer": {"regions": {"view_key": 1, "items": []}}}]
)
def test_nothing_received_is_none(monkeypatch, state):
    """Before the first mark, and for a message without a case, there is nothing to keep."""
    monkeypatch.setattr(st, "session_state", state)
    assert received_regions() is None


def test_at_most_a_hundred_regions_are_kept(monkeypatch):
    """A browser that sends a thousand points fills no database."""
    message = {"view_key": "case-1", "items": [POINT] * 1000, "serial": 1}
    monkeypatch.setattr(st, "session_state", {"viewer": {"regions": message}})
    assert len(received_regions()[1]) == viewer.MAX_REGIONS == 100


def _page():
    from pages.ui.viewer import Frame, study_viewer

    frame = Frame("pixels/1", 4, 3)
    study_viewer(
        [frame], view_key="case-1", regions=[{"kind": "point", "image": 0, "points": [[1, 2]]}], prefetch=["pixels/2"]
    )


def test_without_a_heatmap_nothing_of_the_model_reaches_the_browser():
    """A blind reading's page holds frames, regions and addresses, and an empty list of heatmaps."""
    app = AppTest.from_function(_page).run()
    assert not app.exception
    data = json.loads(app.get("bidi_component")[0].proto.json)
    assert data["heatmaps"] == []
    assert (data["view_key"], data["prefetch"], data["acknowledged"]) == ("case-1", ["pixels/2"], 0)
    assert data["frames"][0]["url"] == "pixels/1"
    assert data["regions"][0]["points"] == [[1, 2]]


def test_viewer_without_frames_is_a_mistake():
    """A case always has an image; an empty list is the caller's error and is named."""
    with pytest.raises(ValueError, match="at least one frame"):
        study_viewer([], view_key="case-1")
