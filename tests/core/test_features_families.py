"""Intensity, co-occurrence, edges and Gabor energies: on paper and against scikit-image, SciPy or a double loop."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from skimage.feature import graycomatrix, graycoprops, hog
from skimage.filters import gabor, sobel_h, sobel_v
from skimage.filters import sobel as sobel_magnitude
from skimage.measure import shannon_entropy

from core.features import FAMILIES
from core.features.cooccurrence import ANGLES, DISTANCES, LEVELS, horizontal_matrix, matrices, properties
from core.features.family import entropy_bits, grey_levels
from core.features.gabor import responses
from core.features.gradients import sobel

# Haralick's own 4 × 4 example (1973, figure 3) and its horizontal counts, both directions.
PAPER = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 2, 2, 2], [2, 2, 3, 3]], np.uint8)
PAPER_COUNTS = np.array([[4, 2, 1, 0], [2, 4, 0, 0], [1, 0, 6, 1], [0, 0, 1, 2]])


def picture(seed=0, shape=(48, 37)):
    """A smooth picture (H, W) float32 in [0, 1]."""
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.normal(size=shape), axis=1)
    return ((x - x.min()) / np.ptp(x)).astype(np.float32)


def values(name, grey):
    """The numbers of one family."""
    return FAMILIES[name].values(grey)


def test_grey_levels_cut_brightness_into_equal_steps():
    """With four levels 0–0.25 is 0, 0.25–0.5 is 1 …; white is in the last one."""
    assert grey_levels(np.array([[0, 0.249, 0.25, 0.5, 0.999, 1]], np.float32), 4).tolist() == [[0, 0, 1, 2, 3, 3]]


def test_intensity_on_paper():
    """Half black, half white: mean and sd 0.5, no skew, kurtosis 1, one bit, uniformity one half."""
    grey = np.tile(np.float32([0, 1]), (8, 4))
    found = values("intensity", grey)
    assert {n: found[n] for n in ("mean", "sd", "skewness", "kurtosis", "entropy", "uniformity")} == {
        "mean": 0.5, "sd": 0.5, "skewness": 0.0, "kurtosis": 1.0, "entropy": 1.0, "uniformity": 0.5,
    }  # fmt: skip
    assert (found["histogram.00"], found["histogram.15"], found["p50"]) == (0.5, 0.5, 0.5)


def test_intensity_equals_scipy_and_scikit_image():
    """Moments are SciPy's, the entropy is scikit-image's of the same levels."""
    grey = picture()
    found = values("intensity", grey)
    assert found["skewness"] == pytest.approx(stats.skew(grey.astype(float), axis=None))
    assert found["kurtosis"] == pytest.approx(stats.kurtosis(grey.astype(float), axis=None, fisher=False))
    assert found["entropy"] == pytest.approx(shannon_entropy(grey_levels(grey)))
    assert sum(v for n, v in found.items() if n.startswith("histogram")) == pytest.approx(1)


def test_a_flat_picture_has_no_skewness_and_no_correlation():
    """What a picture of one grey does not define is NaN, never 0 or 1."""
    flat = np.full((16, 16), 0.4, np.float32)
    assert np.isnan([values("intensity", flat)[n] for n in ("skewness", "kurtosis")]).all()
    assert np.isnan(values("glcm", flat)["correlation.d1.a000"])
    assert np.isnan(values("haralick", flat)["f03_correlation"])
    assert np.isnan(values("sobel", flat)["direction.000"])
    assert values("glcm", flat)["contrast.d1.a000"] == 0


def test_co_occurrence_on_paper():
    """Haralick's example: counts of horizontal neighbours, 24 in all."""
    assert matrices(PAPER, (1,), (0,), 4)[0, 0] * 24 == pytest.approx(PAPER_COUNTS)


