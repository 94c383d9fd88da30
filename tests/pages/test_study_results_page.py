"""Results of a reader study on the pages: every section runs, numbers are right, nobody sees what is not theirs."""

import dataclasses

import pandas as pd
import pytest

from core.reader_records import Rules
from core.records import Refused
from core.study_exchange import NOTICE, export_table, imrmc_file
from core.study_readings import StudyReadings, reader_figures, stored_readings
from core.tasks import TASKS
from db import engine, reader_studies, readers, reviews, studies, study_files, study_results, users
from db.reviews import ReviewQuery
from db.users import User
from pages.ui import agreement_parts, my_cases, study_data, study_exchange, study_readers, study_tables
from pages.ui.study_tables import n_below
from tests.core.study_readings_factory import rows, study
from tests.db import make
from tests.db.test_reader_studies import read, read_all
from tests.db.test_readers import all_of as read_repeats
from tests.pages.test_pages import open_page, said

LEAD, READER = User("Lea", "lead", ""), User("Ann", "reviewer", "")
SECTIONS = ("Readers", "MRMC", "Effect of the model", "Agreement", "What if", "Planner", "Regions and heatmaps", "Data")
NAMES = {name: name for name in ("Ann", "Bob", "Cid", "Dee")}


def people():
    """A lead and the readers of `make.reader_study`."""
    with engine.write() as session:
        for name, role in (("Lea", "lead"), ("Ann", "reviewer"), ("Bob", "reviewer"), ("Eve", "reviewer")):
            if users.get_user(session, name) is None:
                users.add_user(session, name, role)


def closed(**changes):
    """A closed study of four cases whose references are known; gives its id."""
    cases = []
    with engine.write() as session:
        for i in range(4):
            one = make.study(i, reference_standard="malignant" if i % 2 else "benign")
            studies.add_study(session, one)
            cases.append(one.id)
    for i, case in enumerate(cases):
        make.add_prediction(case, malignant=0.9 if i else 0.7)
    number = make.reader_study(cases, **changes)
    for reader in ("Ann", "Bob"):
        read_all(number, reader, likelihood=80)
    with engine.write() as session:
        reader_studies.close_reader_study(session, number, "Lea")
    return number


def upload(table, name="elsewhere.csv"):
    """What Streamlit's uploader gives."""
    return type("File", (), {"name": name, "getvalue": lambda self: table.to_csv(index=False).encode()})()


def test_an_empty_store_says_when_results_come(store):
    """For the lead and for a reader."""
    people()
    assert "No results yet" in said(open_page("study_results", user="Lea"))
    assert "No results of yours yet" in said(open_page("my_results", user="Ann"))


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_runs_on_a_closed_study(store, section):
    """Two readers, four cases: small, but nothing falls over; what is undefined says so."""
    people()
    closed()
    at = open_page("study_results", user="Lea")
    at.segmented_control(key="sr_section").set_value(section).run(timeout=60)
    for _ in range(20):
        if not at.get("progress") or section == "Readers":
            break
        at.run(timeout=60)
    assert not at.exception
    assert [e.value for e in at.error] == []


def test_completeness_counts_what_the_study_asked_for(store):
    """Three cases, three readers, two phases; one reader read one case: 2 of 18 readings, and what is missing is named."""
    people()
    number = make.reader_study(make.add_studies(3), readers=("Ann", "Bob", "Eve"))
    for _ in range(2):
        read(number, likelihood=80)
    with engine.write() as session:
        reader_studies.close_reader_study(session, number, "Lea")
    at = open_page("study_results", user="Lea")
    assert at.get("progress")[0].proto.text == "2 of 18 readings; 0 of 3 readers read everything"
    assert "2 of 3 cases were read by nobody; no reading at all by Bob, Eve" in said(at)
    assert "3 readers · 3 cases · 2 readings" in said(at)


def test_the_readers_table_is_what_was_read(store):
    """Everybody always said malignant: sensitivity 1, specificity 0, of two cases each."""
    people()
    closed()
    at = open_page("study_results", user="Lea")
    first, second = (frame.value for frame in at.dataframe[:2])
    assert first["Unaided"].tolist() == ["1.00 (0.34–1.00), n = 2"] * 2
    assert second["Aided"].tolist() == ["0.00 (0.00–0.66), n = 2"] * 2


