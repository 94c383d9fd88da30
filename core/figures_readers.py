"""Figures of readers: pairwise matrices, ROC curves of a panel, power of a planned study, agreement over groups. Plotly, pure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from core.figures import BLUE, BLUES, GREY, VERMILLION, WHITE_TEXT_FROM, estimate_text, titled
from core.records import Estimate
from core.statistics.agreement_summary import PairwiseMatrix
from core.statistics.discrimination import roc_curve, thin
from core.statistics.mrmc_data import CrossedRatings
from core.statistics.mrmc_planning import PowerGrid

MOST_NAMED = 26  # columns whose names have room beside each other upright; hovering names the others
MOST_NUMBERED = 16  # readers beside whom the cells still have room for numbers
MOST_LEVEL = 48  # letters of names that stand level beneath a matrix in half a narrow window
_GREEN = "#009E73"
_COLOURS = {"unaided": GREY, "aided": BLUE}


def matrix_figure(matrix: PairwiseMatrix, title: str) -> go.Figure:
    """One statistic of every two readers as coloured cells (−1 … 1 cut to 0 … 1) with numbers; intervals and n on hovering."""
    rows, columns = list(range(len(matrix.rows))), list(range(len(matrix.columns)))
    cells = {(i, j): matrix.estimates.get((matrix.rows[i], matrix.columns[j])) for i in rows for j in columns}
    # Arrays: Plotly looks at nested lists number by number.
    z = np.array([[_value(cells[i, j]) for j in columns] for i in rows], dtype=np.float64)
    hover = np.array([[_hover(matrix, i, j, cells[i, j]) for j in columns] for i in rows], dtype=object)
    n = max((e.n for e in cells.values() if e is not None), default=0)
    figure = titled(f"{title}, n up to {n:,} cases a pair")
    figure.add_heatmap(
        x=columns, y=rows, z=z, zmin=0, zmax=1, colorscale=BLUES, xgap=2, ygap=2, showscale=False, customdata=hover,
        hovertemplate="%{customdata}<extra></extra>",
    )  # fmt: skip
    shown = [c for c in cells if cells[c] is not None and max(len(rows), len(columns)) <= MOST_NUMBERED]
    ink = ["#ffffff" if 100 * (_value(cells[c]) or 0) >= WHITE_TEXT_FROM else "#000000" for c in shown]
    figure.add_scatter(
        x=[j for _, j in shown], y=[i for i, _ in shown], text=[_number(cells[c]) for c in shown], mode="text",
        textfont={"size": 13, "color": ink}, hoverinfo="skip", showlegend=False,
    )  # fmt: skip
    many = max(len(rows), len(columns)) > MOST_NUMBERED
    common = {"showgrid": False, "zeroline": False, "automargin": not many}
    names = _short(matrix.columns)
    level = max(map(len, names), default=0) * len(names) <= MOST_LEVEL
    slant = 0 if level else 90 if many else -40  # slanted the other way, the last name is cut off
    step = max(1, -(-len(columns) // MOST_NAMED))
    figure.update_xaxes(
        tickvals=columns[::step], ticktext=names[::step], tickangle=slant, range=[-0.5, len(columns) - 0.5], **common
    )
    figure.update_yaxes(tickvals=rows, ticktext=_short(matrix.rows), range=[len(rows) - 0.5, -0.5], **common)
    if many:  # room for the names is set here: a chart that finds it by itself is drawn three times over
        left, below = (10 + 7 * max(map(len, own)) for own in (_short(matrix.rows), names))
        figure.update_layout(margin={"l": left, "b": 40 if level else below})
    return figure.update_layout(height=max(240, min(760, 150 + 42 * len(rows))))


def readers_roc_figure(study: CrossedRatings, model: np.ndarray | None = None) -> go.Figure:
    """Each reader's ROC curve, thin, and the mean of each modality's curves, thick; the model's own where `model` (N,) is given.

    The mean is of sensitivities at equal specificity (vertical averaging), for the eye only: no test is made of it.
    """
    figure = titled(f"ROC curves, n = {len(study.truth):,} cases, {len(study.readers)} readers")
    grid = np.linspace(0, 1, 201)
    for t, modality in enumerate(study.modalities):
        colour, heights = _COLOURS.get(modality, VERMILLION), []
        for r, reader in enumerate(study.readers):
            curve = roc_curve(study.truth, study.ratings[t, r])
            heights.append(np.interp(grid, curve.fpr, curve.tpr))
            drawn = thin(curve, 100)
            figure.add_scatter(
                x=drawn.fpr, y=drawn.tpr, mode="lines", line={"color": colour, "width": 1}, opacity=0.35,
                showlegend=False, hovertemplate=f"{reader}, {modality}<extra></extra>",
            )  # fmt: skip
        figure.add_scatter(
            x=grid, y=np.mean(heights, axis=0), mode="lines", name=f"{modality.capitalize()}, mean",
            line={"color": colour, "width": 3}, hovertemplate=f"{modality}, mean<br>sensitivity %{{y:.3f}}<extra></extra>",
        )  # fmt: skip
    if model is not None:
        drawn = thin(roc_curve(study.truth, model), 200)
        figure.add_scatter(
            x=drawn.fpr, y=drawn.tpr, mode="lines", name="Model alone", line={"color": VERMILLION, "width": 2, "dash": "dash"},
            hovertemplate="model<br>sensitivity %{y:.3f}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title="1 − specificity", range=[-0.01, 1.01], constrain="domain")
    figure.update_yaxes(title="Sensitivity", range=[-0.01, 1.01], scaleanchor="x", constrain="domain")
    return figure.update_layout(height=480)


def power_figure(grid: PowerGrid, wanted: float = 0.8) -> go.Figure:
    """Power over cases, one line for each number of readers; a dotted line at the power that is wanted."""
    figure = titled(f"Power to find a difference of {grid.difference:.3g}, by readers")
    shades = [BLUE, VERMILLION, _GREEN, "#CC79A7", "#E69F00", "#56B4E9", GREY]
    for i, readers in enumerate(grid.readers):
        figure.add_scatter(
            x=list(grid.cases), y=grid.power[i], mode="lines", name=f"{readers}",
            line={"color": shades[i % len(shades)], "width": 2},
            hovertemplate=f"{readers} readers, %{{x:,}} cases: %{{y:.2f}}<extra></extra>",
        )  # fmt: skip
    figure.add_hline(y=wanted, line={"dash": "dot", "color": GREY})
    scope = f"level {grid.alpha:g}, generalises to {grid.generalises_to}"  # a longer title is cut in a narrow window
    figure.update_xaxes(title=f"Cases ({scope})", type="log", tickvals=[20, 50, 100, 200, 500, 1000, 2000, 5000])
    figure.update_yaxes(title="Power", range=[0, 1.02])
    return figure.update_layout(height=400, legend_entrywidth=50)


def groups_figure(groups: Mapping[str, Estimate], title: str, axis: str, n: int | None = None) -> go.Figure:
    """One estimate per group with its interval, in the order given; groups without an interval are left out.

    `n` is of all groups together where one reading can stand in several; by default the groups' own are added.
    """
    known = {name: e for name, e in groups.items() if None not in (e.value, e.low, e.high)}
    figure = titled(f"{title}, n = {sum(e.n for e in known.values()) if n is None else n:,}")
    values = np.array([(e.value, e.low, e.high) for e in known.values()], dtype=float).reshape(-1, 3)
    figure.add_scatter(
        x=list(known), y=values[:, 0], mode="markers", marker={"size": 9, "color": BLUE}, showlegend=False,
        error_y={"array": values[:, 2] - values[:, 0], "arrayminus": values[:, 0] - values[:, 1], "color": GREY, "thickness": 1.5},
        customdata=[estimate_text(e) for e in known.values()], hovertemplate="%{x}<br>%{customdata}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(type="category", automargin=True)
    figure.update_yaxes(title=axis, range=[min(0.0, float(values[:, 1].min(initial=0))) - 0.02, 1.02])
    return figure.update_layout(height=340)


def _value(estimate: Estimate | None) -> float | None:
    return None if estimate is None or estimate.value is None else max(0.0, estimate.value)


def _number(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return "–"
    return f"{estimate.value:.2f}".replace("-", "−")


def _hover(matrix: PairwiseMatrix, i: int, j: int, estimate: Estimate | None) -> str:
    names = f"{matrix.rows[i]} and {matrix.columns[j]}"
    return "" if estimate is None else f"{names}<br>{estimate_text(estimate)}"


def _short(names: tuple[str, ...]) -> list[str]:
    return [name if len(name) <= 22 else f"{name[:21]}…" for name in names]
