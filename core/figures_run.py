"""Figures of one evaluation run beyond confusion matrix, ROC and training: Plotly, pure functions, n in every title."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from core.figures import BLUE, GREY, VERMILLION, estimate_text, note, titled
from core.records import Estimate
from core.statistics.calibration import CalibrationBins
from core.statistics.decision import DecisionCurve
from core.statistics.discrimination import RocCurve, thin
from core.statistics.precision_recall import PrCurve, thin_pr
from core.statistics.proportions import wilson_limits

# Okabe & Ito's eight with two of them darkened, so that each stands out from white and from near-black.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B38600", "#56B4E9", "#808080", "#8A63D2")
DASHES = ("solid", "dash", "dot")
BINS = 50


def line_style(place: int) -> dict[str, object]:
    """Colour and dash of the line at that place: 24 that differ, then again from the first."""
    dash = DASHES[place // len(PALETTE) % len(DASHES)]
    return {"color": PALETTE[place % len(PALETTE)], "dash": dash, "width": 2}


def clickable(figure: go.Figure) -> go.Figure:
    """The same confusion matrix with an invisible mark on every cell for clicks: a heatmap's own cells take none."""
    heat = figure.data[0]
    places = [(i, j) for i in heat.y for j in heat.x]
    hidden = {"marker": {"opacity": 0}}
    figure.add_scatter(
        x=[j for _, j in places], y=[i for i, _ in places], mode="markers", marker={"size": 44, "opacity": 0},
        customdata=[heat.customdata[i][j] for i, j in places], hovertemplate=heat.hovertemplate, showlegend=False,
        selected=hidden, unselected=hidden,
    )  # fmt: skip
    return figure


def pr_figure(curve: PrCurve, area: Estimate, prevalence: float, point: tuple[float, float, str] | None) -> go.Figure:
    """Precision over recall, at most 400 points, with the prevalence as the line of chance.

    `area` is the average precision; `point` is (sensitivity, PPV, label) of the operating point. A curve without points
    (no positive cases) leaves the reason.
    """
    drawn = thin_pr(curve, 400)
    figure = titled(f"Precision–recall curve, n = {area.n:,}")
    if np.isfinite(prevalence):
        chance = {"color": GREY, "dash": "dot", "width": 1}
        figure.add_scatter(
            x=[0, 1], y=[prevalence] * 2, mode="lines", name="Prevalence", line=chance,
            hovertemplate="prevalence %{y:.3f}<extra></extra>",
        )  # fmt: skip
    if len(drawn.recall):
        figure.add_scatter(
            x=drawn.recall, y=drawn.precision, mode="lines", name="Model", line={"color": BLUE, "width": 2},
            customdata=[f"{t:.4g}" if np.isfinite(t) else "above every score" for t in drawn.thresholds],
            hovertemplate="threshold %{customdata}<br>sensitivity %{x:.3f}<br>PPV %{y:.3f}<extra></extra>",
        )  # fmt: skip
    if point is not None:
        x, y, label = point
        figure.add_scatter(
            x=[x], y=[y], mode="markers", name=label, marker={"color": VERMILLION, "size": 11},
            hovertemplate=f"{label}<br>sensitivity %{{x:.3f}}<br>PPV %{{y:.3f}}<extra></extra>",
        )  # fmt: skip
    note(figure, f"Average precision {estimate_text(area)}", x=0.02, y=0.04, anchor="left")
    figure.update_xaxes(title="Recall (sensitivity)", range=[-0.01, 1.01])
    figure.update_yaxes(title="Precision (PPV)", range=[-0.01, 1.01])
    return figure.update_layout(height=440)


def rocs_figure(curves: Mapping[str, RocCurve], title: str, n: int, points: int = 150) -> go.Figure:
    """Several ROC curves by name over the line of chance, each thinned to at most `points` points."""
    figure = titled(f"{title}, n = {n:,}")
    chance = {"color": GREY, "dash": "dot", "width": 1}
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", name="Chance", line=chance, hoverinfo="skip", showlegend=False)
    for place, (name, curve) in enumerate(curves.items()):
        drawn = thin(curve, points)
        figure.add_scatter(
            x=drawn.fpr, y=drawn.tpr, mode="lines", name=name, line=line_style(place),
            hovertemplate="sensitivity %{y:.3f}<br>1 − specificity %{x:.3f}<extra>" + name + "</extra>",
        )  # fmt: skip
    figure.update_xaxes(title="1 − specificity", range=[-0.01, 1.01])
    figure.update_yaxes(title="Sensitivity", range=[-0.01, 1.01])
    legend = {"orientation": "v", "x": 1.02, "y": 1, "yanchor": "top"}
    return figure.update_layout(height=480, legend=legend)


