"""Run folders read back, checked, as `EvaluationRun` records."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.records import CaseDetails, Estimate, EvaluationRun, OperatingPoint, Refused
from core.tasks import Task, get_task

FORMAT = 1
PROBABILITY_DECIMALS = 8  # of stored probabilities; every figure is computed from the rounded ones
MOST_ATTRIBUTES = 50
SUM_TOLERANCE = 1e-3


def read_run(folder: Path) -> EvaluationRun:
    """The evaluation run in a folder with `run.json` and `predictions.csv`.

    Raises `Refused` in one sentence: a file missing or damaged, another format, classes that are not the task's, or
    predictions that are not those the run was made from.
    """
    facts = _read_json(folder / "run.json")
    if facts.get("format") != FORMAT:
        raise Refused(
            f"run.json in {folder.name} has format {facts.get('format')!r}; this program reads format {FORMAT}."
        )
    try:
        task = get_task(facts["task"])
        if tuple(facts["classes"]) != task.classes:
            raise Refused(f"The run in {folder.name} has other classes than {task.name}, or another order.")
        text = _read_text(folder / "predictions.csv")
        provenance, dataset, model = dict(facts["provenance"]), facts["dataset"], facts["model"]
        expected = provenance.get("predictions_sha256")
        if expected and hashlib.sha256(text.encode()).hexdigest() != expected:
            raise Refused(
                f"predictions.csv in {folder.name} is not the file its run.json was made with; evaluate again."
            )
        case_ids, patient_ids, labels, probabilities = parse_predictions(
            text, task, f"predictions.csv in {folder.name}"
        )
        if dataset["n"] != len(case_ids):
            raise Refused(
                f"run.json in {folder.name} counts {dataset['n']} cases, predictions.csv has {len(case_ids)}."
            )
        point = facts["operating_point"]
        if point and str(point["chosen_on"]).split(" ")[0] in ("test", "train"):
            raise Refused(
                f"The threshold of the run in {folder.name} was chosen on {point['chosen_on']}; only validation may choose one."
            )
        return EvaluationRun(
            id=str(facts["id"]),
            model_version=str(model["version"]),
            model_name=str(model["name"]),
            task=task.name,
            classes=task.classes,
            dataset=str(dataset["name"]),
            split=str(facts["split"]),
            case_ids=case_ids,
            patient_ids=patient_ids,
            labels=labels,
            probabilities=probabilities,
            operating_point=OperatingPoint(**point) if point else None,
            metrics={name: Estimate(**row) for name, row in facts["metrics"].items()},
            history=tuple(dict(row) for row in facts["history"]),
            provenance=provenance
            | {"architecture": model["architecture"], "dataset": dataset, "preprocessing": facts["preprocessing"]},
        )
    except (KeyError, TypeError, AttributeError) as e:
        raise Refused(f"run.json in {folder.name} is damaged: {type(e).__name__} {e}.") from e


def read_case_details(folder: Path) -> CaseDetails:
    """Pixel hashes and attributes of the cases of a run folder, from the further columns of its `predictions.csv`.

    Every column after the last `prob_` one is an attribute, but for `pixel_hash`. Call it for a folder that `read_run`
    accepts. Raises `Refused` when the table has changed in between or has too many columns.
    """
    try:
        table = pd.read_csv(io.StringIO(_read_text(folder / "predictions.csv")), dtype=str, keep_default_na=False)
    except ValueError as e:  # pandas' parser errors are ValueErrors
        raise Refused(f"predictions.csv in {folder.name} is not a CSV table: {e}.") from e
    last = max((i for i, column in enumerate(table.columns) if column.startswith("prob_")), default=len(table.columns))
    further = {column: tuple(table[column].str.strip()) for column in table.columns[last + 1 :]}
    hashes = further.pop("pixel_hash", ())
    if len(further) > MOST_ATTRIBUTES:
        raise Refused(
            f"predictions.csv in {folder.name} has {len(further)} further columns; {MOST_ATTRIBUTES} are kept."
        )
    return CaseDetails(further, hashes)


def parse_predictions(
    text: str, task: Task, name: str
) -> tuple[tuple[str, ...], tuple[str, ...], np.ndarray, np.ndarray]:
    """Case ids, patient ids, labels (N,) int64 and probabilities (N, C) float64 of a predictions table.

    The CSV needs `case_id`, `label` (a class name or alias) and `prob_<class>` for every class; without `patient_id`, or
    where it is empty, a case is its own patient. Raises `Refused` that begins with `name`, and names the first row that is
    wrong.
    """
    try:
        table = pd.read_csv(
            io.StringIO(text), dtype={"case_id": str, "patient_id": str, "label": str}, keep_default_na=False
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as e:
        raise Refused(f"{name} is not a CSV table: {e}.") from e
    wanted = ["case_id", "label", *(f"prob_{c}" for c in task.classes)]
    missing = [column for column in wanted if column not in table]
    if missing or table.empty:
        raise Refused(f"{name} has no {f'column {missing[0]}' if missing else 'rows'}.")
    case_ids = tuple(table["case_id"])
    if len(set(case_ids)) != len(case_ids):
        raise Refused(f"{name} has a case twice: {table['case_id'][table['case_id'].duplicated()].iloc[0]}.")
    index = {label: task.class_index(label) for label in table["label"].unique()}
    labels = table["label"].map(index).to_numpy(np.int64)
    p = table[wanted[2:]].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)  # (N, C)
    good = np.isfinite(p).all(axis=1) & (p >= 0).all(axis=1) & (np.abs(p.sum(axis=1) - 1) <= SUM_TOLERANCE)
    if not good.all():
        case = case_ids[int(np.argmin(good))]
        raise Refused(f"{name}: the probabilities of {case} are not numbers in 0–1 with sum 1.")
    given = table["patient_id"] if "patient_id" in table else [""] * len(case_ids)
    patients = tuple(patient or case for patient, case in zip(given, case_ids, strict=True))
    return case_ids, patients, labels, p


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise Refused(f"There is no {path.name} in {path.parent.name}.") from None
    except (OSError, UnicodeDecodeError) as e:
        raise Refused(f"{path.name} in {path.parent.name} cannot be read ({type(e).__name__}).") from e


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(_read_text(path))
    except json.JSONDecodeError as e:
        raise Refused(f"{path.name} in {path.parent.name} is not JSON: {e}.") from e
    if not isinstance(content, dict):
        raise Refused(f"{path.name} in {path.parent.name} is not a JSON object.")
    return content
