"""Readings of a study as the tables that statistics take."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from core.daily_readings import CATEGORIES
from core.records import Refused
from core.statistics.model_effect import model_effect
from core.statistics.reading_strategies import Scenario, what_if
from core.study_crossed import completeness, crossed
from core.study_cuts import Cut
from core.study_readings import (
    Asked,
    effect_table,
    least_between,
    model_codes,
    model_scores,
    model_threshold,
    ratings_of,
    reader_figures,
    repeat_ratings,
    stored_readings,
    strategy_table,
    with_reference,
)
from core.tasks import TASKS
from tests.core.study_readings_factory import rows, study


def test_cases_and_readers_without_any_reading_are_left_out_and_counted_too():
    """The study's record says what was asked: a fifth case that nobody read, and Eve, who read nothing."""
    whole = dataclasses.replace(
        study(rows(protocol="sequential")),
        asked=Asked(("c1", "c2", "c3", "c4", "c5"), ("Ann", "Bob", "Cid", "Dee", "Eve")),
    )
    found = crossed(whole)
    assert (found.cases_left_out, found.readers_left_out) == (1, {"Eve": "read nothing unaided"})
    assert found.ratings.readers == ("Ann", "Bob", "Cid", "Dee")
    stays = completeness(whole)
    assert (stays.cases, stays.stay, stays.own["Eve"], stays.without) == (5, 4, 0, {})
    half = dataclasses.replace(whole, rows=whole.rows[whole.rows["phase"] == "unaided"])
    assert (half.phases, half.phases_asked) == (("unaided",), ("unaided", "aided"))
    gone = dataclasses.replace(whole, asked=Asked(("c1",), ("Ann",), ("Fay",)))
    assert gone.readers_asked == ("Ann",)
    assert dataclasses.replace(gone, with_withdrawn=True).readers_asked == ("Ann", "Fay")


def test_each_readers_figures_are_counted_on_paper():
    """Ann is perfect unaided; Bob finds no cancer and raises one false alarm of two."""
    found = reader_figures(study())
    ann, bob = found["Ann", "unaided"], found["Bob", "unaided"]
    assert (ann["sensitivity"].value, ann["specificity"].value, ann["auc"].value) == (1, 1, 1)
    assert (bob["sensitivity"].value, bob["specificity"].value, bob["accuracy"].value) == (0, 0.5, 0.25)
    assert bob["auc"].value == 0.5  # 40 and 30 against 60 and 20: two of four pairs in order
    assert (bob["sensitivity"].n, bob["auc"].n, bob["seconds"].n, bob["seconds"].value) == (2, 4, 4, 30)
    blank = reader_figures(study(rows(likelihood=None, truth="")))["Ann", "aided"]
    assert blank["auc"].value is None
    assert blank["sensitivity"].value is None
    assert blank["auc"].reason


def test_a_task_without_positive_class_has_accuracy_only():
    """Blood cells have no finding to be sensitive to."""
    from core.study_readings import StudyReadings, normalised

    table = rows(label="monocyte", truth="monocyte", predicted="platelet")
    cells = StudyReadings("cells", "blood-cells", normalised(table))
    assert set(reader_figures(cells)["Ann", "aided"]) == {"accuracy", "seconds"}
    with pytest.raises(Refused, match="no positive class"):
        crossed(cells)


def test_the_effect_table_pairs_both_phases():
    """Ann went from right to wrong on the cancer that the model missed: one of the over-reliances."""
    table = effect_table(study())
    assert len(table) == 16
    ann = table[(table["reader"] == "Ann") & (table["case"] == "c2")].iloc[0]
    assert (ann["unaided"], ann["aided"], ann["model"], ann["truth"]) == ("malignant", "benign", "benign", "malignant")
    shares = model_effect(table, "malignant", replicates=50).shares
    # First right while the model was wrong: Ann c2, c3; Cid c2, c3; Dee c3. Gone over: Ann c2, Cid c3.
    assert (shares["over_reliance"].n, shares["over_reliance"].value) == (5, 0.4)
    with pytest.raises(Refused, match="both without and with"):
        effect_table(study(rows()[lambda t: t["phase"] == "aided"]))


def test_strategies_get_recalls_and_scores():
    """Single reading recalls as often as the readers do; without a model result there is no score."""
    table = strategy_table(study(), "unaided")
    assert table.groupby("reader")["recalled"].sum().to_dict() == {"Ann": 2, "Bob": 1, "Cid": 2, "Dee": 1}
    single = what_if(table, Scenario(0.5), replicates=20)["single"].figures
    assert single["sensitivity"].value == pytest.approx(5 / 8)
    assert "score" not in strategy_table(study(rows(score=None)), "unaided")


