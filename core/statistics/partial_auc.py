"""The part of the ROC curve that matters where few false alarms are tolerable."""

from __future__ import annotations

import numpy as np

from core.records import Estimate
from core.statistics.discrimination import ONE_CLASS, newcombe_limits
from core.statistics.estimates import as_labels, as_scores, bootstrap_estimate, undefined
from core.statistics.linearised import clustered, patient_codes
from core.statistics.resampling import case_counts


def partial_auc(
    labels01: np.ndarray,
    scores: np.ndarray,
    *,
    max_fpr: float = 0.1,
    patients: np.ndarray | None = None,
    replicates: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Area under the ROC curve up to a false-positive rate of `max_fpr` (in (0, 1]), standardised (McClish 1989).

    0.5 is chance and 1 perfect, as in scikit-learn's `roc_auc_score(…, max_fpr=…)`. Labels (N,) in {0, 1}, scores (N,).
    Interval: percentile bootstrap within the classes, or of whole patients (N,) where some has several cases; with
    60 negative cases, few of them in that part of the curve, it covers nearer 92 than 95 %.
    """
    if not 0 < max_fpr <= 1:
        raise ValueError(f"the largest false-positive rate must lie in (0, 1], not {max_fpr}")
    labels = as_labels(labels01, 2)
    scores, n = as_scores(scores, len(labels)), len(labels)
    codes = patient_codes(patients, n)
    method = clustered(f"McClish up to a false-positive rate of {max_fpr:g}, bootstrap of {replicates}", codes)
    positives = int(labels.sum())
    if positives in (0, n):
        return undefined(n, method, ONE_CLASS if n else "no cases")
    order = np.argsort(-scores, kind="stable")
    ordered, labels = scores[order], labels[order]
    last = np.r_[np.flatnonzero(np.diff(ordered)), n - 1]  # last case of each distinct score

    found, alarms = np.zeros((2, len(last) + 1))

    def area(counts: np.ndarray) -> float:
        found[1:] = np.cumsum(counts * labels)[last]
        alarms[1:] = np.cumsum(counts)[last] - found[1:]
        return _standardised(alarms / alarms[-1], found / found[-1], max_fpr) if found[-1] * alarms[-1] else np.nan

    value = area(np.ones(n, dtype=np.int64))
    within = None if codes is None else codes[order]
    draws = np.array([area(counts) for counts in case_counts(labels, within, replicates, seed)])
    fallback = newcombe_limits(min(1.0, max(0.0, value)), positives, n - positives)
    return bootstrap_estimate(value, draws[np.isfinite(draws)], n=n, method=method, fallback=fallback)


def _standardised(fpr: np.ndarray, tpr: np.ndarray, max_fpr: float) -> float:
    """The area up to `max_fpr`, moved so that chance is ½ and perfection 1."""
    stop = int(np.searchsorted(fpr, max_fpr, "right"))
    x, y = fpr[:stop], tpr[:stop]
    whole = (x[1:] - x[:-1]) @ (y[1:] + y[:-1]) / 2
    rest = (max_fpr - x[-1]) * (y[-1] + np.interp(max_fpr, fpr, tpr)) / 2
    area = float(whole + rest)
    chance = max_fpr**2 / 2
    return (1 + (area - chance) / (max_fpr - chance)) / 2