@pytest.mark.parametrize(
    ("protocol", "titles"),
    [
        ("sequential", ["Seconds per case, unaided", "Seconds added with the model", "Seconds per case in all"]),
        ("washout", ["Seconds per reading, unaided", "Seconds per reading, aided", "Time saved"]),
        ("", ["Seconds per reading, unaided", "Seconds per reading, aided"]),
    ],
)
def test_time_saved_is_told_of_two_sessions_alone(store, protocol, titles):
    """In one sitting the aided seconds come on top of the unaided ones; where the protocol is not known nothing is claimed."""
    people()
    table = export_table(study(rows(protocol=protocol)), NAMES)
    with engine.write() as session:
        study_files.add_study_file(session, upload(table).getvalue(), "a.csv", "breast-mri", ("Elsewhere", "Lea"))
    at = open_page("study_results", user="Lea")
    at.segmented_control(key="sr_section").set_value("Effect of the model").run(timeout=60)
    for _ in range(20):
        if len(at.dataframe) == 4:
            break
        at.run(timeout=60)
    times, readers_ = (frame.value for frame in at.dataframe[2:])
    assert times[""].tolist() == [*titles, "Likelihood moved to the truth, points"]
    assert ("Time saved" in readers_) == (protocol == "washout")
    assert ("Seconds added with the model" in readers_) == (protocol == "sequential")


def test_results_are_for_leads_in_the_functions_too(store):
    """A reader who calls what the page calls is refused, page or no page."""
    people()
    number = closed()
    at = open_page("study_results", user="Ann")
    assert "Only a project lead" in said(at)
    found = study_data.finished_studies(LEAD)[0]
    readings = study_data.load(LEAD, found)
    assert found.number == number
    for call in (
        lambda: study_data.finished_studies(READER), lambda: study_data.load(READER, found),
        lambda: study_exchange.downloads(READER, found, readings), lambda: study_exchange.import_form(READER),
        lambda: study_exchange.add_import(READER, upload(study().readings), "x", "breast-mri"),
    ):  # fmt: skip
        with pytest.raises(Refused, match="Only a project lead"):
            call()


def test_a_readers_page_is_their_own_and_has_no_names(store):
    """Ann sees hers; Eve, who read nothing, sees nothing; Bob's name is nowhere."""
    people()
    closed()
    at = open_page("my_results", user="Ann")
    assert not at.exception
    assert "Cases to look at again (2)" in said(at)
    assert not any("Bob" in frame.value.to_csv() for frame in at.dataframe)
    assert "Bob" not in said(at)
    assert "Project leads see each reader's figures, with the name" in said(at)
    assert "No results of yours yet" in said(open_page("my_results", user="Eve"))


def test_a_case_is_looked_at_again_without_being_read(store, monkeypatch):
    """Beneath the table, with the reader's own marks; no form, no draft, no reading that would count in daily work."""
    people()
    number, shown = closed(), []
    monkeypatch.setattr(my_cases, "study_viewer", lambda **what: shown.append(what))
    at = open_page("my_results", user="Ann")
    with engine.read() as session:
        mine = stored_readings(study_results.panel_readings(session, number, "Ann"), TASKS["breast-mri"])
    key = f"mr_again:{StudyReadings('', 'breast-mri', mine).fingerprint[:8]}"
    assert not shown
    at.session_state[key] = {"selection": {"rows": [], "columns": [], "cells": [[0, "why"]]}}
    at.run()
    assert not at.exception
    assert not at.text_area
    with engine.read() as session:
        cases = reader_studies.list_cases(session, number)
        assert reviews.count_reviews(session, ReviewQuery()) == 0
    (what,) = shown
    assert what["view_key"].rsplit(":")[-1] in cases
    assert (what["key"], len(what["frames"]), "on_regions_change" in what) == ("mr_viewer", 1, False)