def test_recalls_and_figures_follow_the_cut():
    """BI-RADS 0 is a recall where the cut says so; readings without a category count nowhere; likelihoods from 40 on."""
    table = rows(birads="2")
    table.loc[table["case"].isin(["c1", "c3"]), "birads"] = "0"
    table.loc[table["reader"] == "Dee", "birads"] = ""
    given = study(table)
    cut = Cut("birads", birads="0, 4A and higher")
    assert strategy_table(given, "aided", cut).groupby("case")["recalled"].mean().to_dict() == {
        "c1": 1,
        "c2": 0,
        "c3": 1,
        "c4": 0,
    }
    assert set(strategy_table(given, "aided", cut)["reader"]) == {"Ann", "Bob", "Cid"}
    figures = reader_figures(given, cut)
    ann, dee = figures["Ann", "unaided"], figures["Dee", "unaided"]
    assert (ann["sensitivity"].value, ann["specificity"].value, ann["accuracy"].value) == (0.5, 0.5, 1)
    assert (dee["sensitivity"].value, dee["sensitivity"].n, dee["accuracy"].n) == (None, 0, 4)
    assert reader_figures(given, Cut("likelihood", least=40))["Bob", "unaided"]["sensitivity"].value == 0.5


def test_figures_of_patients_with_several_cases_are_over_patients():
    """Two patients with one cancer and one benign case each: as many cases, but half as many sources of chance."""
    alone = reader_figures(study(rows(patient="")))["Dee", "unaided"]
    table = rows()
    table["patient"] = table["case"].map({"c1": "P1", "c2": "P2", "c3": "P1", "c4": "P2"})
    pairs = reader_figures(study(table))["Dee", "unaided"]
    assert pairs["accuracy"].value == alone["accuracy"].value == 0.75
    assert (pairs["accuracy"].n, alone["accuracy"].n) == (4, 4)
    assert "2 patients" in pairs["accuracy"].method
    assert pairs["accuracy"].high - pairs["accuracy"].low > alone["accuracy"].high - alone["accuracy"].low
    assert pairs["sensitivity"] == alone["sensitivity"]  # one cancer of each patient
    assert "2 patients" in pairs["auc"].method
    assert study(table).patients == {"c1": "P1", "c2": "P2", "c3": "P1", "c4": "P2"}
    assert len(set(study().patients.values())) == 4


def test_patients_are_drawn_with_all_their_cases():
    """Effect and strategies know the patients: every case thrice over, of the same patient, is no new knowledge."""
    thrice = pd.concat(
        [rows().assign(case=lambda t, k=k: t["case"] + k, patient=lambda t: t["case"].str[:2]) for k in "xyz"]
    )
    alone, together = study(thrice.assign(patient="")), study(thrice)
    plain, drawn = (
        model_effect(effect_table(s), "malignant", replicates=400).groups["accuracy"].unaided for s in (alone, together)
    )
    once = model_effect(effect_table(study()), "malignant", replicates=400).groups["accuracy"].unaided
    assert plain.value == drawn.value == once.value
    assert (drawn.low, drawn.high) == pytest.approx((once.low, once.high), abs=0.07)
    assert drawn.high - drawn.low > plain.high - plain.low
    assert "4 patients with 12 cases" in drawn.method
    single = [
        what_if(strategy_table(s, "unaided"), Scenario(0.5), replicates=400)["single"].figures
        for s in (alone, together)
    ]
    assert "4 patients with 12 cases" in single[1]["sensitivity"].method
    assert single[0]["sensitivity"].value == single[1]["sensitivity"].value


def test_likelihoods_have_the_categories_of_daily_work():
    """0 to 100 whatever occurs, and the fractions of imported studies between them."""
    assert ratings_of(study(), "unaided", "likelihood").categories == CATEGORIES["likelihood"]
    table = rows()
    table["likelihood"] = table["likelihood"].astype(float)
    table.loc[table.index[0], "likelihood"] = 72.5
    found = ratings_of(study(table), "unaided", "likelihood")
    assert len(found.categories) == 102
    assert found.categories[72:75] == ("72", "72.5", "73")


def test_the_models_threshold_is_its_lowest_positive_score():
    """0.9 and 0.7 were called malignant; where nothing was, there is none."""
    assert model_threshold(study()) == 0.7
    assert model_threshold(study(rows(predicted="benign"))) is None


