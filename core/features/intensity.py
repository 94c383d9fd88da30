"""First-order statistics: how bright the pixels are, wherever they lie."""

from __future__ import annotations

import numpy as np

from core.features.family import LEVELS, Family, entropy_bits, grey_levels, shares

BINS = 16
_PERCENTILES = (5, 25, 50, 75, 95)


def values(grey: np.ndarray) -> dict[str, float]:
    """Moments, percentiles, entropy and a histogram of 16 equal bins, of grey (H, W) in [0, 1].

    Skewness and kurtosis are the population's third and fourth standardised moments (kurtosis 3 for a normal distribution),
    undefined where all pixels are equal. Entropy and uniformity are of the 256 grey levels.
    """
    x = grey.astype(np.float64)
    mean, sd = x.mean(), x.std()
    deviations = x - mean
    squares = deviations * deviations
    flat = sd < 1e-9
    p = shares(grey_levels(grey), LEVELS)
    found = {
        "mean": mean,
        "sd": sd,
        "minimum": x.min(),
        "maximum": x.max(),
        "skewness": np.nan if flat else (squares * deviations).mean() / sd**3,
        "kurtosis": np.nan if flat else (squares * squares).mean() / sd**4,
        "entropy": entropy_bits(p),
        "uniformity": (p * p).sum(),
    }
    found |= dict(zip((f"p{q:02}" for q in _PERCENTILES), np.percentile(grey, _PERCENTILES), strict=True))
    histogram = p.reshape(BINS, -1).sum(axis=1)
    found |= {f"histogram.{i:02}": share for i, share in enumerate(histogram)}
    return {name: float(value) for name, value in found.items()}


def pictures(grey: np.ndarray) -> dict[str, np.ndarray]:
    """The picture itself, as the features see it."""
    return {"Brightness": grey}


FAMILY = Family(
    "intensity",
    "Intensity",
    "How bright the pixels are and how their brightness is distributed, wherever they lie.",
    1,
    values,
    pictures,
    {
        "": "brightness, 0–1", "skewness": "1", "kurtosis": "1", "uniformity": "1",
        "entropy": "bit", "histogram": "share of pixels",
    },
    "The picture through its window, from black (0) to white (1).",
)  # fmt: skip
