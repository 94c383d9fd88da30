"""Evaluation runs: exact and complete, with what is known of their cases."""

import dataclasses
import math

import numpy as np
import pytest

from core.records import CaseDetails, Estimate, EvaluationRun, Refused
from db import engine, runs, studies
from tests.db import make


def keep(*made: EvaluationRun) -> list[bool]:
    """Keep them and say which were new."""
    with engine.write() as session:
        return [runs.add_run(session, run) for run in made]


def load(run_id: str) -> EvaluationRun:
    """The run from the store."""
    with engine.read() as session:
        return runs.get_run(session, run_id)


@pytest.mark.parametrize("n", [0, 1, 200])
def test_a_run_comes_back_exactly(store, n):
    """Every field; probabilities to the last bit, so that a threshold on one of them divides as before."""
    run = make.run(n=n)
    assert keep(run) == [True]
    loaded = load(run.id)
    np.testing.assert_array_equal(loaded.probabilities, run.probabilities)
    np.testing.assert_array_equal(loaded.labels, run.labels)
    assert loaded.probabilities.dtype == np.float64
    assert loaded.probabilities.shape == (n, 2)
    assert dataclasses.replace(loaded, labels=run.labels, probabilities=run.probabilities) == run
    assert list(loaded.metrics) == ["auc", "ppv"]


def test_other_number_types_are_kept_as_values(store):
    """float32 probabilities (eight classes) and uint8 labels come back as the same numbers."""
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(8), 30).astype(np.float32)
    labels = rng.integers(0, 8, 30).astype(np.uint8)
    classes = tuple("abcdefgh")
    keep(make.run(n=30, classes=classes, probabilities=probabilities, labels=labels, operating_point=None))
    loaded = load("run-1")
    np.testing.assert_array_equal(loaded.probabilities, probabilities.astype(np.float64))
    np.testing.assert_array_equal(loaded.labels, labels)
    assert loaded.operating_point is None


def test_an_undefined_epoch_stays_undefined(store):
    """JSON has no NaN; a validation AUC that did not exist comes back as NaN, not as 0."""
    keep(make.run(history=({"epoch": 1.0, "val_auc": math.nan},)))
    (epoch,) = load("run-1").history
    assert epoch["epoch"] == 1.0
    assert math.isnan(epoch["val_auc"])


def test_ingesting_twice_doubles_nothing(store):
    """The first run of an id stands."""
    assert keep(make.run(), make.run(n=3)) == [True, False]
    assert len(load("run-1").case_ids) == 50


def test_an_unknown_run_is_refused(store):
    """With a sentence that names it."""
    with pytest.raises(Refused, match="no evaluation run 'x'"):
        load("x")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patient_ids": ("p",)}, "as many patients"),
        ({"labels": np.zeros(3, int)}, "as many patients"),
        ({"probabilities": np.full((50, 3), 0.3)}, "as many patients"),
        ({"probabilities": np.full((50, 2), np.nan)}, "finite"),
        ({"labels": np.full(50, 2)}, "0–1"),
        ({"labels": np.full(50, -1)}, "0–1"),
        ({"metrics": {"auc": Estimate(math.nan, 0.0, 1.0, 50, "DeLong")}}, "auc"),
    ],
)
def test_unfit_runs_are_refused(store, changes, message):
    """Lengths that disagree, labels that are no class, and undefined numbers never reach the store."""
    with pytest.raises(ValueError, match=message):
        keep(make.run(**changes))
    with engine.read() as session:
        assert runs.count_runs(session) == 0


def test_scores_are_those_of_the_run(store):
    """The quick way gives the same labels and probabilities, for two classes and for eight."""
    rng = np.random.default_rng(1)
    eight = make.run(
        "eight", n=30, classes=tuple("abcdefgh"), probabilities=rng.dirichlet(np.ones(8), 30), operating_point=None
    )
    for run in (make.run("two"), eight):
        keep(run)
        with engine.read() as session:
            scores = runs.get_scores(session, run.id)
        np.testing.assert_array_equal(scores.labels, run.labels)
        np.testing.assert_array_equal(scores.probabilities, run.probabilities)


def test_the_digest_of_cases_tells_other_cases_and_other_orders(store):
    """Equal for the same cases in the same order; different for another order, another case, or another cut of the same text."""
    ids = {"a": ("1", "23"), "same": ("1", "23"), "turned": ("23", "1"), "cut": ("12", "3")}
    keep(*(make.run(name, n=2, case_ids=cases) for name, cases in ids.items()))
    with engine.read() as session:
        digest = {name: runs.get_scores(session, name).cases for name in ids}
    assert digest["a"] == digest["same"]
    assert len(set(digest.values())) == 3


def test_unknown_scores_are_refused(store):
    """With the sentence of `get_run`."""
    with pytest.raises(Refused, match="no evaluation run 'x'"), engine.read() as session:
        runs.get_scores(session, "x")


def keep_details(run: EvaluationRun, details: CaseDetails) -> None:
    """Keep a run with its case details."""
    with engine.write() as session:
        runs.add_run(session, run, details)


def test_case_details_come_back_in_order(store):
    """Attributes as categories, an empty text as missing; hashes as they were; another run has none."""
    details = CaseDetails({"site": ("1", "2", "1"), "pixel_hash": ("x", "", "y")}, ("h0", "", "h2"))
    keep_details(make.run("with", n=3), details)
    keep(make.run("without", n=3))
    with engine.read() as session:
        attributes, hashes = runs.get_attributes(session, "with"), runs.get_pixel_hashes(session, "with")
        assert runs.get_attributes(session, "without").empty
        assert len(runs.get_pixel_hashes(session, "without")) == 0
    assert attributes["site"].tolist() == ["1", "2", "1"]
    assert attributes["pixel_hash"].isna().tolist() == [False, True, False]
    assert hashes.tolist() == ["h0", "", "h2"]


@pytest.mark.parametrize("details", [CaseDetails({"site": ("1",)}), CaseDetails(pixel_hashes=("a", "b", "c", "d"))])
def test_details_of_another_number_of_cases_are_refused(store, details):
    """Nothing of such a run is kept."""
    with pytest.raises(ValueError, match="3 values each"):
        keep_details(make.run(n=3), details)
    with engine.read() as session:
        assert runs.count_runs(session) == 0


def test_a_case_finds_its_study_by_its_pixels(store):
    """The hash of a stored picture gives its study; unknown and empty hashes give nothing."""
    study = make.study(7)
    with engine.write() as session:
        studies.add_study(session, study)
    known = study.images[0].content_hash
    with engine.read() as session:
        assert runs.find_studies(session, [known, "f" * 64, ""]) == {known: study.id}
        assert runs.find_studies(session, []) == {}
