"""The same figures for parts of the cases (site, machine, density, age band, view …), and whether the gap is chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np

from core.records import Estimate
from core.statistics.estimates import as_labels, as_scores
from core.statistics.linearised import patient_codes
from core.statistics.summary import evaluate
from core.tasks import Task

MISSING = "missing"
GapMetric = Literal["auc", "sensitivity", "specificity"]


@dataclass(frozen=True)
class Subgroup:
    """The n cases whose column has the value `name`; `positives` of them, or None where the task has no positive class.

    `metrics` is empty where there are too few cases, and `reason` says so.
    """

    name: str
    n: int
    positives: int | None
    metrics: Mapping[str, Estimate] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class GapTest:
    """Largest less smallest value of one metric among the subgroups that have one, and the p of such a gap by chance.

    `values` maps each subgroup compared to its value; `left_out` names the others. `gap` and `p` are None where fewer than two
    can be compared, and `reason` says so.
    """

    metric: str
    gap: float | None
    p: float | None
    values: Mapping[str, float]
    left_out: tuple[str, ...]
    method: str
    reason: str = ""


def subgroup_metrics(
    labels: np.ndarray,
    probabilities: np.ndarray,
    column: Sequence,
    task: Task,
    threshold: float | None = None,
    *,
    min_n: int = 10,
    patients: np.ndarray | None = None,
) -> tuple[Subgroup, ...]:
    """`summary.evaluate` of the cases of each value of `column` (N,), in the order of the values, missing ones last.

    Labels (N,), probabilities (N, C). Fewer than `min_n` cases give no figures: they would say more about the cases than
    about the model. Several subgroups are several looks: the widest gap is for `gap_test`.
    """
    names = column_names(column)
    labels, p = np.asarray(labels), np.asarray(probabilities)
    who = None if patients is None else np.asarray(patients)
    if names.shape != labels.shape:
        raise ValueError(f"the column must have shape ({len(labels)},) like the labels, not {names.shape}")
    groups = []
    for name in ordered(names):
        own = np.flatnonzero(names == name)
        positives = None if task.positive_index is None else int(np.sum(labels[own] == task.positive_index))
        if len(own) < min_n:
            groups.append(Subgroup(name, len(own), positives, reason=f"fewer than {min_n} cases"))
            continue
        figures = evaluate(labels[own], p[own], task, threshold, patients=None if who is None else who[own])
        groups.append(Subgroup(name, len(own), positives, figures))
    return tuple(groups)


def column_names(column: Sequence) -> np.ndarray:
    """A column (N,) of any kind as text; None, NaN and empty text become "missing", whole numbers lose their ".0"."""
    return np.array([_name(value) for value in column], dtype=str)


def bands(values: Sequence[float | None], edges: Sequence[float]) -> list[str]:
    """Numbers (N,) as the bands between rising `edges`: "≤ 40", "40–50", "> 70"; a number on an edge is in the lower band."""
    edges = list(edges)
    if edges != sorted(set(edges)) or not edges:
        raise ValueError(f"edges must rise, not {edges}")
    texts = [f"≤ {edges[0]:g}", *(f"{a:g}–{b:g}" for a, b in pairwise(edges)), f"> {edges[-1]:g}"]
    numbers = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    place = np.searchsorted(edges, numbers, "left")
    return [MISSING if np.isnan(v) else texts[i] for v, i in zip(numbers, place, strict=True)]


def ordered(names: np.ndarray) -> list[str]:
    """The distinct names: numbers and bands by size, the rest by alphabet, "missing" last."""

    def rank(name: str) -> tuple:
        first = name.lstrip("≤> ").split("–")[0]
        number = _number(first)
        beyond = 0 if name.startswith("≤") else 2 if name.startswith(">") else 1
        return (name == MISSING, number is None, number or 0.0, beyond, name)

    return sorted(set(names.tolist()), key=rank)


def gap_test(
    labels01: np.ndarray,
    scores: np.ndarray,
    column: Sequence,
    *,
    metric: GapMetric = "auc",
    threshold: float | None = None,
    patients: np.ndarray | None = None,
    min_n: int = 10,
    replicates: int = 1000,
    seed: int = 0,
) -> GapTest:
    """Largest less smallest AUC, sensitivity or specificity over the values of `column` (N,), against chance by permutation.

    Labels (N,) in {0, 1}, scores (N,); the last two metrics need the `threshold`. The column is shuffled among the cases of
    one class, so subgroups keep their sizes and prevalences. Where patients (N,) have several cases it moves with them: among
    patients when it is one value per patient (site, age), inside each patient when it is not (view, laterality). Subgroups
    that lack a class the metric needs, or have fewer than `min_n` cases, are left out. p counts the data as one permutation.
    """
    labels = as_labels(labels01, 2)
    scores, names = as_scores(scores, len(labels)), column_names(column)
    if names.shape != labels.shape:
        raise ValueError(f"the column must have shape ({len(labels)},) like the labels, not {names.shape}")
    if metric not in ("auc", "sensitivity", "specificity"):
        raise ValueError(f"the metric must be auc, sensitivity or specificity, not {metric!r}")
    if metric != "auc" and threshold is None:
        raise ValueError(f"{metric} needs a threshold")
    order = np.argsort(scores, kind="stable")  # sorted once: every permutation keeps this order
    labels, scores, names = labels[order], scores[order], names[order]
    codes = patient_codes(patients, len(labels))
    codes = None if codes is None else codes[order]
    method = f"permutation of {replicates}" + ("" if codes is None else ", with their patients")
    sorted_names, groups = np.unique(names, return_inverse=True)

    def values_of(places: np.ndarray) -> np.ndarray:
        return _values(labels, scores, places, metric, threshold)

    values = values_of(groups)
    kept = np.flatnonzero(np.isfinite(values) & (np.bincount(groups) >= min_n))
    by_name = {str(sorted_names[i]): float(values[i]) for i in kept}
    found = ordered(sorted_names)
    in_order = {name: by_name[name] for name in found if name in by_name}
    left_out = tuple(name for name in found if name not in by_name)
    if len(kept) < 2:
        return GapTest(metric, None, None, in_order, left_out, method, "fewer than two subgroups can be compared")
    gap, larger = float(np.ptp(values[kept])), 0
    rng = np.random.default_rng(seed)
    for _ in range(replicates):
        drawn = values_of(_shuffled(groups, labels, codes, rng))[kept]
        larger += bool(np.nanmax(drawn) - np.nanmin(drawn) >= gap - 1e-12)
    return GapTest(metric, gap, (larger + 1) / (replicates + 1), in_order, left_out, method)


def _values(
    labels: np.ndarray, scores: np.ndarray, groups: np.ndarray, metric: str, threshold: float | None
) -> np.ndarray:
    """The metric of each group (G,), NaN where it is undefined, of cases in the order of their scores."""
    count = int(groups.max()) + 1 if len(groups) else 0
    if metric == "auc":
        return _aucs(labels, scores, groups, count)
    own = labels == (1 if metric == "sensitivity" else 0)
    right = (scores >= threshold) == (labels == 1)
    sizes = np.bincount(groups[own], minlength=count)
    hits = np.bincount(groups[own & right], minlength=count)
    return np.divide(hits, sizes, out=np.full(count, np.nan), where=sizes > 0)


def _aucs(labels: np.ndarray, scores: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
    """AUC of each group (G,): one pass over the cases by group and score, however many groups there are."""
    order = np.argsort(groups, kind="stable")
    labels, scores, groups = labels[order], scores[order], groups[order]
    negatives = np.concatenate([[0], np.cumsum(1 - labels)])  # before each case
    ends = np.flatnonzero((np.diff(groups) != 0) | (np.diff(scores) != 0)) + 1  # of runs of one group and score
    bounds = np.concatenate([[0], ends, [len(labels)]])
    run = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    twice = negatives[bounds[run]] + negatives[bounds[run + 1]]  # negatives below and up to each case
    positives, sizes = np.bincount(groups, weights=labels, minlength=count), np.bincount(groups, minlength=count)
    first = negatives[np.cumsum(sizes) - sizes]  # negatives of earlier groups
    wins = np.bincount(groups, weights=labels * twice, minlength=count) / 2 - positives * first
    pairs = positives * (sizes - positives)
    return np.divide(wins, pairs, out=np.full(count, np.nan), where=pairs > 0)


def _shuffled(groups: np.ndarray, labels: np.ndarray, codes: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """`groups` (N,) shuffled among exchangeable cases."""
    if codes is None:
        return _within(groups, labels, rng)
    first = np.zeros(codes.max() + 1, dtype=groups.dtype)
    first[codes] = groups
    if not np.array_equal(first[codes], groups):  # the column varies inside patients
        return _within(groups, codes * 2 + labels, rng)
    finding = np.zeros(len(first), dtype=np.int64)
    finding[codes[labels == 1]] = 1
    return _within(first, finding, rng)[codes]


def _within(values: np.ndarray, strata: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`values` (N,) in random order inside each stratum."""
    home = np.argsort(strata, kind="stable")
    drawn = np.lexsort((rng.random(len(strata)), strata))
    result = np.empty_like(values)
    result[home] = values[drawn]
    return result


def _name(value: object) -> str:
    if value is None or value == "" or (isinstance(value, float | np.floating) and np.isnan(value)):
        return MISSING
    if isinstance(value, float | np.floating) and value == int(value):
        return str(int(value))
    return str(value)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
