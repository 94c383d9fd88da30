"""Runs, performance and comparison as scripts: what they show and store, with no run, one, several, eight classes, other data."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from core.records import CaseDetails, Image, Refused, Study, full_range_window, study_id
from core.statistics.comparison import compare
from core.statistics.discrimination import operating_metrics
from core.statistics.paired import holm
from core.tasks import TASKS
from db import audit, engine, run_list, runs, studies
from db.run_list import RunMarks
from pages.ui import run_table
from tests.pages.runs_factory import keep, keep_pictures, make_run
from tests.pages.test_pages import add_person, button, open_page, said

SECTIONS = (
    "Overview",
    "Cases",
    "Label noise",
    "Calibration",
    "Classes",
    "Subgroups",
    "Training",
    "Checklist",
    "Provenance",
)


@pytest.fixture(autouse=True)
def lea(store):
    """A project lead, in an empty store."""
    add_person("Lea", "lead")


def perform(run, section="Overview", user="Lea"):
    """The performance page of a run."""
    return open_page("performance", user, run=run.id[:12], section=section)


def titles(at):
    """Titles of the charts on a page."""
    return [re.search(r'"title":\{"text":"([^"]*)"', chart.proto.spec).group(1) for chart in at.get("plotly_chart")]


def tile_values(at):
    """Headline figures by name."""
    return {m.label: m.value for m in at.metric}


# -- Performance -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["breast-mri", "blood-cells"])
def test_every_section_opens_for_two_and_for_eight_classes(task):
    """No section breaks, and every chart says n."""
    run = make_run("one", 120, task)
    keep(run)
    at = perform(run)
    for section in at.segmented_control(key="section").options:
        at.segmented_control(key="section").set_value(section.lower() if section != "Label noise" else "suspects").run()
        assert not [*at.exception, *at.error, *at.warning], section
        assert all("n = " in title for title in titles(at)), section
    assert at.segmented_control(key="section").options == list(SECTIONS)


def test_the_page_starts_at_the_stored_operating_point():
    """The slider stands on it, the badge says so, and the tiles are the stored metrics."""
    run = make_run("one", 120)
    keep(run)
    at = perform(run)
    assert at.slider[0].value == 0.457
    assert "Stored operating point: youden" in said(at)
    assert "Not the stored operating point" not in said(at)
    for name in ("AUC", "Sensitivity", "PPV"):
        assert tile_values(at)[name] == f"{run.metrics[name.lower()].value:.3f}"
    assert tile_values(at)["Prevalence"] == "50.0%"


def test_the_threshold_moves_every_number_and_says_that_it_is_not_the_stored_one():
    """At 0.8: tiles, matrix and table are those of 0.8; back at the start they are the stored ones."""
    run = make_run("one", 120)
    keep(run)
    at = perform(run)
    at.slider[0].set_value(0.8).run()
    labels, scores = (run.labels == 1).astype(int), run.probabilities[:, 1]
    expected = operating_metrics(labels, scores, 0.8)
    assert "Not the stored operating point" in said(at)
    shown = tile_values(at)
    for name in ("sensitivity", "specificity", "accuracy", "ppv", "npv"):
        assert (
            shown["PPV" if name == "ppv" else "NPV" if name == "npv" else name.capitalize()]
            == f"{expected[name].value:.3f}"
        )
    assert shown["AUC"] == f"{run.metrics['auc'].value:.3f}"
    table = at.dataframe[0].value.set_index("Metric")
    assert table.loc["Specificity", "Low"] == pytest.approx(expected["specificity"].low)
    assert titles(at)[0].startswith("Confusion matrix at 0.800")
    assert button(at, "True positives").label.endswith(f" {int(((scores >= 0.8) & (labels == 1)).sum())}")
    button(at, "Back to").click().run()
    assert "Not the stored operating point" not in said(at)
    assert tile_values(at)["Specificity"] == f"{run.metrics['specificity'].value:.3f}"


def test_a_run_without_an_operating_point_says_so():
    """Figures at a threshold nobody chose are marked."""
    run = make_run("one", 60, operating_point=None)
    keep(run)
    at = perform(run)
    assert "no stored operating point" in said(at)
    assert at.slider[0].value == 0.5


def test_a_cell_of_the_confusion_matrix_opens_its_cases(tmp_path):
    """False negatives: as many cases as the cell says, all of them malignant and called benign, with their pictures."""
    run = make_run("one", 120, noise=2.0)
    run = dataclasses.replace(run, provenance={**run.provenance, "thumbnails_sha256": keep_pictures(tmp_path, 120)})
    keep(run)
    at = perform(run)
    found = button(at, "False negatives")
    count = int(found.label.split()[-1])
    expected = int(((run.labels == 1) & (run.probabilities[:, 1] < 0.4567)).sum())
    assert count == expected > 0
    found.click().run()
    assert not at.exception
    text = said(at)
    assert f"**{expected} of 120 cases** at threshold 0.457" in text
    assert text.count("malignant → **benign**") == min(expected, 24)
    assert len(at.get("image")) == min(expected, 24)


def test_a_case_leads_to_its_study_where_the_store_has_it_and_to_a_larger_picture_otherwise(tmp_path):
    """The case whose pixels are an image of the store links to that study; the others have a button."""
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    images = (Image(pixels, full_range_window(pixels)),)
    study = Study(study_id(images), "S", "MR", images, task="breast-mri")
    with engine.write() as session:
        studies.add_study(session, study)
    run = make_run("one", 3)
    run = dataclasses.replace(run, provenance={**run.provenance, "thumbnails_sha256": keep_pictures(tmp_path, 3)})
    keep(run, details=CaseDetails(pixel_hashes=("0" * 64, images[0].content_hash, "")))
    at = perform(run, "Cases")
    links = [link.proto for link in at.get("page_link")]
    assert [link.query_string for link in links if link.label == "Study"] == [f"study={study.id}"]
    assert len([b for b in at.button if b.label == "Larger"]) == 2
    button(at, "Larger").click().run()
    assert "The study itself is not in this store" in said(at)


def test_correct_and_incorrect_galleries_share_the_cases():
    """Every case is in exactly one of them."""
    run = make_run("one", 120, noise=2.0)
    keep(run)
    at = perform(run, "Cases")
    counts = []
    for kind in ("wrong", "right"):
        at.segmented_control(key="cases_kind").set_value(kind).run()
        counts.append(int(re.search(r"\*\*(\d+) of 120 cases", said(at)).group(1)))
    wrong = int(((run.probabilities[:, 1] >= 0.4567) != (run.labels == 1)).sum())
    assert counts == [wrong, 120 - wrong]


def test_reviewers_see_numbers_but_no_cases(tmp_path):
    """A picture with its reference standard would unblind a reading: no section, button or link leads there."""
    add_person("Anna")
    run = make_run("one", 60)
    run = dataclasses.replace(run, provenance={**run.provenance, "thumbnails_sha256": keep_pictures(tmp_path, 60)})
    keep(run, make_run("two", 60))
    for section in ("Overview", "Cases", "Label noise"):
        at = perform(run, section, "Anna")
        assert "Cases" not in at.segmented_control(key="section").options
        assert not at.get("image")
        assert not [b for b in at.button if "positives" in b.label or b.label == "Larger"]
        assert "case-" not in said(at)
    at = open_page("comparison", "Anna", runs=f"{run.id},{make_run('two', 60).id}", view="Disagreement")
    assert "would unblind" in said(at)
    assert not at.get("image")


def test_eight_classes_have_names_curves_and_counts():
    """The report holds every class by name, TP + TN + FP + FN is n, and there is no threshold."""
    run = make_run("one", 400, "blood-cells")
    keep(run)
    at = perform(run)
    assert not at.slider
    assert tile_values(at)["Cases"] == "400"
    table = perform(run, "Classes").dataframe[1].value
    assert list(table["Class"]) == [name.replace("_", " ") for name in TASKS["blood-cells"].classes]
    assert (table[["TP", "TN", "FP", "FN"]].sum(axis=1) == 400).all()
    assert table["TP"].sum() == (run.probabilities.argmax(axis=1) == run.labels).sum()


def test_subgroups_are_those_of_the_column():
    """A column of two sites gives two groups; numbers in bands; a column of too many values is refused in a sentence."""
    run = make_run("one", 120)
    ages = tuple(str(30 + i % 50) for i in range(120))
    keep(run, details=CaseDetails({"site": ("A", "B") * 60, "age": ages, "empty": ("",) * 120}))
    at = perform(run, "Subgroups")
    assert titles(at) == ["AUC by site, n = 120"]
    assert at.selectbox(key=f"subgroup:{run.id}").options == ["site", "age"]
    at.selectbox(key=f"subgroup:{run.id}").set_value("age").run()
    assert "50 different values" in at.error[0].value
    at.text_input(key="bands:age").set_value("40, 60").run()
    assert not at.error
    assert "60 (n = " not in titles(at)[0]
    spec = at.get("plotly_chart")[0].proto.spec
    assert all(name in spec.encode().decode("unicode_escape") for name in ("> 60 (n =", "40"))
    at.text_input(key="bands:age").set_value("young").run()
    assert "numbers separated by commas" in at.error[0].value


def test_a_planted_label_error_is_suspected():
    """A case that the model is sure about, labelled otherwise, is first among the suspects."""
    run = make_run("one", 120, noise=0.3)
    labels = run.labels.copy()
    labels[7] = 1 - labels[7]
    keep(dataclasses.replace(run, labels=labels))
    at = perform(run, "Label noise")
    assert "**1 suspected labels**, of n = 120" in said(at)
    assert at.dataframe[0].value["Case"].iloc[0] == "case-7"


def test_the_checklist_fills_what_the_run_states_and_lists_the_rest():
    """Values come with a link to their section; nothing is in both lists."""
    run = make_run("one", 60)
    keep(run, details=CaseDetails({"site": ("A", "B") * 30}))
    at = perform(run, "Checklist")
    filled, missing = at.dataframe[0].value, at.dataframe[1].value
    threshold = filled.set_index("What").loc["Threshold and where it was chosen"]
    assert threshold["Value"] == "youden, 0.4567, chosen on val (n = 20)"
    assert threshold["Where"] == f"/performance?run={run.id[:12]}&section=Overview"
    assert "Intended use and clinical role" in set(missing["What"])
    assert not set(zip(filled["Topic"], filled["What"], strict=True)) & set(
        zip(missing["Topic"], missing["What"], strict=True)
    )


def test_leaks_of_the_dataset_are_shown_with_the_run():
    """A run on a leaky split says so on its provenance."""
    run = make_run("one", 60)
    dataset = {**run.provenance["dataset"], "leaks": ["Patient P-7 is on two sides: train and test."]}
    keep(dataclasses.replace(run, provenance={**run.provenance, "dataset": dataset}))
    assert "Patient P-7 is on two sides" in said(perform(run, "Provenance"))


def test_links_open_archived_runs_and_refuse_unknown_ones():
    """A link to an archived run still works; one to no run says so."""
    run = make_run("one", 60)
    keep(run, make_run("two", 60))
    with engine.write() as session:
        run_list.set_marks(session, run.id, RunMarks(archived=True), "Lea")
    assert tile_values(perform(run))["Accuracy"] == f"{run.metrics['accuracy'].value:.3f}"
    at = open_page("performance", "Lea", run="beef")
    assert "no evaluation run that begins with 'beef'" in at.error[0].value


def test_patients_with_several_cases_widen_the_intervals_at_every_threshold():
    """The method names the patients at the stored threshold and at a moved one."""
    run = make_run("one", 120, patient_ids=tuple(f"p{i // 3}" for i in range(120)))
    keep(run)
    at = perform(run)
    at.slider[0].set_value(0.6).run()
    table = at.dataframe[0].value.set_index("Metric")
    assert "clustered by patient (40 patients)" in table.loc["Accuracy", "Method"]


# -- Comparison --------------------------------------------------------------------------------------------------------


@pytest.fixture
def five():
    """Five runs on the same cases, each worse than the one before."""
    made = [make_run(name, 200, noise=0.8 + 0.5 * place) for place, name in enumerate("abcde")]
    keep(*made)
    return made


def compare_page(some, view="Table", **query):
    """The comparison page of those runs."""
    return open_page("comparison", "Lea", runs=",".join(run.id[:12] for run in some), view=view, **query)


def test_differences_are_paired_and_corrected(five):
    """Each run less the baseline equals the paired tests on the raw scores; p values are Holm's."""
    table = compare_page(five).dataframe[0].value
    task, base = TASKS["breast-mri"], five[0]
    expected = [
        compare(r.labels, r.probabilities, base.probabilities, task, (0.4567, 0.4567)).differences for r in five[1:]
    ]
    assert table["Δ AUC"][1:].tolist() == pytest.approx([d["auc"].value for d in expected])
    assert table["Δ low AUC"][1:].tolist() == pytest.approx([d["auc"].low for d in expected])
    assert table["p AUC"][1:].tolist() == pytest.approx(holm([d["auc"].p for d in expected]))
    assert table["p Accuracy"][1:].tolist() == pytest.approx(holm([d["accuracy"].p for d in expected]))
    assert table["Δ AUC"].isna().tolist() == [True, False, False, False, False]
    assert table["AUC"].tolist() == pytest.approx([r.metrics["auc"].value for r in five])


