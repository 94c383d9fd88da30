"""Colour tables of heatmaps: even to the eye, and alike for and against."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from core.colours import SEQUENTIAL, SIGNED, colours


@pytest.mark.parametrize("table", SEQUENTIAL)
def test_lightness_rises_all_along_a_sequential_table(table: str) -> None:
    """CIELAB lightness by scikit-image; the ends are the table's own."""
    lightness = rgb2lab(colours(np.linspace(0, 1, 101), signed=False, table=table))[:, 0]
    assert (np.diff(lightness) > 0).all()
    stops = SEQUENTIAL[table].split()
    ends = (255 * colours(np.array([0.0, 1.0]), signed=False, table=table)).round().astype(int)
    assert ends.tolist() == [list(bytes.fromhex(stops[0])), list(bytes.fromhex(stops[-1]))]


def test_the_signed_table_is_even_and_alike_on_both_sides() -> None:
    """Steps of equal size in CIELAB within a fifth, by CIEDE2000 within a factor of two; one lightness for v and −v."""
    lab = rgb2lab(colours(np.linspace(-1, 1, 65), signed=True))
    steps = np.linalg.norm(np.diff(lab, axis=0), axis=1)
    assert steps.min() > 0.8 * steps.mean()
    assert steps.max() < 1.2 * steps.mean()
    seen = deltaE_ciede2000(lab[1:], lab[:-1])
    assert seen.max() < 2 * seen.min()
    assert np.abs(lab[:, 0] - lab[::-1, 0]).max() < 1
    assert (np.diff(lab[:33, 0]) > 0).all()
    assert (np.diff(lab[32:, 0]) < 0).all()


def test_nothing_is_grey_for_is_orange_against_is_blue() -> None:
    """The middle has no hue, and values beyond full scale keep its colour."""
    against, none, for_it, beyond = (255 * colours(np.array([-1.0, 0, 1, 7]), signed=True)).round()
    assert len(set(none)) == 1
    assert against[2] > against[0] + 100
    assert for_it[0] > for_it[2] + 100
    assert (beyond == for_it).all()
    assert len(SIGNED.split()) % 2 == 1
