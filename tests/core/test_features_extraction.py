"""`extract`: names, units, regions, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from core.features import FAMILIES, crop, extract, feature_names, grey_of
from core.records import Image, Refused, Window, full_range_window

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60)).astype(np.uint8)
GREY = Image(PIXELS, full_range_window(PIXELS))


def rectangle(*points):
    """A region as the viewer stores it."""
    return {"kind": "rect", "image": 0, "points": [list(p) for p in points]}


def test_a_vector_names_every_number():
    """As many names and units as values, no name twice, and every family in it with its version."""
    vector = extract(GREY)
    assert vector.values.shape == (len(vector.names),) == (len(vector.units),)
    assert len(set(vector.names)) == len(vector.names)
    assert {name.split(".")[0] for name in vector.names} == set(FAMILIES)
    assert vector.version.startswith("intensity 1, glcm 1")
    assert vector.names == feature_names()


def test_families_come_in_the_order_asked_for_and_once():
    """Two families, the second given twice."""
    vector = extract(GREY, ["mvm-lbp", "intensity", "mvm-lbp"])
    assert [name.split(".")[0] for name in vector.names[::30]] == ["mvm-lbp", "intensity"]
    assert vector.version == "mvm-lbp 1, intensity 1"


def test_a_region_is_measured_as_if_it_were_the_image():
    """The features of a rectangle equal those of an image of just these pixels, whichever corners were drawn first."""
    inside = Image(PIXELS[5:25, 10:40], full_range_window(PIXELS))
    for corners in (((10, 5), (40, 25)), ((40, 25), (10, 5)), ((10, 25), (40, 5))):
        np.testing.assert_array_equal(extract(GREY, region=rectangle(*corners)).values, extract(inside).values)


def test_a_rectangle_takes_every_pixel_that_it_touches_and_nothing_outside():
    """Fractions are widened to whole pixels; what hangs over the edge is cut off."""
    grey = grey_of(GREY)
    assert crop(grey, rectangle((1.5, 2.2), (10.1, 12))).shape == (10, 10)
    assert crop(grey, rectangle((-20, -20), (9, 8.5))).shape == (9, 9)
    assert crop(grey, None) is grey


@pytest.mark.parametrize(
    ("region", "says"),
    [
        ({"kind": "point", "points": [[3, 4]]}, "rectangles only"),
        (rectangle((3, 4)), "rectangles only"),
        (rectangle((3, 4), (float("nan"), 9)), "rectangles only"),
        (rectangle((3, 4), (10, 30)), "7 × 26 pixels"),
        (rectangle((100, 100), (200, 200)), "0 × 0 pixels"),
    ],
)
def test_other_regions_are_refused(region, says):
    """Points, broken rectangles and those with too few pixels, in one sentence each."""
    with pytest.raises(Refused, match=says):
        extract(GREY, region=region)


def test_unknown_families_and_tiny_images_are_refused():
    """The refusal names the known families, or the size."""
    with pytest.raises(Refused, match=r"no feature family 'sift'; there are intensity, glcm"):
        extract(GREY, ["sift"])
    with pytest.raises(Refused, match="Name at least one"):
        extract(GREY, [])
    tiny = PIXELS[:7, :20]
    with pytest.raises(Refused, match="at least 8 × 8 pixels, not 20 × 7"):
        extract(Image(tiny, full_range_window(tiny)))


def test_features_see_what_the_reviewer_sees():
    """Grey goes through the window; colour becomes luma, 0.299 R + 0.587 G + 0.114 B."""
    pixels = np.full((8, 8), 1000, np.uint16)
    windowed = Image(pixels, Window(1000, 400, "LINEAR_EXACT"))
    assert extract(windowed, ["intensity"]).values[0] == pytest.approx(0.5)
    green = np.zeros((8, 8, 3), np.uint8)
    green[..., 1] = 255
    assert extract(Image(green), ["intensity"]).as_dict()["intensity.mean"] == pytest.approx(0.587)


def test_what_is_undefined_is_null_in_json():
    """A flat image has no skewness: None, not NaN, which JSON does not know."""
    flat = np.full((8, 8), 7, np.uint8)
    assert extract(Image(flat, full_range_window(flat)), ["intensity"]).as_dict()["intensity.skewness"] is None