def test_another_baseline_turns_the_difference_round(five):
    """a less b is minus b less a."""
    ab = compare_page(five[:2]).dataframe[0].value
    ba = compare_page(five[:2], baseline=five[1].id[:12]).dataframe[0].value
    assert list(ba["Run"]) == list(ab["Run"])[::-1]
    assert ba["Δ AUC"].iloc[1] == pytest.approx(-ab["Δ AUC"].iloc[1])
    assert ba["p AUC"].iloc[1] == pytest.approx(ab["p AUC"].iloc[1])


@pytest.mark.parametrize("task", ["breast-mri", "blood-cells"])
def test_every_view_opens_for_two_and_for_eight_classes(task):
    """No view breaks, and every chart says n."""
    made = [make_run(name, 120, task) for name in "ab"]
    keep(*made)
    at = compare_page(made)
    for view in ("table", "curves", "pairs", "errors", "cost"):
        at.segmented_control(key="view").set_value(view).run()
        assert not [*at.exception, *at.error], view
        assert all("n = " in title for title in titles(at)), view


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"provenance": {"dataset": {"fingerprint": "0" * 64}}},
            "its dataset differs (phantoms 00000000, not phantoms ffffffff)",
        ),
        ({"split": "val"}, "another split (val, not test)"),
        (
            {"case_ids": tuple(f"other-{i}" for i in range(60))},
            "its cases or their reference standards are not the same",
        ),
        ({"labels": np.zeros(60, dtype=int)}, "its cases or their reference standards are not the same"),
    ],
)
def test_runs_on_other_data_are_refused_with_the_reason(changes, reason):
    """The rest is compared as if it were not there."""
    made = [make_run("a"), make_run("b"), make_run("c", **changes)]
    keep(*made)
    at = compare_page(made)
    assert len(at.error) == 1
    assert reason in at.error[0].value
    assert [name[:7] for name in at.dataframe[0].value["Run"]] == ["Model a", "Model b"]


