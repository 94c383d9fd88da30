"""Edges: the Sobel operator, and histograms of oriented gradients (HOG)."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import ndimage
from skimage.feature import hog
from skimage.transform import resize

from core.features.family import Family, stretched

DIRECTIONS = 8  # of 45 degrees each
HOG_EDGE, HOG_CELL, HOG_ORIENTATIONS = 64, 16, 9  # pixels, pixels, of 20 degrees each
_HOG_PICTURE_EDGE = 256


def sobel(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slopes to the right (X) and downwards (Y) of grey (H, W), float32, brightness per pixel times 2.

    scikit-image's scale: weights 1, 2, 1 over 4, difference of the pixels on both sides; the border is reflected.
    """
    return ndimage.sobel(grey, axis=1) / np.float32(4), ndimage.sobel(grey, axis=0) / np.float32(4)


def sobel_values(grey: np.ndarray) -> dict[str, float]:
    """Means of |X|, |Y| and the magnitude √(X² + Y²)/√2 (scikit-image's scale), its spread, and where edges point.

    Directions are eight sectors of 45° centred on 0° (brighter to the right), 45° (brighter to the lower right) …, weighted
    by magnitude; undefined where there is no edge.
    """
    x, y = sobel(grey)
    magnitude = np.sqrt((x * x + y * y) / 2)
    sector = np.rint(np.arctan2(y, x) * np.float32(DIRECTIONS / (2 * np.pi))).astype(np.int8) % DIRECTIONS
    weight = np.bincount(sector.ravel(), weights=magnitude.ravel(), minlength=DIRECTIONS)
    total = weight.sum()
    found = {
        "x.mean_absolute": np.abs(x).mean(dtype=np.float64),
        "y.mean_absolute": np.abs(y).mean(dtype=np.float64),
        "magnitude.mean": magnitude.mean(dtype=np.float64),
        "magnitude.sd": magnitude.std(dtype=np.float64),
        "magnitude.p95": np.percentile(magnitude, 95),
        "magnitude.maximum": magnitude.max(),
    }
    found |= {
        f"direction.{45 * i:03}": share
        for i, share in enumerate(weight / total if total > 0 else [np.nan] * DIRECTIONS)
    }
    return {name: float(value) for name, value in found.items()}


def sobel_pictures(grey: np.ndarray) -> dict[str, np.ndarray]:
    """X, Y (grey where flat), magnitude, and direction as a colour: the eight sectors of a colour circle, dark where flat."""
    x, y = sobel(grey)
    largest = max(float(np.abs(x).max()), float(np.abs(y).max())) or 1.0
    magnitude = np.sqrt(x * x + y * y)
    strength = stretched(magnitude)
    turn = np.arctan2(y, x)[..., None] - np.array([0, 2 * np.pi / 3, 4 * np.pi / 3], dtype=np.float32)  # (H, W, 3)
    return {
        "X, to the right": 0.5 + x / (2 * largest),
        "Y, downwards": 0.5 + y / (2 * largest),
        "Magnitude": strength,
        "Direction": ((0.5 + np.cos(turn) / 2) * strength[..., None]).astype(np.float32),
    }


def hog_values(grey: np.ndarray) -> dict[str, float]:
    """The HOG vector of the picture scaled to 64 × 64: 3 × 3 blocks of 2 × 2 cells of 16 pixels, 9 orientations each.

    324 floats whatever the picture's size; named by block row and column, cell row and column, and orientation in degrees.
    Dalal & Triggs, CVPR 2005; normalised per block by L2-Hys.
    """
    small = resize(grey, (HOG_EDGE, HOG_EDGE), order=1, anti_aliasing=True)
    vector = hog(small, HOG_ORIENTATIONS, pixels_per_cell=(HOG_CELL, HOG_CELL), cells_per_block=(2, 2))
    return dict(zip(_hog_names(), vector.tolist(), strict=True))


@cache
def _hog_names() -> tuple[str, ...]:
    blocks, step = HOG_EDGE // HOG_CELL - 1, 180 // HOG_ORIENTATIONS
    shape = (blocks, blocks, 2, 2, HOG_ORIENTATIONS)
    return tuple(f"block{r}{c}.cell{i}{j}.{o * step:03}" for r, c, i, j, o in np.ndindex(shape))


def hog_pictures(grey: np.ndarray) -> dict[str, np.ndarray]:
    """A star in each cell of a sixteenth of the edge: its rays lie along the cell's edges, brighter the stronger they are."""
    scaled = resize(grey, (_HOG_PICTURE_EDGE, _HOG_PICTURE_EDGE), order=1, anti_aliasing=True)
    _, stars = hog(scaled, orientations=HOG_ORIENTATIONS, pixels_per_cell=(16, 16), visualize=True)
    return {"Oriented gradients": stretched(np.sqrt(stars))}


SOBEL = Family(
    "sobel",
    "Sobel edges",
    "How steeply brightness changes from pixel to pixel, to the right (X), downwards (Y) and in all, and which way it rises.",
    1,
    sobel_values,
    sobel_pictures,
    {"": "brightness per pixel, × 2", "magnitude": "brightness per pixel, × √2", "direction": "share of magnitude"},
    "X and Y: mid-grey is flat, bright rises, dark falls. Magnitude: bright is steep. Direction: one colour for each way.",
)

HOG = Family(
    "hog",
    "Oriented gradients (HOG)",
    "Which way edges run in each part of the picture, compared with their surroundings.",
    1,
    hog_values,
    hog_pictures,
    {"": "share of block norm"},
    "One star for each of 16 × 16 cells: a ray is brighter the more edge runs along it.",
)