@pytest.mark.parametrize(("angle", "step"), [(0, (0, 1)), (45, (1, 1)), (90, (1, 0)), (135, (1, -1))])
def test_co_occurrence_equals_a_double_loop(angle, step):
    """Pairs counted one by one, in the direction that the angle's name promises, three pixels along it."""
    levels = grey_levels(picture(1, (14, 11)), LEVELS)
    rows, columns = np.array(step) * (3 if angle % 90 == 0 else 2)  # 3 / √2 rounds to 2 pixels each way
    counts = np.zeros((LEVELS, LEVELS))
    for (r, c), here in np.ndenumerate(levels):
        if 0 <= r + rows < 14 and 0 <= c + columns < 11:
            there = levels[r + rows, c + columns]
            counts[here, there] += 1
            counts[there, here] += 1
    np.testing.assert_allclose(matrices(levels)[DISTANCES.index(3), ANGLES.index(angle)], counts / counts.sum())


def test_properties_are_scikit_images():
    """All seven; scikit-image's entropy counts in nats."""
    levels = grey_levels(picture(2), LEVELS)
    own = graycomatrix(levels, [1], [0], levels=LEVELS, symmetric=True, normed=True)
    found = properties(own[:, :, 0, 0])
    for name in ("contrast", "dissimilarity", "homogeneity", "ASM", "energy", "correlation"):
        assert found[name.lower()] == pytest.approx(graycoprops(own, name).item()), name
    assert found["entropy"] == pytest.approx(graycoprops(own, "entropy").item() / np.log(2))


def test_the_horizontal_matrix_is_a_matrix_of_shares():
    """32 × 32, symmetric, sum 1: what the page shows and R2 prints."""
    p = horizontal_matrix(picture(3))
    assert p.shape == (32, 32)
    assert (p == p.T).all()
    assert p.sum() == pytest.approx(1)


def test_a_picture_no_larger_than_the_distance_has_no_pairs():
    """Two rows have no pair four rows apart: nothing to count."""
    assert matrices(np.zeros((2, 9), np.uint8), (4,), (90,)).sum() == 0


def slow_haralick(p):
    """f1–f13 by double loops over levels, from the paper's formulas (f7 about f6)."""
    n = len(p)
    log = lambda x: np.log(x) if x > 0 else 0.0  # noqa: E731
    both = [(i, j) for i in range(n) for j in range(n)]
    px, py = p.sum(axis=1), p.sum(axis=0)
    sums = [sum(p[i, j] for i, j in both if i + j == k) for k in range(2 * n - 1)]
    gaps = [sum(p[i, j] for i, j in both if abs(i - j) == k) for k in range(n)]
    mean = sum(i * px[i] for i in range(n))
    variance = sum((i - mean) ** 2 * p[i, j] for i, j in both)
    average, gap = sum(k * s for k, s in enumerate(sums)), sum(k * s for k, s in enumerate(gaps))
    hxy = -sum(p[i, j] * log(p[i, j]) for i, j in both)
    hx, hy = -sum(q * log(q) for q in px), -sum(q * log(q) for q in py)
    hxy1 = -sum(p[i, j] * log(px[i] * py[j]) for i, j in both)
    hxy2 = -sum(px[i] * py[j] * log(px[i] * py[j]) for i, j in both)
    return [
        sum(p[i, j] ** 2 for i, j in both),
        sum(k**2 * s for k, s in enumerate(gaps)),
        (sum(i * j * p[i, j] for i, j in both) - mean**2) / variance,
        variance,
        sum(p[i, j] / (1 + (i - j) ** 2) for i, j in both),
        average,
        sum((k - average) ** 2 * s for k, s in enumerate(sums)),
        -sum(s * log(s) for s in sums),
        hxy,
        sum((k - gap) ** 2 * s for k, s in enumerate(gaps)),
        -sum(s * log(s) for s in gaps),
        (hxy - hxy1) / max(hx, hy),
        np.sqrt(1 - np.exp(-2 * (hxy2 - hxy))),
    ]


def test_haralick_equals_its_formulas():
    """Thirteen numbers, means over four directions, against loops written from the paper."""
    grey = picture(4, (20, 20))
    levels = grey_levels(grey, LEVELS)
    slow = np.mean([slow_haralick(p) for p in matrices(levels, (1,))[0]], axis=0)
    np.testing.assert_allclose(list(values("haralick", grey).values()), slow, rtol=1e-9)