def test_runs_of_another_task_or_size_are_refused():
    """Nothing is left to compare, and the page says so."""
    made = [make_run("a"), make_run("b", 80), make_run("c", 60, "mammography")]
    keep(*made)
    at = compare_page(made)
    assert "it has 80 cases, not 60" in at.error[0].value
    assert "another task (mammography, not breast-mri)" in at.error[1].value
    assert "Nothing to compare" in said(at)


def test_cases_in_another_order_are_matched_by_name():
    """A run whose table is turned upside down compares as before."""
    a, b = make_run("a"), make_run("b")
    turned = dataclasses.replace(
        make_run("c"),
        labels=b.labels[::-1].copy(),
        probabilities=b.probabilities[::-1].copy(),
        case_ids=b.case_ids[::-1],
    )
    keep(a, b, turned)
    table = compare_page([a, b, turned]).dataframe[0].value
    assert table["Δ AUC"].iloc[1] == pytest.approx(table["Δ AUC"].iloc[2])
    assert table["Δ Accuracy"].iloc[1] == pytest.approx(table["Δ Accuracy"].iloc[2])


def test_disagreement_counts_every_case_once(five):
    """Only one right, both wrong, both right: together n, and as counted by hand."""
    at = compare_page(five, "Disagreement")
    counts = at.dataframe[0].value["n"].tolist()
    a, b = ((r.probabilities[:, 1] >= 0.4567) == (r.labels == 1) for r in five[:2])
    assert counts == [int((b & ~a).sum()), int((a & ~b).sum()), int((~a & ~b).sum()), int((a & b).sum())]
    assert sum(counts) == 200


