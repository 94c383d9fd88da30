"""Local binary patterns (LBP): each pixel against the eight on a circle of radius 1 around it."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
from skimage.feature import local_binary_pattern

from core.features.family import Family, entropy_bits, grey_levels, shares, stretched

POINTS = 8
CODES = 1 << POINTS


@cache
def smallest_rotation() -> np.ndarray:
    """The smallest code (256,) uint8 that a code becomes by turning its eight bits: 36 different ones."""
    code = np.arange(CODES)
    turned = [((code << k) | (code >> (POINTS - k))) & (CODES - 1) for k in range(POINTS)]
    return np.min(turned, axis=0).astype(np.uint8)


@cache
def uniform_number() -> np.ndarray:
    """Number of ones (256,) uint8 of a code with at most two changes around the circle, and 9 for every other code."""
    bits = (np.arange(CODES)[:, None] >> np.arange(POINTS)) & 1  # (256, 8)
    changes = (bits != np.roll(bits, 1, axis=1)).sum(axis=1)
    return np.where(changes <= 2, bits.sum(axis=1), POINTS + 1).astype(np.uint8)


@cache
def _rotation_classes() -> np.ndarray:
    return np.unique(smallest_rotation())


def codes(grey: np.ndarray) -> np.ndarray:
    """Default codes, uint8 (H, W): bit k says whether the pixel k · 45° round the circle is at least as bright.

    Ojala, Pietikäinen & Mäenpää, IEEE TPAMI 24 (2002) 971–987; points between pixels are interpolated, outside is black.
    """
    return local_binary_pattern(grey_levels(grey), POINTS, 1, "default").astype(np.uint8)


def local_variance(grey: np.ndarray) -> np.ndarray:
    """Variance of the eight points of the circle, float64 (H, W), in grey levels²; 0 where they are equal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nan_to_num(local_binary_pattern(grey_levels(grey), POINTS, 1, "var"))


def values(grey: np.ndarray) -> dict[str, float]:
    """Histograms of the default (256), rotation-invariant (36) and uniform (10) codes, and the local variance.

    The rotation-invariant and uniform codes are looked up from the default ones, which gives scikit-image's own.
    """
    histogram = shares(codes(grey), CODES)
    turned = np.bincount(smallest_rotation(), weights=histogram, minlength=CODES)[_rotation_classes()]
    uniform = np.bincount(uniform_number(), weights=histogram, minlength=POINTS + 2)
    variance = local_variance(grey)
    found = {f"uniform.{i}": share for i, share in enumerate(uniform)}
    found |= {"var.mean": variance.mean(), "var.sd": variance.std()}
    found |= dict(zip((f"var.p{q}" for q in (25, 50, 75, 95)), np.percentile(variance, (25, 50, 75, 95)), strict=True))
    found |= {"default.entropy": entropy_bits(histogram), "default.variance": _variance_of(histogram)}
    found |= {f"ror.{code:03}": share for code, share in zip(_rotation_classes(), turned, strict=True)}
    found |= {f"default.{i:03}": share for i, share in enumerate(histogram)}
    return {name: float(value) for name, value in found.items()}


def _variance_of(histogram: np.ndarray) -> float:
    code = np.arange(len(histogram))
    return histogram @ code**2 - (histogram @ code) ** 2


def pictures(grey: np.ndarray) -> dict[str, np.ndarray]:
    """The codes of the four kinds, scaled to [0, 1]; of the variance its square root."""
    found = codes(grey)
    return {
        "Default": found / np.float32(CODES - 1),
        "Rotation-invariant (ror)": smallest_rotation()[found] / np.float32(CODES - 1),
        "Uniform": uniform_number()[found] / np.float32(POINTS + 1),
        "Variance": stretched(np.sqrt(local_variance(grey))),
    }


FAMILY = Family(
    "lbp",
    "Local binary patterns (LBP)",
    "Which of a pixel's eight neighbours are at least as bright as it: spots, lines, edges and corners, whatever the contrast.",
    1,
    values,
    pictures,
    {"": "share of pixels", "var": "grey levels² (of 256)", "var.sd": "grey levels² (of 256)",
     "default.entropy": "bit", "default.variance": "codes²"},
    "Each grey is one pattern; the variance picture is brighter where the neighbours differ more.",
)  # fmt: skip
