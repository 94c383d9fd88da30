"""Figures of readers: what is drawn is what was computed, n is said, and what is undefined is left out."""

import numpy as np
import pytest

from core import figures_readers
from core.figures import BLUE, GREY
from core.records import Estimate
from core.statistics.agreement_summary import PairwiseMatrix
from core.statistics.mrmc_data import CrossedRatings
from core.statistics.mrmc_planning import PowerGrid


def estimate(value, low=None, high=None, n=10):
    """An estimate, undefined where the value is None."""
    return Estimate(value, low, high, n, "by hand", "" if value is not None else "no pairs")


def matrix(names, cells):
    """A matrix of kappas."""
    return PairwiseMatrix("kappa", tuple(names), tuple(names), cells)


def test_a_matrix_colours_and_numbers_its_pairs():
    """Negative kappas have the colour of 0 and their own number; an undefined one a dash; nobody is compared with themselves."""
    cells = {
        ("Ann", "Bob"): estimate(0.75, 0.5, 0.9, 40),
        ("Bob", "Ann"): estimate(-0.25),
        ("Ann", "Cid"): estimate(None),
    }
    figure = figures_readers.matrix_figure(matrix(["Ann", "Bob", "Cid"], cells), "Kappa")
    heat, numbers = figure.data
    nothing = float("nan")
    np.testing.assert_equal(heat.z, [[nothing, 0.75, nothing], [0.0, nothing, nothing], [nothing, nothing, nothing]])
    assert dict(zip(zip(numbers.y, numbers.x, strict=True), numbers.text, strict=True)) == {
        (0, 1): "0.75", (1, 0): "−0.25", (0, 2): "–",
    }  # fmt: skip
    assert "Ann and Bob" in heat.customdata[0][1]
    assert heat.customdata[0][0] == ""
    assert "n up to 40 cases" in figure.layout.title.text
    assert list(figure.layout.xaxis.ticktext) == ["Ann", "Bob", "Cid"]


def test_a_large_matrix_has_colours_only_and_long_names_are_cut():
    """With seventeen readers numbers would lie on each other; the pairs stay on hovering."""
    names = [f"A reader with a rather long name {i}" for i in range(17)]
    figure = figures_readers.matrix_figure(matrix(names, {(names[0], names[1]): estimate(0.5, 0.4, 0.6)}), "Kappa")
    heat, numbers = figure.data
    assert len(numbers.text) == 0
    assert heat.customdata[0][1].startswith(f"{names[0]} and {names[1]}")
    assert {len(name) for name in figure.layout.yaxis.ticktext} == {22}


def test_an_empty_matrix_is_a_figure_too():
    """No readers, no pairs, no fault."""
    assert "n up to 0" in figures_readers.matrix_figure(matrix([], {}), "Kappa").layout.title.text


RATINGS = np.array([[[1, 2, 3, 4], [1, 3, 2, 4]]], dtype=float)  # (T, R, N): the first reader ranks without a fault


def crossed(modalities=("unaided",)):
    """Two readers of four cases, the last two positive; the same ratings in each modality."""
    ratings = np.repeat(RATINGS, len(modalities), axis=0)
    return CrossedRatings(tuple(modalities), ("Ann", "Bob"), ("a", "b", "c", "d"), np.array([0, 0, 1, 1]), ratings)


def test_roc_curves_of_readers_and_their_mean():
    """Ann: (0, 0), (0, 1), (1, 1). Bob turns at (0, ½), (½, ½), (½, 1). Between them the mean sensitivity at a quarter is ¾."""
    ann, bob, mean = figures_readers.readers_roc_figure(crossed()).data
    assert {(0.0, 0.0), (0.0, 1.0), (1.0, 1.0)} <= set(zip(ann.x, ann.y, strict=True))
    assert {(0.0, 0.5), (0.5, 0.5), (0.5, 1.0)} <= set(zip(bob.x, bob.y, strict=True))
    assert mean.y[list(mean.x).index(0.25)] == pytest.approx(0.75)
    assert (mean.name, mean.line.color) == ("Unaided, mean", GREY)


def test_modalities_and_the_model_are_told_apart():
    """Aided is blue, the model dashed; the title says how many cases and readers."""
    figure = figures_readers.readers_roc_figure(crossed(("unaided", "aided")), np.array([0.1, 0.2, 0.8, 0.9]))
    named = {trace.name: trace for trace in figure.data if trace.name}
    assert set(named) == {"Unaided, mean", "Aided, mean", "Model alone"}
    assert named["Aided, mean"].line.color == BLUE
    assert named["Model alone"].line.dash == "dash"
    assert figure.layout.title.text == "ROC curves, n = 4 cases, 2 readers"
    assert "Model alone" not in {trace.name for trace in figures_readers.readers_roc_figure(crossed()).data}


def test_power_is_a_line_for_each_number_of_readers():
    """The values of the grid, and the power that is wanted as a dotted line."""
    power = np.array([[0.1, 0.3], [0.5, 0.9]])
    figure = figures_readers.power_figure(PowerGrid((3, 6), (50, 200), power, 0.05, 0.05, "readers and cases"), 0.9)
    assert [trace.name for trace in figure.data] == ["3", "6"]
    assert [list(trace.y) for trace in figure.data] == power.tolist()
    assert list(figure.data[1].x) == [50, 200]
    assert figure.layout.shapes[0].y0 == 0.9


def test_groups_show_intervals_and_leave_out_what_has_none():
    """The error bars reach from low to high; n is of those that are shown; below 0 the axis follows."""
    groups = {"one": estimate(0.5, 0.25, 0.75, 20), "none": estimate(None), "two": estimate(0.0, -0.5, 0.5, 30)}
    figure = figures_readers.groups_figure(groups, "By month", "Kappa")
    (trace,) = figure.data
    assert (list(trace.x), list(trace.y)) == (["one", "two"], [0.5, 0.0])
    assert list(trace.error_y.array) == [0.25, 0.5]
    assert list(trace.error_y.arrayminus) == [0.25, 0.5]
    assert figure.layout.title.text == "By month, n = 50"
    assert figure.layout.yaxis.range[0] == pytest.approx(-0.52)
    assert len(figures_readers.groups_figure({}, "By month", "Kappa").data[0].x) == 0


def test_a_matrix_of_many_readers_finds_room_for_its_names_at_once():
    """Beyond the numbered ones every so many columns are named, upright, within margins that are set; few readers as ever."""
    names = tuple(f"reader {i:02}" for i in range(60))
    many = figures_readers.matrix_figure(PairwiseMatrix("kappa", names, names, {}), "Kappa")
    assert not many.layout.xaxis.automargin
    assert len(many.layout.xaxis.ticktext) == 20
    assert (many.layout.xaxis.tickangle, many.layout.margin.l, many.layout.margin.b) == (90, 73, 73)
    few = figures_readers.matrix_figure(PairwiseMatrix("kappa", names[:3], names[:3], {}), "Kappa")
    assert few.layout.xaxis.automargin
    assert len(few.layout.xaxis.ticktext) == 3
