"""Figures of merit of every modality × reader of a study, and how their errors vary together over cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.records import Refused
from core.statistics.discrimination import newcombe_limits, placements
from core.statistics.mrmc_data import CrossedRatings
from core.statistics.proportions import wilson_limits

Covariance = Literal["delong", "jackknife", "unbiased"]
FigureName = Literal["auc", "sensitivity", "specificity"]
COVARIANCES: tuple[Covariance, ...] = ("delong", "jackknife", "unbiased")
FIGURES: tuple[FigureName, ...] = ("auc", "sensitivity", "specificity")
_CHUNK = 4_000_000  # kernel values held at a time


@dataclass(frozen=True, eq=False)
class Figures:
    """One figure of merit: `values` (T, R) and the `covariance` (T, R, T, R) of their errors over cases.

    `n` cases stand behind it: all for the AUC, of which `positives` are positive, those of one class for sensitivity and
    specificity. `method` names the covariance.
    """

    name: FigureName
    values: np.ndarray
    covariance: np.ndarray
    n: int
    positives: int
    method: str

    def limits_without_spread(self, value: float) -> tuple[float, float]:
        """95 % limits of a figure from the numbers of cases alone, for readers whose errors do not vary."""
        if self.name == "auc":
            return newcombe_limits(value, self.positives, self.n - self.positives)
        return wilson_limits(value * self.n, self.n)


def figures_of(
    study: CrossedRatings, figure: FigureName = "auc", covariance: Covariance = "delong", threshold: float | None = None
) -> Figures:
    """The empirical figure of every reader in every modality, with the covariance of its errors.

    sensitivity and specificity: of the call *positive* at `threshold` or more. Covariance:

    - delong: of the structural components (DeLong, DeLong & Clarke-Pearson 1988); for a share of cases, where they are the
      hits themselves, this is the sample covariance of the hits over n.
    - jackknife: leaving one case out at a time, as (N − 1) / N times the sum of squares (Efron & Tibshirani 1993, ch. 11),
      over all N cases for the AUC and over those of the one class otherwise; in closed form, so nothing is computed N times.
    - unbiased: the U-statistic estimate from the four second moments (Bamber 1975; Gallas 2006); for a share of cases it is
      the same as delong.

    Raises `Refused` for a threshold that is missing, or fewer than two cases of a class that is needed.
    """
    if figure not in FIGURES or covariance not in COVARIANCES:
        raise ValueError(f"no such figure or covariance: {figure!r}, {covariance!r}")
    shape = study.ratings.shape[:2]
    flat = study.ratings.reshape(-1, study.ratings.shape[2])  # (K, N), K = T · R
    if figure == "auc":
        if min(study.positives, study.negatives) < 2:
            raise Refused("The covariance of AUCs needs at least two positive and two negative cases.")
        values, matrix, n = *_auc(study.truth, flat, covariance), len(study.truth)
    else:
        if threshold is None or not np.isfinite(threshold):
            raise Refused(f"The {figure} needs a threshold: at which rating a case is called positive.")
        own = flat[:, study.truth == (figure == "sensitivity")]
        if own.shape[1] < 2:
            raise Refused(
                f"The {figure} needs at least two {'positive' if figure == 'sensitivity' else 'negative'} cases."
            )
        hits = (own >= threshold) if figure == "sensitivity" else (own < threshold)
        values, n = hits.mean(axis=1), own.shape[1]
        matrix = _spread(hits - values[:, None]) / (n - 1) / n  # the jackknife of a mean is the same
    name = "DeLong" if covariance == "delong" else covariance
    return Figures(figure, values.reshape(shape), matrix.reshape(*shape, *shape), n, study.positives, name)


def _spread(deviations: np.ndarray) -> np.ndarray:
    """Sums of products (K, K) of deviations (K, n)."""
    return deviations @ deviations.T


def _auc(truth: np.ndarray, ratings: np.ndarray, covariance: Covariance) -> tuple[np.ndarray, np.ndarray]:
    """AUCs (K,) and their covariance (K, K) of ratings (K, N)."""
    pairs = [placements(truth, row) for row in ratings]
    of_positives, of_negatives = (np.array(side) for side in zip(*pairs, strict=True))  # (K, P), (K, M)
    values = of_positives.mean(axis=1)
    p, m = of_positives.shape[1], of_negatives.shape[1]
    if covariance == "unbiased":
        return values, _unbiased(truth, ratings, of_positives, of_negatives)
    up, down = of_positives - values[:, None], of_negatives - values[:, None]
    if covariance == "delong":
        return values, _spread(up) / (p - 1) / p + _spread(down) / (m - 1) / m
    n = p + m  # without a positive case the AUC is (P · AUC − its component) / (P − 1), so it moves by −up / (P − 1)
    return values, (n - 1) / n * (_spread(up) / (p - 1) ** 2 + _spread(down) / (m - 1) ** 2)


def _unbiased(truth: np.ndarray, ratings: np.ndarray, above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Unbiased covariance (K, K) from components `above` (K, P) of the positive and `below` (K, M) of the negative cases.

    Products of the kernel are summed over pairs of pairs that share both cases, the negative one, the positive one or none;
    their means estimate the four second moments, of which the covariance is a linear combination.
    """
    p, m = above.shape[1], below.shape[1]
    positive, negative = ratings[:, truth == 1], ratings[:, truth == 0]
    both = np.zeros((len(ratings),) * 2)
    step = max(1, _CHUNK // (len(ratings) * m))
    for start in range(0, p, step):
        gap = positive[:, start : start + step, None] - negative[:, None, :]  # (K, step, M)
        kernel = (np.sign(gap).reshape(len(ratings), -1) + 1) / 2
        both += kernel @ kernel.T
    same_negative = (below * p) @ (below * p).T
    same_positive = (above * m) @ (above * m).T
    values = above.mean(axis=1) * p * m
    every = np.outer(values, values)
    moments = (
        both / (p * m),
        (same_negative - both) / (p * (p - 1) * m),
        (same_positive - both) / (p * m * (m - 1)),
        (every - same_negative - same_positive + both) / (p * (p - 1) * m * (m - 1)),
    )
    shares = (1 / (p * m), (p - 1) / (p * m), (m - 1) / (p * m), (p - 1) * (m - 1) / (p * m) - 1)
    return sum(share * moment for share, moment in zip(shares, moments, strict=True))
