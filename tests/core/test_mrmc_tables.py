"""Multi-reader results as tables: every number that the records hold, in its row."""

import numpy as np
import pytest

from core.mrmc_tables import COLUMNS, components_table, mrmc_table, standalone_table
from core.statistics.mrmc import analyse
from core.statistics.mrmc_margin import non_inferiority
from core.statistics.mrmc_standalone import against_readers
from tests.core.readers import made_study


def test_every_number_of_an_analysis_has_its_row():
    """Three generalisations of two means and a difference, four readers with two figures and a difference each."""
    result = analyse(made_study(2, 4, 60))
    table = mrmc_table(result)
    assert tuple(table.columns) == COLUMNS
    assert len(table) == 3 * 3 + 4 * 2 + 4
    first, second = result.modalities
    row = table[(table["generalises_to"] == "readers and cases") & (table["what"] == f"{first} - {second}")].iloc[0]
    analysis = result.analyses["readers and cases"]
    wanted = analysis.differences[0]
    assert (row["value"], row["low"], row["p"]) == (wanted.difference.value, wanted.difference.low, wanted.difference.p)
    assert (row["standard_error"], row["df"]) == (wanted.standard_error, wanted.df)
    assert (row["test"], row["statistic"], row["df2"]) == ("F", analysis.test.statistic, analysis.test.df2)
    own = table[(table["reader"] == "r1") & (table["what"] == second)].iloc[0]
    assert own["value"] == result.by_reader[second, "r1"].value
    assert set(table["n"]) == {60}
    parts = components_table(result).set_index("component")["value"]
    assert (parts["error"], parts["cov2"], parts["readers"]) == (result.components.error, result.components.cov2, 4)


def test_a_stand_alone_model_against_each_and_all():
    """The model, three times the panel and the difference, each reader and the difference."""
    study = made_study(1, 3, 40)
    found = against_readers(study, study.truth + np.random.default_rng(3).normal(size=40))
    table = standalone_table(found)
    assert table["what"].value_counts().to_dict() == {
        "model": 1, "readers": 3, "model - readers": 3, "reader": 3, "model - reader": 3,
    }  # fmt: skip
    own = table[(table["what"] == "model - reader") & (table["reader"] == "r2")]["value"].iloc[0]
    assert own == pytest.approx(found.model.value - found.by_reader["r2"].value)


def test_a_margin_stands_beside_the_differences():
    """Of the means alone, second against first, the model against the readers."""
    result, study = analyse(made_study(2, 4, 60)), made_study(1, 3, 40)
    table = mrmc_table(result, 0.1).dropna(subset=["margin_p"])
    wanted = [non_inferiority(a.differences[0], 0.1, a.differences[0].second).p for a in result.analyses.values()]
    assert table["margin_p"].tolist() == wanted
    found = against_readers(study, study.truth + np.random.default_rng(3).normal(size=40))
    own = standalone_table(found, 0.1).dropna(subset=["margin_p"])
    assert own["margin_p"].tolist() == [non_inferiority(c, 0.1, "model").p for c in found.differences.values()]
    assert mrmc_table(result)["margin_p"].isna().all()


def test_what_is_undefined_keeps_its_reason():
    """One reader: nothing generalises to others."""
    table = mrmc_table(analyse(made_study(2, 1, 30)))
    row = table[(table["generalises_to"] == "readers") & table["what"].str.contains(" - ")].iloc[0]
    assert "two readers" in row["reason"]
    assert components_table(analyse(made_study(2, 1, 30)))["component"].tolist().count("reader") == 0