def test_marks_of_a_case_to_look_at_again_are_the_reader_s_last():
    """Ann's aided ones; Bob's, and those of her unaided reading, stay away."""
    table = rows(regions="[]")
    for reader, phase, x in (("Ann", "unaided", 1), ("Ann", "aided", 2), ("Bob", "aided", 3)):
        here = (table["reader"] == reader) & (table["phase"] == phase) & (table["case"] == "c1")
        table.loc[here, "regions"] = f'[{{"kind": "point", "image": 0, "points": [[{x}, {x}]]}}]'
    assert my_cases.own_regions(study(table), "Ann", "c1")[0]["points"] == [[2, 2]]
    assert my_cases.own_regions(study(table), "Ann", "c2") == []


def test_a_simulated_study_says_so_everywhere(store):
    """On the lead's page and on a reader's."""
    people()
    closed(simulated=True)
    for page, who in (("study_results", "Lea"), ("my_results", "Ann")):
        assert "no person read these cases" in " ".join(w.value for w in open_page(page, user=who).warning)


def test_an_import_shows_on_the_same_page_and_repeats_double_nothing(store):
    """The exported file of another installation becomes a study marked as imported."""
    people()
    table = export_table(study(), NAMES)
    data = upload(table).getvalue()
    with engine.write() as session:
        added = study_files.add_study_file(session, data, "a.csv", "breast-mri", ("Elsewhere", "Lea"))
        assert study_files.add_study_file(session, data, "a.csv", "breast-mri", ("Other name", "Lea")) is None
    at = open_page("study_results", user="Lea", study=f"i{added.id}")
    assert not at.exception
    assert "imported" in said(at)
    assert "4 readers · 4 cases · 32 readings" in said(at)


def test_what_pages_give_away_carries_pseudonyms(store):
    """Readings and .imrmc hold R01 and R02, no names; decisions hold no decider."""
    people()
    closed()
    found = study_data.finished_studies(LEAD)[0]
    readings = study_data.load(LEAD, found)
    names = study_exchange.pseudonyms_of(found, readings)
    assert sorted(names.values()) == ["R01", "R02"]
    given = export_table(readings, names).to_csv() + imrmc_file(readings, names).text
    given += study_exchange.decisions(found).decode()
    assert "Ann" not in given
    assert "Bob" not in given
    assert "Research use, not for diagnosis" in given


def test_every_table_that_leaves_has_pseudonyms_and_the_notice(store):
    """Beside the export: readers, pairs of readers, and the rows in the order of the pseudonyms, not of the names."""
    people()
    closed()
    readings = study_data.load(LEAD, study_data.finished_studies(LEAD)[0])
    codes = readings.pseudonyms
    assert sorted(codes) == ["Ann", "Bob"]
    swapped = dataclasses.replace(readings, pseudonyms={"Ann": "R02", "Bob": "R01"})
    table = study_tables.given_away(swapped, study_readers._figures_csv(reader_figures(readings)))
    assert list(dict.fromkeys(table["reader"])) == ["R01", "R02"]
    assert set(table["notice"]) == {NOTICE}
    pairs = pd.DataFrame({"row": ["Ann", "Model"], "column": ["Bob", "Ann"], "value": [1.0, 2.0]})
    given = study_tables.given_away(swapped, pairs)
    assert given[["row", "column"]].values.tolist() == [["Model", "R02"], ["R02", "R01"]]
    assert "simulated" not in given
    simulated = dataclasses.replace(readings, origin="simulated")
    assert study_tables.given_away(simulated, pairs)["simulated"].all()
    rated = agreement_parts.of_study(readings, "aided")
    assert rated.pseudonyms == codes


def imported(table, name="Elsewhere"):
    """The page of a study with these readings."""
    people()
    with engine.write() as session:
        file = (session, upload(table).getvalue(), "a.csv", "breast-mri", (name, "Lea"))
        added = study_files.add_study_file(*file)
    return open_page("study_results", user="Lea", study=f"i{added.id}")


def waited(at, done):
    """The page once slow work is there."""
    for _ in range(20):
        if done(at):
            break
        at.run(timeout=60)
    assert not at.exception
    return at


