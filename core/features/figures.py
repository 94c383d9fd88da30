"""Features -> Plotly figures: histograms, the co-occurrence matrix, where a case lies, and what a baseline weighs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from core.figures import BLUE, GREY, VERMILLION

SIDES = (BLUE, VERMILLION)  # of the two pictures that are compared
_CLEAR = "rgba(0,0,0,0)"
_MOST_POINTS = 400  # of a class: more would only hide each other


@dataclass(frozen=True)
class Strip:
    """One feature of many cases: `values` (n,) with `labels` (n,) naming their classes; NaN where undefined."""

    feature: str
    unit: str
    values: np.ndarray
    labels: np.ndarray


def histogram_groups(names: Sequence[str]) -> dict[str, list[str]]:
    """Features that are bins of one histogram, by what stands before the bin's number; at least eight bins."""
    groups: dict[str, list[str]] = {}
    for name in names:
        if found := re.fullmatch(r"(.+)\.\d+", name):
            groups.setdefault(found[1], []).append(name)
    return {title: members for title, members in groups.items() if len(members) >= 8}


def histogram_figure(title: str, bins: Sequence[str], sides: Mapping[str, Mapping[str, float]]) -> go.Figure:
    """Shares in the bins of one histogram, one colour for each side; `sides` maps a name to its features."""
    figure = _figure(title)
    labels = [name.rsplit(".", 1)[1] for name in bins]
    for (side, features), colour in zip(sides.items(), SIDES, strict=False):
        figure.add_bar(
            x=labels, y=[features[name] for name in bins], name=side, marker={"color": colour, "line": {"width": 0}},
            hovertemplate="%{x}: %{y:.4f}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(type="category", showgrid=False, nticks=12)
    return figure.update_layout(height=180, bargap=0.05, showlegend=False)


def matrix_figure(matrix: np.ndarray, title: str) -> go.Figure:
    """A co-occurrence matrix (n, n) of shares; the colour is the square root, or rare pairs could not be seen."""
    figure = _figure(title)
    figure.add_heatmap(
        z=np.sqrt(matrix), customdata=matrix, colorscale="Viridis", showscale=False,
        hovertemplate="level %{y} beside %{x}: %{customdata:.5f}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(title="Grey level of the neighbour", constrain="domain", showgrid=False)
    figure.update_yaxes(title="Grey level", autorange="reversed", scaleanchor="x", constrain="domain", showgrid=False)
    return figure.update_layout(height=420)


def strip_figure(strip: Strip, classes: Sequence[str], cases: Mapping[str, float]) -> go.Figure:
    """Where the named `cases` (a line each) lie among the values of each class (at most 400 points of each are drawn)."""
    n = int(np.isfinite(strip.values).sum())
    figure = _figure(f"{strip.feature}, n = {n:,}")
    rng = np.random.default_rng(0)  # the same scatter at every draw
    for place, name in enumerate(classes):
        values = strip.values[(strip.labels == name) & np.isfinite(strip.values)]
        shown = np.sort(values)[np.unique(np.linspace(0, len(values) - 1, min(len(values), _MOST_POINTS)).astype(int))]
        figure.add_scatter(
            x=shown, y=place + rng.uniform(-0.28, 0.28, len(shown)), mode="markers", showlegend=False, name=name,
            marker={"color": GREY, "size": 6, "opacity": 0.55}, hovertemplate=f"{name}: %{{x:.4g}}<extra></extra>",
        )  # fmt: skip
        if len(values):
            figure.add_scatter(
                x=[np.median(values)] * 2, y=[place - 0.36, place + 0.36], mode="lines", showlegend=False,
                line={"color": GREY, "width": 3}, hovertemplate=f"median of {name}: %{{x:.4g}}<extra></extra>",
            )  # fmt: skip
    for (name, value), colour in zip(cases.items(), SIDES, strict=False):
        figure.add_scatter(
            x=[value] * 2, y=[-0.5, len(classes) - 0.5], mode="lines", name=name, showlegend=True,
            line={"color": colour, "width": 2, "dash": "dash"}, hovertemplate=f"{name}: %{{x:.4g}}<extra></extra>",
        )  # fmt: skip
    ticks = [f"{name}, n = {int(((strip.labels == name) & np.isfinite(strip.values)).sum()):,}" for name in classes]
    figure.update_yaxes(tickvals=list(range(len(classes))), ticktext=ticks, range=[-0.55, len(classes) - 0.45],
                        showgrid=False, zeroline=False)  # fmt: skip
    figure.update_xaxes(title=f"{strip.feature} ({strip.unit})", zeroline=False)
    return figure.update_layout(height=150 + 80 * len(classes))


def coefficients_figure(table: pd.DataFrame, label: str, strongest: int = 20) -> go.Figure:
    """The strongest standardised coefficients of a classical baseline (`core.classical.coefficients`) for one class."""
    top = table.loc[table[label].abs().sort_values(ascending=False, kind="stable").index].head(strongest)
    figure = _figure(f"Strongest {len(top)} of {len(table):,} coefficients for {label}")
    figure.add_bar(
        x=top[label], y=top["feature"], orientation="h", showlegend=False,
        marker={"color": [VERMILLION if v > 0 else BLUE for v in top[label]]}, hovertemplate="%{y}: %{x:.4f}<extra></extra>",
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", showgrid=False, automargin=True)
    figure.update_xaxes(title=f"Change in log odds of {label} per standard deviation")
    return figure.update_layout(height=100 + 22 * len(top), bargap=0.25)


def _figure(title: str) -> go.Figure:
    return go.Figure().update_layout(
        title={"text": title, "x": 0, "y": 0.98, "yanchor": "top", "font": {"size": 14}}, paper_bgcolor=_CLEAR,
        plot_bgcolor=_CLEAR, margin={"l": 10, "r": 16, "t": 44, "b": 10},
        legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 1, "xanchor": "right"},
    )  # fmt: skip
