"""What a feature family is, and the grey levels that all texture families count."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

SMALLEST = 8  # pixels of the shorter edge: fewer hold no texture to speak of
LEVELS = (
    256  # of display brightness; comparisons between neighbours are then exact, and noise below a level is not texture
)


@dataclass(frozen=True)
class Family:
    """A group of features that are measured together.

    `values` maps grey (H, W) float32 in [0, 1] to named floats: the same names in the same order for every picture, NaN
    where a number is undefined. `pictures` maps grey to titled pictures in [0, 1], (h, w) or (h, w, 3). `units` maps the
    beginning of a name to its unit, the longest that fits; what fits nothing is a plain number. `what` is one sentence for
    the reader. `version` rises whenever a number changes its meaning.
    """

    name: str
    title: str
    what: str
    version: int
    values: Callable[[np.ndarray], dict[str, float]]
    pictures: Callable[[np.ndarray], dict[str, np.ndarray]]
    units: Mapping[str, str]
    pictures_say: str = ""

    def unit(self, feature: str) -> str:
        """The unit of one of its features."""
        fitting = [start for start in self.units if feature.startswith(start)]
        return self.units[max(fitting, key=len)] if fitting else "1"


def grey_levels(grey: np.ndarray, levels: int = LEVELS) -> np.ndarray:
    """Grey levels 0 … `levels` − 1, uint8 (H, W), of brightness in [0, 1]: equal steps, white in the last one."""
    return np.minimum(grey * np.float32(levels), levels - 1).astype(np.uint8)


def shares(codes: np.ndarray, n: int) -> np.ndarray:
    """Share of each code 0 … n − 1 among `codes`, float64 (n,), sum 1."""
    return np.bincount(codes.ravel(), minlength=n) / codes.size


def entropy_bits(p: np.ndarray) -> float:
    """Shannon entropy in bits of shares `p` with sum 1."""
    used = p[p > 0]
    return float(-(used * np.log2(used)).sum()) + 0.0  # −0 becomes 0


def stretched(values: np.ndarray) -> np.ndarray:
    """Values from their smallest (0) to their largest (1), float32; all 0 where they are equal."""
    low, high = float(values.min()), float(values.max())
    return ((values - low) / ((high - low) or 1.0)).astype(np.float32)