def test_entropy_on_paper():
    """Four equal shares are two bits, one share of 1 is none."""
    assert entropy_bits(np.array([0.25] * 4)) == 2
    assert entropy_bits(np.array([1.0, 0])) == 0


def test_sobel_on_paper():
    """Brightness rising by 0.1 per column: X is 0.2 inside, Y 0, and all edges point to the right."""
    grey = np.tile(np.arange(10, dtype=np.float32) / 10, (9, 1))
    x, y = sobel(grey)
    assert x[:, 1:-1] == pytest.approx(0.2, abs=1e-6)
    assert not y.any()
    found = values("sobel", grey)
    assert found["direction.000"] == pytest.approx(1)
    assert found["magnitude.maximum"] == pytest.approx(0.2 / np.sqrt(2))
    assert values("sobel", grey.T.copy())["direction.090"] == pytest.approx(1)
    assert values("sobel", grey[:, ::-1].copy())["direction.180"] == pytest.approx(1)


def test_sobel_is_scikit_images():
    """X is its filter for upright edges, Y that for lying ones; the magnitude has its scale."""
    grey = picture(5)
    x, y = sobel(grey)
    np.testing.assert_allclose(x, sobel_v(grey), atol=1e-6)
    np.testing.assert_allclose(y, sobel_h(grey), atol=1e-6)
    assert values("sobel", grey)["magnitude.mean"] == pytest.approx(sobel_magnitude(grey).mean(), rel=1e-5)


def test_hog_has_the_same_length_for_every_picture():
    """324 numbers; of a 64 × 64 picture they are scikit-image's own vector in its order."""
    grey = picture(6, (64, 64))
    own = hog(grey, orientations=9, pixels_per_cell=(16, 16), cells_per_block=(2, 2))
    assert list(values("hog", grey).values()) == pytest.approx(own, abs=1e-6)
    assert len(values("hog", picture(7, (200, 31)))) == 324


def test_gabor_responses_are_scikit_images():
    """Every wavelength and direction, with the mean taken out, up to float32 rounding."""
    grey = picture(8, (40, 52))
    centred = grey - grey.mean()
    for wavelength, direction, response in responses(grey):
        real, imaginary = gabor(centred, 1 / wavelength, theta=np.deg2rad(direction), mode="reflect")
        np.testing.assert_allclose(response, np.hypot(real, imaginary), atol=2e-5)


def test_gabor_finds_the_stripes():
    """Upright stripes eight pixels wide: most energy at wavelength 8, direction 0."""
    stripes = np.tile(0.5 + 0.4 * np.sin(2 * np.pi * np.arange(64) / 8), (64, 1)).astype(np.float32)
    energies = {n: v for n, v in values("gabor", stripes).items() if n.startswith("energy")}
    assert max(energies, key=energies.get) == "energy.w08.a000"


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_keeps_its_promises(name):
    """Same names for every size, numbers finite on a picture with structure, pictures in [0, 1], a unit for each number."""
    family = FAMILIES[name]
    large, small = family.values(picture(9, (64, 48))), family.values(picture(10, (8, 8)))
    assert list(large) == list(small)
    assert np.isfinite(list(large.values())).all()
    assert all(family.unit(feature) for feature in large)
    for title, shown in family.pictures(picture(11)).items():
        assert title
        assert shown.dtype == np.float32
        assert shown.ndim == 2 or shown.shape[2] == 3
        assert shown.min() >= 0
        assert shown.max() <= 1


@pytest.mark.parametrize("name", FAMILIES)
def test_a_flat_picture_harms_no_family(name):
    """One grey everywhere gives numbers and pictures without a warning; what is undefined is NaN, never infinite."""
    flat = np.full((12, 9), 0.3, np.float32)
    assert not np.isinf(list(FAMILIES[name].values(flat).values())).any()
    assert all(np.isfinite(shown).all() for shown in FAMILIES[name].pictures(flat).values())
