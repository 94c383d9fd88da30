"""What the scripts that write documents must not get wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from benchmarks import store as store_benchmark
from benchmarks.documents import put_section
from benchmarks.heatmaps import models, section
from benchmarks.results import Trained, best_on_validation
from benchmarks.results_plans import plans
from benchmarks.results_text import figure
from core.architectures import get_architecture
from core.recipes import load_recipe
from core.records import EvaluationRun
from core.statistics.summary import evaluate
from core.tasks import get_task
from db import engine

TASK = get_task("breast-ultrasound")


def test_a_section_replaces_its_own_and_nothing_else(tmp_path):
    """A new title goes to the end, a known one into its place; other sections, a longer title too, stay as they are."""
    document = tmp_path / "results.md"
    put_section(document, "## A", ["one"])
    put_section(document, "## A longer", ["other"])
    put_section(document, "## B", ["two", "", "### Part", "more"])
    put_section(document, "## A", ["new (1+1) \\1"])
    text = document.read_text()
    assert text.startswith("# Results\n")
    assert text.endswith("## A\n\nnew (1+1) \\1\n\n## A longer\n\nother\n\n## B\n\ntwo\n\n### Part\nmore\n")
    put_section(document, "## B", ["last"])
    assert document.read_text().endswith("other\n\n## B\n\nlast\n")


def test_every_row_of_the_results_can_be_trained_and_has_a_folder_of_its_own():
    """Recipes and architectures exist; figures that are compared have three seeds or more; no two rows share a run."""
    for plan in plans():
        recipe = load_recipe(plan.recipe)
        get_architecture(plan.architecture or recipe.architecture)
        assert len(plan.seeds) >= 3 or plan.group == "smoke"
    assert len({plan.key for plan in plans()}) == len(plans())


def trained(val: list[float], test: list[float], labels: list[int]) -> Trained:
    """A model with these P(malignant) on validation and on test."""

    def run(scores: list[float], split: str) -> EvaluationRun:
        p, y = np.column_stack([scores, 1 - np.array(scores)]), np.array(labels)
        ids = tuple(map(str, range(len(y))))
        figures = evaluate(y, p, TASK, 0.1)
        return EvaluationRun("r", "v", "m", TASK.name, TASK.classes, "d", split, ids, ids, y, p, None, figures)

    return Trained(0, Path("c.pt"), 1.0, 1, run(val, "val"), run(test, "test"))


def test_validation_chooses_whatever_the_test_says():
    """The better one on validation is taken though the other is perfect on test; accuracy is of the more probable class."""
    labels = [0, 0, 1, 1]  # 0 is malignant
    chosen = trained([0.9, 0.8, 0.2, 0.1], [0.1, 0.2, 0.8, 0.9], labels)
    other = trained([0.9, 0.2, 0.8, 0.1], [0.9, 0.8, 0.2, 0.1], labels)
    assert best_on_validation({"other": other, "chosen": chosen}) == "chosen"
    assert figure(other.test, "accuracy").value == 1
    assert other.test.metrics["accuracy"].value == 0.5  # at the threshold of 0.1


@pytest.mark.parametrize("scope", store_benchmark.SCOPES)
def test_the_store_s_benchmark_reads_as_the_page_does(scope, tmp_path, monkeypatch):
    """Three readers with four readings each: every draft and save is timed, every reading is there, no draft is left."""
    for name in ("TUMORTRACE_HOME", "DATABASE_URL"):
        monkeypatch.setenv(name, str(tmp_path))  # put back afterwards: the benchmark sets its own
    left = []

    def counted(number):
        with engine.read() as session:
            left.append(session.scalar(text(f"SELECT count(*) FROM {'reader_drafts' if number else 'drafts'}")))
        return kept(number)

    kept = store_benchmark._kept
    monkeypatch.setattr(store_benchmark, "_kept", counted)
    times, rate = store_benchmark.measure(store_benchmark.through_the_writer, scope, 3, 4, "together")
    assert times.shape == (12, store_benchmark.ACTIONS)
    assert (times > 0).all()
    assert rate > 0
    assert left == [0]


def facts_of_masks(own: list[float], centre: list[float]) -> dict:
    """What was measured of one map of 40 cases: figures, those of the centre, and differences of ± 0.1 around theirs."""

    def estimate(value: float) -> dict:
        return {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 40}

    names = ("hit", "energy", "iou")
    control = {"threshold": 0.5, **{name: estimate(value) for name, value in zip(names, centre, strict=True)}}
    gap = {name: estimate(a - b) for name, a, b in zip(names, own, centre, strict=True)}
    controls = ("centre", "brightest", "untrained")
    return {
        "n": 40, "tuned": 20, "own": {name: estimate(value) for name, value in zip(names, own, strict=True)},
        "controls": dict.fromkeys(controls, control), "differences": dict.fromkeys(controls, gap),
    }  # fmt: skip


def test_a_map_that_is_no_better_than_the_centre_is_called_so():
    """Better is bold, worse in italics, an interval that holds 0 neither; a map of two cells is said to point at nothing."""
    fair, poor = facts_of_masks([0.45, 0.5, 0.1], [0.43, 0.3, 0.3]), facts_of_masks([0.0] * 3, [0.43] * 3)
    text = "\n".join(
        section({"a": {"gradcam": {"masks": fair}}, "b": {"gradcam": {"masks": poor}}}, {"a": (8, 8), "b": (2, 2)})
    )
    assert "| a | Grad-CAM | peak inside | 0.45 (0.35–0.55) | 0.43 | +0.02 (−0.08 to +0.12) |" in text
    assert "| a | Grad-CAM | energy inside | 0.50 (0.40–0.60) | **0.30** |" in text
    assert "| a | Grad-CAM | IoU | 0.10 (0.00–0.20) | *0.30* |" in text
    assert "against the image centre: **none of 2 maps is** better, 1 worse, 1 cannot be told apart" in text
    assert "peaks inside say nothing about b:" in text
    assert "not better than the image centre" in text
    assert "worse than the image centre" in text
    better = "\n".join(section({"a": {"gradcam": {"masks": facts_of_masks([0.9] * 3, [0.1] * 3)}}}, {"a": (8, 8)}))
    assert "1 of 1 maps are better, 0 worse" in better
    assert "say nothing" not in better


def test_only_finished_models_are_measured(tmp_path):
    """A run folder without its figures is left out, and so is an ensemble that is not there."""
    plan = next(plan for plan in plans() if plan.group == "us-64")
    for seed in (0, 1):
        (tmp_path / "runs" / f"{plan.key}_{seed}").mkdir(parents=True)
    (tmp_path / "runs" / f"{plan.key}_0" / "done.json").write_text("{}")
    assert list(models(tmp_path)) == [f"{plan.architecture}, seed 0"]
