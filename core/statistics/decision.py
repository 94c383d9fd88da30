"""What acting on a model is worth: net benefit, decision curves, expected cost and cost curves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.records import Estimate
from core.statistics.discrimination import ONE_CLASS, roc_curve
from core.statistics.estimates import Z, as_labels, as_probabilities, as_scores, undefined
from core.statistics.linearised import ONE_PATIENT, clustered, limits, patient_codes


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit over thresholds (T,), with its 95 % limits, beside the two policies that need no model.

    `treat_all` (T,) acts on every case; acting on none has net benefit 0. `n` cases, of which the share `prevalence` is positive.
    """

    thresholds: np.ndarray
    net_benefit: np.ndarray
    low: np.ndarray
    high: np.ndarray
    treat_all: np.ndarray
    n: int
    prevalence: float


@dataclass(frozen=True)
class CostCurve:
    """Normalised expected cost (Drummond & Holte 2006), 0 to 1, over the share of the cost that positives can cause (T,).

    `best` (T,) is the lower envelope over all thresholds, `trivial` (T,) the cheaper of calling all or none.
    """

    positive_cost_share: np.ndarray
    best: np.ndarray
    trivial: np.ndarray


def net_benefit(
    labels01: np.ndarray, probabilities: np.ndarray, threshold: float, *, patients: np.ndarray | None = None
) -> Estimate:
    """TP / n − FP / n · t / (1 − t) at the threshold t in [0, 1) (Vickers & Elkin 2006), of labels (N,) and P(positive) (N,).

    In units of true positives per case; acting on none is 0. Interval: 1.96 standard errors of the per-case mean, or Student's
    over the patients where some has several cases.
    """
    labels, p = _pair(labels01, probabilities)
    codes, n = patient_codes(patients, len(labels)), len(labels)
    method = clustered("mean of per-case benefits", codes)
    if n < 2 or (codes is not None and codes.max() == 0):
        return undefined(n, method, _too_few(n))
    gain = np.where(labels == 1, 1.0, -_odds(threshold)) * (p >= threshold)
    value = float(gain.mean())
    return Estimate(value, *limits(value, (gain - value) / n, codes), n, method)


def decision_curve(
    labels01: np.ndarray, probabilities: np.ndarray, thresholds: np.ndarray | None = None
) -> DecisionCurve:
    """`net_benefit` of labels (N,) and probabilities (N,) at each of `thresholds` (T,), by default 0.01 … 0.99.

    A sample without cases gives NaN: there is nothing to draw.
    """
    labels, p = _pair(labels01, probabilities)
    at = np.linspace(0.01, 0.99, 99) if thresholds is None else np.asarray(thresholds, dtype=np.float64)
    odds, n = np.array([_odds(t) for t in at]), len(labels)
    if n == 0:
        nothing = np.full(len(at), np.nan)
        return DecisionCurve(at, nothing, nothing, nothing, nothing, 0, float("nan"))
    tp, fp = ((len(own) - np.searchsorted(own, at, "left")) / n for own in (np.sort(p[labels == k]) for k in (1, 0)))
    prevalence, value = float(labels.mean()), tp - fp * odds
    half = Z * np.sqrt(np.maximum(tp + fp * odds**2 - value**2, 0) / n)
    treat_all = prevalence - (1 - prevalence) * odds
    return DecisionCurve(at, value, value - half, value + half, treat_all, n, prevalence)


def expected_cost(
    labels01: np.ndarray,
    scores: np.ndarray,
    threshold: float,
    *,
    cost_ratio: float,
    patients: np.ndarray | None = None,
) -> Estimate:
    """Mean cost per case, in false alarms, when a missed finding costs `cost_ratio` (> 0) of them: (ratio · FN + FP) / n.

    At the prevalence of these cases; interval as in `net_benefit`, not below 0. With fewer than about 20 missed findings at a
    high ratio the costs are skewed, and it covers nearer 93 %.
    """
    if not cost_ratio > 0:
        raise ValueError(f"the cost ratio must be above 0, not {cost_ratio}")
    labels = as_labels(labels01, 2)
    called = as_scores(scores, len(labels)) >= threshold
    codes, n = patient_codes(patients, len(labels)), len(labels)
    method = clustered(f"mean of per-case costs, a miss {cost_ratio:g} : 1", codes)
    if n < 2 or (codes is not None and codes.max() == 0):
        return undefined(n, method, _too_few(n))
    cost = np.where(labels == 1, cost_ratio * ~called, called).astype(np.float64)
    value = float(cost.mean())
    low, high = limits(value, (cost - value) / n, codes)
    return Estimate(value, max(0.0, low), high, n, method)


def cost_curve(labels01: np.ndarray, scores: np.ndarray, points: int = 101) -> CostCurve:
    """Lowest normalised expected cost of labels (N,) and scores (N,) at `points` shares of cost from 0 to 1.

    At share s it is the minimum over thresholds of (1 − sensitivity) · s + (1 − specificity) · (1 − s). Raises ValueError
    when a class is absent.
    """
    curve = roc_curve(labels01, scores)
    if not len(curve.fpr):
        raise ValueError(f"a cost curve needs both classes: {ONE_CLASS}")
    share = np.linspace(0, 1, points)
    best = np.array([np.min((1 - curve.tpr) * s + curve.fpr * (1 - s)) for s in share])
    return CostCurve(share, best, np.minimum(share, 1 - share))


def _too_few(n: int) -> str:
    return ONE_PATIENT if n > 1 else "an interval needs at least two cases" if n else "no cases"


def _odds(threshold: float) -> float:
    if not 0 <= threshold < 1:
        raise ValueError(f"a threshold of net benefit must lie in [0, 1), not {threshold}")
    return float(threshold / (1 - threshold))


def _pair(labels01: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels, p = as_labels(labels01, 2), as_probabilities(probabilities)
    if p.shape != labels.shape:
        raise ValueError(f"probabilities must have shape ({len(labels)},) like their labels, not {p.shape}")
    return labels, p
