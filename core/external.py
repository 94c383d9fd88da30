"""Predictions made elsewhere -> an evaluation run like that of a model trained here."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from core.external_tables import External, Table, fingerprint_of, read_external_table
from core.records import CaseDetails, EvaluationRun, OperatingPoint, Refused
from core.runs import MOST_ATTRIBUTES
from core.statistics.aggregation import aggregate
from core.statistics.operating_points import fixed_point
from core.statistics.summary import evaluate
from core.tasks import Task, get_task
from core.thumbnails import MOST_CASES, picture_cases, write_thumbnails
from core.versions import library_versions

RULES = ("max", "mean")
ARCHITECTURE = "external"  # of a run whose model nobody here has seen


def read_external(source: External, pictures: Path | None = None) -> tuple[EvaluationRun, CaseDetails]:
    """The evaluation run of predictions made elsewhere, with what the files say of its cases.

    Its id follows from model name, cases and predictions, so the same files give the same run. Where `labels` is an NPZ, case
    ids and fingerprint are the dataset's, as in runs of models trained here, and thumbnails are written to `pictures`.
    Accuracy without a threshold is that of the more probable class. Raises `Refused` in one sentence for files that do not
    fit together, and for scores that are no probabilities.
    """
    task = get_task(source.task)
    point = _point(source.threshold, task)
    table, digest = read_external_table(source, task)
    table = _joined(table, task, source) if source.by else table
    version = hashlib.sha256(f"external model|{source.model}|{task.name}".encode()).hexdigest()
    how = [version, table.fingerprint, source.split, digest, source.by, source.rule, source.threshold]
    patients = tuple(table.facts["patient_id"])
    metrics = evaluate(table.labels, table.probabilities, task, source.threshold, patients=patients)
    run = EvaluationRun(
        hashlib.sha256(json.dumps(how).encode()).hexdigest(), version, source.model, task.name, task.classes,
        table.dataset, source.split, tuple(table.facts["case_id"]), patients, table.labels, table.probabilities,
        point, metrics, provenance=_provenance(table, task, source, digest),
    )  # fmt: skip
    if pictures and table.cases and len(table.cases) <= MOST_CASES:
        digest = write_thumbnails(pictures, (png for png, _, _ in picture_cases(table.cases)))
        run = replace(run, provenance={**run.provenance, "thumbnails_sha256": digest})
    return run, _details(table)


def _provenance(table: Table, task: Task, source: External, digest: str) -> dict[str, Any]:
    counts = {name: int((table.labels == i).sum()) for i, name in enumerate(task.classes)}
    facts: dict[str, Any] = {
        "architecture": ARCHITECTURE,
        "source": f"predictions made elsewhere, {source.predictions.name}",
        "predictions_sha256": digest,
        "dataset": {
            "name": table.dataset, "fingerprint": table.fingerprint, "n": len(table.labels),
            "counts": {source.split: counts}, "leaks": list(table.leaks),
        },
        "versions": dict(library_versions()),
    }  # fmt: skip
    return facts | ({"one case per": list(source.by), "score of a case": source.rule} if source.by else {})


def _details(table: Table) -> CaseDetails:
    columns = [c for c in table.facts.columns if c not in ("case_id", "patient_id", "split")]
    if len(columns) > MOST_ATTRIBUTES:
        raise Refused(f"The files have {len(columns)} further columns; {MOST_ATTRIBUTES} are kept.")
    hashes = tuple(case.pixel_hash for case in table.cases)
    return CaseDetails({name: tuple(table.facts[name]) for name in columns}, hashes)


def _point(threshold: float | None, task: Task) -> OperatingPoint | None:
    if threshold is None:
        return None
    if task.positive is None or not 0 <= threshold <= 1:
        raise Refused(
            f"A threshold is a number in 0–1 for a task with a positive class, not {threshold:g} for {task.name}."
        )
    return fixed_point(threshold)


def _joined(table: Table, task: Task, source: External) -> Table:
    """One case for all rows that agree in the columns `by`; an attribute that differs among them becomes "several"."""
    positive = task.positive_index
    if positive is None or len(task.classes) != 2 or source.rule not in RULES:
        raise Refused(f"Cases can be joined for a task with a positive class only, by {' or '.join(RULES)}.")
    missing = [column for column in source.by if column not in table.facts]
    if missing:
        raise Refused(f"The files have no column {missing[0]} to join cases by.")
    keys = table.facts[list(source.by)].agg("_".join, axis=1)
    scores = table.probabilities[:, positive]
    groups = aggregate((table.labels == positive).astype(int), scores, keys.to_numpy(), rule=source.rule)  # type: ignore[arg-type]
    by_key = table.facts.drop(columns="case_id").groupby(keys.to_numpy(), sort=True)
    facts = by_key.first().where(by_key.nunique() == 1, "several").reset_index(drop=True)
    facts = facts.assign(case_id=groups.names, images=[str(n) for n in groups.sizes])
    if len({*zip(keys, table.facts["patient_id"], strict=True)}) > len(groups.names):
        facts["patient_id"] = facts["case_id"]  # no patient of its own
    p = np.empty((len(groups.scores), 2))
    p[:, positive], p[:, 1 - positive] = groups.scores, 1 - groups.scores
    labels = np.where(groups.labels == 1, positive, 1 - positive)
    fingerprint = fingerprint_of(facts["case_id"], labels, source.split)
    return replace(table, facts=facts, labels=labels, probabilities=p, fingerprint=fingerprint, cases=())
