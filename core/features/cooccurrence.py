"""Grey-level co-occurrence matrices (GLCM), and Haralick's set of textural features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from skimage.feature import graycomatrix

from core.features.family import Family, grey_levels

LEVELS = 32  # fewer than the picture has, so that a small region still fills its matrix
DISTANCES = (1, 3, 5)  # pixels; along diagonals, rounded to whole pixels, they stay three different ones
ANGLES = (0, 45, 90, 135)  # degrees: 0 looks right, 45 to the lower right, 90 down
_PROPERTIES = ("contrast", "dissimilarity", "homogeneity", "asm", "energy", "correlation", "entropy")


def matrices(
    levels: np.ndarray, distances: Sequence[int] = DISTANCES, angles: Sequence[int] = ANGLES, n: int = LEVELS
) -> np.ndarray:
    """Shares (distances, angles, n, n) float64 of pairs (level here, level there), counted in both directions.

    `levels` is uint8 (H, W) with values below `n`. Each matrix has sum 1, or 0 where the picture is no larger than the distance.
    Haralick, Shanmugam & Dinstein, IEEE Trans. SMC 3 (1973) 610–621.
    """
    p = graycomatrix(levels, distances, np.deg2rad(angles), levels=n, symmetric=True, normed=True)
    return np.ascontiguousarray(p.transpose(2, 3, 0, 1))


def properties(p: np.ndarray) -> dict[str, np.ndarray]:
    """The seven properties of symmetric matrices (…, n, n) with sum 1, as scikit-image's `graycoprops` defines them.

    Entropy is in bits; correlation is undefined (NaN) where all pixels have one level.
    """
    n = p.shape[-1]
    level = np.arange(n)
    apart = np.abs(level[:, None] - level)
    marginal = p.sum(axis=-1)  # (…, n), of rows and of columns alike
    mean = marginal @ level
    variance = marginal @ level**2 - mean**2
    flat = variance < 1e-12
    flattened = p.reshape(*p.shape[:-2], n * n)
    covariance = flattened @ np.outer(level, level).ravel() - mean**2
    asm = (flattened**2).sum(axis=-1)
    return {
        "contrast": flattened @ (apart**2).ravel(),
        "dissimilarity": flattened @ apart.ravel(),
        "homogeneity": flattened @ (1 / (1 + apart**2)).ravel(),
        "asm": asm,
        "energy": np.sqrt(asm),
        "correlation": np.where(flat, np.nan, covariance / np.where(flat, 1, variance)),
        "entropy": _entropies(flattened),
    }


def values(grey: np.ndarray) -> dict[str, float]:
    """Seven properties for three distances and four angles; NaN where the picture is no larger than the distance."""
    p = matrices(grey_levels(grey, LEVELS))
    empty = p.sum(axis=(2, 3)) == 0
    found = {name: np.where(empty, np.nan, value) for name, value in properties(p).items()}
    return {
        f"{name}.d{d}.a{a:03}": float(found[name][i, j])
        for name in _PROPERTIES
        for i, d in enumerate(DISTANCES)
        for j, a in enumerate(ANGLES)
    }


def horizontal_matrix(grey: np.ndarray) -> np.ndarray:
    """The matrix (32, 32) for one pixel to the right: the share of neighbouring pairs of each two levels."""
    return matrices(grey_levels(grey, LEVELS), (1,), (0,))[0, 0]


def haralick(grey: np.ndarray) -> dict[str, float]:
    """Haralick's f1–f13 (1973) at distance 1, means over the four angles; levels count from 0, logarithms are natural.

    f7, sum variance, is about the sum average f6 (the paper's own formula says f8, a well-known slip). Undefined numbers are NaN.
    """
    rows = [_haralick(p) for p in matrices(grey_levels(grey, LEVELS), (1,))[0]]
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _haralick(p: np.ndarray) -> dict[str, float]:
    n = len(p)
    level = np.arange(n)
    marginal = p.sum(axis=0)
    mean = marginal @ level
    variance = marginal @ (level - mean) ** 2
    flat = p.ravel()
    sums = np.bincount(np.add.outer(level, level).ravel(), weights=flat, minlength=2 * n - 1)
    gaps = np.bincount(np.abs(np.subtract.outer(level, level)).ravel(), weights=flat, minlength=n)
    sum_average, gap_average = sums @ np.arange(2 * n - 1), gaps @ level
    entropy, marginal_entropy = _nats(flat), _nats(marginal)
    # HXY1 and HXY2 of the paper are equal where the matrix is symmetric: both are twice the marginal entropy.
    information = 2 * marginal_entropy - entropy
    return {
        "f01_angular_second_moment": flat @ flat,
        "f02_contrast": gaps @ level**2,
        "f03_correlation": (level @ p @ level - mean**2) / variance if variance > 1e-12 else np.nan,
        "f04_variance": variance,
        "f05_inverse_difference_moment": gaps @ (1 / (1 + level**2)),
        "f06_sum_average": sum_average,
        "f07_sum_variance": sums @ (np.arange(2 * n - 1) - sum_average) ** 2,
        "f08_sum_entropy": _nats(sums),
        "f09_entropy": entropy,
        "f10_difference_variance": gaps @ (level - gap_average) ** 2,
        "f11_difference_entropy": _nats(gaps),
        "f12_information_correlation_1": -information / marginal_entropy if marginal_entropy > 1e-12 else np.nan,
        "f13_information_correlation_2": np.sqrt(max(0.0, 1 - np.exp(-2 * information))),
    }


def _nats(p: np.ndarray) -> float:
    used = p[p > 0]
    return float(-(used * np.log(used)).sum()) + 0.0


def _entropies(p: np.ndarray) -> np.ndarray:
    return -(p * np.log2(np.where(p > 0, p, 1))).sum(axis=-1) + 0.0


GLCM = Family(
    "glcm",
    "Co-occurrence (GLCM)",
    "How often two grey levels lie beside each other: contrast and dissimilarity rise with coarse change, homogeneity, "
    "energy and correlation with smoothness and order, entropy with disorder.",
    1,
    values,
    lambda grey: {},
    {"contrast": "grey levels² (of 32)", "dissimilarity": "grey levels (of 32)", "entropy": "bit"},
)

HARALICK = Family(
    "haralick",
    "Haralick",
    "Haralick's thirteen summaries of the co-occurrence matrix of direct neighbours, as means over four directions.",
    1,
    haralick,
    lambda grey: {},
    {
        "f02": "grey levels² (of 32)", "f04": "grey levels² (of 32)", "f06": "grey levels (of 32)",
        "f07": "grey levels² (of 32)", "f10": "grey levels² (of 32)", "f08": "nat", "f09": "nat", "f11": "nat",
    },
)  # fmt: skip
