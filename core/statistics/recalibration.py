"""Calibration slope and intercept: the logistic line from a model's log odds to the outcomes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from core.records import Estimate
from core.statistics.discrimination import ONE_CLASS
from core.statistics.estimates import as_labels, as_probabilities, undefined
from core.statistics.linearised import ONE_PATIENT, clustered, count_patients, critical, patient_codes

_EPSILON = 1e-12  # probabilities of 0 and 1 have no log odds
_STEPS = 60
TOO_CERTAIN = "the predictions are too near 0 and 1"
_FLAT = 1e-8  # of the information: below, the likelihood says nothing of the coefficient


@dataclass(frozen=True)
class Recalibration:
    """log odds of the outcome = `intercept` + `slope` · log odds of the prediction (Cox 1958): 0 and 1 when calibrated.

    A slope below 1 means predictions too extreme. `in_the_large` is the intercept with the slope held at 1: above 0 the model
    predicts too little on the whole (the calibration intercept of Van Calster et al. 2019).
    """

    slope: Estimate
    intercept: Estimate
    in_the_large: Estimate


def recalibration(
    labels01: np.ndarray, probabilities: np.ndarray, *, patients: np.ndarray | None = None
) -> Recalibration:
    """Logistic recalibration of labels (N,) in {0, 1} by probabilities (N,) of class 1, fitted by Newton's method.

    Wald intervals as R's `glm` gives them; over patients (N,) who have several cases, with the variance of the patients'
    summed scores (Liang & Zeger 1986). Undefined without both classes, and where predictions are so near 0 and 1 that the
    likelihood is flat; the line also where all are equal or separate the classes, for then its slope has no end.
    """
    labels, p = as_labels(labels01, 2), as_probabilities(probabilities)
    if p.shape != labels.shape:
        raise ValueError(f"probabilities must have shape ({len(labels)},) like their labels, not {p.shape}")
    codes, n = patient_codes(patients, len(labels)), len(labels)
    line, level = clustered("logistic recalibration", codes), clustered("logistic recalibration, slope 1", codes)
    if labels.sum() in (0, n) or (codes is not None and codes.max() == 0):
        reason = "no cases" if not n else ONE_CLASS if labels.sum() in (0, n) else ONE_PATIENT
        return Recalibration(undefined(n, line, reason), undefined(n, line, reason), undefined(n, level, reason))
    odds = logit(np.clip(p, _EPSILON, 1 - _EPSILON))
    (in_the_large,) = _fit(np.ones((n, 1)), labels, odds, codes, level)
    reason = _no_line(labels, odds)
    if reason:
        return Recalibration(undefined(n, line, reason), undefined(n, line, reason), in_the_large)
    intercept, slope = _fit(np.column_stack([np.ones(n), odds]), labels, np.zeros(n), codes, line)
    return Recalibration(slope, intercept, in_the_large)


def _no_line(labels: np.ndarray, odds: np.ndarray) -> str:
    """Why there is no slope, or nothing."""
    if odds.min() == odds.max():
        return "all predictions are equal"
    positive, negative = odds[labels == 1], odds[labels == 0]
    if positive.min() >= negative.max() or positive.max() <= negative.min():
        return "the predictions separate the classes"
    return ""


def _fit(
    design: np.ndarray, labels: np.ndarray, offset: np.ndarray, codes: np.ndarray | None, method: str
) -> list[Estimate]:
    """Logistic regression of labels on design (N, Q) with an offset (N,): an estimate for each coefficient.

    Steps that do not raise the likelihood are halved; the maximum is unique and finite here, so this ends there.
    """
    if codes is not None and count_patients(codes) <= design.shape[1]:
        reason = "an interval needs more patients than the line has coefficients"
        return [undefined(len(labels), method, reason)] * design.shape[1]
    beta = np.zeros(design.shape[1])
    best = _log_likelihood(design @ beta + offset, labels)
    for _ in range(_STEPS):
        mean = expit(design @ beta + offset)
        information = _information(design, mean)
        if _is_flat(information):
            return [undefined(len(labels), method, TOO_CERTAIN)] * len(beta)
        step = np.linalg.solve(information, design.T @ (labels - mean))
        while (reached := _log_likelihood(design @ (beta + step) + offset, labels)) < best - 1e-9 * abs(best):
            step = step / 2
        beta, best = beta + step, reached
        if np.abs(step).max() < 1e-10:
            break
    mean = expit(design @ beta + offset)
    information = _information(design, mean)
    if _is_flat(information):
        return [undefined(len(labels), method, TOO_CERTAIN)] * len(beta)
    covariance = np.linalg.inv(information)
    if codes is not None:
        scores = design * (labels - mean)[:, None]  # (N, Q)
        sums = np.column_stack([np.bincount(codes, weights=column) for column in scores.T])  # (K, Q)
        covariance = covariance @ (sums.T @ sums) @ covariance * (len(sums) / (len(sums) - 1))
    half = critical(codes) * np.sqrt(np.maximum(np.diag(covariance), 0))
    return [
        Estimate(float(b), float(b - h), float(b + h), len(labels), method) for b, h in zip(beta, half, strict=True)
    ]


def _is_flat(information: np.ndarray) -> bool:
    return bool(np.diag(information).min() < _FLAT or np.linalg.cond(information) > 1 / _FLAT)


def _information(design: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Fisher information (Q, Q)."""
    return (design * (mean * (1 - mean))[:, None]).T @ design


def _log_likelihood(eta: np.ndarray, labels: np.ndarray) -> float:
    return float(labels @ eta - np.logaddexp(0, eta).sum())
