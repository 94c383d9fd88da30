"""Checkpoint + split -> run folder with `run.json` and `predictions.csv`."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from core import settings
from core.checkpoint import Checkpoint, load_checkpoint
from core.datasets import Case, Dataset, as_dataset, tensors
from core.datasets.dataset import Progress
from core.files import write_json, write_text
from core.predict import arranged, batched_probabilities
from core.records import Refused
from core.runs import FORMAT, MOST_ATTRIBUTES, PROBABILITY_DECIMALS, read_run
from core.statistics.summary import evaluate as all_metrics
from core.tasks import get_task
from core.thumbnails import MOST_CASES, picture_cases, write_thumbnails
from core.versions import library_versions

BATCH = {
    "cpu": 32,
    "cuda": 256,
}  # images at a time: more is no faster on a CPU; a GPU that has too little memory halves it

__all__ = ["evaluate", "predict_probabilities", "read_run"]


def predict_probabilities(
    checkpoint: Checkpoint, x: torch.Tensor, device: str = "cpu", batch_size: int = 0, progress: Progress | None = None
) -> np.ndarray:
    """Softmax probabilities (N, n_classes), float64, of preprocessed images x (N, C, H, W).

    `batch_size` 0 takes what the device is fast with. Out of memory halves it for good, down to one image; then, and for
    logits that are not finite, raises `Refused`.
    """
    module = checkpoint.module(device).to(memory_format=torch.channels_last)
    done = 0

    def count(_module: nn.Module, inputs: tuple[torch.Tensor], _output: torch.Tensor) -> None:
        nonlocal done  # only batches that fitted into memory come here
        done += len(inputs[0])
        if progress:
            progress(done, len(x), "Predicting")

    with arranged(module), module.register_forward_hook(count):
        return batched_probabilities(module, x, device, batch_size or BATCH[device])


def evaluate(
    checkpoint_path: Path,
    data: Path | Dataset,
    split: str,
    out: Path,
    *,
    device: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score a checkpoint once on one split of a dataset; writes `predictions.csv`, then `run.json`, and returns the latter.

    Up to 20,000 cases it writes `thumbnails.zip` too, for the galleries of the dashboards.

    `data` is a path, or a dataset already read: several runs then decode it once.
    Metrics are computed from the rounded probabilities in `predictions.csv`, so that anyone gets the same figures from it.
    Raises `Refused` in one sentence for a checkpoint or dataset that cannot be used, a split that is not there, or a folder that
    holds another run; the same run is made again.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    device = device or settings.device()
    checkpoint = load_checkpoint(checkpoint_path)
    task = get_task(checkpoint.task)
    dataset = as_dataset(data, checkpoint.task, progress)
    run_id = hashlib.sha256(f"{checkpoint.version}|{dataset.fingerprint}|{split}".encode()).hexdigest()
    _check_free(out, run_id)
    x, y = tensors(dataset, split, checkpoint.preprocessing, progress)
    probabilities = predict_probabilities(checkpoint, x, device, progress=progress)
    probabilities = np.round(probabilities, PROBABILITY_DECIMALS)
    point = checkpoint.operating_point
    patients = [case.patient_id or case.case_id for case in dataset.split(split)]
    metrics = all_metrics(y.numpy(), probabilities, task, point.threshold if point else None, patients=patients)
    out.mkdir(parents=True, exist_ok=True)
    seconds = round(time.monotonic() - clock, 3)  # before thumbnails: they are no part of the model's work
    details, pictures = _details(dataset.split(split), out)
    table = _predictions(dataset.split(split), probabilities, task.classes, details)
    write_text(out / "predictions.csv", table)
    run = {
        "format": FORMAT,
        "id": run_id,
        "model": {
            "version": checkpoint.version,
            "architecture": checkpoint.architecture,
            "name": f"{checkpoint.architecture} {checkpoint.version[:8]}",
        },
        "task": task.name,
        "classes": list(task.classes),
        "dataset": _dataset_facts(dataset, split),
        "split": split,
        "operating_point": asdict(point) if point else None,
        "metrics": {name: _estimate_row(estimate) for name, estimate in metrics.items()},
        "preprocessing": checkpoint.preprocessing.as_dict(),
        "history": [dict(row) for row in checkpoint.history],
        "provenance": {
            "predictions_sha256": hashlib.sha256(table.encode()).hexdigest(),
            "versions": dict(library_versions()),
            "device": device,
            "started": started.isoformat(timespec="seconds"),
            "seconds": seconds,
            "parameters": sum(weights.numel() for weights in checkpoint.module().parameters()),
            **_how_it_predicts(checkpoint),
            **pictures,
        },
    }
    write_json(out / "run.json", run)
    return run


def _check_free(out: Path, run_id: str) -> None:
    """Raises `Refused` where the folder holds the run of another model, dataset or split."""
    try:
        there = json.loads((out / "run.json").read_text(encoding="utf-8")).get("id", run_id)
    except (OSError, ValueError, AttributeError):
        return
    if there != run_id:
        raise Refused(f"{out.name} holds the run of another model, dataset or split; choose another folder.")


def _how_it_predicts(checkpoint: Checkpoint) -> dict[str, Any]:
    """Members, views and temperature with what is known of its fit; nothing of a plain network."""
    facts: dict[str, Any] = {}
    if checkpoint.members:
        facts["members"] = [{"version": m.version, "architecture": m.architecture} for m in checkpoint.members]
    if len(checkpoint.views) > 1:
        facts["views"] = list(checkpoint.views)
    if checkpoint.temperature != 1:
        facts |= {"temperature": checkpoint.temperature, "calibration": checkpoint.provenance.get("calibration")}
    return facts


def _details(cases: Sequence[Case], out: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Columns that follow the probabilities (pictures' hashes, attributes, sides and views), and facts on thumbnails."""
    columns: dict[str, Any] = {"pixel_hash": [case.pixel_hash for case in cases], **_attributes(cases)}
    target = out / "thumbnails.zip"
    if len(cases) > MOST_CASES:
        target.unlink(missing_ok=True)  # an earlier evaluation's would be of other cases
        return columns, {"thumbnails": f"none: {len(cases):,} cases are more than {MOST_CASES:,}"}
    pictures, sides, views = zip(*picture_cases(cases), strict=True)
    seen = (("laterality", sides), ("view", views))  # by the pictures' own headers, where the dataset does not say
    columns |= {name: values for name, values in seen if any(values) and name not in columns}
    return columns, {"thumbnails_sha256": write_thumbnails(target, pictures)}


