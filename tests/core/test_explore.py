"""Looking into a dataset: tables checked on paper, and the published figures of the RSNA table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

from core.datasets import figures, load_dataset
from core.datasets.dataset import SPLITS, Case, Dataset
from core.datasets.explore import (
    attributes_of,
    case_table,
    counts,
    cross_table,
    distribution,
    groups,
    images_per_patient,
    missing_values,
    patients_on_two_sides,
    summary,
)
from core.datasets.pictures import sample

RSNA = Path(__file__).resolve().parents[3] / "shared" / "data" / "rsna" / "train.csv"


def _table(**columns: list) -> pd.DataFrame:
    """A table of breast-ultrasound cases; what is not given is one benign train image per patient."""
    n = len(next(iter(columns.values())))
    own = {
        "case_id": [f"c{i}" for i in range(n)], "patient_id": [f"p{i}" for i in range(n)], "split": ["train"] * n,
        "label": ["benign"] * n, "pixel_hash": ["x"] * n,
    }  # fmt: skip
    table = pd.DataFrame(own | columns)
    table["split"] = pd.Categorical(table["split"], SPLITS)
    return table.assign(label=pd.Categorical(table["label"], ["malignant", "benign"]))


FIVE = _table(
    split=["train", "train", "train", "test", "test"], label=["malignant", "benign", "benign", "benign", "malignant"],
    patient_id=["A", "A", "B", "B", "C"], pixel_hash=["x", "", "y", "z", "u"], age=[50.0, 60.0, np.nan, 70.0, 60.0],
    site=["n", "s", "n", None, "s"],
)  # fmt: skip


def test_counts_by_split_and_class():
    """Three train and two test images; patient B is on both sides and counts once in all."""
    frame = counts(FIVE)
    assert frame.to_dict("index") == {
        "train": {"malignant": 1, "benign": 2, "images": 3, "patients": 2},
        "test": {"malignant": 1, "benign": 1, "images": 2, "patients": 2},
        "all": {"malignant": 2, "benign": 3, "images": 5, "patients": 3},
    }


def test_images_per_patient_and_patients_on_two_sides():
    """A and B have two images, C one; only B is in train and test."""
    assert images_per_patient(FIVE).to_dict() == {1: 1, 2: 2}
    assert patients_on_two_sides(FIVE) == ["B"]


def test_missing_values_count_pictures_too():
    """One of five ages, sites and pictures each; the columns that lack nothing come last."""
    frame = missing_values(FIVE).set_index("column")
    assert frame["missing"].to_dict() == {
        "age": 1, "site": 1, "picture": 1, "case_id": 0, "patient_id": 0, "split": 0, "label": 0,
    }  # fmt: skip
    assert frame["percent"]["age"] == pytest.approx(20)


def test_summary_is_of_the_numbers_that_are_there():
    """Ages 50, 60, 60, 70: mean 60, sd √(200 / 3), n = 4; words and truth values have none."""
    found = summary(FIVE["age"])
    assert (found.n, found.mean, found.median, found.low, found.high) == (4, 60, 60, 50, 70)
    assert found.sd == pytest.approx(np.sqrt(200 / 3))
    assert summary(FIVE["site"]) is None
    assert summary(pd.Series([True, False])) is None
    assert summary(pd.Series([np.nan, np.nan])) is None


def test_few_values_are_groups_as_they_are_and_in_order():
    """Whole numbers read from gaps as 1.0 are shown as 1; a distribution leaves the missing out."""
    frame = distribution(pd.Series([2.0, 1.0, np.nan, 1.0]))
    assert frame.to_dict("list") == {
        "value": ["1", "2"],
        "n": [2, 1],
        "percent": [pytest.approx(200 / 3), pytest.approx(100 / 3)],
    }


def test_many_numbers_are_put_in_round_steps():
    """0 … 99 give 20 steps of 5 or fewer of 10, closed below: every value in exactly one, 100 in all."""
    frame = distribution(pd.Series(np.arange(100.0)))
    assert frame["value"].iloc[:2].tolist() in (["0–10", "10–20"], ["0–5", "5–10"])
    assert frame["n"].sum() == 100
    assert frame["n"].nunique() == 1
    assert len(frame) <= 20


def test_numbers_in_steps_lie_where_numpy_puts_them():
    """The steps agree with NumPy's own histogram, also for negative and large values."""
    values = pd.Series(np.random.default_rng(0).normal(-3, 1e4, 500))
    frame = distribution(values)
    edges = [float(text.replace("–", " ").split()[0]) for text in frame["value"]]
    width = edges[1] - edges[0]
    assert frame["n"].tolist() == np.histogram(values, [*edges, edges[-1] + width])[0].tolist()


def test_rare_words_become_other():
    """30 words: the 20 most frequent stay, the rest is "other"; a missing word stays missing."""
    words = [f"w{i:02}" for i in range(30) for _ in range(30 - i)]
    grouped = groups(pd.Series([*words, None]))
    assert list(grouped.cat.categories) == [*(f"w{i:02}" for i in range(20)), "other"]
    assert (grouped == "other").sum() == sum(range(1, 11))
    assert grouped.isna().sum() == 1


def test_names_and_row_numbers_are_no_columns_to_look_at():
    """A column that numbers or names the rows has no distribution; measured numbers have, however seldom they repeat."""
    table = _table(
        serial=list(range(100)),
        name=[f"f{i}" for i in range(100)],
        weight=list(np.linspace(0, 1, 100)),
        side=["L", "R"] * 50,
    )
    assert attributes_of(table) == ["split", "label", "weight", "side"]


