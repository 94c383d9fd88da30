"""Records and tables -> Plotly figures. Pure functions: no page, no file, no database.

Backgrounds are transparent and text outside coloured cells has no colour of its own, so the page's theme decides. Every
figure says n in its title.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from core.records import Estimate
from core.statistics.discrimination import RocCurve, thin
from core.statistics.estimates import as_counts

# Okabe & Ito's colours that stand out 3 : 1 or more from both a white and a near-black page.
BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#808080"
# One hue, pale to dark, solid: the text on it can then be chosen to read 4.5 : 1 or better whatever the page's colour.
BLUES = ((0.0, "#e3eef9"), (1.0, "#08427f"))
WHITE_TEXT_FROM = 68  # per cent: paler cells have black text
_CLEAR = "rgba(0,0,0,0)"


def estimate_text(estimate: Estimate, digits: int = 2) -> str:
    """'0.91 (0.87–0.94), n = 300', or 'undefined: <reason>'.

    The value gets more digits, up to 4, where it would otherwise read 0 or 1 without being it. A value without an interval is
    not shown.
    """
    if estimate.value is None:
        return f"undefined: {estimate.reason}" if estimate.reason else "undefined"
    if estimate.low is None or estimate.high is None:
        return f"not shown: {estimate.reason or 'it has no interval'}"
    value = estimate.value
    while digits < 4 and value not in (0, 1) and round(value, digits) in (0, 1):
        digits += 1
    shown, low, high = (f"{v:.{digits}f}".replace("-", "−") for v in (value, estimate.low, estimate.high))
    dash = " to " if "−" in low + high else "–"
    return f"{shown} ({low}{dash}{high}), n = {estimate.n:,}"


def confusion_figure(matrix: np.ndarray, classes: Sequence[str], title: str = "Confusion matrix") -> go.Figure:
    """Confusion matrix (C, C) of counts: rows the reference standard, columns the predicted class, both in order.

    Each cell shows its count and its share of the row in per cent, which is also its colour.
    """
    return _table_figure(matrix, classes, title, ("Reference standard", "Predicted"))


def agreement_figure(matrix: np.ndarray, classes: Sequence[str], title: str = "Reviewer and model") -> go.Figure:
    """Reviewer's labels (rows) against the model's classes (columns), counts (C, C), drawn like a confusion matrix."""
    return _table_figure(matrix, classes, title, ("Reviewer", "Model"))


def roc_figure(curve: RocCurve, auc: Estimate, point: tuple[float, float, str] | None, n: int) -> go.Figure:
    """ROC curve of `n` cases, at most 400 of its points, with its AUC and, where given, the operating point.

    `point` is (1 − specificity, sensitivity, label). A curve without points (one class only) leaves the chance line and the
    reason.
    """
    drawn = thin(curve, 400)
    figure = titled(f"ROC curve, n = {n:,}")
    chance = {"color": GREY, "dash": "dot", "width": 1}
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", name="Chance", line=chance, hoverinfo="skip")
    if len(drawn.fpr):
        figure.add_scatter(
            x=drawn.fpr, y=drawn.tpr, mode="lines", name="Model", line={"color": BLUE, "width": 2},
            customdata=[f"{t:.4g}" if np.isfinite(t) else "above every score" for t in drawn.thresholds],
            hovertemplate="threshold %{customdata}<br>sensitivity %{y:.3f}<br>1 − specificity %{x:.3f}<extra></extra>",
        )  # fmt: skip
    if point is not None:
        x, y, label = point
        figure.add_scatter(
            x=[x], y=[y], mode="markers", name=label, marker={"color": VERMILLION, "size": 11},
            hovertemplate=f"{label}<br>sensitivity %{{y:.3f}}<br>1 − specificity %{{x:.3f}}<extra></extra>",
        )  # fmt: skip
    note(figure, f"AUC {estimate_text(auc)}", x=0.98, y=0.04, anchor="right")
    # A little room beyond 0 and 1, or the line along the frame is half cut off.
    figure.update_xaxes(title="1 − specificity", range=[-0.01, 1.01], constrain="domain")
    figure.update_yaxes(title="Sensitivity", range=[-0.01, 1.01], scaleanchor="x", constrain="domain")
    return figure.update_layout(height=440)


def history_figure(history: Sequence[Mapping[str, float]], metric: str = "loss") -> go.Figure:
    """A training history's `train_<metric>` and `val_<metric>` over epochs; the best validation epoch is marked.

    `history` has one mapping per epoch, with `epoch` counted from 1 (its place where absent). Best is the lowest loss, and the
    highest of any other metric; the earliest of equals. The weights kept may be another epoch's, where training watched
    another metric. What is missing or not finite is left out.
    """
    name = "AUC" if metric == "auc" else metric.replace("_", " ")
    title = name[0].upper() + name[1:]
    figure = titled(f"{title}, n = {len(history):,} epochs")
    for side, label, colour in (("train", "Training", GREY), ("val", "Validation", BLUE)):
        if points := _series(history, f"{side}_{metric}"):
            figure.add_scatter(
                x=[x for x, _ in points], y=[y for _, y in points], mode="lines+markers", name=label,
                line={"color": colour, "width": 2}, marker={"size": 4},
                hovertemplate=f"epoch %{{x}}<br>{label.lower()} {name} %{{y:.4f}}<extra></extra>",
            )  # fmt: skip
    if validation := _series(history, f"val_{metric}"):
        word, sign = ("Lowest", 1) if metric == "loss" else ("Highest", -1)
        epoch, value = min(validation, key=lambda point: (sign * point[1], point[0]))
        figure.add_scatter(
            x=[epoch], y=[value], mode="markers", name=f"{word}, epoch {epoch}", marker={"color": VERMILLION, "size": 11},
            hovertemplate=f"epoch %{{x}}<br>{word.lower()} validation {name} %{{y:.4f}}<extra></extra>",
        )  # fmt: skip
    if not figure.data:
        note(figure, f"No {name} was recorded", x=0.5, y=0.5, anchor="center")
    figure.update_xaxes(title="Epoch", visible=bool(figure.data))
    figure.update_yaxes(title=title, visible=bool(figure.data))
    return figure.update_layout(height=360)


def _table_figure(matrix: np.ndarray, classes: Sequence[str], title: str, axes: tuple[str, str]) -> go.Figure:
    """A square table of counts as coloured cells; `axes` names rows and columns."""
    counts = as_counts(matrix, (len(classes), len(classes)))
    rows = counts.sum(axis=1)
    percent = np.divide(100 * counts, rows[:, None], out=np.zeros(counts.shape), where=rows[:, None] > 0)
    # A class is a place from 0 on with a name beside it, so that names may be long or look like numbers.
    places, names = list(range(len(classes))), [name.replace("_", " ") for name in classes]
    cells = [(i, j) for i in places for j in places]
    shares = {(i, j): f"{percent[i, j]:.1f} %" if rows[i] else "–" for i, j in cells}
    hover = [
        [[names[i], names[j], f"{counts[i, j]:,} of {rows[i]:,} cases ({shares[i, j]})"] for j in places]
        for i in places
    ]
    figure = titled(f"{title}, n = {counts.sum():,}")
    figure.add_heatmap(
        x=places, y=places, z=percent, zmin=0, zmax=100, colorscale=BLUES, showscale=False, xgap=2, ygap=2, customdata=hover,
        hovertemplate=f"{axes[0]}: %{{customdata[0]}}<br>{axes[1]}: %{{customdata[1]}}<br>%{{customdata[2]}}<extra></extra>",
    )  # fmt: skip
    # Text of its own: a heatmap's falls to less than 4 : 1 on the middle blues, and the theme's may be grey.
    ink = ["#ffffff" if percent[c] >= WHITE_TEXT_FROM else "#000000" for c in cells]
    figure.add_scatter(
        x=[j for _, j in cells], y=[i for i, _ in cells], text=[f"{counts[c]:,}<br>{shares[c]}" for c in cells],
        mode="text", textfont={"size": 15 if len(classes) <= 4 else 11, "color": ink}, hoverinfo="skip", showlegend=False,
    )  # fmt: skip
    wrapped = [name.replace(" ", "<br>") for name in names]
    common = {"tickvals": places, "showgrid": False, "zeroline": False, "automargin": True}
    figure.update_xaxes(title=axes[1], ticktext=wrapped, range=[-0.5, len(places) - 0.5], **common)
    figure.update_yaxes(title=axes[0], ticktext=names, range=[len(places) - 0.5, -0.5], **common)  # class 0 on top
    return figure.update_layout(height=max(360, 140 + 56 * len(classes)))


def titled(title: str) -> go.Figure:
    """An empty figure of the house: title on the left, legend below it, transparent."""
    return go.Figure().update_layout(
        title={"text": title, "x": 0, "y": 0.98, "yanchor": "top"}, paper_bgcolor=_CLEAR, plot_bgcolor=_CLEAR,
        margin={"l": 10, "r": 24, "t": 72, "b": 10}, legend={"orientation": "h", "y": 1, "yanchor": "bottom"},
    )  # fmt: skip


def note(figure: go.Figure, text: str, *, x: float, y: float, anchor: str) -> None:
    """Text inside the plot, at a place given in shares of its width and height."""
    figure.add_annotation(text=text, x=x, y=y, xref="x domain", yref="y domain", xanchor=anchor, showarrow=False)


def _series(history: Sequence[Mapping[str, float]], key: str) -> list[tuple[int, float]]:
    """(epoch, value) of every epoch with a finite value."""
    given = ((int(row.get("epoch", place)), row.get(key)) for place, row in enumerate(history, start=1))
    return [(epoch, float(value)) for epoch, value in given if value is not None and np.isfinite(value)]
