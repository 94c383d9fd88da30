"""Figures hold the numbers they were given, say n, and never break on what is undefined."""

from __future__ import annotations

import json

import numpy as np
import plotly.graph_objects as go
import pytest
from plotly.colors import hex_to_rgb

from core import figures
from core.figures import agreement_figure, confusion_figure, estimate_text, history_figure, roc_figure
from core.records import Estimate
from core.statistics.discrimination import auc, roc_curve
from core.tasks import get_task

TWO = ("benign", "malignant")
VGG16 = np.array([[1005, 933], [777, 4136]])
HISTORY = (
    {"epoch": 1, "train_loss": 0.70, "val_loss": 0.71, "train_accuracy": 0.50, "val_accuracy": 0.55},
    {"epoch": 2, "train_loss": 0.60, "val_loss": 0.62, "train_accuracy": 0.60, "val_accuracy": 0.70},
    {"epoch": 3, "train_loss": 0.50, "val_loss": 0.66, "train_accuracy": 0.80, "val_accuracy": 0.70},
)


def scored(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n,) and scores (n,) without ties."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 2
    return labels, rng.normal(size=n) + labels


def trace(figure: go.Figure, name: str) -> go.Scatter:
    """The one trace of that name."""
    (found,) = [t for t in figure.data if t.name == name]
    return found


def contrast(a: str, b: str) -> float:
    """Contrast ratio of two hex colours (WCAG 2.2)."""

    def luminance(colour: str) -> float:
        c = np.array(hex_to_rgb(colour)) / 255
        return float(np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])

    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


# -- Estimates as text -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.912, 0.8701, 0.9449, 300, "DeLong"), "0.91 (0.87–0.94), n = 300"),
        (Estimate(0.5, 0.4, 0.6, 6851, "Wilson"), "0.50 (0.40–0.60), n = 6,851"),
        (Estimate(0.998, 0.9971, 0.9986, 3421, "x"), "0.998 (0.997–0.999), n = 3,421"),
        (Estimate(1.0, 0.8, 1.0, 20, "x"), "1.00 (0.80–1.00), n = 20"),
        (Estimate(0.0, 0.0, 0.161, 20, "x"), "0.00 (0.00–0.16), n = 20"),
        (Estimate(0.05, -0.12, 0.22, 50, "x"), "0.05 (−0.12 to 0.22), n = 50"),
        (Estimate(None, None, None, 5, "DeLong", "no cancers"), "undefined: no cancers"),
        (Estimate(None, None, None, 5, "DeLong"), "undefined"),
        (Estimate(0.7, None, None, 1, "x", "one case"), "not shown: one case"),
    ],
)
def test_estimates_as_text(estimate, text):
    """Value, interval and n in one line; 0.998 does not read 1.00; what has no interval shows no value."""
    assert estimate_text(estimate) == text


def test_digits_can_be_chosen():
    """Three digits where a page wants three."""
    assert estimate_text(Estimate(0.9126, 0.87, 0.945, 300, "DeLong"), 3) == "0.913 (0.870–0.945), n = 300"


# -- Confusion and agreement -------------------------------------------------------------------------------------------


def test_confusion_figure_shows_counts_and_row_percentages():
    """R1's VGG16: rows are the reference standard, colours and texts are the row's shares, n is in the title."""
    figure = confusion_figure(VGG16, TWO, "VGG16, test")
    heat, text = figure.data
    np.testing.assert_allclose(heat.z, [[51.857585, 48.142415], [15.815184, 84.184816]], atol=1e-6)
    assert list(text.text) == ["1,005<br>51.9 %", "933<br>48.1 %", "777<br>15.8 %", "4,136<br>84.2 %"]
    assert [(x, y) for x, y in zip(text.x, text.y, strict=True)] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert figure.layout.title.text == "VGG16, test, n = 6,851"
    assert figure.layout.yaxis.title.text == "Reference standard"
    assert figure.layout.xaxis.title.text == "Predicted"
    assert list(figure.layout.yaxis.ticktext) == ["benign", "malignant"]
    assert list(heat.customdata[1][0]) == ["malignant", "benign", "777 of 4,913 cases (15.8 %)"]


