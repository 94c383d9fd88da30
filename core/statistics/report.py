"""The classification report of a confusion matrix: every class, and their macro, micro and weighted means, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from core.records import Estimate
from core.statistics.estimates import Z, as_counts, undefined
from core.statistics.proportions import dice, wilson

Average = Literal["macro", "micro", "weighted"]
FIGURES = ("precision", "recall", "f1")


def slopes(matrix: np.ndarray) -> np.ndarray:
    """Derivatives (3, C, C, C) of precision, recall and F1 of each class by each count of a matrix (C, C).

    Rows are the reference standard. NaN where the figure is undefined.
    """
    counts = as_counts(matrix).astype(np.float64)
    size, hits = len(counts), np.diagonal(counts)
    same = np.eye(size)
    column, row = np.zeros((2, size, size, size))
    column[np.arange(size), :, np.arange(size)] = 1  # column[k, i, j]: was called k
    row[np.arange(size), np.arange(size), :] = 1  # row[k, i, j]: is k
    hit = np.einsum("ki,kj->kij", same, same)
    called, own = counts.sum(axis=0), counts.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision, recall, f1 = hits / called, hits / own, 2 * hits / (called + own)
        return np.stack(
            [
                (hit - _deep(precision) * column) / _deep(called),
                (hit - _deep(recall) * row) / _deep(own),
                (2 * hit - _deep(f1) * (column + row)) / _deep(called + own),
            ]
        )


def averaged(matrix: np.ndarray, average: Average) -> dict[str, Estimate]:
    """precision, recall and f1 of all classes of a matrix (C, C) together.

    macro: plain mean. weighted: by the classes' cases, whose shares vary too. micro: of the pooled decisions, each the
    same as the accuracy where every case has one class. Interval: delta method, cut to [0, 1]; Wilson's for micro. Undefined
    where one class is, for its reason (scikit-learn counts it as 0).
    """
    counts = as_counts(matrix)
    n, cases = int(counts.sum()), counts.sum(axis=1)
    if average == "micro":
        return dict.fromkeys(FIGURES, wilson(int(np.trace(counts)), n, note="pooled over classes"))
    if average not in ("macro", "weighted"):
        raise ValueError(f"the average must be macro, micro or weighted, not {average!r}")
    weights = np.full(len(counts), 1 / len(counts)) if average == "macro" or n == 0 else cases / n
    derivatives, result = slopes(counts), {}
    for figure, slope, each in zip(FIGURES, derivatives, zip(*_each(counts), strict=True), strict=True):
        method = f"{average} mean, delta method"
        counted = [(w, e) for w, e in zip(weights, each, strict=True) if w > 0]
        reasons = [e.reason for _, e in counted if e.value is None]
        if reasons:
            result[figure] = undefined(n, method, reasons[0])
            continue
        used = weights > 0
        value = float(sum(w * e.value for w, e in counted))
        influence = np.tensordot(weights[used], slope[used], 1)  # (C, C)
        if average == "weighted":
            own = np.array([e.value if w > 0 else 0.0 for w, e in zip(weights, each, strict=True)])
            influence = influence + (own - value)[:, None] / n  # a case more also raises its class's weight
        half = Z * float(np.sqrt(np.sum(counts * influence**2)))
        low, high = (value - half, value + half) if half > 1e-12 else _mean_limits(counted)
        result[figure] = Estimate(value, max(0.0, low), min(1.0, high), n, method)
    return result


def classification_report(matrix: np.ndarray, classes: Sequence[str]) -> list[dict[str, float | int | str | None]]:
    """Rows for a table, as scikit-learn's `classification_report` prints them, from a confusion matrix (C, C).

    Each has `class`, `precision`, `recall`, `f1`, their `…_low` and `…_high`, and `support` (cases). After the classes come
    `accuracy` (in the f1 column, as it is printed there), `macro avg` and `weighted avg`. None is undefined.
    """
    counts = as_counts(matrix)
    if len(classes) != len(counts):
        raise ValueError(f"a matrix of {len(counts)} classes needs as many names, not {len(classes)}")
    n = int(counts.sum())
    each = [
        _row(name, dict(zip(FIGURES, figures, strict=True)), int(support))
        for name, figures, support in zip(classes, _each(counts), counts.sum(axis=1), strict=True)
    ]
    accuracy = wilson(int(np.trace(counts)), n)
    return [
        *each,
        _row("accuracy", {"f1": accuracy}, n),
        _row("macro avg", averaged(counts, "macro"), n),
        _row("weighted avg", averaged(counts, "weighted"), n),
    ]


def _each(counts: np.ndarray) -> list[tuple[Estimate, Estimate, Estimate]]:
    """Precision, recall and F1 of each class."""
    hits, called, own = np.diagonal(counts).tolist(), counts.sum(axis=0).tolist(), counts.sum(axis=1).tolist()
    return [
        (
            wilson(hit, c, reason="no case was called so"),
            wilson(hit, o, reason="no cases of this class"),
            dice(hit, c + o - hit, reason="no case is of this class or was called so"),
        )
        for hit, c, o in zip(hits, called, own, strict=True)
    ]


def _mean_limits(counted: list[tuple[float, Estimate]]) -> tuple[float, float]:
    """Weighted means of the classes' own limits, where perfect results leave no spread."""
    return float(sum(w * e.low for w, e in counted)), float(sum(w * e.high for w, e in counted))


def _row(name: str, figures: dict[str, Estimate], support: int) -> dict[str, float | int | str | None]:
    row: dict[str, float | int | str | None] = {"class": name}
    for figure in FIGURES:
        estimate = figures.get(figure)
        for suffix, part in (("", "value"), ("_low", "low"), ("_high", "high")):
            row[figure + suffix] = getattr(estimate, part) if estimate else None
    return row | {"support": support}


def _deep(per_class: np.ndarray) -> np.ndarray:
    """(C,) -> (C, 1, 1)."""
    return per_class[:, None, None]
