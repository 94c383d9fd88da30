"""The printable report and the checklist draft say what the run says, and nothing else."""

from __future__ import annotations

import dataclasses
from html.parser import HTMLParser

import numpy as np
import pytest

from core.checklist import checklist
from core.records import EvaluationRun, Model, OperatingPoint
from core.report import run_report
from core.statistics.summary import evaluate
from core.tasks import TASKS


def a_run(task="breast-mri", **changes) -> EvaluationRun:
    """Forty cases with R1-like facts."""
    known, n = TASKS[task], 40
    labels = np.arange(n) % len(known.classes)
    p = np.full((n, len(known.classes)), 0.1)
    p[np.arange(n), np.where(np.arange(n) % 5 == 0, (labels + 1) % len(known.classes), labels)] = 0.8
    p /= p.sum(axis=1, keepdims=True)
    point = OperatingPoint("youden", 0.5, "val (n = 10)") if known.positive else None
    values = {
        "id": "a" * 64, "model_version": "b" * 64, "model_name": "VGG16", "task": task, "classes": known.classes,
        "dataset": "BreaDM", "split": "test", "case_ids": tuple(map(str, range(n))),
        "patient_ids": tuple(str(i // 2) for i in range(n)), "labels": labels, "probabilities": p, "operating_point": point,
        "metrics": evaluate(labels, p, known, 0.5 if point else None),
        "provenance": {"dataset": {"fingerprint": "f" * 64, "leaks": []}, "versions": {"torch": "2.14"}, "device": "cpu"},
    }  # fmt: skip
    return EvaluationRun(**(values | changes))


class Reader(HTMLParser):
    """Collects the tags, the addresses they point to and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.addresses, self.text = [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        """Called by the parser."""
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "action", "xlink:href")]

    def handle_data(self, data):
        """Called by the parser."""
        self.text += data


@pytest.mark.parametrize("task", ["breast-mri", "blood-cells"])
def test_the_report_needs_nothing_from_elsewhere(task):
    """No script, link, image or address: a file that can be mailed and printed."""
    page = run_report(a_run(task))
    reader = Reader(page)
    assert not {"script", "link", "img", "iframe", "object"} & set(reader.tags)
    assert reader.addresses == []
    assert "url(" not in page
    assert "@import" not in page


def test_the_report_says_what_it_is_and_where_it_comes_from():
    """Notice, n, patients, operating point, metrics with intervals, versions and hashes."""
    text = Reader(run_report(a_run())).text
    for part in ("Research use, not for diagnosis", "n = 40 cases of 20 patients", "youden: threshold 0.5000", "val (n = 10)",
                 "a" * 64, "b" * 64, "f" * 64, "torch 2.14", "0.800 ("):  # fmt: skip
        assert part in text, part


def test_the_report_draws_the_curve_through_the_operating_point():
    """Sensitivity and specificity 0.8: the mark stands at x = 10 + 200 · 0.2, y = 210 − 200 · 0.8."""
    page = run_report(a_run())
    assert '<circle cx="50.0" cy="50.0"' in page
    assert "<svg" not in run_report(a_run("blood-cells"))


def test_names_from_outside_are_text():
    """A model or dataset called like HTML does nothing."""
    page = run_report(a_run(model_name="<script>alert(1)</script>", dataset='"><img src=x>'))
    assert not {"script", "img"} & set(Reader(page).tags)
    assert "<script>alert(1)</script>" in Reader(page).text


def test_a_bare_run_has_a_report_too():
    """Predictions made elsewhere state little: the rest is said to be not stated."""
    text = Reader(run_report(a_run(provenance={}, operating_point=None))).text
    assert "not stated" in text
    assert "no operating point" in text


def by_what(items):
    """Values by what they are about."""
    return {item.what: item.value for item in items}


def test_the_checklist_quotes_the_run():
    """Each value is the run's own; sources are sections of the page."""
    model = Model("b" * 64, "VGG16, first", "vgg16", "breast-mri", card={"recipe": "default"})
    items = checklist(a_run(), model, ["site", "age"])
    values = by_what(items)
    assert values["Cases by class"] == "40 cases of 20 patients (benign 20, malignant 20)"
    assert values["Threshold and where it was chosen"] == "youden, 0.5000, chosen on val (n = 10)"
    assert values["Registered in this store"] == "VGG16, first, candidate"
    assert values["Level at which partitions are disjoint"] == "patient and picture; none on two sides"
    assert values["Subgroups"] == "by site, age"
    sections = {"overview", "cases", "calibration", "subgroups", "training", "provenance", "models", ""}
    assert {item.source for item in items} <= sections
    assert all(item.source for item in items if item.value)


def test_what_no_record_states_is_missing():
    """A bare run fills little, and invents nothing: no leak check was stated, so none is claimed."""
    values = by_what(checklist(a_run(provenance={}, operating_point=None, metrics={})))
    unknown = (
        "Level at which partitions are disjoint",
        "Threshold and where it was chosen",
        "Discrimination",
        "Architecture",
    )
    for what in (*unknown, "Registered in this store", "Intended use and clinical role", "Funding and interests"):
        assert values[what] == "", what


def test_a_leak_is_not_called_disjoint():
    """The first finding is quoted."""
    leaky = a_run()
    provenance = {"dataset": {"leaks": ["Patient 7 is on two sides: train and test."]}}
    values = by_what(checklist(dataclasses.replace(leaky, provenance=provenance)))
    assert (
        values["Level at which partitions are disjoint"] == "not disjoint: Patient 7 is on two sides: train and test."
    )
