"""How much two different categories count as agreement: the one table of weights that all agreement statistics share."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

Weights = Literal["linear", "quadratic"]


def agreement_weights(size: int, weights: Weights | None = None, values: np.ndarray | None = None) -> np.ndarray:
    """(C, C): 1 on the diagonal, down to 0 for the worst disagreement.

    None: any disagreement is complete. linear, quadratic: by the distance of the categories, or its square (Cicchetti & Allison
    1971; Fleiss & Cohen 1973), as shares of the largest. Categories are 1 apart unless their `values` (C,) are given.
    """
    if weights is None:
        return np.eye(size)
    if weights not in get_args(Weights):
        raise ValueError(f"weights must be None, linear or quadratic, not {weights!r}")
    places = np.arange(size) if values is None else np.asarray(values, dtype=np.float64)
    distance = np.abs(np.subtract.outer(places, places))
    distance = distance / (distance.max() or 1)
    return 1 - (distance if weights == "linear" else distance**2)
