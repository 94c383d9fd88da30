"""What the results script says: sections of Markdown from finished trainings, missed aims included."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from scipy.stats import ttest_ind

from core.figures import estimate_text
from core.records import Estimate, EvaluationRun
from core.statistics import summary
from core.tasks import get_task

if TYPE_CHECKING:
    from benchmarks.results import Trained
    from benchmarks.results_plans import Plan

Rows = Sequence[tuple["Plan", Sequence["Trained"]]]
Section = tuple[str, list[str]]

R4 = "R4, best of its six (novel CNN C), its own report"
MEDMNIST = "MedMNIST v2 (Yang et al., Scientific Data 2023), ResNet-18"
PUBLISHED = (  # input edge, model and source, AUC, accuracy
    (28, R4, None, 0.83),
    (28, f"{MEDMNIST}, 28 px", 0.901, 0.863),
    (224, f"{MEDMNIST}, 224 px", 0.891, 0.833),
)
AIM_28, AIM = (0.901, 0.863), (0.95, 0.90)
HEAD = [
    "| model | pictures | seeds | test AUC | test accuracy | sensitivity | specificity | validation AUC | training |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
]


def ultrasound(rows: Rows, whole: Mapping[int, Mapping[str, Trained]]) -> Section:
    """BreastMNIST and the same pictures at 64 and 128 pixels: single trainings, ensembles, and which validation chose."""
    lines = [
        "`python -m benchmarks.results --data ../shared/data --work DIR` writes this section and those below.",
        "",
        "BreastMNIST's 780 pictures in its own splits (train 546, val 78, test 156 with 42 malignant): at 28 px the official "
        "file, at 64 and 128 px the same BUSI pictures (`busi_128_in_breastmnist_order.npz`), made smaller by our own "
        "preprocessing. From random weights, but for those named *from ImageNet*. "
        "Of several seeds: mean (lowest–highest); of an ensemble: the value and its 95 % interval. "
        "Accuracy is that of the most probable class, as in published figures; sensitivity and specificity are at the "
        "operating point that validation chose (Youden). "
        "Training is processor time of one seed, one core without a GPU. "
        "Networks that validation preferred were given five seeds; for that at 28 px the two more were added after the test "
        "figures of three were known (AUC 0.899, accuracy 0.853, just below the aim), so read *reached* there with that in mind.",
        "",
        *HEAD,
    ]
    for size in sorted(whole):
        lines += [seeds_row(plan, runs, size) for plan, runs in rows if plan.group == f"us-{size}"]
        lines += [single_row(name, f"{size} px", run) for name, run in whole[size].items()]
        lines += [f"| *{name}* | {px} px | – | {_or_dash(auc)} | {_or_dash(acc)} | – | – | – | – |"
                  for px, name, auc, acc in PUBLISHED if px == size]  # fmt: skip
    lines += [f"| *{name}* | {px} px | – | {_or_dash(auc)} | {_or_dash(acc)} | – | – | – | – |"
              for px, name, auc, acc in PUBLISHED if px not in whole]  # fmt: skip
    lines += ["", "In italics: published by others. Intervals of single seeds (95 %):", ""]
    lines += [intervals(plan, runs) for plan, runs in rows if plan.group.startswith("us-") and runs]
    return "## Breast ultrasound", [*lines, "", *_verdicts(rows, whole)]


def _verdicts(rows: Rows, whole: Mapping[int, Mapping[str, Trained]]) -> list[str]:
    """Whether the aims were reached by what validation chose."""
    from benchmarks.results import best_on_validation

    lines = []
    if whole.get(28):
        lines += _verdict(best_on_validation(whole[28]), whole[28], AIM_28, "At 28 px the aim was MedMNIST's ResNet-18")
    larger = {name: run for size, runs in whole.items() if size > 28 for name, run in runs.items()}
    if larger:
        lines += _verdict(best_on_validation(larger), larger, AIM, "At 64 or 128 px the aim was")
        lines += [
            "How larger networks did that all 624 training and validation pictures chose: *Chosen by cross-validation*.",
            "",
        ]
    short = [(p, runs) for p, runs in rows if p.group.startswith("us-") and len(runs) < len(p.seeds)]
    unfinished = [f"{plan.name} ({len(runs)} of {len(plan.seeds)} seeds)" for plan, runs in short]
    return [
        *lines,
        *(
            [f"Not finished for want of time (the same command goes on from there): {', '.join(unfinished)}.", ""]
            if unfinished
            else []
        ),
    ]


def _verdict(name: str, runs: Mapping[str, Trained], aim: tuple[float, float], what: str) -> list[str]:
    test = runs[name].test.metrics
    accuracy = figure(runs[name].test, "accuracy")
    said = [reached(found.value, goal) for found, goal in zip((test["auc"], accuracy), aim, strict=True)]
    return [
        f"{what} AUC {aim[0]} and accuracy {aim[1]}. Validation chose *{name}* (largest validation AUC, "
        f"{estimate_text(runs[name].val.metrics['auc'], 3)}); its test AUC is {estimate_text(test['auc'], 3)} ({said[0]}), "
        f"its test accuracy {estimate_text(accuracy, 3)} ({said[1]}).",
        "",
    ]


def reached(value: float | None, goal: float) -> str:
    """Whether an aim was reached, in a word."""
    return "reached" if value is not None and value >= goal else "missed"


def leak(found: Mapping[str, tuple[Sequence[Trained], Sequence[Trained], Trained, Trained]]) -> Section:
    """The same training with and without the leaked picture, on the same test cases: seeds, and their ensembles."""
    lines = [
        "BreastMNIST's train/115 (malignant) and test/76 (benign) are one picture. Below, the same recipe and seeds trained "
        "with and without train/115; the test split is the same. The seeds' AUCs are compared by Welch's t-test: one picture "
        "fewer changes the order of all batches, so a seed is not its own partner. p(malignant) is what the seeds together give "
        "to test/76.",
        "",
        "| recipe | seeds | AUC with, mean of seeds | AUC without | p | all with | all without | test/76 with → without |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    matters = []
    for name, (with_it, without, both_with, both_without) in found.items():
        areas = [[run.test.metrics["auc"].value for run in runs] for runs in (with_it, without)]
        p = float(ttest_ind(*areas, equal_var=False).pvalue)
        matters.append(p < 0.05)
        a, b = both_with.test, both_without.test
        place = a.case_ids.index("test/76")
        lines.append(
            f"| {name} | {len(with_it)} + {len(without)} | {_spread(with_it, 'auc')} | {_spread(without, 'auc')} | {p:.2f} | "
            f"{_metric(a, 'auc')} | {_metric(b, 'auc')} | {a.probabilities[place, 0]:.2f} → {b.probabilities[place, 0]:.2f} |"
        )
    said = "It matters: the seeds' AUCs differ beyond chance." if any(matters) else (
        "Whether it matters cannot be told from the AUC: the seeds differ among themselves as much. One case of 156 moves the "
        "accuracy by 0.006 at most."
    )  # fmt: skip
    return "## The leaked picture", [*lines, "", said if found else "Not run for want of time."]


def reference_systems(rows: Rows) -> Section:
    """R4's models on BreastMNIST, the 61 real cells, and every other recipe at smoke size."""
    lines = [
        "R4's models on BreastMNIST (test n = 156), as its recipes say, beside the accuracy that its report states:",
        "", "| model | seeds | test accuracy | test AUC | published accuracy | epochs | training |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for plan, runs in rows:
        if plan.group == "r4":
            figures = f"{_spread(runs, 'accuracy')} | {_spread(runs, 'auc')}"
            lines.append(
                f"| {plan.name} | {_seeds(runs)} | {figures} | {plan.published} | {_epochs(runs)} | {_time(runs)} |"
            )
    lines += [
        "", "Always answering *benign* is right in 73 % of these cases, so R4's 71 % is no better than that. Intervals (95 %):", "",
        *[intervals(plan, runs) for plan, runs in rows if plan.group == "r4" and runs],
        "",
        "BloodMNIST itself is not at hand. Its recipes run on a made file of its shape (28 × 28 × 3, 8 classes), and one is "
        "trained on the 61 real cells (37 for training, 8 for validation, 16 for the test): a check of the pipeline, no more.",
        "", "| model | seeds | test n | test accuracy | test AUC (macro) | training |", "| --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    lines += [
        f"| {plan.name} | {_seeds(runs)} | {len(runs[0].test.labels)} | {_spread(runs, 'accuracy')} | "
        f"{_spread(runs, 'auc')} | {_time(runs)} |"
        for plan, runs in rows if plan.group == "cells" and runs
    ]  # fmt: skip
    lines += [
        "",
        "Every other recipe end to end at **smoke size**: a few pictures, one epoch (two phases: three), one seed, random "
        "weights. The figures say that data, recipe, training, evaluation and run folder fit together, nothing about the models.",
        "", "| recipe | data | train / val / test | test AUC | training |", "| --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for plan, runs in rows:
        if plan.group == "smoke":
            made = [_smoke_row(plan, run) for run in runs]
            lines += made or [f"| {plan.name} | {plan.data} | not run for want of time | – | – |"]
    return "## Reference systems", lines


def _smoke_row(plan: Plan, run: Trained) -> str:
    counts = run.test.provenance["dataset"]["counts"]
    sizes = " / ".join(str(sum(counts[split].values())) for split in ("train", "val", "test"))
    return f"| {plan.name} | {plan.data} | {sizes} | {_metric(run.test, 'auc')} | {run.seconds:.0f} s |"


def external(runs: Sequence[EvaluationRun]) -> Section:
    """Predictions that others published, with our intervals."""
    printed = ("AUC 0.913, accuracy 0.846", "AUC 0.9868", "AUC 0.9873")
    lines = [
        "Predictions that others published, read by `python -m db ingest-predictions`; intervals are ours and count patients where "
        "these have two breasts. Published: the file names of ishanmitra/medmnist-streamlit, and results/metrics/"
        "ensemble_metrics.txt of jiachenliu1128/CS598_CVH_Final_Project.",
        "", "| predictions | n | AUC | accuracy | published |", "| --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for run, said in zip(runs, printed, strict=True):
        lines.append(
            f"| {run.model_name} | {len(run.labels):,} | {_metric(run, 'auc', 4)} | {_metric(run, 'accuracy', 4)} | {said} |"
        )
    return "## Predictions from elsewhere", lines


def seeds_row(plan: Plan, runs: Sequence[Trained], size: int) -> str:
    """A row under `HEAD` of several seeds: mean, lowest and highest."""
    edge = f"{size} px"
    if not runs:
        return f"| {plan.name} | {edge} | not run | – | – | – | – | – | – |"
    figures = " | ".join(_spread(runs, m) for m in ("auc", "accuracy", "sensitivity", "specificity"))
    return f"| {plan.name} | {edge} | {_seeds(runs)} | {figures} | {_spread(runs, 'auc', 'val')} | {_time(runs)} |"


def single_row(name: str, edge: str, run: Trained) -> str:
    """A row under `HEAD` of one model, with its intervals."""
    figures = " | ".join(_metric(run.test, m) for m in ("auc", "accuracy", "sensitivity", "specificity"))
    return f"| **{name}** | {edge} | {run.members} together | {figures} | {_metric(run.val, 'auc')} | {run.seconds:.0f} s in all |"


def intervals(plan: Plan, runs: Sequence[Trained]) -> str:
    """One line with the figures of every seed."""
    each = "; ".join(
        f"seed {r.seed}: AUC {_metric(r.test, 'auc')}, accuracy {_metric(r.test, 'accuracy')}" for r in runs
    )
    return f"- {plan.name} (`{plan.recipe}`): {each}; n = {len(runs[0].test.labels)}."


def _metric(run: EvaluationRun, name: str, digits: int = 3) -> str:
    estimate = figure(run, name)
    return (
        estimate_text(estimate, digits).split(", n = ")[0]
        if estimate.value is not None
        else f"undefined: {estimate.reason}"
    )


def figure(run: EvaluationRun, name: str) -> Estimate:
    """A metric of a run; `accuracy` is that of the most probable class, as published figures are."""
    if name != "accuracy":
        return run.metrics[name]
    patients = None if run.patient_ids == run.case_ids else run.patient_ids
    return summary.evaluate(run.labels, run.probabilities, get_task(run.task), patients=patients)["accuracy"]


def _spread(runs: Sequence[Trained], metric: str, split: str = "test") -> str:
    values = [v for r in runs if (v := figure(getattr(r, split), metric).value) is not None]
    if not values:
        return "–"
    return f"{statistics.mean(values):.3f} ({min(values):.3f}–{max(values):.3f})"


def _time(runs: Sequence[Trained]) -> str:
    return f"{statistics.mean(r.seconds for r in runs):.0f} s" if runs else "–"


def _epochs(runs: Sequence[Trained]) -> str:
    return ", ".join(str(r.epochs) for r in runs) or "–"


def _seeds(runs: Sequence[Trained]) -> str:
    return ", ".join(str(r.seed) for r in runs) or "not run"


def _or_dash(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
