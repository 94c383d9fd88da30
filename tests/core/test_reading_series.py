"""Subtraction and projection of small pictures whose every value can be checked on paper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.reading.series import maximum_intensity, subtraction
from core.records import Image, Refused, full_range_window


def grey(values: object, dtype: type = np.uint16, **facts: object) -> Image:
    """A picture of these pixels."""
    pixels = np.array(values, dtype)
    return Image(pixels, full_range_window(pixels), **facts)  # type: ignore[arg-type]


def unit_values(image: Image) -> list[list[float]]:
    """What the record promises: value = pixel * slope + intercept."""
    return (image.pixels * image.slope + image.intercept).tolist()


def test_subtraction_is_signed_and_exact() -> None:
    """[100, 7] - [40, 19] = [60, -12]; no difference is pixel 32768."""
    made = subtraction(grey([[100, 7, 5]]), grey([[40, 19, 5]]), 100)
    assert unit_values(made) == [[60, -12, 0]]
    assert made.pixels.tolist() == [[32828, 32756, 32768]]
    assert made.pixels.dtype == np.uint16


def test_difference_of_bytes_does_not_wrap_around() -> None:
    """0 - 255 of 8-bit pictures is -255."""
    assert unit_values(subtraction(grey([[0, 255]], np.uint8), grey([[255, 0]], np.uint8), 1)) == [[-255, 255]]


def test_phases_of_different_scales_are_subtracted_in_their_unit() -> None:
    """10 · 2 + 5 = 25 and 30 · 0.5 - 1 = 14: the difference is 11, in steps of the finer slope."""
    made = subtraction(grey([[10]], slope=2.0, intercept=5.0), grey([[30]], slope=0.5, intercept=-1.0), 10)
    assert unit_values(made) == [[11.0]]
    assert made.slope == 0.5


def test_differences_beyond_16_bits_are_rounded_not_cut() -> None:
    """65535 - 0 needs a step of 3 in signed 16 bits (65535 / 32767 > 2): off by at most half of it, and not clipped."""
    made = subtraction(grey([[65535, 0, 1000]]), grey([[0, 65535, 0]]), 1000)
    assert made.slope == 3
    assert np.abs(np.array(unit_values(made)) - [[65535, -65535, 1000]]).max() <= 1.5


def test_window_begins_a_little_below_zero() -> None:
    """Of a display 100 wide: black is -10, white is 50, so that losses are told from no change."""
    made = subtraction(grey([[10, 0, 50]], slope=1.0), grey([[20, 0, 0]]), 100)
    assert made.window is not None
    np.testing.assert_allclose(made.window.apply(made.pixels), [[0, 10 / 60, 1]], rtol=1e-5)


def test_projection_is_the_largest_subtraction_of_all_slices() -> None:
    """Slices with differences [1, -4] and [-2, -3] project to [1, -3]: of the differences, not of the phases."""
    slices = [(grey([[11, 6]]), grey([[10, 10]])), (grey([[88, 47]]), grey([[90, 50]]))]
    made = maximum_intensity(slices, 10)
    assert unit_values(made) == [[1, -3]]
    assert made.slice is None
    assert unit_values(maximum_intensity(slices[:1], 10)) == [[1, -4]]


def test_place_of_the_source_is_kept() -> None:
    """Side, spacing, orientation and slice are those of the phases."""
    facts = {"laterality": "L", "spacing_mm": (0.5, 0.5), "orientation": ("L", "P"), "series": 1, "slice": 4}
    made = subtraction(grey([[2]], phase=1, **facts), grey([[1]], phase=0, **facts), 1)
    assert {name: getattr(made, name) for name in facts} == facts


GOOD = grey([[1, 2], [3, 4]], spacing_mm=(1.0, 1.0), orientation=("L", "P"))
OTHERS = {
    "2 × 2 and 1 × 2 pixels": replace(GOOD, pixels=GOOD.pixels[:1]),
    "different spacings": replace(GOOD, spacing_mm=(1.0, 1.1)),
    "have different spacings": replace(GOOD, spacing_mm=None),
    "different orientations": replace(GOOD, orientation=("P", "F")),
    "Colour pictures": Image(np.zeros((2, 2, 3), np.uint8)),
}


@pytest.mark.parametrize("reason", OTHERS)
def test_phases_that_do_not_lie_over_each_other_are_refused(reason: str) -> None:
    """One sentence says why, for a subtraction as for a projection."""
    with pytest.raises(Refused, match=reason) as refusal:
        subtraction(GOOD, OTHERS[reason], 1)
    assert str(refusal.value).count(".") == 1
    with pytest.raises(Refused, match=reason):
        maximum_intensity([(GOOD, GOOD), (GOOD, OTHERS[reason])], 1)


def test_slices_of_other_sizes_are_no_projection() -> None:
    """Each pair fits in itself, but the slices do not fit onto each other."""
    small = replace(GOOD, pixels=GOOD.pixels[:1])
    with pytest.raises(Refused, match="1 × 2 and 2 × 2"):
        maximum_intensity([(GOOD, GOOD), (small, small)], 1)


def test_projection_of_nothing_is_refused() -> None:
    """No slices, no picture."""
    with pytest.raises(Refused, match="at least one slice"):
        maximum_intensity([], 1)