def test_one_run_alone_asks_for_another(five):
    """And offers the others on the same data."""
    at = compare_page(five[:1])
    assert "Choose two to fifty runs" in said(at)
    assert len(at.multiselect[0].options) == 5


# -- Runs --------------------------------------------------------------------------------------------------------------


def test_runs_are_searched_and_filtered_by_link():
    """The filters of a link are those of the page."""
    keep(make_run("alpha"), make_run("beta"), make_run("gamma", 80, "blood-cells"))
    assert list(open_page("runs", "Lea").dataframe[0].value["model_name"]) == [
        "Model gamma",
        "Model beta",
        "Model alpha",
    ]
    assert list(open_page("runs", "Lea", search="BETA").dataframe[0].value["model_name"]) == ["Model beta"]
    assert list(open_page("runs", "Lea", task="Blood cells").dataframe[0].value["model_name"]) == ["Model gamma"]
    assert "Nothing matches" in said(open_page("runs", "Lea", search="delta"))


def test_a_task_without_sensitivity_shows_a_dash_not_undefined():
    """What a task does not have is not an undefined number."""
    keep(make_run("alpha"), make_run("gamma", 80, "blood-cells"))
    table = open_page("runs", "Lea").dataframe[0].value
    assert table["sensitivity"].iloc[0] == "–"
    assert re.fullmatch(r"0\.\d{3} \(0\.\d{3}–\d\.\d{3}\)", table["sensitivity"].iloc[1])


