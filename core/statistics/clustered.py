"""The figures of an operating point where some patients have several cases: same values, intervals over patients."""

from __future__ import annotations

import numpy as np

from core.records import Estimate
from core.statistics.contingency import extreme_limits, likelihood_ratios, matthews, mcc_value
from core.statistics.discrimination import confusion_matrix, metrics_from_matrix
from core.statistics.estimates import as_labels, undefined
from core.statistics.linearised import (
    ONE_PATIENT,
    clustered,
    clustered_proportion,
    count_patients,
    effective_cases,
    limits,
    patient_codes,
    standard_error,
    within_classes,
)
from core.statistics.proportions import wilson_limits


def clustered_metrics(labels01: np.ndarray, called01: np.ndarray, patients: np.ndarray) -> dict[str, Estimate]:
    """`metrics_from_matrix` of labels and calls (N,) in {0, 1}, with intervals for patients (N,) who have several cases.

    Proportions: `clustered_proportion`. The others: the cases' influences, summed per patient. Where no patient has two cases
    the result is that of `metrics_from_matrix`.
    """
    labels, called = as_labels(labels01, 2), as_labels(called01, 2)
    plain = metrics_from_matrix(confusion_matrix(labels, called, 2))
    codes = patient_codes(patients, len(labels))
    if codes is None:
        return plain
    if codes.max() == 0:
        return {name: undefined(e.n, clustered(e.method, codes), ONE_PATIENT) for name, e in plain.items()}
    positive, yes, right = labels == 1, called == 1, labels == called
    parts = {
        "sensitivity": (right, positive),
        "specificity": (right, ~positive),
        "ppv": (right, yes),
        "npv": (right, ~yes),
        "accuracy": (right, np.ones(len(labels), dtype=bool)),
    }
    figures = {
        name: clustered_proportion(hits[own], codes[own]) if own.any() else plain[name]
        for name, (hits, own) in parts.items()
    }
    return figures | {
        "f1": _f1(labels, called, codes, plain["f1"]),
        "balanced_accuracy": _balanced(labels, right, codes, plain["balanced_accuracy"]),
        "mcc": _matthews(labels, called, codes),
        **_ratios(labels, called, codes),
    }


def _f1(labels: np.ndarray, called: np.ndarray, codes: np.ndarray, plain: Estimate) -> Estimate:
    """F1 is 2x / (1 + x) of the share x of cases found among those positive or called so: its limits go through that."""
    either = (labels == 1) | (called == 1)
    if plain.value is None:
        return plain
    share = clustered_proportion((labels & called)[either], codes[either])
    if share.value is None:
        return undefined(plain.n, share.method, share.reason)
    low, high = (2 * x / (1 + x) for x in (share.low, share.high))
    return Estimate(plain.value, low, high, plain.n, f"{share.method}, as 2x / (1 + x)")


def _balanced(labels: np.ndarray, right: np.ndarray, codes: np.ndarray, plain: Estimate) -> Estimate:
    """Both classes' errors may come from the same patients, so their shares are not independent here."""
    if plain.value is None:
        return plain
    sizes = np.bincount(labels, minlength=2)
    influence = within_classes(labels, right / (2 * sizes[labels]), codes)
    fewest = min(count_patients(codes[labels == k]) for k in (0, 1))
    effective = effective_cases(plain.value, influence, codes, fewest)
    return Estimate(
        plain.value, *wilson_limits(plain.value * effective, effective), plain.n, clustered("Wilson", codes)
    )


def _matthews(labels: np.ndarray, called: np.ndarray, codes: np.ndarray) -> Estimate:
    matrix = confusion_matrix(labels, called, 2)
    plain, found = matthews(matrix), mcc_value(matrix)
    method = clustered(plain.method, codes)
    if found is None:
        return undefined(plain.n, method, plain.reason)
    value, slope = found
    influence = slope[labels, called]
    if 1 - abs(value) < 1e-12 or standard_error(influence, codes) < 1e-12:
        units = [count_patients(codes[labels == k]) for k in (0, 1)]
        low, high = extreme_limits(1.0 if value > 0 else -1.0, *units)
        return Estimate(value, min(low, value), max(high, value), plain.n, method)
    return Estimate(value, *limits(value, influence, codes, "fisher"), plain.n, method)


def _ratios(labels: np.ndarray, called: np.ndarray, codes: np.ndarray) -> dict[str, Estimate]:
    """Both likelihood ratios; influences on the logarithm are those of its two shares."""
    result = {}
    plain = likelihood_ratios(confusion_matrix(labels, called, 2))
    for name, ratio, hits in zip(("lr_positive", "lr_negative"), plain, (called == 1, called == 0), strict=True):
        if not ratio.value:
            result[name] = ratio
            continue
        shares = np.array([hits[labels == k].mean() for k in (0, 1)])
        sizes = np.bincount(labels, minlength=2)
        influence = np.where(labels == 1, 1, -1) * (hits - shares[labels]) / (sizes * shares)[labels] * ratio.value
        low, high = limits(ratio.value, within_classes(labels, influence, codes), codes, "log")
        result[name] = Estimate(ratio.value, low, high, ratio.n, clustered(ratio.method, codes))
    return result
