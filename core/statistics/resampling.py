"""Bootstrap draws: how often each case is drawn, patients drawn whole, and the AUC of such draws from one sort."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from core.records import Estimate
from core.statistics.discrimination import ONE_CLASS, newcombe_limits, placements
from core.statistics.estimates import as_labels, as_scores, bootstrap_estimate, undefined
from core.statistics.linearised import clustered, patient_codes


def case_counts(labels: np.ndarray, patients: np.ndarray | None, replicates: int, seed: int) -> Iterator[np.ndarray]:
    """How often each case is drawn, (N,) int64 per replicate, in samples with replacement.

    Without patients, cases are drawn within each class. With them, whole patients are drawn, within those who have a case of
    the highest class and those who do not, so that a rare finding is never lost.
    """
    labels, rng = np.asarray(labels), np.random.default_rng(seed)
    codes = patient_codes(patients, len(labels))
    strata = labels
    if codes is not None:
        strata = np.zeros(codes.max() + 1, dtype=np.int64)
        strata[codes[labels == labels.max()]] = 1
    members = [np.flatnonzero(strata == k) for k in np.unique(strata)]
    for _ in range(replicates):
        drawn = np.concatenate([own[rng.integers(len(own), size=len(own))] for own in members])
        counts = np.bincount(drawn, minlength=len(strata))
        yield counts if codes is None else counts[codes]


def bootstrap_auc(
    labels01: np.ndarray,
    scores: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    replicates: int = 2000,
    seed: int = 0,
) -> Estimate:
    """AUC of labels (N,) in {0, 1} and scores (N,) with a percentile bootstrap interval.

    Cases are resampled within each class; or, where some of `groups` (N,), usually patients, has several cases, whole groups.
    One sort serves every replicate, and memory does not grow with their number. Newcombe's 2006 limits where the draws have no
    spread.
    """
    labels = as_labels(labels01, 2)
    scores, n = as_scores(scores, len(labels)), len(labels)
    codes = patient_codes(groups, n)
    method = (
        clustered(f"bootstrap of {replicates}", codes) if codes is not None else f"stratified bootstrap of {replicates}"
    )
    positives = int(labels.sum())
    if positives in (0, n):
        return undefined(n, method, ONE_CLASS if n else "no cases")
    value = float(placements(labels, scores)[0].mean())
    if codes is None:
        draws = _stratified_draws(labels, scores, replicates, seed)
    else:
        draws = _clustered_draws(labels, scores, codes, replicates, seed)
    return bootstrap_estimate(
        value, draws, n=n, method=method, fallback=newcombe_limits(value, positives, n - positives)
    )


def _stratified_draws(labels: np.ndarray, scores: np.ndarray, replicates: int, seed: int) -> np.ndarray:
    """AUC (R,): counts of the negatives in the order of their scores, summed up, looked up by the drawn positives."""
    rng = np.random.default_rng(seed)
    negative, positive = np.sort(scores[labels == 0]), np.sort(scores[labels == 1])
    below, up_to = np.searchsorted(negative, positive, "left"), np.searchsorted(negative, positive, "right")
    tied, total, draws = bool(np.any(below != up_to)), np.zeros(len(negative) + 1, dtype=np.int64), np.empty(replicates)
    for r in range(replicates):
        counts = np.bincount(rng.integers(len(negative), size=len(negative)), minlength=len(negative))
        np.cumsum(counts, out=total[1:])
        drawn = rng.integers(len(positive), size=len(positive))
        wins = total[below[drawn]].sum()
        draws[r] = wins + total[up_to[drawn]].sum() if tied else 2 * wins
    return draws / (2 * len(negative) * len(positive))


def _clustered_draws(
    labels: np.ndarray, scores: np.ndarray, codes: np.ndarray, replicates: int, seed: int
) -> np.ndarray:
    order = np.argsort(scores, kind="stable")
    labels, ordered = labels[order], scores[order]
    positive, draws = np.flatnonzero(labels), np.full(replicates, np.nan)
    below, up_to = (np.searchsorted(ordered, ordered[positive], side) for side in ("left", "right"))
    total = np.zeros(len(ordered) + 1, dtype=np.int64)
    for r, counts in enumerate(case_counts(labels, codes[order], replicates, seed)):
        np.cumsum(counts * (labels == 0), out=total[1:])
        own = counts[positive]
        pairs = 2 * own.sum() * total[-1]
        if pairs:
            draws[r] = own @ (total[below] + total[up_to]) / pairs
    return draws[np.isfinite(draws)]


def bootstrap_metric(
    metric: Callable[[np.ndarray], float],
    labels: np.ndarray,
    *,
    patients: np.ndarray | None,
    replicates: int,
    seed: int,
) -> np.ndarray:
    """`metric(counts)` (R,) of each draw of `case_counts`; draws where it is not finite are left out."""
    values = np.array([metric(counts) for counts in case_counts(labels, patients, replicates, seed)])
    return values[np.isfinite(values)]
