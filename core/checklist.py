"""A draft for a reporting checklist: topics after CLAIM 2024 and STARD-AI, filled from a run where it holds the answer.

The topics are in our own words and carry no item numbers: the published checklists are what an author fills in at the end.
Nothing is guessed: what no record states is listed as missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.figures import estimate_text
from core.records import EvaluationRun, Model
from core.tasks import get_task


@dataclass(frozen=True)
class Item:
    """One thing to report. `value` is empty where the store cannot say; `source` is where it comes from.

    `source` is a section of the Performance page (overview, calibration, subgroups, training, provenance), `models`, or empty.
    """

    topic: str
    what: str
    value: str = ""
    source: str = ""


def checklist(run: EvaluationRun, model: Model | None = None, attributes: Sequence[str] = ()) -> list[Item]:
    """The draft for a run, its registered model (None where it is not registered) and the names of its case attributes."""
    return [
        *_study(), *_data(run, attributes), *_reference(run), *_network(run, model), *_training(run, model),
        *_evaluation(run), *_results(run, attributes), *_rest(),
    ]  # fmt: skip


def _study() -> list[Item]:
    topic = "Aim and design"
    return [
        Item(topic, "Intended use and clinical role"),
        Item(topic, "Objectives and hypotheses"),
        Item(topic, "Prospective or retrospective; goal of the study"),
    ]


def _data(run: EvaluationRun, attributes: Sequence[str]) -> list[Item]:
    topic, dataset = "Data", _dataset(run)
    counts = dict(dataset.get("counts") or {})
    sizes = ", ".join(f"{split} {sum(by_class.values()):,}" for split, by_class in counts.items())
    fingerprint = dataset.get("fingerprint")
    named = f"{run.dataset}, fingerprint {str(fingerprint)[:16]}" if fingerprint else ""
    return [
        Item(topic, "Data source, identified", named, "provenance"),
        Item(topic, "Sites, dates and setting of acquisition"),
        Item(topic, "Eligibility: who was included and excluded"),
        Item(topic, "Preprocessing of images", _text(run.provenance.get("preprocessing")), "provenance"),
        Item(topic, "Partitions and their sizes", sizes, "provenance"),
        Item(topic, "Level at which partitions are disjoint", _leaks(dataset), "provenance"),
        Item(topic, "Case attributes that are recorded", ", ".join(attributes), "subgroups"),
        Item(topic, "Missing data and how they were handled"),
        Item(topic, "De-identification"),
        Item(topic, "Sample size and how it was chosen"),
    ]


def _reference(run: EvaluationRun) -> list[Item]:
    topic, task = "Reference standard", get_task(run.task)
    classes = ", ".join(name.replace("_", " ") for name in run.classes)
    positive = f"; positive class: {task.positive}" if task.positive else ""
    return [
        Item(topic, "Target condition: classes", classes + positive, "overview"),
        Item(topic, "How the reference standard was obtained, and by whom"),
        Item(topic, "Agreement of those who set it"),
    ]


def _network(run: EvaluationRun, model: Model | None) -> list[Item]:
    topic = "Model"
    size = run.provenance.get("parameters")
    return [
        Item(topic, "Version, so that it can be found again", f"SHA-256 {run.model_version[:16]}…", "provenance"),
        Item(topic, "Architecture", _text(run.provenance.get("architecture")), "provenance"),
        Item(topic, "Number of parameters", f"{size:,}" if isinstance(size, int) else "", "provenance"),
        Item(topic, "Registered in this store", f"{model.name}, {model.status}" if model else "", "models"),
        Item(topic, "Software libraries", _text(run.provenance.get("versions")), "provenance"),
        Item(topic, "Hardware", _text(run.provenance.get("device")), "provenance"),
        Item(topic, "Initial weights"),
    ]


def _training(run: EvaluationRun, model: Model | None) -> list[Item]:
    topic, card = "Training", dict(model.card) if model else {}
    epochs = f"{len(run.history)} epochs recorded" if run.history else ""
    recipe = _text(card.get("recipe") or card.get("hyperparameters"))
    return [
        Item(topic, "Course of training", epochs, "training"),
        Item(topic, "Recipe: augmentation, optimiser, stopping", recipe, "models"),
        Item(topic, "How the final model was selected"),
    ]


def _evaluation(run: EvaluationRun) -> list[Item]:
    topic, point = "Evaluation", run.operating_point
    methods = sorted({e.method.split(",")[0] for e in run.metrics.values() if e.value is not None})
    chosen = f"{point.name}, {point.threshold:.4f}, chosen on {point.chosen_on}" if point else ""
    return [
        Item(topic, "Measures of performance", ", ".join(list(run.metrics)[:12]).replace("_", " "), "overview"),
        Item(
            topic, "Uncertainty of the measures", f"95 % intervals: {', '.join(methods)}" if methods else "", "overview"
        ),
        Item(topic, "Threshold and where it was chosen", chosen, "overview"),
        Item(topic, "Explainability and how it was checked"),
        Item(topic, "Robustness or sensitivity analysis"),
        Item(topic, "Test on external data"),
    ]


def _results(run: EvaluationRun, attributes: Sequence[str]) -> list[Item]:
    topic = "Results"
    counts = ", ".join(
        f"{name.replace('_', ' ')} {int((run.labels == place).sum()):,}" for place, name in enumerate(run.classes)
    )
    cases = f"{len(run.labels):,} cases of {len(set(run.patient_ids)):,} patients ({counts})"
    area = run.metrics.get("auc")
    sensitivity = [f"{n} {estimate_text(run.metrics[n])}" for n in ("sensitivity", "specificity") if n in run.metrics]
    calibrated = run.metrics.get("ece") or run.metrics.get("brier")
    return [
        Item(topic, "Cases by class", cases, "overview"),
        Item(topic, "Flow of participants"),
        Item(topic, "Discrimination", f"AUC {estimate_text(area)}" if area else "", "overview"),
        Item(
            topic, "Accuracy at the operating point", "; ".join(sensitivity) if run.operating_point else "", "overview"
        ),
        Item(topic, "Calibration", f"see curve; {estimate_text(calibrated, 3)}" if calibrated else "", "calibration"),
        Item(topic, "Subgroups", f"by {', '.join(attributes)}" if attributes else "", "subgroups"),
        Item(topic, "Failures, looked at case by case", "galleries of incorrect cases and suspected labels", "cases"),
    ]


def _rest() -> list[Item]:
    topic = "Discussion and access"
    return [
        Item(topic, "Limitations, bias and generalisability"),
        Item(topic, "Implications for practice"),
        Item(topic, "Registration and protocol"),
        Item(topic, "Where code, model and data can be had"),
        Item(topic, "Funding and interests"),
    ]


def _dataset(run: EvaluationRun) -> dict[str, Any]:
    return dict(run.provenance.get("dataset") or {})


def _leaks(dataset: dict[str, Any]) -> str:
    if "leaks" not in dataset:
        return ""
    return "patient and picture; none on two sides" if not dataset["leaks"] else f"not disjoint: {dataset['leaks'][0]}"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {inner}" for name, inner in value.items())
    return "" if value is None else str(value)
