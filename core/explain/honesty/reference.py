"""What is much for a model and method: quantiles of raw values over many maps, so that colours mean the same on every picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from core.explain.honesty.maker import Maker
from core.records import Image

QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999)
FULL = 0.99  # the quantile shown in full colour
_OF_EACH = 4096  # values taken of a map finer than this


def reference(maker: Maker, images: Sequence[tuple[Image, str]]) -> dict[str, Any]:
    """Quantiles of |raw value| over the maps of (image, class), every map with the same weight, and the largest of all."""
    rng, kept, largest = np.random.default_rng(0), [], 0.0
    for image, target in images:
        values = np.abs(maker.values(image, target)).ravel()
        largest = max(largest, float(values.max()))
        kept.append(rng.choice(values, _OF_EACH) if values.size > _OF_EACH else values)
    found = np.quantile(np.concatenate(kept), QUANTILES) if kept else []
    quantiles = {str(q): float(value) for q, value in zip(QUANTILES, found, strict=False)}
    return {"n": len(kept), "quantiles": quantiles, "maximum": largest}


def full_colour(facts: Mapping[str, Any] | None) -> float | None:
    """The raw value of full colour that a stored reference asks for; None where it has none, or only zeros."""
    value = (facts or {}).get("quantiles", {}).get(str(FULL))
    return float(value) if value else None
