"""Tables of `explore` and `pictures` -> Plotly figures, in the manner of `core.figures`: n in every title, no background."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from core.figures import BLUE, GREY, titled

# Okabe and Ito's colours in an order whose neighbours differ most; the last is for "missing" and "other".
_HUES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#9467BD", "#8C564B")
_MOST_SVG = 1500  # points; beyond it WebGL draws faster


def distribution_figure(distribution: pd.DataFrame, name: str) -> go.Figure:
    """Bars of a column's `distribution`: how many cases have each value."""
    n = int(distribution["n"].sum())
    figure = titled(f"{name}, n = {n:,}")
    figure.add_bar(
        x=distribution["value"], y=distribution["n"], marker_color=BLUE, customdata=distribution["percent"],
        hovertemplate="%{x}<br>%{y:,} cases (%{customdata:.1f} %)<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(type="category", automargin=True)
    return figure.update_layout(height=240, bargap=0.15, margin={"t": 40})


def share_figure(cross: pd.DataFrame, name: str, class_name: str) -> go.Figure:
    """A `cross_table`: the share of one class in each group, with its 95 % interval; the line is the share in all cases."""
    n, k = int(cross["n"].sum()), int(cross["k"].sum())
    figure = titled(f"{class_name} by {name}, n = {n:,}")
    figure.add_hline(y=100 * k / max(n, 1), line={"color": GREY, "dash": "dot", "width": 1})
    value = 100 * cross["share"]
    # Lists: Plotly sends arrays of two dimensions in a form that hover texts cannot index.
    hover = cross[["k", "n", "low", "high"]].to_numpy().tolist()
    figure.add_scatter(
        x=cross["value"], y=value, mode="markers", marker={"color": BLUE, "size": 9}, customdata=hover,
        error_y={"array": 100 * cross["high"] - value, "arrayminus": value - 100 * cross["low"], "thickness": 1.5, "color": BLUE},
        hovertemplate="%{x}<br>%{y:.2f} %: %{customdata[0]:,} of %{customdata[1]:,}<br>"
        "95 % %{customdata[2]:.2%} to %{customdata[3]:.2%}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(type="category", title=name, automargin=True)
    figure.update_yaxes(title=f"{class_name} (%)", rangemode="tozero")
    return figure.update_layout(height=380, showlegend=False)


def shift_figure(groups: pd.DataFrame, statistic: str, name: str) -> go.Figure:
    """One statistic of the pictures by group (`pictures.by_group`): box from the quartiles, whiskers from 5 % to 95 %."""
    figure = titled(f"Brightness ({statistic}) by {name}, n = {int(groups['n'].sum()):,}")
    figure.add_box(
        x=[f"{row.value}<br>n = {row.n:,}" for row in groups.itertuples()], lowerfence=groups["q05"], q1=groups["q25"],
        median=groups["median"], q3=groups["q75"], upperfence=groups["q95"], mean=groups["mean"], marker_color=BLUE,
    )  # fmt: skip
    figure.update_xaxes(type="category", title=name, automargin=True)
    figure.update_yaxes(title="Display brightness" if statistic != "dark" else "Share of dark pixels")
    return figure.update_layout(height=400, showlegend=False)


def map_figure(points: np.ndarray, rows: np.ndarray, colour: pd.Series, texts: pd.Series) -> go.Figure:
    """Cases as points (N, 2), coloured by the categories `colour` (N,); a lasso gives back their `rows` as customdata.

    `texts` (N,) are shown on hovering. Categories beyond the eighth share grey.
    """
    figure = titled(f"{colour.name}, n = {len(points):,}")
    names = [str(c) for c in colour.cat.categories]
    codes = np.where(colour.isna(), len(names), colour.cat.codes)
    draw = go.Scattergl if len(points) > _MOST_SVG else go.Scatter
    for code, name in enumerate([*names, "missing"]):
        here = np.flatnonzero(codes == code)
        if not len(here):
            continue
        hue = _HUES[code] if code < min(len(names), len(_HUES)) else GREY
        figure.add_trace(
            draw(
                x=points[here, 0], y=points[here, 1], mode="markers", name=f"{name} ({len(here):,})",
                marker={"color": hue, "size": 7, "opacity": 0.75}, customdata=rows[here].tolist(),
                text=texts.to_numpy()[here], hovertemplate="%{text}<extra></extra>",
            )
        )  # fmt: skip
    figure.update_xaxes(title="First axis", zeroline=False, showgrid=False, showticklabels=False)
    figure.update_yaxes(title="Second axis", zeroline=False, showgrid=False, showticklabels=False)
    return figure.update_layout(height=560, dragmode="lasso")