def pick(at, *rows):
    """Choose rows of the list of runs."""
    (key,) = [k for k in vars(at.session_state)["_state"].filtered_state if str(k).startswith("runs:")]
    at.session_state[key] = {"selection": {"rows": list(rows), "columns": [], "cells": []}}
    return at.run()


def test_a_lead_archives_and_restores(five):
    """The run leaves the list and comes back with "Archived too"; the log says who did it, and nothing is deleted."""
    at = pick(open_page("runs", "Lea"), 0)
    button(at, "Archive").click().run()
    assert not at.exception
    assert len(open_page("runs", "Lea").dataframe[0].value) == 4
    at = open_page("runs", "Lea", archived="true")
    assert at.dataframe[0].value["archived"].tolist() == [True, False, False, False, False]
    button(pick(at, 0), "Restore").click().run()
    assert len(open_page("runs", "Lea").dataframe[0].value) == 5
    with engine.read() as session:
        assert audit.list_entries(session)["actor"].tolist()[:2] == ["Lea", "Lea"]
        assert runs.count_runs(session) == 5


def test_a_lead_tags_and_notes(five):
    """Tags and notes of one run are stored and shown."""
    at = pick(open_page("runs", "Lea"), 0)
    at.text_input[-1].set_value("paper, best")
    at.text_area[0].set_value("Read again in May.")
    button(at, "Save").click().run()
    assert not at.exception
    with engine.read() as session:
        assert run_list.get_marks(session, five[-1].id) == RunMarks(False, ("paper", "best"), "Read again in May.")
    assert len(open_page("runs", "Lea", tag="best").dataframe[0].value) == 1


def test_reviewers_can_neither_archive_nor_tag(five):
    """Neither by a button nor by the function behind it."""
    anna = add_person("Anna")
    at = pick(open_page("runs", "Anna"), 0)
    assert {b.label for b in at.button} == {"Open", "Compare"}
    assert not at.text_area
    with pytest.raises(Refused, match="Only a project lead"):
        run_table._archive(anna, [five[0].id], True)
    with pytest.raises(Refused, match="Only a project lead"):
        run_table._mark(anna, five[0].id, RunMarks())


def test_the_list_is_paged_in_the_database():
    """60 runs: 50 rows are sent, and the second page has the rest."""
    keep(*(dataclasses.replace(make_run("a"), id=f"{i:064}", model_name=f"Model {i}") for i in range(60)))
    at = open_page("runs", "Lea")
    assert len(at.dataframe[0].value) == 50
    at.number_input(key="runs_page").set_value(2).run()
    assert list(at.dataframe[0].value["model_name"]) == [f"Model {i}" for i in range(9, -1, -1)]
