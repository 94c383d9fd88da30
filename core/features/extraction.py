"""The registry of feature families, and `extract`, which measures one image or a region of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from core.features import cooccurrence, gabor, gradients, intensity, mean_patterns, patterns
from core.features.family import SMALLEST, Family
from core.preprocess import LUMA, display_values
from core.records import Image, Refused

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        intensity.FAMILY,
        cooccurrence.GLCM,
        gradients.HOG,
        gradients.SOBEL,
        patterns.FAMILY,
        mean_patterns.BINARY,
        mean_patterns.MVM,
        gabor.FAMILY,
        cooccurrence.HARALICK,
    )
}
ALL = tuple(FAMILIES)


@dataclass(frozen=True)
class FeatureVector:
    """Named numbers of one image: `names` are "family.feature", `values` float64 (n,) with NaN where undefined.

    `version` names every family with its version, e.g. "intensity 1, glcm 1": vectors of other versions do not compare.
    """

    names: tuple[str, ...]
    values: np.ndarray
    units: tuple[str, ...]
    version: str

    def as_dict(self) -> dict[str, float | None]:
        """Name -> value, JSON-safe: None where undefined."""
        return {n: None if math.isnan(v) else v for n, v in zip(self.names, self.values.tolist(), strict=True)}


def extract(image: Image, families: Iterable[str] = ALL, region: Mapping[str, Any] | None = None) -> FeatureVector:
    """The features of one image through its window, or of a rectangle that a reviewer drew in it (`Review.regions`).

    Raises `Refused` for an unknown family, a region of another kind, or fewer than 8 pixels either way.
    """
    return extract_grey(crop(grey_of(image), region), families)


def extract_grey(grey: np.ndarray, families: Iterable[str] = ALL) -> FeatureVector:
    """The features of grey (H, W) float32 in [0, 1]; raises `Refused` as `extract` does."""
    if min(grey.shape) < SMALLEST:
        raise Refused(f"Features need at least {SMALLEST} × {SMALLEST} pixels, not {grey.shape[1]} × {grey.shape[0]}.")
    wanted = get_families(families)
    names, values, units = [], [], []
    for family in wanted:
        for name, value in family.values(grey).items():
            names.append(f"{family.name}.{name}")
            values.append(value)
            units.append(family.unit(name))
    return FeatureVector(tuple(names), np.array(values), tuple(units), version_of(wanted))


def get_families(names: Iterable[str] = ALL) -> tuple[Family, ...]:
    """The families of those names, in that order, each once; raises `Refused` naming the known ones."""
    wanted = tuple(dict.fromkeys(names))
    for name in wanted:
        if name not in FAMILIES:
            raise Refused(f"There is no feature family '{name}'; there are {', '.join(FAMILIES)}.")
    if not wanted:
        raise Refused(f"Name at least one feature family of {', '.join(FAMILIES)}.")
    return tuple(FAMILIES[name] for name in wanted)


def version_of(families: Sequence[Family]) -> str:
    """What a `FeatureVector` of these families calls its version."""
    return ", ".join(f"{family.name} {family.version}" for family in families)


@cache
def feature_names(families: tuple[str, ...] = ALL) -> tuple[str, ...]:
    """Names of all features of these families, in their order: the same for every image."""
    return extract_grey(np.zeros((SMALLEST, SMALLEST), np.float32), families).names


def grey_of(image: Image) -> np.ndarray:
    """Display brightness (H, W) float32 in [0, 1]: grey through the window, colour as luma (BT.601)."""
    shown = display_values(image)
    return shown @ LUMA if shown.ndim == 3 else shown


def crop(grey: np.ndarray, region: Mapping[str, Any] | None) -> np.ndarray:
    """The pixels that a rectangle touches, or all without one; raises `Refused` for other kinds and empty ones.

    A rectangle is {"kind": "rect", "points": [[x, y], [x, y]]}: two opposite corners in image pixels, in any order.
    """
    if region is None:
        return grey
    points = np.asarray(region.get("points", ()), dtype=np.float64)
    if region.get("kind") != "rect" or points.shape != (2, 2) or not np.isfinite(points).all():
        raise Refused("Features are measured in rectangles only; draw one around the region.")
    (left, top), (right, bottom) = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0))
    h, w = grey.shape
    rows = slice(int(np.clip(top, 0, h)), int(np.clip(bottom, 0, h)))
    columns = slice(int(np.clip(left, 0, w)), int(np.clip(right, 0, w)))
    inside = grey[rows, columns]
    if min(inside.shape) < SMALLEST:
        raise Refused(
            f"The region has {inside.shape[1]} × {inside.shape[0]} pixels inside the image; "
            f"features need at least {SMALLEST} × {SMALLEST}."
        )
    return inside