def test_an_incomplete_reader_can_be_left_out_of_mrmc(store):
    """Bob read one case: the page says so with the true reason, and without Bob there is an analysis, and a plan."""
    table = rows()
    at = imported(table[(table["reader"] != "Bob") | (table["case"] == "c1")])
    at.segmented_control(key="sr_section").set_value("MRMC").run()
    assert "Bob 1, Cid 4" in at.error[0].value
    assert "1 of 4 cases stay" in said(at)
    assert "Without Bob 4 would stay" in said(at)
    at.multiselect[0].set_value(["Ann", "Cid", "Dee"]).run(timeout=60)
    waited(at, lambda at: any("Test" in frame.value for frame in at.dataframe))
    assert not at.error
    assert "AUC: 3 readers, 2 positive and 2 negative cases" in said(at)
    at.number_input(key="sr_margin").set_value(0.2).run(timeout=60)
    cells = [f.value["Not worse by 0.2"].tolist() for f in at.dataframe if "Not worse by 0.2" in f.value]
    assert [len(own) for own in cells] == [3, 3]
    assert all(": " in cell for own in cells for cell in own)
    assert "aided reading is not worse than unaided by 0.2 or more, one-sided at 0.025" in said(at)
    at.segmented_control(key="sr_section").set_value("Planner").run(timeout=60)
    assert "3 readers and 4 cases" in said(waited(at, lambda at: at.get("plotly_chart")))
    at.multiselect[0].set_value([]).run()
    assert "Choose at least one reader" in at.info[0].value


def test_one_cut_holds_for_readers_mrmc_and_what_if(store):
    """Positive from BI-RADS 0, 3 and higher: sensitivity 1 and specificity 0, also after a change of section."""
    at = imported(rows(birads="3"))
    at.segmented_control(key="sr_called").set_value("birads").run()
    at.selectbox(key="sr_birads").set_value("0, 3 and higher").run()
    assert "Sensitivity and specificity of BI-RADS 0, 3 and higher" in said(at)
    assert set(at.dataframe[0].value["Unaided"]) == {"1.00 (0.34–1.00), n = 2"}
    at.segmented_control(key="sr_section").set_value("What if").run(timeout=60)
    waited(at, lambda at: any("Strategy" in frame.value for frame in at.dataframe))
    assert "Recalled is BI-RADS 0, 3 and higher" in said(at)
    assert next(f.value for f in at.dataframe if "Strategy" in f.value)["Recall rate"].iloc[0].startswith("100 %")
    at.segmented_control(key="sr_section").set_value("MRMC").run(timeout=60)
    at.segmented_control(key="sr_figure").set_value("specificity").run(timeout=60)
    waited(at, lambda at: any("Test" in frame.value for frame in at.dataframe))
    assert "Specificity, positive is BI-RADS 0, 3 and higher" in said(at)
    at = imported(rows(likelihood=None).drop(columns="likelihood"), "Classes only")
    assert not [c for c in at.segmented_control if c.key == "sr_called"]


def test_birads_is_compared_two_by_two_without_0_and_6_where_order_counts(store):
    """Weighted kappas are offered of BI-RADS and not of two classes; what has no place in the order is said."""
    table = rows()
    table["birads"] = [("0", "2", "4A", "5")[i % 4] for i in range(len(table))]
    at = imported(table)
    at.segmented_control(key="sr_section").set_value("Agreement").run()
    at.segmented_control(key="sr_agr_part").set_value("Two by two").run()
    assert "linear" not in str(at.segmented_control(key="sr_agr_pairs:label").proto.options)
    assert "Positive agreement" in str(at.segmented_control(key="sr_agr_pairs:label").proto.options)
    at.segmented_control(key="sr_agr_pairs_what").set_value("birads").run()
    at.segmented_control(key="sr_agr_pairs:birads").set_value("quadratic").run(timeout=60)
    waited(at, lambda at: at.get("plotly_chart"))
    assert len(at.get("plotly_chart")) == 1  # the model names no category
    assert "4 of 16 ratings are 0" in said(at)
    at.segmented_control(key="sr_agr_part").set_value("Coefficients").run()
    at.segmented_control(key="sr_agr_what").set_value("birads").run(timeout=60)
    waited(at, lambda at: at.dataframe)
    assert "Krippendorff's alpha, ordinal" in at.dataframe[0].value["Coefficient"].tolist()
    assert "4 of 16 ratings are 0" in said(at)