def test_readers_who_saw_other_scores_leave_one_score_to_a_case():
    """The model ran on another device for Dee: strategies and the model alone take the first reader's."""
    table = rows()
    table.loc[(table["reader"] == "Dee") & (table["case"] == "c1"), "score"] = 0.8999
    assert strategy_table(study(table), "unaided").query("case == 'c1'")["score"].tolist() == [0.9] * 4
    assert model_scores(study(table), ("c1",)).tolist() == [0.9]
    assert what_if(strategy_table(study(table), "unaided"), Scenario(0.5, 0.5), replicates=20)


def test_model_scores_and_codes_follow_the_cases():
    """By case, whatever the order; a missing one is refused, or −1 as a class."""
    ratings = ratings_of(study(), "aided")
    assert model_codes(study(), ratings).tolist() == [1, 0, 1, 0]
    assert model_scores(study(), ("c3", "c1")).tolist() == [0.7, 0.9]
    table = rows()
    table.loc[table["case"] == "c1", ["score", "predicted"]] = [np.nan, ""]
    with pytest.raises(Refused, match="1 of 2 cases"):
        model_scores(study(table), ("c3", "c1"))
    assert model_codes(study(table), ratings).tolist() == [-1, 0, 1, 0]


def test_ratings_of_likelihoods_are_numbers_and_of_nothing_refused():
    """Likelihoods keep their order; BI-RADS were not given."""
    found = ratings_of(study(), "unaided", "likelihood")
    assert found.values is not None
    assert found.values.tolist() == sorted(found.values)
    with pytest.raises(Refused, match="no ratings"):
        ratings_of(study(), "unaided", "birads")


def test_the_adjudicated_reference_replaces_the_datasets_where_there_is_one():
    """Undecided cases keep their own; the fingerprint changes with it."""
    table = rows(adjudicated="")
    table.loc[table["case"] == "c3", "adjudicated"] = "malignant"
    before = study(table)
    after = with_reference(before, "adjudicated")
    assert crossed(after).ratings.truth.tolist() == [1, 1, 1, 0]
    assert with_reference(before, "dataset") is before
    assert after.fingerprint != before.fingerprint


def test_stored_rows_become_readings():
    """Names of the store's columns, missing cells and probabilities."""
    table = rows().rename(columns={"case": "study_id", "truth": "reference_standard"}).drop(columns="score")
    table["probabilities"] = [{"benign": 0.25, "malignant": 0.75}] * 31 + [None]
    table["regions"] = [[{"kind": "point", "image": 0, "points": [[1, 2]]}]] * 32
    found = stored_readings(table, TASKS["breast-mri"])
    assert found["score"].iloc[0] == 0.75
    assert np.isnan(found["score"].iloc[-1])
    assert found["comment"].eq("").all()
    assert found["regions"].iloc[0].startswith("[{")


def test_all_figures_are_of_first_readings_of_readers_who_stayed():
    """Second readings and withdrawn readers change nothing, whatever they say; who is withdrawn counts when asked for."""
    plain = study()
    again = rows().assign(repeat=1, label="benign", likelihood=0.0, seconds=1.0)
    gone = rows().assign(reader="Eve", withdrawn=True, label="benign")
    whole = study(pd.concat([rows(), again, gone]))
    pd.testing.assert_frame_equal(whole.readings, plain.readings)
    assert reader_figures(whole) == reader_figures(plain)
    assert (crossed(whole).ratings.ratings == crossed(plain).ratings.ratings).all()
    pd.testing.assert_frame_equal(effect_table(whole), effect_table(plain))
    assert (len(whole.repeats), whole.withdrawn, plain.withdrawn) == (32, ("Eve",), ())
    asked = dataclasses.replace(whole, with_withdrawn=True)
    assert asked.readers == (*plain.readers, "Eve")
    assert len({plain.fingerprint, whole.fingerprint, asked.fingerprint}) == 3
    assert with_reference(asked, "adjudicated").with_withdrawn


def test_pairs_of_readings_for_agreement_with_oneself():
    """First readings stand before second ones, of one phase; how far apart they were follows from the times of saving."""
    first = rows().query("reader == 'Ann'").sort_values("phase", kind="stable")
    again = first.query("case == 'c1'").assign(repeat=1, label="benign")
    both = pd.concat([first, again])
    both["created_at"] = [f"2026-01-01T00:00:{second:02d}" for second in range(len(both))]
    whole = study(both)
    table = repeat_ratings(whole, "unaided")
    assert table["rating"].tolist() == ["malignant", "malignant", "benign", "benign", "benign"]
    assert repeat_ratings(whole, "unaided", "birads")["rating"].isna().all()
    assert least_between(whole, "unaided") == 3  # c2, c3, c4
    assert least_between(study(first), "unaided") is None
    assert least_between(study(both.drop(columns="created_at")), "unaided") is None
