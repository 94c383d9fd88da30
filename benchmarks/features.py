"""All feature families of a 512 × 512 image against plain scikit-image calls one by one, and MVM-LBP against a double loop.

Run with `python -m benchmarks.features [rounds]`. Both sides compute the same numbers with the same parameters in the same
run; ratios travel between machines, times do not.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.feature import graycomatrix, graycoprops, hog, local_binary_pattern
from skimage.filters import gabor, sobel, sobel_h, sobel_v
from skimage.measure import shannon_entropy
from skimage.transform import resize

from core.features import FAMILIES
from core.features.cooccurrence import ANGLES, DISTANCES, LEVELS
from core.features.family import grey_levels
from core.features.gabor import DIRECTIONS, WAVELENGTHS
from core.features.mean_patterns import mvm_values

EDGE = 512
CLOCKWISE = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
OURS_ALONE = ("mbp", "mvm-lbp", "haralick")  # scikit-image has nothing like them


def picture() -> np.ndarray:
    """Speckle of two grains, like an ultrasound image: (512, 512) float32 in [0, 1]."""
    rng = np.random.default_rng(0)
    x = gaussian_filter(rng.random((EDGE, EDGE)), 1.5) + 2 * gaussian_filter(rng.random((EDGE, EDGE)), 12)
    return ((x - x.min()) / np.ptp(x)).astype(np.float32)


def plain_intensity(grey: np.ndarray) -> None:
    """Moments, percentiles, entropy and histogram, one call each."""
    from scipy.stats import kurtosis, skew

    grey.mean(), grey.std(), grey.min(), grey.max()
    skew(grey, axis=None), kurtosis(grey, axis=None)
    np.percentile(grey, (5, 25, 50, 75, 95))
    shannon_entropy(grey_levels(grey))
    np.histogram(grey, bins=16, range=(0, 1))


def plain_glcm(grey: np.ndarray) -> None:
    """One matrix stack and seven properties."""
    angles = np.deg2rad(ANGLES)
    p = graycomatrix(grey_levels(grey, LEVELS), DISTANCES, angles, levels=LEVELS, symmetric=True, normed=True)
    for name in ("contrast", "dissimilarity", "homogeneity", "ASM", "energy", "correlation", "entropy"):
        graycoprops(p, name)


def plain_hog(grey: np.ndarray) -> None:
    """The same scaling, then the vector."""
    hog(resize(grey, (64, 64), order=1, anti_aliasing=True), 9, (16, 16), (2, 2))


def plain_sobel(grey: np.ndarray) -> None:
    """X, Y, magnitude and direction, with the same summaries."""
    x, y, magnitude = sobel_v(grey), sobel_h(grey), sobel(grey)
    np.histogram(np.arctan2(y, x), bins=8, range=(-np.pi, np.pi), weights=magnitude)
    np.abs(x).mean(), np.abs(y).mean(), magnitude.mean(), magnitude.std(), np.percentile(magnitude, 95), magnitude.max()


def plain_lbp(grey: np.ndarray) -> None:
    """Four kinds of code and their histograms."""
    levels = grey_levels(grey)
    for kind in ("default", "ror", "uniform"):
        np.bincount(local_binary_pattern(levels, 8, 1, kind).astype(int).ravel())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        variance = np.nan_to_num(local_binary_pattern(levels, 8, 1, "var"))
    variance.mean(), variance.std(), np.percentile(variance, (25, 50, 75, 95))


def plain_gabor(grey: np.ndarray) -> None:
    """Real and imaginary response of each filter, then mean, spread and energy."""
    for wavelength in WAVELENGTHS:
        for direction in DIRECTIONS:
            real, imaginary = gabor(grey, 1 / wavelength, theta=np.deg2rad(direction))
            response = np.hypot(real, imaginary)
            response.mean(), response.std(), (response**2).mean()


PLAIN: dict[str, Callable[[np.ndarray], None]] = {
    "intensity": plain_intensity,
    "glcm": plain_glcm,
    "hog": plain_hog,
    "sobel": plain_sobel,
    "lbp": plain_lbp,
    "gabor": plain_gabor,
}


def double_loop(levels: np.ndarray) -> list[float]:
    """MVM-LBP as its definition is usually programmed: pixel by pixel, in floating point."""
    rows = levels.tolist()
    counts = [[0] * 10 for _ in range(3)]
    for r in range(1, len(rows) - 1):
        for c in range(1, len(rows[0]) - 1):
            g = [rows[r + i][c + j] for i, j in CLOCKWISE]
            nine = [*g, rows[r][c]]
            mean = sum(nine) / 9
            variance = sum((x - mean) ** 2 for x in nine) / 9
            middle = sorted(nine)[4]
            patterns = [x > mean for x in g], [(x - mean) ** 2 > variance for x in g], [x > middle for x in g]
            for part, bits in enumerate(patterns):
                changes = sum(bits[p] != bits[p - 1] for p in range(8))
                counts[part][sum(bits) if changes <= 2 else 9] += 1
    total = (len(rows) - 2) * (len(rows[0]) - 2)
    return [n / total for part in counts for n in part]


def seconds(run: Callable[[], object]) -> float:
    """How long one run takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main(rounds: int = 5) -> None:
    """Time both ways in turn, so that a busy machine slows them alike; medians of the ratios."""
    grey = picture()
    print(f"{EDGE} × {EDGE}, {os.cpu_count()} cores, {rounds} rounds; ratio below 1 is faster than scikit-image")
    ours: dict[str, list[float]] = {name: [] for name in FAMILIES}
    plain: dict[str, list[float]] = {name: [] for name in PLAIN}
    for i in range(rounds + 1):
        for name, family in FAMILIES.items():
            measured = [(ours, lambda f=family: f.values(grey))]
            measured += [(plain, lambda p=PLAIN[name]: p(grey))] if name in PLAIN else []
            for table, run in measured:
                took = seconds(run)
                if i:  # the first round only warms up
                    table[name].append(took)
    for name in FAMILIES:
        own = statistics.median(ours[name]) * 1000
        if name in OURS_ALONE:
            print(f"{name:12} {own:8.1f} ms  (nothing like it in scikit-image)")
        else:
            ratio = statistics.median(a / b for a, b in zip(ours[name], plain[name], strict=True))
            print(f"{name:12} {own:8.1f} ms  {statistics.median(plain[name]) * 1000:8.1f} ms  ratio {ratio:.2f}")
    sums = [sum(ours[name][i] for name in FAMILIES) for i in range(rounds)]
    plain_sums = [sum(plain[name][i] for name in PLAIN) for i in range(rounds)]
    without_gabor = [sum(plain[name][i] for name in PLAIN if name != "gabor") for i in range(rounds)]
    own_without = [sum(ours[name][i] for name in FAMILIES if name != "gabor") for i in range(rounds)]
    for title, a, b in (
        ("all nine families, against the six that scikit-image has", sums, plain_sums),
        ("the same without Gabor", own_without, without_gabor),
    ):
        ratio = statistics.median(x / y for x, y in zip(a, b, strict=True))
        print(
            f"{title}: {statistics.median(a) * 1000:.0f} ms against {statistics.median(b) * 1000:.0f} ms, ratio {ratio:.2f}"
        )
    mvm_lbp(grey, ours["mvm-lbp"])


def mvm_lbp(grey: np.ndarray, vectorised: list[float]) -> None:
    """The loop once: its numbers must be the vectorised ones."""
    levels = grey_levels(grey)
    start = time.perf_counter()
    slow = double_loop(levels)
    loop = time.perf_counter() - start
    difference = float(np.abs(np.array(slow) - np.array(list(mvm_values(grey).values()))).max())
    fast = statistics.median(vectorised)
    print(
        f"MVM-LBP: double loop {loop:.2f} s, vectorised {fast * 1000:.1f} ms, {loop / fast:.0f} times faster; ", end=""
    )
    print(f"largest difference of a share {difference:.1e}")


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:2]))