def test_likelihoods_have_coefficients_of_numbers_and_groups_of_certainty(store):
    """Not how often two numbers of 0 to 100 are equal; and certainty is how far they lie from 50."""
    at = imported(rows())
    at.segmented_control(key="sr_section").set_value("Agreement").run()
    at.segmented_control(key="sr_agr_what").set_value("likelihood").run(timeout=60)
    waited(at, lambda at: at.dataframe)
    assert at.dataframe[0].value["Coefficient"].tolist() == ["Krippendorff's alpha, interval", "ICC(2,1)"]
    title = "Readers' mean certainty, from likelihoods"
    found = agreement_parts.case_groups(study(), "unaided", ("c1", "c2", "c3", "c4"), {})
    assert title in found
    # c1: 80, 40, 70, 55 lie 30, 10, 20, 5 from 50: 65 / 4 * 2 = 32.5; c2: 10, 20, 20, 5; c3: 10, 10, 20, 5; c4: 30, 30, 20, 40
    assert found[title] == ["25–50", "25–50", "≤ 25", "50–75"]
    sure = agreement_parts.case_groups(study(rows(confidence=90)), "unaided", ("c1", "c2"), {})
    assert "Readers' mean confidence" not in sure  # one group is no grouping
    at.segmented_control(key="sr_agr_part").set_value("Groups").run()
    assert title in at.selectbox(key="sr_agr_group").options


def test_what_is_measured_against_adjudicated_cases_says_what_that_means(store):
    """One sentence, on every section, only while that reference is asked for."""
    at = imported(rows(adjudicated="malignant"))
    assert "discrepant-resolution and incorporation bias" not in said(at)
    at.segmented_control(key="sr_reference").set_value("adjudicated").run()
    assert "discrepant-resolution and incorporation bias" in said(at)
    at.segmented_control(key="sr_section").set_value("Data").run()
    assert "discrepant-resolution and incorporation bias" in said(at)


def test_the_data_section_says_what_the_imrmc_file_holds(store):
    """Likelihoods but for Dee's; classes under their own name; how many patients there are."""
    table = rows(patient="P001")
    table.loc[table["reader"] == "Dee", "likelihood"] = None
    at = imported(table)
    at.segmented_control(key="sr_section").set_value("Data").run()
    assert (
        "24 first readings of 3 readers that have a reference standard and a likelihood; 8 without are left out"
        in said(at)
    )
    assert "all of Dee" in said(at)
    assert "Likelihoods (.imrmc)" in [b.proto.label for b in at.get("download_button")]
    at.segmented_control(key="sr_section").set_value("Agreement").run()
    assert "4 cases are of 1 patient." in said(at)
    at = imported(rows().drop(columns="likelihood"), "Classes only")
    at.segmented_control(key="sr_section").set_value("Data").run()
    assert "Classes as 0 and 1 (.imrmc)" in [b.proto.label for b in at.get("download_button")]
    assert "cases are of" not in said(at)


def test_withdrawn_readers_count_when_they_are_asked_for(store):
    """Left out with a sentence that says who and why; a switch takes them in; exports hold them either way."""
    people()
    cases = make.add_studies(3)
    number = make.reader_study(cases, "aided", readers=("Ann", "Bob", "Eve"))
    for reader in ("Ann", "Bob", "Eve"):
        read_all(number, reader, likelihood=60)
    with engine.write() as session:
        readers.withdraw_reader(session, number, "Eve", "knew *the* cases", "Lea")
        reader_studies.close_reader_study(session, number, "Lea")
    at = open_page("study_results", user="Lea")
    assert "2 readers · 3 cases · 6 readings" in said(at)
    assert "left out of every figure" in said(at)
    assert "knew" in said(at)
    at.toggle(key=f"sr_withdrawn:{number}").set_value(True).run()
    assert "Their readings count in every figure" in said(at)
    assert "Eve" in list(at.dataframe[0].value["Reader"])
    found = study_data.finished_studies(LEAD)[0]
    readings = study_data.load(LEAD, found)
    assert export_table(readings, study_exchange.pseudonyms_of(found, readings))["withdrawn"].sum() == 3
    assert "No results of yours yet" in said(open_page("my_results", user="Eve"))


