"""Binary patterns: against paper-sized neighbourhoods and a slow double loop written from the definitions."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from skimage.feature import local_binary_pattern

from core.features import FAMILIES
from core.features.family import grey_levels
from core.features.mean_patterns import mvm_values, patterns
from core.features.patterns import smallest_rotation, uniform_number, values
from tests.core.slow_patterns import slow_histogram, slow_patterns


def noise(seed=0, shape=(19, 23), top=256):
    """Grey levels without structure; a small `top` makes ties common."""
    return np.random.default_rng(seed).integers(0, top, shape).astype(np.uint8)


def picture(seed=0, shape=(40, 33)):
    """A picture (H, W) float32 in [0, 1]."""
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def test_a_neighbourhood_on_paper():
    """1 … 9 in reading order: μ = m = 5, σ² = 60/9; neighbours clockwise from the upper left are 1 2 3 6 9 8 7 4.

    Above 5 are 6 9 8 7, places 3–6: 8 + 16 + 32 + 64 = 120. Further than √(60/9) = 2.58 from 5 are 1, 2, 9, 8: places 0, 1,
    4, 5: 1 + 2 + 16 + 32 = 51. The pixel, 5, is not above the mean, but at least the median: 256 more.
    """
    found = patterns(np.arange(1, 10, dtype=np.uint8).reshape(3, 3))
    assert found.mean.item() == 120
    assert found.variance.item() == 51
    assert found.median.item() == 120
    assert found.mvmbp.item() == 120
    assert found.mbp.item() == 120 + 256


def test_mean_and_median_differ_where_one_pixel_is_bright():
    """Eight pixels of 10 and one neighbour of 100, at the right: only it exceeds mean and spread; all reach the median."""
    levels = np.full((3, 3), 10, np.uint8)
    levels[1, 2] = 100  # place 3
    found = patterns(levels)
    assert (found.mean.item(), found.variance.item(), found.median.item()) == (8, 8, 8)
    assert (found.mvmbp.item(), found.mbp.item()) == (8, 511)


def test_flat_neighbourhoods_have_code_zero():
    """Nothing exceeds anything; every pixel reaches the median, so MBP is full."""
    found = patterns(np.full((5, 6), 200, np.uint8))
    assert found.mean.shape == (3, 4)
    assert not any(code.any() for code in (found.mean, found.variance, found.median, found.mvmbp))
    assert (found.mbp == 511).all()


@pytest.mark.parametrize("top", [2, 4, 256])
def test_patterns_equal_the_double_loop(top):
    """All five, on noise with many and with few ties; the loop computes exact fractions, so no rounding can hide."""
    levels = noise(top, top=top) * (255 // (top - 1))
    found, slow = patterns(levels), slow_patterns(levels)
    for name in ("mean", "variance", "median", "mvmbp", "mbp"):
        np.testing.assert_array_equal(getattr(found, name), slow[name], err_msg=name)


def test_mvm_lbp_equals_the_double_loop():
    """The 30 numbers are the three histograms of uniform numbers, counted one by one."""
    grey = picture()
    slow = slow_histogram(grey_levels(grey))
    assert np.allclose(list(mvm_values(grey).values()), slow, rtol=0, atol=1e-12)


def test_mvm_lbp_histograms_sum_to_one():
    """Ten shares for each of mean, variance and median."""
    found = mvm_values(picture(3))
    assert len(found) == 30
    for part in ("mean", "variance", "median"):
        assert sum(v for name, v in found.items() if name.startswith(f"{part}.")) == pytest.approx(1)


def test_patterns_do_not_change_under_brightness_and_contrast():
    """Codes compare levels with each other: doubling and shifting them changes no code."""
    levels = noise(5, top=100)
    first, second = patterns(levels), patterns(levels * 2 + 30)
    for name in ("mean", "variance", "median", "mvmbp", "mbp"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_uniform_numbers_and_rotations_on_paper():
    """Three ones in a row have number 3 and turn down to 7; four single ones change eight times, so they are number 9."""
    assert uniform_number()[[0b00000000, 0b00011100, 0b11000001, 0b11111111, 0b01010101]].tolist() == [0, 3, 3, 8, 9]
    assert smallest_rotation()[[0b00011100, 0b11000001, 0b10101010, 0]].tolist() == [7, 7, 0b01010101, 0]
    assert len(np.unique(smallest_rotation())) == 36  # Pietikäinen et al. 2000
    assert (uniform_number() < 9).sum() == 58  # Ojala et al. 2002: uniform codes of 8 points


@pytest.mark.parametrize(("kind", "prefix"), [("ror", "ror."), ("uniform", "uniform."), ("default", "default.")])
def test_lbp_histograms_are_scikit_images(kind, prefix):
    """What is looked up from the default codes equals scikit-image's own codes of that kind."""
    grey = picture(1)
    found = [v for name, v in values(grey).items() if name.startswith(prefix) and name[len(prefix) :].isdigit()]
    own = local_binary_pattern(grey_levels(grey), 8, 1, kind).astype(int)
    bins = np.unique(smallest_rotation()) if kind == "ror" else range(len(found))
    assert found == pytest.approx([(own == code).mean() for code in bins])


def test_lbp_variance_is_that_of_the_circle():
    """Its mean equals that of scikit-image's VAR; where all neighbours are equal it is 0, not undefined."""
    grey = picture(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own = np.nan_to_num(local_binary_pattern(grey_levels(grey), 8, 1, "var"))
    assert values(grey)["var.mean"] == pytest.approx(own.mean())
    assert values(np.full((9, 9), 0.5, np.float32))["var.p50"] == 0


def test_mbp_numbers_split_by_the_own_bit():
    """The shares of each kind of code sum to 1, and those of set own bits to `own_bit`."""
    found = FAMILIES["mbp"].values(picture(4))
    for name in ("mvmbp", "mbp"):
        halves = [sum(v for n, v in found.items() if n.startswith(f"{name}.{bit}.")) for bit in (0, 1)]
        assert sum(halves) == pytest.approx(1)
        assert halves[1] == pytest.approx(found[f"{name}.own_bit"])