def test_cross_table_has_wilsons_interval_against_statsmodels():
    """Share of malignant by site, with the missing rows as a group of their own."""
    frame = cross_table(FIVE, "site", "malignant")
    assert frame[["value", "n", "k"]].to_numpy().tolist() == [["n", 2, 1], ["s", 2, 1], ["missing", 1, 0]]
    for row in frame.itertuples():
        low, high = proportion_confint(row.k, row.n, method="wilson")
        assert (row.low, row.high) == (pytest.approx(low, abs=1e-12), pytest.approx(high, abs=1e-12))


def test_the_table_has_the_cases_and_their_attributes_in_order():
    """Class names, splits as categories, an attribute that one case lacks as missing."""
    cases = (
        Case("a", "P", "test", 0, "h", lambda: None, {"age": 50}),
        Case("b", "Q", "train", 1, "", lambda: None, {"view": "CC", "age": None}),
    )
    table = case_table(Dataset("d", "breast-ultrasound", "f" * 64, cases))
    assert table["label"].tolist() == ["malignant", "benign"]
    assert table["split"].tolist() == ["test", "train"]
    assert table[["age", "view"]].isna().to_numpy().tolist() == [[False, True], [True, False]]
    assert table["case_id"].tolist() == ["a", "b"]


def test_a_sample_is_of_its_split_and_class_and_has_pictures():
    """Row 1 has no picture, so one benign train row is left; the same seed draws the same rows."""
    assert sample(FIVE, "train", "benign", 5).tolist() == [2]
    many = _table(label=["benign"] * 50)
    first = sample(many, "train", "benign", 6, seed=1)
    assert len(set(first.tolist())) == 6
    np.testing.assert_array_equal(first, sample(many, "train", "benign", 6, seed=1))
    assert first.tolist() != sample(many, "train", "benign", 6, seed=2).tolist()


# -- Figures -----------------------------------------------------------------------------------------------------------


def test_figures_say_n_and_draw_what_the_tables_hold():
    """Bars are the counts; a share's error bars end at its limits; the dotted line is the share in all cases."""
    bars = figures.distribution_figure(distribution(FIVE["age"]), "age")
    assert bars.layout.title.text == "age, n = 4"
    assert list(bars.data[0].y) == [1, 2, 1]
    frame = cross_table(FIVE, "site", "malignant")
    shares = figures.share_figure(frame, "site", "malignant")
    assert "n = 5" in shares.layout.title.text
    np.testing.assert_allclose(np.array(shares.data[0].y) + shares.data[0].error_y.array, 100 * frame["high"])
    np.testing.assert_allclose(np.array(shares.data[0].y) - shares.data[0].error_y.arrayminus, 100 * frame["low"])
    assert shares.layout.shapes[0].y0 == pytest.approx(40)


def test_the_map_keeps_every_case_under_its_colour():
    """Each point carries its row; missing values are a group; 2,000 points are drawn by WebGL."""
    points, rows = np.arange(10.0).reshape(5, 2), np.array([7, 3, 5, 1, 9])
    colour = groups(FIVE["site"]).rename("site")
    figure = figures.map_figure(points, rows, colour, FIVE["case_id"])
    by_name = {trace.name: trace for trace in figure.data}
    assert {name: list(trace.customdata) for name, trace in by_name.items()} == {
        "n (2)": [7, 5], "s (2)": [3, 9], "missing (1)": [1],
    }  # fmt: skip
    assert by_name["missing (1)"].x == (6.0,)
    words = pd.Series(["a"] * 2000, name="x")
    big = figures.map_figure(np.zeros((2000, 2)), np.arange(2000), words.astype("category"), words)
    assert big.data[0].type == "scattergl"


# -- The published exploratory analysis of the RSNA table ---------------------------------------------------------------


@pytest.fixture(scope="module")
def rsna() -> pd.DataFrame:
    """The table of 54,706 screening mammograms, read and split as the program does."""
    if not RSNA.is_file():
        pytest.skip("the public data is not beside the checkout")
    return case_table(load_dataset(RSNA, "mammography"))


def _percent(table: pd.DataFrame, column: str) -> dict[str, float]:
    frame = distribution(table[column])
    return {row.value: round(row.percent, 1) for row in frame.itertuples()}


@pytest.mark.real_data
def test_the_published_figures_of_the_rsna_table_come_out(rsna):
    """Missing values, cancers, ages, implants, densities, biopsies, invasive cancers, difficult negatives, patients."""
    missing = missing_values(rsna).set_index("column")["percent"].round(2)
    assert (missing["BIRADS"], missing["density"], missing["age"]) == (51.95, 46.13, 0.07)
    total = counts(rsna).loc["all"]
    assert (total["images"], total["cancer"], total["patients"]) == (54_706, 1_158, 11_913)
    assert round(100 * total["cancer"] / total["images"], 2) == 2.12
    ages = summary(rsna["age"])
    assert (round(ages.mean, 2), round(ages.sd, 2)) == (58.54, 10.05)
    assert _percent(rsna, "implant")["1"] == 2.7
    assert _percent(rsna, "density") == {"A": 10.5, "B": 42.9, "C": 41.3, "D": 5.2}
    assert _percent(rsna, "biopsy")["1"] == 5.4
    assert _percent(rsna, "invasive")["1"] == 1.5
    assert _percent(rsna, "difficult_negative_case")["True"] == 14.1


@pytest.mark.real_data
def test_the_rsna_table_is_split_by_patient_in_proportion(rsna):
    """No patient on two sides, and 2.1 % cancers on each: the published split had one patient on both."""
    assert patients_on_two_sides(rsna) == []
    frame = counts(rsna).drop("all")
    assert ((frame["cancer"] / frame["images"]).round(3) == 0.021).all()
    assert (frame["images"] / len(rsna)).between(0.11, 0.75).all()