def test_a_reader_sees_their_own_second_readings(store):
    """How far they agree with themselves, after closing only; columns of phases that nobody read are not there."""
    people()
    cases = []
    with engine.write() as session:
        for i in range(4):
            one = make.study(i, reference_standard="benign")
            studies.add_study(session, one)
            cases.append(one.id)
    number = make.reader_study(cases, "aided", rules=Rules(False, False, 0, repeats=2))
    for reader in ("Ann", "Bob"):
        read_repeats(number, reader)
    with engine.write() as session:
        reader_studies.close_reader_study(session, number, "Lea")
    at = open_page("my_results", user="Ann")
    assert not at.exception
    assert "You and yourself" in said(at)
    own = next(frame.value for frame in at.dataframe if "Same class" in frame.value)
    assert own[["Phase", "Pairs"]].values.tolist() == [["Aided", 2]]
    assert own["Same class"].iloc[0].startswith("0.00")  # malignant first, benign the second time
    assert all("unaided" not in frame.value for frame in at.dataframe)
    assert all("Others, range" not in frame.value for frame in at.dataframe), "too few others to show anything"


def test_second_readings_are_compared_with_the_first(store):
    """Under Agreement: each reader, all of them; a study without second readings says how to ask for them."""
    people()
    closed()
    at = open_page("study_results", user="Lea")
    at.segmented_control(key="sr_section").set_value("Agreement").run()
    at.segmented_control(key="sr_agr_part").set_value("Same reader twice").run()
    assert "Cases read twice" in at.info[0].value
    again = study().rows.assign(repeat=1)
    table = export_table(study(pd.concat([study().rows, again])), NAMES)
    with engine.write() as session:
        file = (session, upload(table).getvalue(), "a.csv", "breast-mri", ("Twice", "Lea"))
        added = study_files.add_study_file(*file)
    at = open_page("study_results", user="Lea", study=f"i{added.id}")
    assert "32 second readings" in said(at)
    at.segmented_control(key="sr_section").set_value("Agreement").run()
    at.segmented_control(key="sr_agr_part").set_value("Same reader twice").run()
    for _ in range(20):
        if len(at.dataframe) == 2:
            break
        at.run(timeout=60)
    classes, numbers = (frame.value for frame in at.dataframe)
    assert classes["Reader"].tolist() == ["Ann", "Bob", "Cid", "Dee", "All readers"]
    assert classes["Pairs"].tolist() == [4, 4, 4, 4, 16]
    assert classes["Same class"].str.startswith("1.00 (").all()
    assert numbers["Mean"].str.startswith("0.0 (").tolist() == [True] * 4 + [
        False
    ]  # draws without spread have no interval


def test_figures_of_simulated_readers_say_so_in_picture_and_file(store):
    """A chart that is saved, or a table that is sent on, still says that nobody read."""
    people()
    closed(simulated=True)
    found = study_data.finished_studies(LEAD)[0]
    readings = study_data.load(LEAD, found)
    at = open_page("study_results", user="Lea")
    at.segmented_control(key="sr_section").set_value("Agreement").run()
    at.segmented_control(key="sr_agr_part").set_value("Groups").run()
    assert "Simulated readers" in at.get("plotly_chart")[0].proto.spec
    assert export_table(readings, study_exchange.pseudonyms_of(found, readings))["simulated"].all()
    at = open_page("adjudication", user="Lea", reader_study=str(found.number))
    assert ":orange-badge[Simulated]" in said(at)


def test_one_n_of_a_column_is_said_once_below_the_table():
    """Where all rows rest on the same cases n leaves the cells; a column with a gap or two different n keeps it."""
    table = pd.DataFrame({
        "Strategy": ["Single", "Double"], "PPV": ["4 % (2–7), n = 40", "5 % (2–18), n = 40"],
        "Recall rate": ["22 % (10–35), n = 40", "17 % (5–33), n = 40"],
        "Sensitivity": ["79 % (61–94), n = 16", "–"], "Specificity": ["78 % (65–90), n = 24", "84 % (68–96), n = 23"],
    })  # fmt: skip
    narrow, said = n_below(table)
    assert said == "n: 40 for PPV, recall rate."
    assert narrow["PPV"].tolist() == ["4 % (2–7)", "5 % (2–18)"]
    assert narrow[["Strategy", "Sensitivity", "Specificity"]].equals(table[["Strategy", "Sensitivity", "Specificity"]])
