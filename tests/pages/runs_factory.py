"""Evaluation runs to put into a store for page tests: any number of cases, models and classes, without training anything."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from core.records import CaseDetails, EvaluationRun, OperatingPoint
from core.statistics.summary import evaluate
from core.tasks import TASKS
from core.thumbnails import write_thumbnails
from db import engine, runs, thumbnails


def make_run(name: str = "a", n: int = 60, task: str = "breast-mri", *, noise: float = 1.0, **changes) -> EvaluationRun:
    """A run of model `name`: equal n and task mean equal cases and labels, `noise` how far the model is from the truth."""
    known = TASKS[task]
    rng, own = np.random.default_rng(n), np.random.default_rng(sum(map(ord, name)))
    labels = rng.permutation(np.arange(n) % len(known.classes))
    logits = 2.0 * np.eye(len(known.classes))[labels] + noise * own.normal(size=(n, len(known.classes)))
    odds = np.exp(logits)
    probabilities = np.round(odds / odds.sum(axis=1, keepdims=True), 8)
    point = OperatingPoint("youden", 0.4567, "val (n = 20)") if known.positive else None
    values = {
        "id": _hash(name), "model_version": _hash(f"model {name}"), "model_name": f"Model {name}",
        "task": task, "classes": known.classes, "dataset": "phantoms", "split": "test",
        "case_ids": tuple(f"case-{i}" for i in range(n)), "patient_ids": tuple(f"patient-{i}" for i in range(n)),
        "labels": labels, "probabilities": probabilities, "operating_point": point,
        "metrics": evaluate(labels, probabilities, known, point.threshold if point else None),
        "history": ({"epoch": 1, "train_loss": 0.7, "val_loss": 0.8}, {"epoch": 2, "train_loss": 0.5, "val_loss": 0.6}),
        "provenance": {"architecture": "small-cnn", "seconds": 1.5, "parameters": 1000,
                       "dataset": {"name": "phantoms", "fingerprint": "f" * 64, "leaks": []}},
    }  # fmt: skip
    return EvaluationRun(**(values | changes))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def keep(*made: EvaluationRun, details: CaseDetails | None = None) -> None:
    """Put them into the store."""
    with engine.write() as session:
        for run in made:
            assert runs.add_run(session, run, details)


def keep_pictures(folder: Path, n: int) -> str:
    """A file of n small pictures in the store; gives its hash for a run's provenance."""
    pictures = []
    for i in range(n):
        out = io.BytesIO()
        Pillow.new("L", (8, 8), i % 256).save(out, "PNG")
        pictures.append(out.getvalue())
    digest = write_thumbnails(folder / "thumbnails.zip", pictures)
    thumbnails.put_thumbnails(folder / "thumbnails.zip", digest)
    return digest
