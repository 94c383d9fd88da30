"""Figures of several runs on the same cases: metric against cost, shared errors. Plotly, pure functions, n in every title."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from core.figures import BLUE, BLUES, GREY, VERMILLION, titled
from core.records import Estimate

MOST_NAMED = 15  # points with their name beside them


def scatter_figure(
    names: Sequence[str], x: Sequence[float | None], metric: Sequence[Estimate], titles: tuple[str, str], baseline: int
) -> go.Figure:
    """A metric with its interval over seconds or parameters, one point per run; the baseline stands out.

    `titles` names x and metric. Runs without either number are left out and counted in the title. x is logarithmic where
    its values span more than a factor of 20.
    """
    known = [
        i for i, (a, e) in enumerate(zip(x, metric, strict=True))
        if a is not None and np.isfinite(a) and None not in (e.value, e.low, e.high)
    ]  # fmt: skip
    missing = len(names) - len(known)
    remark = f" ({missing} without these numbers)" if missing else ""
    figure = titled(f"{titles[1]} against {titles[0].lower()}, n = {len(known)} runs{remark}")
    if known:
        values = np.array([(metric[i].value, metric[i].low, metric[i].high) for i in known], dtype=float)
        figure.add_scatter(
            x=[x[i] for i in known], y=values[:, 0], mode="markers+text" if len(known) <= MOST_NAMED else "markers",
            text=[names[i] for i in known], textposition="top center",
            error_y={
                "array": values[:, 2] - values[:, 0], "arrayminus": values[:, 0] - values[:, 1], "thickness": 1,
                "color": GREY,
            },
            marker={"size": 10, "color": [VERMILLION if i == baseline else BLUE for i in known]},
            hovertemplate="%{text}<br>%{x:,}<br>%{y:.4f}<extra></extra>", showlegend=False,
        )  # fmt: skip
        positive = [x[i] for i in known if x[i] and x[i] > 0]
        if len(positive) == len(known) and max(positive) > 20 * min(positive):
            figure.update_xaxes(type="log")
    figure.update_xaxes(title=titles[0])
    figure.update_yaxes(title=titles[1])
    return figure.update_layout(height=420)


def shared_errors_figure(share: np.ndarray, names: Sequence[str], n: int) -> go.Figure:
    """How far the errors of two runs are the same cases: share (R, R) in [0, 1], NaN where neither errs."""
    places = list(range(len(names)))
    figure = titled(f"Shared errors: both wrong / either wrong, n = {n:,}")
    figure.add_heatmap(
        x=places, y=places, z=share, zmin=0, zmax=1, colorscale=BLUES, xgap=1, ygap=1,
        customdata=[[f"{a}<br>{b}" for b in names] for a in names],
        hovertemplate="%{customdata}<br>%{z:.2f} of the cases that either gets wrong<extra></extra>",
    )  # fmt: skip
    short = [name if len(name) <= 28 else f"{name[:27]}…" for name in names]
    shown = len(names) <= 25
    figure.update_xaxes(tickvals=places, ticktext=short, automargin=True, showticklabels=shown, showgrid=False)
    figure.update_yaxes(
        tickvals=places, ticktext=short, range=[len(names) - 0.5, -0.5], automargin=True, showticklabels=shown, showgrid=False
    )  # fmt: skip
    return figure.update_layout(height=max(360, min(760, 160 + 34 * len(names))))