def test_the_first_class_is_the_top_row():
    """The vertical axis runs downwards, so the figure reads like the matrix."""
    low, high = confusion_figure(VGG16, TWO).layout.yaxis.range
    assert low > high


def test_eight_classes_are_named_and_taller():
    """Blood cells: eight rows with readable names, more room, smaller text, no underscores."""
    task = get_task("blood-cells")
    figure = confusion_figure(np.diag([244, 624, 311, 579, 243, 284, 666, 470]), task.classes)
    assert figure.layout.title.text.endswith("n = 3,421")
    assert "immature granulocyte" in figure.layout.yaxis.ticktext
    assert "immature<br>granulocyte" in figure.layout.xaxis.ticktext
    assert figure.layout.height > confusion_figure(VGG16, TWO).layout.height
    assert figure.data[1].textfont.size < confusion_figure(VGG16, TWO).data[1].textfont.size


def test_a_class_without_cases_has_no_percentage():
    """An empty row shows 0 cases and a dash: its share is undefined, not 0 %."""
    figure = confusion_figure(np.array([[0, 0], [1, 3]]), TWO)
    assert list(figure.data[1].text) == ["0<br>–", "0<br>–", "1<br>25.0 %", "3<br>75.0 %"]
    assert confusion_figure(np.zeros((2, 2)), TWO).layout.title.text.endswith("n = 0")


def test_one_class_makes_a_figure():
    """A single class is one cell."""
    assert confusion_figure(np.array([[4]]), ("benign",)).data[1].text[0] == "4<br>100.0 %"


def test_classes_and_matrix_must_fit():
    """Three names for two rows raise ValueError."""
    with pytest.raises(ValueError, match=r"shape \(3, 3\)"):
        confusion_figure(VGG16, ("a", "b", "c"))


def test_agreement_figure_names_reviewer_and_model():
    """The same picture, with the reviewer in rows and the model in columns."""
    figure = agreement_figure(np.array([[8, 2], [1, 9]]), TWO)
    assert figure.layout.title.text == "Reviewer and model, n = 20"
    assert (figure.layout.yaxis.title.text, figure.layout.xaxis.title.text) == ("Reviewer", "Model")
    assert list(figure.data[1].text)[1] == "2<br>20.0 %"
    assert "Reviewer: %{customdata[0]}" in figure.data[0].hovertemplate


@pytest.mark.parametrize("share", range(0, 101, 4))
def test_cell_text_is_legible_at_every_share(share):
    """Black or white, the text of a cell has a contrast of 4.5 or more with its blue."""
    figure = confusion_figure(np.array([[share, 100 - share], [0, 1]]), TWO)
    (_, pale), (_, dark) = figures.BLUES
    mixed = np.array(hex_to_rgb(pale)) + (np.array(hex_to_rgb(dark)) - hex_to_rgb(pale)) * share / 100
    cell = "#" + "".join(f"{round(v):02x}" for v in mixed)
    assert contrast(figure.data[1].textfont.color[0], cell) >= 4.5


# -- ROC curve ---------------------------------------------------------------------------------------------------------


def test_roc_figure_draws_the_curve_it_was_given():
    """A short curve is drawn point by point, with thresholds, the operating point, AUC and n."""
    labels, scores = [0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]
    curve, area = roc_curve(labels, scores), auc(labels, scores)
    figure = roc_figure(curve, area, (0.5, 1.0, "youden, threshold 0.225"), 4)
    line, point = trace(figure, "Model"), trace(figure, "youden, threshold 0.225")
    assert list(line.x) == curve.fpr.tolist()
    assert list(line.y) == curve.tpr.tolist()
    assert list(line.customdata) == ["above every score", "0.8", "0.4", "0.35", "0.1"]
    assert (list(point.x), list(point.y)) == ([0.5], [1.0])
    assert figure.layout.title.text == "ROC curve, n = 4"
    assert figure.layout.annotations[0].text == f"AUC {estimate_text(area)}"
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("1 − specificity", "Sensitivity")


