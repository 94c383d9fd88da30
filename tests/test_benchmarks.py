"""What the scripts that write documents must not get wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.documents import put_section
from benchmarks.results import Trained, best_on_validation, plans
from benchmarks.results_text import figure
from core.architectures import get_architecture
from core.recipes import load_recipe
from core.records import EvaluationRun
from core.statistics.summary import evaluate
from core.tasks import get_task

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
