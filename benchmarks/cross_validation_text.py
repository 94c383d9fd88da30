"""What benchmarks.cross_validation says of its choice, the missed aim included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import results_text
from core.datasets import Dataset
from core.figures import estimate_text
from core.records import Estimate, EvaluationRun
from core.statistics.discrimination import auc

if TYPE_CHECKING:
    from benchmarks.cross_validation import Candidate
    from benchmarks.results import Trained
    from benchmarks.results_plans import Plan

TITLE = "## Chosen by cross-validation"


def comparison(chosen: Candidate, found: Mapping[Candidate, Estimate], seconds: float) -> list[str]:
    """What was compared (`found`: out-of-fold AUC) and what was chosen; `seconds` is what all folds took."""
    n = next(iter(found.values())).n
    return [
        "`python -m benchmarks.cross_validation --data ../shared/data --work DIR` writes this section.",
        "",
        f"On the 78 validation pictures every good network stands near 0.99, so that they cannot choose. Here the {n} pictures of "
        "training and validation (128 px) were dealt into three folds, look-alikes together; each candidate was trained on two "
        "folds, with the recipe `breast-ultrasound-imagenet` and seed 0, and asked about the third. The candidates were written "
        "down before the first was trained, and the largest AUC chooses. The test split took no part. "
        f"All folds took {seconds / 60:.0f} minutes of one core.",
        "",
        f"| candidate | AUC on pictures it was not trained on (95 %, n = {n}) |",
        "| --- | --- |",
        *(f"| {_marked(c, chosen)} | {_interval(estimate)} |" for c, estimate in found.items()),
        "",
    ]


def outcome(chosen: Candidate, trained: Sequence[tuple[Plan, Sequence[Trained]]], whole: Trained) -> list[str]:
    """The figures of what was chosen, of its members one by one and of the whole, and whether the aim was reached."""
    return [
        "The intervals overlap widely: this is the best guess, not a proven order. Then the chosen one, trained on the official "
        "training split (n = 546), its operating point from the official validation split, scored on the test split:",
        "",
        *results_text.HEAD,
        *(results_text.seeds_row(plan, runs, 128) for plan, runs in trained),
        results_text.single_row(f"mean of {whole.members}: {chosen.name}", "128 px", whole),
        "",
        *(results_text.intervals(plan, runs) for plan, runs in trained),
        "",
        *_verdict(whole.test),
    ]


def without_lookalikes(run: EvaluationRun, dataset: Dataset, groups: np.ndarray) -> np.ndarray:
    """Which test cases (N,) bool of a run show nothing that also stands, nearly the same, in training or validation."""
    group = dict(zip((case.case_id for case in dataset.cases), groups.tolist(), strict=True))
    seen = {group[case.case_id] for case in dataset.cases if case.split != "test"}
    return np.array([group[case_id] not in seen for case_id in run.case_ids])


def _verdict(run: EvaluationRun) -> list[str]:
    goals = zip(("auc", "accuracy"), results_text.AIM, strict=True)
    parts = []
    for name, goal in goals:
        estimate = results_text.figure(run, name)
        parts.append(f"{estimate_text(estimate, 3)} ({results_text.reached(estimate.value, goal)})")
    return [
        f"The aim was AUC {results_text.AIM[0]} and accuracy {results_text.AIM[1]}: test AUC {parts[0]}, accuracy {parts[1]}. "
        "The test split had been scored by the models of *Breast ultrasound* before this, which is why the candidates were "
        "compared without it.",
        "",
    ]


def lookalikes(run: EvaluationRun, dataset: Dataset, groups: np.ndarray) -> list[str]:
    """How the test cases fare that look like others; `groups` (N,) says which cases of `dataset` do."""
    alone = without_lookalikes(run, dataset, groups)
    y, score = (run.labels == 0).astype(int), run.probabilities[:, 0]
    return [
        f"BUSI holds many pictures that are nearly the same (`python -m core dataset` lists them): {int((~alone).sum())} of the "
        f"{len(alone)} test pictures have a look-alike in training or validation, in this and every published figure on "
        f"BreastMNIST. On those the AUC is {_interval(auc(y[~alone], score[~alone]))}, on the {int(alone.sum())} that have none "
        f"{_interval(auc(y[alone], score[alone]))}.",
    ]


def _interval(estimate: Estimate) -> str:
    return estimate_text(estimate, 3).split(", n = ")[0]


def _marked(candidate: Candidate, chosen: Candidate) -> str:
    return f"**{candidate.name}**" if candidate == chosen else candidate.name