def _attributes(cases: Sequence[Case]) -> dict[str, list[str]]:
    """What the dataset says of its cases (age, site, machine …), as texts, empty where it says nothing."""
    taken = {"case_id", "patient_id", "split", "label", "pixel_hash"}
    names = dict.fromkeys(name for case in cases for name in case.attributes if name not in taken)
    kept = [name for name in names if not name.startswith("prob_")][:MOST_ATTRIBUTES]
    given = {name: [case.attributes.get(name) for case in cases] for name in kept}
    return {name: ["" if value is None else str(value) for value in values] for name, values in given.items()}


def _predictions(
    cases: Sequence[Case], probabilities: np.ndarray, classes: Sequence[str], details: Mapping[str, Any]
) -> str:
    """The text of `predictions.csv`: one row per case, one probability column per class, then the details."""
    columns: dict[str, Any] = {
        "case_id": [case.case_id for case in cases],
        "patient_id": [case.patient_id for case in cases],
        "label": [classes[case.label] for case in cases],
    }
    columns |= {f"prob_{name}": probabilities[:, i] for i, name in enumerate(classes)} | dict(details)
    return pd.DataFrame(columns).to_csv(index=False, float_format=f"%.{PROBABILITY_DECIMALS}f")


def _dataset_facts(dataset: Dataset, split: str) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "path": dataset.name,
        "fingerprint": dataset.fingerprint,
        "n": len(dataset.split(split)),
        "counts": dataset.counts(),
        "leaks": list(dataset.leaks),
    }


def _estimate_row(estimate: Any) -> Mapping[str, Any]:
    """JSON of an `Estimate`; the reason only where the value is undefined."""
    row = asdict(estimate)
    if not row["reason"]:
        del row["reason"]
    return row
