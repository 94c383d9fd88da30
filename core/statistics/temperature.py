"""Temperature scaling: one number that makes probabilities as certain as the outcomes allow, without changing their order."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

from core.records import Refused
from core.statistics.estimates import as_labels, as_probabilities

HIGHEST = 20.0  # beyond it, or below its inverse, the likelihood has no maximum worth the name
_TINY = 1e-12  # probabilities of 0 have no logarithm


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature of least log loss for labels (N,) and probabilities (N, C) at temperature 1 (Guo et al. 2017).

    The log loss is convex in the inverse of the temperature, so the minimum is the only one. Raises `Refused` where it lies
    outside 1/20–20: the cases are separated, or the probabilities say nothing.
    """
    p = as_probabilities(probabilities)
    y = as_labels(labels, p.shape[1])
    logits = np.log(np.maximum(p, _TINY))  # (N, C)

    def loss(inverse: float) -> float:
        z = logits * inverse
        top = z.max(axis=1)
        return float(np.mean(np.log(np.exp(z - top[:, None]).sum(axis=1)) + top - z[np.arange(len(y)), y]))

    bounds = (1 / HIGHEST, HIGHEST)
    found = float(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-9}).x)
    if found > 0.99 * HIGHEST:
        raise Refused(
            "No temperature can be fitted: every validation case is right, so the data set no limit to certainty."
        )
    if found < 1.01 / HIGHEST:
        raise Refused("No temperature can be fitted: on validation the probabilities are no better than a guess.")
    return 1 / found


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (N, C) of the same logits at another temperature: softmax(log p / T)."""
    z = np.log(np.maximum(as_probabilities(probabilities), _TINY)) / temperature
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)
