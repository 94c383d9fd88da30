"""Figures of features say what they show, with n, and draw every side."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from core.features import FAMILIES
from core.features.figures import (
    Strip,
    coefficients_figure,
    histogram_figure,
    histogram_groups,
    matrix_figure,
    strip_figure,
)

CLASSES = ("benign", "malignant")


def strip(n=6):
    """A feature 0, 1, 2 … of benign and malignant cases in turn, the last one undefined."""
    values = np.arange(n, dtype=float)
    values[-1] = np.nan
    return Strip("glcm.contrast", "levels²", values, np.array(CLASSES)[np.arange(n) % 2])


def test_histograms_are_found_by_their_names():
    """Eight or more numbered features are bins; others are not."""
    names = [*(f"a.b.{i}" for i in range(8)), *(f"c.{i}" for i in range(7)), "mean", "p05", "contrast.d1.a000"]
    assert histogram_groups(names) == {"a.b": [f"a.b.{i}" for i in range(8)]}
    grey = np.random.default_rng(0).random((16, 16)).astype(np.float32)
    assert list(histogram_groups(list(FAMILIES["lbp"].values(grey)))) == ["uniform", "ror", "default"]


def test_a_histogram_has_one_bar_series_for_each_side():
    """Bins in their order, values those of the side."""
    figure = histogram_figure("t", ["h.0", "h.1"], {"A": {"h.0": 0.25, "h.1": 0.75}, "B": {"h.0": 1.0, "h.1": 0.0}})
    assert [list(bar.y) for bar in figure.data] == [[0.25, 0.75], [1.0, 0.0]]
    assert list(figure.data[0].x) == ["0", "1"]


def test_a_strip_counts_what_is_defined():
    """n is the number of finite values, in the title and for each class; the case is a line at its value."""
    figure = strip_figure(strip(), CLASSES, {"A": 2.5})
    assert figure.layout.title.text == "glcm.contrast, n = 5"
    assert list(figure.layout.yaxis.ticktext) == ["benign, n = 3", "malignant, n = 2"]
    (line,) = [trace for trace in figure.data if trace.name == "A"]
    assert list(line.x) == [2.5, 2.5]
    dots = [trace for trace in figure.data if trace.mode == "markers"]
    assert [sorted(trace.x) for trace in dots] == [[0, 2, 4], [1, 3]]


def test_a_strip_draws_at_most_400_points_of_a_class_and_keeps_the_ends():
    """Ten thousand cases are thinned, but not their smallest and largest."""
    figure = strip_figure(strip(10_000), CLASSES, {})
    dots = [np.array(trace.x) for trace in figure.data if trace.mode == "markers"]
    assert [len(x) for x in dots] == [400, 400]
    assert (dots[0].min(), dots[0].max()) == (0, 9998)


def test_a_class_without_cases_leaves_its_row_empty():
    """Nothing is drawn, and n = 0 says so."""
    only = Strip("f", "1", np.array([1.0]), np.array(["benign"]))
    assert list(strip_figure(only, CLASSES, {}).layout.yaxis.ticktext) == ["benign, n = 1", "malignant, n = 0"]


def test_the_matrix_shows_shares_on_hover_and_roots_as_colours():
    """Level 0 is on top, as in a printed matrix."""
    (cells,) = matrix_figure(np.array([[0.25, 0.0], [0.0, 0.75]]), "t").data
    assert np.array(cells.z).ravel() == pytest.approx([0.5, 0, 0, np.sqrt(0.75)])
    assert np.array(cells.customdata)[1, 1] == 0.75


def test_coefficients_come_strongest_first_whatever_their_sign():
    """The two strongest of three."""
    table = pd.DataFrame({"feature": ["a", "b", "c"], "family": "f", "malignant": [0.1, -0.5, 0.3]})
    (bars,) = coefficients_figure(table, "malignant", 2).data
    assert list(bars.y) == ["b", "c"]
    assert list(bars.x) == [-0.5, 0.3]
