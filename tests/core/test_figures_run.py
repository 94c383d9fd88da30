"""The dashboards' further figures hold the numbers they were given, say n, and never break on what is undefined."""

from __future__ import annotations

import json

import numpy as np
import plotly.graph_objects as go
import pytest

from core.figures import confusion_figure
from core.figures_comparison import scatter_figure, shared_errors_figure
from core.figures_run import (
    calibration_figure,
    clickable,
    decision_figure,
    forest_figure,
    histogram_figure,
    line_style,
    pr_figure,
    rocs_figure,
)
from core.records import Estimate
from core.statistics.calibration import calibration_bins
from core.statistics.decision import decision_curve
from core.statistics.discrimination import roc_curve
from core.statistics.precision_recall import pr_curve

Y = np.arange(200) % 2
SCORES = np.clip(0.5 * Y + np.random.default_rng(0).random(200) / 2, 0, 1)
KNOWN = Estimate(0.8, 0.7, 0.9, 200, "x")
NOTHING = Estimate(None, None, None, 0, "x", "no cases")


def trace(figure: go.Figure, name: str):
    """The one trace of that name."""
    (found,) = [t for t in figure.data if t.name == name]
    return found


def title(figure: go.Figure) -> str:
    """Its title; the figure must be JSON without NaN, as a browser needs it."""
    json.loads(figure.to_json(), parse_constant=lambda text: pytest.fail(f"{text} in the figure"))
    return figure.layout.title.text


def test_every_cell_of_a_matrix_can_be_clicked():
    """One invisible mark per cell at its row and column, with the cell's own hover."""
    figure = clickable(confusion_figure(np.array([[5, 1], [2, 8]]), ("benign", "malignant")))
    marks = figure.data[-1]
    assert sorted(zip(marks.y, marks.x, strict=True)) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    place = list(zip(marks.y, marks.x, strict=True)).index((0, 1))
    assert "1 of 6 cases" in marks.customdata[place][2]
    assert marks.marker.opacity == 0


def test_24_lines_differ():
    """By colour and dash together."""
    assert len({(style["color"], style["dash"]) for style in map(line_style, range(24))}) == 24
    assert line_style(24) == line_style(0)


def test_pr_curve_with_prevalence_and_point():
    """The curve's ends, the prevalence as chance, the operating point where it was given."""
    figure = pr_figure(pr_curve(Y, SCORES), KNOWN, 0.5, (0.9, 0.75, "youden"))
    assert title(figure) == "Precision–recall curve, n = 200"
    assert list(trace(figure, "Prevalence").y) == [0.5, 0.5]
    assert (trace(figure, "youden").x[0], trace(figure, "youden").y[0]) == (0.9, 0.75)
    assert trace(figure, "Model").x[0] == 0
    bare = pr_figure(pr_curve(np.zeros(3, int), np.zeros(3)), NOTHING, float("nan"), None)
    assert title(bare) == "Precision–recall curve, n = 0"
    assert not bare.data


def test_roc_curves_are_thinned_and_named():
    """Each curve ends at (1, 1) with at most the points asked for; an empty one leaves the others alone."""
    figure = rocs_figure(
        {"a": roc_curve(Y, SCORES), "b": roc_curve(Y, -SCORES), "none": roc_curve(Y * 0, SCORES)},
        "ROC curves",
        200,
        points=20,
    )
    assert title(figure) == "ROC curves, n = 200"
    for name in "ab":
        assert len(trace(figure, name).x) <= 20
        assert (trace(figure, name).x[-1], trace(figure, name).y[-1]) == (1, 1)


def test_calibration_counts_and_intervals():
    """Bins without cases are not drawn as points; every bin's count is under it; Wilson's interval holds its point."""
    figure = calibration_figure(calibration_bins(Y, SCORES), KNOWN, "malignant")
    model = trace(figure, "Model")
    assert title(figure) == "Calibration, n = 200"
    assert sum(trace(figure, "Cases").y) == 200
    assert len(model.x) == np.count_nonzero(calibration_bins(Y, SCORES).counts)
    low = np.array(model.y) - model.error_y.arrayminus
    assert ((low >= 0) & (np.array(model.y) + model.error_y.array <= 1)).all()
    assert title(calibration_figure(calibration_bins(Y[:0], SCORES[:0]), NOTHING, "x")) == "Calibration, n = 0"


def test_histogram_shares_sum_to_100_per_class():
    """Each class by itself, so that a rare one can be seen; a class without cases is left out."""
    figure = histogram_figure(SCORES, Y, ("benign", "malignant", "other"), "Probability", 0.5)
    assert title(figure) == "Scores by class, n = 200"
    assert [t.name for t in figure.data] == ["benign (n = 100)", "malignant (n = 100)"]
    assert [sum(t.y) for t in figure.data] == pytest.approx([100, 100])
    assert [sum(t.customdata) for t in figure.data] == [100, 100]


def test_a_forest_names_undefined_groups_with_the_reason():
    """Two groups, one of them undefined: one point, both texts, the overall line."""
    figure = forest_figure([("A (n = 20)", KNOWN), ("B (n = 3)", NOTHING)], KNOWN, "AUC by site", "AUC")
    assert title(figure) == "AUC by site, n = 200"
    assert list(figure.data[0].x) == [0.8]
    texts = [a.text for a in figure.layout.annotations]
    assert "undefined: no cases" in texts
    assert figure.layout.shapes[0].x0 == 0.8


def test_decision_curve_has_both_policies():
    """Model and act-on-all start together at prevalence; acting on none is the line at 0."""
    figure = decision_figure(decision_curve(Y, SCORES))
    assert title(figure) == "Decision curve, n = 200"
    assert trace(figure, "Act on all").y[0] == pytest.approx(0.5 - 0.5 * 0.01 / 0.99)
    assert figure.layout.shapes[0].y0 == 0


def test_a_scatter_leaves_out_what_is_unknown_and_says_how_many():
    """Three runs, one without seconds, one without AUC: one point; wide spreads get a logarithmic axis."""
    figure = scatter_figure(["a", "b", "c"], [1.0, None, 3.0], [KNOWN, KNOWN, NOTHING], ("Seconds", "AUC"), 0)
    assert title(figure) == "AUC against seconds, n = 1 runs (2 without these numbers)"
    assert (list(figure.data[0].x), list(figure.data[0].y)) == ([1.0], [0.8])
    wide = scatter_figure(["a", "b"], [1.0, 100.0], [KNOWN, KNOWN], ("Seconds", "AUC"), 0)
    assert wide.layout.xaxis.type == "log"
    assert title(scatter_figure(["a"], [None], [KNOWN], ("Seconds", "AUC"), 0)).startswith("AUC against seconds, n = 0")


def test_shared_errors_keep_their_places():
    """The table as given; more than 25 runs have no tick labels, only hover."""
    share = np.array([[1.0, 0.25], [0.25, np.nan]])
    figure = shared_errors_figure(share, ["a", "b"], 60)
    assert title(figure).endswith("n = 60")
    np.testing.assert_array_equal(np.array(figure.data[0].z, dtype=float), share)
    assert figure.layout.xaxis.showticklabels
    assert not shared_errors_figure(np.ones((26, 26)), [str(i) for i in range(26)], 60).layout.xaxis.showticklabels