def test_a_long_roc_curve_is_thinned():
    """20,000 cases are drawn with at most 400 points, in less than 40 kB."""
    labels, scores = scored(20_000)
    figure = roc_figure(roc_curve(labels, scores), auc(labels, scores), None, 20_000)
    assert 100 < len(trace(figure, "Model").x) <= 400
    figure.layout.template = None  # the page's theme is not part of the figure
    assert len(figure.to_json()) < 40_000


def test_roc_figure_of_one_class_says_why_it_is_empty():
    """No curve, no point: the chance line and the reason remain."""
    figure = roc_figure(roc_curve([1, 1], [0.2, 0.4]), auc([1, 1], [0.2, 0.4]), None, 2)
    assert [t.name for t in figure.data] == ["Chance"]
    assert figure.layout.annotations[0].text == "AUC undefined: the reference standard holds one class only"


# -- Training history --------------------------------------------------------------------------------------------------


def test_history_figure_marks_the_lowest_validation_loss():
    """Both losses over epochs, and epoch 2 marked at 0.62."""
    figure = history_figure(HISTORY, "loss")
    assert list(trace(figure, "Training").y) == [0.70, 0.60, 0.50]
    assert list(trace(figure, "Validation").y) == [0.71, 0.62, 0.66]
    assert list(trace(figure, "Validation").x) == [1, 2, 3]
    best = trace(figure, "Lowest, epoch 2")
    assert (list(best.x), list(best.y)) == ([2], [0.62])
    assert figure.layout.title.text == "Loss, n = 3 epochs"
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("Epoch", "Loss")


def test_history_figure_marks_the_highest_accuracy_earliest():
    """Accuracy 0.70 is reached twice; the first time is marked."""
    best = trace(history_figure(HISTORY, "accuracy"), "Highest, epoch 2")
    assert list(best.y) == [0.70]


def test_history_gaps_are_left_out():
    """Missing or non-finite values make no points, and epochs without numbers are counted from 1."""
    rows = ({"val_auc": float("nan")}, {"val_auc": 0.8}, {})
    figure = history_figure(rows, "auc")
    assert [t.name for t in figure.data] == ["Validation", "Highest, epoch 2"]
    assert list(trace(figure, "Validation").x) == [2]
    assert figure.layout.title.text == "AUC, n = 3 epochs"


@pytest.mark.parametrize("history", [(), ({"epoch": 1},)])
def test_an_empty_history_says_so(history):
    """No values: a sentence instead of empty axes."""
    figure = history_figure(history, "loss")
    assert not figure.data
    assert figure.layout.annotations[0].text == "No loss was recorded"
    assert figure.layout.xaxis.visible is False


# -- What all figures share --------------------------------------------------------------------------------------------


def every_figure() -> list[go.Figure]:
    """One of each."""
    labels, scores = scored(60)
    return [
        confusion_figure(VGG16, TWO),
        agreement_figure(VGG16, TWO),
        roc_figure(roc_curve(labels, scores), auc(labels, scores), (0.2, 0.8, "point"), 60),
        history_figure(HISTORY),
    ]


def test_figures_leave_background_and_font_to_the_theme():
    """Transparent backgrounds, no font colour outside cells, n in every title, and valid JSON without NaN."""
    for figure in every_figure():
        figure.layout.template = None
        assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"
        assert figure.layout.font.color is None
        assert figure.layout.title.font.color is None
        assert all(note.font.color is None for note in figure.layout.annotations)
        assert "n = " in figure.layout.title.text
        json.loads(figure.to_json(), parse_constant=pytest.fail)


def test_line_colours_stand_out_on_dark_and_light_pages():
    """Blue, vermillion and grey have a contrast of 3 or more with white and with the dark page's near-black."""
    for colour in (figures.BLUE, figures.VERMILLION, figures.GREY):
        for page in ("#ffffff", "#0b0f14"):
            assert contrast(colour, page) >= 3


def test_every_drawn_number_has_a_hover_text():
    """Traces with values explain them on hover; decoration (chance line, cell text) stays silent."""
    for figure in every_figure():
        for drawn in figure.data:
            assert drawn.hovertemplate or drawn.hoverinfo == "skip"