def calibration_figure(bins: CalibrationBins, error: Estimate, outcome: str) -> go.Figure:
    """Observed frequency of `outcome` over its mean probability in each bin, Wilson intervals, counts below.

    Points on the diagonal are calibrated. `error` is the expected calibration error.
    """
    full = np.flatnonzero(bins.counts)
    figure = titled(f"Calibration, n = {int(bins.counts.sum()):,}")
    diagonal = {"color": GREY, "dash": "dot", "width": 1}
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", name="Perfect", line=diagonal, hoverinfo="skip")
    if len(full):
        x, y, counts = bins.probability[full], bins.frequency[full], bins.counts[full]
        low, high = np.array([wilson_limits(k, n) for k, n in zip(y * counts, counts, strict=True)]).T
        bars = {"array": np.maximum(high - y, 0), "arrayminus": np.maximum(y - low, 0), "thickness": 1.2}
        figure.add_scatter(
            x=x, y=y, error_y=bars, mode="lines+markers", name="Model", line={"color": BLUE, "width": 1.5},
            marker={"size": 7}, customdata=counts,
            hovertemplate="mean probability %{x:.3f}<br>observed %{y:.3f}<br>%{customdata:,} cases<extra></extra>",
        )  # fmt: skip
    centres = (bins.edges[:-1] + bins.edges[1:]) / 2
    figure.add_bar(
        x=centres, y=bins.counts, width=np.diff(bins.edges) * 0.94, yaxis="y2", marker={"color": GREY, "opacity": 0.6},
        text=[f"{c:,}" for c in bins.counts], textposition="outside", cliponaxis=False, name="Cases",
        hovertemplate="%{y:,} cases<extra></extra>",
    )  # fmt: skip
    note(figure, f"ECE {estimate_text(error, 3)}", x=0.02, y=0.96, anchor="left")
    top = max(1, int(bins.counts.max(initial=0)))
    figure.update_xaxes(title=f"Mean probability of {outcome}", range=[-0.01, 1.01])
    figure.update_layout(
        yaxis={"title": "Observed frequency", "range": [-0.01, 1.01], "domain": [0.3, 1]},
        yaxis2={"title": "Cases", "domain": [0, 0.2], "range": [0, 1.35 * top], "nticks": 3},
        height=480,
    )
    return figure


def histogram_figure(
    scores: np.ndarray, labels: np.ndarray, classes: Sequence[str], axis: str, threshold: float | None = None
) -> go.Figure:
    """Scores (N,) in [0, 1] of each class as the share of that class in 50 bins; the threshold as a line."""
    edges = np.linspace(0, 1, BINS + 1)
    figure = titled(f"Scores by class, n = {len(scores):,}")
    for place, name in enumerate(classes):
        own = scores[labels == place]
        if not len(own):
            continue
        counts, _ = np.histogram(own, edges)
        figure.add_scatter(
            x=(edges[:-1] + edges[1:]) / 2, y=100 * counts / len(own), mode="lines", line={"shape": "hvh"} | line_style(place),
            fill="tozeroy" if len(classes) == 2 else None, name=f"{name.replace('_', ' ')} (n = {len(own):,})",
            customdata=counts, hovertemplate="score %{x:.2f}<br>%{customdata:,} cases (%{y:.1f} %)<extra></extra>",
        )  # fmt: skip
    if threshold is not None:
        figure.add_vline(x=threshold, line={"color": VERMILLION, "dash": "dash", "width": 1.5})
    figure.update_xaxes(title=axis, range=[0, 1])
    figure.update_yaxes(title="Share of the class, %", rangemode="tozero")
    return figure.update_layout(height=440)


def forest_figure(rows: Sequence[tuple[str, Estimate]], overall: Estimate, title: str, axis: str) -> go.Figure:
    """One interval per named group, from top to bottom, with the overall value as a line; undefined groups say why."""
    figure = titled(f"{title}, n = {overall.n:,}")
    names = [name for name, _ in rows]
    known = [(place, e) for place, (_, e) in enumerate(rows) if None not in (e.value, e.low, e.high)]
    if known:
        values = np.array([(e.value, e.low, e.high) for _, e in known], dtype=float)
        figure.add_scatter(
            x=values[:, 0], y=[place for place, _ in known], mode="markers", marker={"color": BLUE, "size": 9},
            error_x={"array": values[:, 2] - values[:, 0], "arrayminus": values[:, 0] - values[:, 1], "thickness": 1.5},
            customdata=[estimate_text(e, 3) for _, e in known], hovertemplate="%{customdata}<extra></extra>",
            name="Value and 95 % interval", showlegend=False,
        )  # fmt: skip
    for place, (_, estimate) in enumerate(rows):
        text = estimate_text(estimate, 3)
        figure.add_annotation(x=1.01, y=place, xref="paper", yref="y", xanchor="left", text=text, showarrow=False)
    if overall.value is not None:
        figure.add_vline(x=overall.value, line={"color": GREY, "dash": "dot", "width": 1.5})
    figure.update_xaxes(title=axis)
    figure.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=names,
        range=[len(names) - 0.5, -0.5],
        automargin=True,
        showgrid=False,
    )
    return figure.update_layout(height=max(220, 130 + 34 * len(names)), margin={"r": 300})


def decision_figure(curve: DecisionCurve) -> go.Figure:
    """Net benefit over the threshold probability, beside acting on all and on none."""
    figure = titled(f"Decision curve, n = {curve.n:,}")
    figure.add_scatter(
        x=np.r_[curve.thresholds, curve.thresholds[::-1]], y=np.r_[curve.high, curve.low[::-1]], fill="toself",
        line={"width": 0}, fillcolor="rgba(0,114,178,0.18)", name="95 % interval", hoverinfo="skip",
    )  # fmt: skip
    lines = (("Model", curve.net_benefit, BLUE, "solid"), ("Act on all", curve.treat_all, GREY, "dash"))
    for name, values, colour, dash in lines:
        figure.add_scatter(
            x=curve.thresholds, y=values, mode="lines", name=name, line={"color": colour, "dash": dash, "width": 2},
            hovertemplate="threshold %{x:.2f}<br>net benefit %{y:.4f}<extra>" + name + "</extra>",
        )  # fmt: skip
    figure.add_hline(y=0, line={"color": GREY, "dash": "dot", "width": 1})
    top = float(np.nanmax(np.r_[curve.high, 0.0], initial=0.0)) or 1.0
    figure.update_xaxes(title="Threshold probability", range=[0, 1])
    figure.update_yaxes(title="Net benefit (true positives per case)", range=[-0.3 * top, 1.1 * top])
    return figure.update_layout(height=440)
