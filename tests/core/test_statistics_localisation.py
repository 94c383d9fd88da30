"""Heatmaps against regions: values that can be checked on paper, and the map as it is drawn."""

from __future__ import annotations

import numpy as np
import pytest

from core.explain.overlay import _stretched
from core.records import Refused
from core.statistics.localisation import (
    Overlap,
    energy_inside,
    iou,
    iou_at,
    localisation_summary,
    overlap,
    pointing_game,
    region_mask,
    stretched,
)
from core.statistics.proportions import wilson

MAP = np.arange(16, dtype=float).reshape(4, 4)  # the maximum, 15, is the last pixel
CORNER = np.zeros((4, 4), dtype=bool)
CORNER[2:, 2:] = True  # 10, 11, 14, 15


def test_on_paper():
    """A 4×4 arange and its lower right corner: 50 of 120 inside; of the six values from 10 up four lie inside."""
    assert pointing_game(MAP, CORNER) is True
    assert pointing_game(MAP, ~CORNER) is False
    assert energy_inside(MAP, CORNER) == pytest.approx(50 / 120)
    assert iou_at(MAP, CORNER, 10 / 15) == pytest.approx(4 / 6)  # 10 … 15 against 10, 11, 14, 15
    assert overlap(MAP, CORNER, 1.0) == Overlap(True, 50 / 120, 0.25, 0.25, 1.0)


def test_only_evidence_for_the_class_counts():
    """Negative values are as good as 0, inside and outside."""
    signed = np.where(CORNER, MAP, -MAP)
    assert energy_inside(signed, CORNER) == 1.0
    assert energy_inside(-signed, CORNER) == 0.0
    assert pointing_game(-MAP - 1, CORNER) is None


def test_several_equal_maxima_count_by_half():
    """Two of two, one of two, one of three in the region."""
    values = np.zeros((2, 3))
    values[0, 0] = values[1, 2] = 1
    left = np.array([[True, False, False]] * 2)
    assert pointing_game(values, values > 0) is True
    assert pointing_game(values, left) is True
    values[0, 2] = 1
    assert pointing_game(values, left) is False


def test_a_tolerance_reaches_beyond_the_region():
    """The maximum is 2 pixels right and 1 below: √5 away."""
    mask = np.zeros((4, 4), dtype=bool)
    mask[2, 1] = True
    assert [pointing_game(MAP, mask, within) for within in (0, 2.2, 2.3)] == [False, False, True]


def test_nothing_is_undefined_and_not_zero():
    """An empty map or an empty region has no figure."""
    for values, mask in ((np.zeros((4, 4)), CORNER), (MAP, np.zeros((4, 4), bool))):
        found = overlap(values, mask)
        assert (found.hit, found.energy, found.iou) == (None, None, None)


def test_rectangles_cover_what_they_touch_in_any_order_of_corners():
    """From (1.2, 0.5) to (2.1, 1.5): columns 1 and 2, rows 0 and 1; another picture's region is not here."""
    rect = {"kind": "rect", "image": 0, "points": [[2.1, 1.5], [1.2, 0.5]]}
    mask = region_mask([rect, {**rect, "image": 1, "points": [[0, 0], [4, 4]]}], (3, 4))
    np.testing.assert_array_equal(np.argwhere(mask), [[0, 1], [0, 2], [1, 1], [1, 2]])
    assert region_mask([{**rect, "points": [[-5, -5], [50, 50]]}], (3, 4)).all()
    assert not region_mask([{**rect, "points": [[8, 8], [9, 9]]}], (3, 4)).any()
    assert region_mask([{**rect, "points": [[2, 1], [2, 1]]}], (3, 4)).sum() == 1
    assert not region_mask([], (3, 4)).any()


def test_points_are_a_pixel_or_a_disc():
    """(1.5, 1.5) is the centre of pixel [1, 1]; with radius 1 its four neighbours too; outside there is nothing."""
    point = {"kind": "point", "image": 0, "points": [[1.5, 1.5]]}
    assert np.argwhere(region_mask([point], (4, 4))).tolist() == [[1, 1]]
    assert region_mask([point], (4, 4), radius=1).sum() == 5
    assert np.argwhere(region_mask([{**point, "points": [[3.9, 0.0]]}], (4, 4))).tolist() == [[0, 3]]
    assert not region_mask([{**point, "points": [[9, 9]]}], (4, 4)).any()


@pytest.mark.parametrize(
    "region",
    [
        {"kind": "circle", "points": [[1, 1]]},
        {"kind": "rect", "points": [[1, 1]]},
        {"kind": "point", "points": [[np.nan, 1]]},
        {"kind": "point"},
    ],
)
def test_other_regions_are_refused(region):
    """Rather than left out."""
    with pytest.raises(Refused, match="rectangle of two corners or a point"):
        region_mask([region], (4, 4))


@pytest.mark.parametrize(("grid", "shape"), [((4, 4), (16, 20)), ((3, 5), (7, 11)), ((1, 1), (3, 3)), ((4, 4), (4, 4))])
def test_a_stretched_map_is_the_one_that_is_drawn(grid, shape):
    """The same values as the overlay paints, to float32."""
    values = np.random.default_rng(1).normal(size=grid).astype(np.float32)
    np.testing.assert_allclose(stretched(values, shape), _stretched(values, shape), atol=1e-6)


def test_two_masks():
    """One of three pixels in common; two empty ones have nothing to compare."""
    a, b = np.array([[1, 1, 0]], bool), np.array([[0, 1, 1]], bool)
    assert iou(a, b) == pytest.approx(1 / 3)
    assert iou(~a & a, b & ~b) is None
    with pytest.raises(ValueError, match="same shape"):
        iou(a, b.T)


def test_the_summary_has_intervals_over_maps_or_patients():
    """Three of four hits; the undefined map does not count; maps of one patient are one unit."""
    found = [Overlap(hit, e, i, 0.1, 0.5) for hit, e, i in
             ((True, 0.5, 0.4), (True, 0.7, 0.2), (False, 0.1, 0.0), (True, 0.3, 0.4), (None, None, None))]  # fmt: skip
    plain = localisation_summary(found)
    assert plain["hit"] == wilson(3, 4)
    assert (plain["energy"].value, plain["energy"].n) == (pytest.approx(0.4), 4)
    assert plain["iou"].low < 0.25 < plain["iou"].high
    assert plain["area"].n == 5
    grouped = localisation_summary(found, ["a", "a", "b", "c", "c"])
    assert grouped["energy"].value == plain["energy"].value
    assert "clustered" in grouped["hit"].method
    empty = localisation_summary([])
    assert all(e.value is None and e.reason for e in empty.values())


def test_wrong_arguments():
    """Shapes, thresholds, values that are no numbers."""
    with pytest.raises(ValueError, match="same shape"):
        overlap(MAP, CORNER[:2])
    with pytest.raises(ValueError, match="threshold"):
        iou_at(MAP, CORNER, 0.0)
    with pytest.raises(ValueError, match="finite"):
        energy_inside(np.full((4, 4), np.nan), CORNER)
    with pytest.raises(ValueError, match=r"\(h, w\)"):
        stretched(np.zeros(3), (4, 4))
