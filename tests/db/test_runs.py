"""Evaluation runs: exact, complete, and listed without opening their predictions."""

import dataclasses
import math

import numpy as np
import pytest
from sqlalchemy import text

from core.records import Estimate, EvaluationRun, Refused
from db import engine, runs
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


def test_runs_are_listed_with_their_metrics(store):
    """Newest first; each metric with bounds and n; NA where it is undefined or the run has none."""
    keep(make.run("old", n=10), make.run("new", n=20, metrics={"auc": Estimate(0.5, 0.4, 0.6, 20, "DeLong")}))
    with engine.read() as session:
        table = runs.list_runs(session)
    assert list(table["id"]) == ["new", "old"]
    assert list(table["n"]) == [20, 10]
    assert list(table.columns[-8:]) == [
        f"{name}{part}" for name in ("auc", "ppv") for part in ("", "_low", "_high", "_n")
    ]
    assert table.loc[0, ["auc", "auc_low", "auc_high", "auc_n"]].tolist() == [0.5, 0.4, 0.6, 20]
    assert table["ppv"].isna().tolist() == [True, True]
    assert table["ppv_n"].fillna(-1).tolist() == [-1, 0]
    assert "metrics" not in table.columns


def test_runs_are_filtered_and_paged(store):
    """By task and model; pages do not overlap; an empty page has the fixed columns."""
    keep(*(make.run(f"run-{i}", n=2, task=["a", "b"][i % 2], model_version=f"v{i % 3}") for i in range(6)))
    with engine.read() as session:
        assert list(runs.list_runs(session, "a")["id"]) == ["run-4", "run-2", "run-0"]
        assert list(runs.list_runs(session, "a", "v2")["id"]) == ["run-2"]
        assert [list(runs.list_runs(session, limit=4, offset=o)["id"]) for o in (0, 4)] == [
            ["run-5", "run-4", "run-3", "run-2"],
            ["run-1", "run-0"],
        ]
        assert (runs.count_runs(session), runs.count_runs(session, "b"), runs.count_runs(session, "b", "v0")) == (
            6,
            3,
            1,
        )
        assert list(runs.list_runs(session, "none").columns) == [
            "id", "created_at", "model_name", "model_version", "task", "dataset", "split", "n",
        ]  # fmt: skip


def test_listing_does_not_open_predictions(sqlite_only):
    """With the predictions spoilt, the list is as before."""
    keep(make.run())
    with engine.write() as session:
        session.execute(text("UPDATE runs SET predictions = 'spoilt'"))
    with engine.read() as session:
        assert runs.list_runs(session)["auc"].tolist() == [0.8]
