"""Small records to put into a store, each with one argument that makes it different from the others."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from core.reader_records import Rules, StudyPlan
from core.records import (
    Estimate,
    EvaluationRun,
    Image,
    Model,
    OperatingPoint,
    Prediction,
    Review,
    Study,
    Window,
    full_range_window,
    study_id,
)
from db import engine, models, predictions, reader_studies, studies, users


def grey(number: int = 0) -> Image:
    """A 3 × 4 picture, 16 bit: 0…11, the corner replaced by `number`."""
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    pixels[0, 0] = number
    return Image(pixels, Window(1000.5, 2001.0, "SIGMOID"), "L", "MLO", number, (0.07, 0.1), slope=0.5, intercept=-3.25)


def colour() -> Image:
    """A 2 × 5 RGB picture."""
    return Image(np.arange(30, dtype=np.uint8).reshape(2, 5, 3))


def study(number: int = 0, name: str = "", **changes: Any) -> Study:
    """A study of one 2 × 2 image that holds `number`."""
    pixels = np.full((2, 2), number, dtype=np.uint16)
    images = (Image(pixels, full_range_window(pixels)),)
    values = {"modality": "MR", "task": "breast-mri", "patient_id": f"patient-{number}"} | changes
    return Study(id=study_id(images, values["patient_id"]), name=name or f"Study {number}", images=images, **values)


def add_studies(count: int) -> list[str]:
    """Keep that many studies and give their ids, oldest first."""
    made = [study(number) for number in range(count)]
    with engine.write() as session:
        for one in made:
            studies.add_study(session, one)
    return [one.id for one in made]


def version(text: str) -> str:
    """A SHA-256 to name a model by."""
    return hashlib.sha256(text.encode()).hexdigest()


def model(text: str = "model", **changes: Any) -> Model:
    """A model whose version is `version(text)`."""
    values = {"name": text, "architecture": "small_cnn", "task": "breast-mri", "card": {"epochs": 3}} | changes
    return Model(version=version(text), **values)


def prediction(study: str, model_version: str, malignant: float = 0.75, **changes: Any) -> Prediction:
    """A prediction with that probability of malignant, for two images."""
    values = {
        "task": "breast-mri",
        "probabilities": {"benign": 1 - malignant, "malignant": malignant},
        "per_image": np.array([[1 - malignant, malignant], [0.1, 0.9]]),
        "predicted": "malignant" if malignant >= 0.5 else "benign",
        "operating_point": OperatingPoint("Youden", 0.5, "val (n = 120)"),
        "device": "cpu",
        "preprocessing": {"size": [64, 64]},
        "versions": {"torch": "2"},
    } | changes
    return Prediction(study_id=study, model_version=model_version, **values)


def add_prediction(study: str, text: str = "model", malignant: float = 0.75) -> int:
    """Register `model(text)` if need be, keep its prediction for that study and give its id."""
    with engine.write() as session:
        models.add_model(session, model(text))
        return predictions.add_prediction(session, prediction(study, version(text), malignant), requested_by="Ann")


def review(study: str, token: str, **changes: Any) -> Review:
    """Ann's aided review: malignant."""
    values = {"reviewer": "Ann", "phase": "aided", "label": "malignant"} | changes
    return Review(study_id=study, client_token=token, **values)


def run(name: str = "run-1", n: int = 50, **changes: Any) -> EvaluationRun:
    """A run over `n` cases of two classes, two cases per patient."""
    rng = np.random.default_rng(n)
    positive = rng.random(n)
    values = {
        "model_version": version("model"),
        "model_name": "model",
        "task": "breast-mri",
        "classes": ("benign", "malignant"),
        "dataset": "phantoms",
        "split": "test",
        "case_ids": tuple(f"case-{i}" for i in range(n)),
        "patient_ids": tuple(f"patient-{i // 2}" for i in range(n)),
        "labels": rng.integers(0, 2, n),
        "probabilities": np.column_stack([1 - positive, positive]),
        "operating_point": OperatingPoint("Youden", 0.4, "val (n = 20)"),
        "metrics": {
            "auc": Estimate(0.8, 0.7, 0.9, n, "DeLong"),
            "ppv": Estimate(None, None, None, 0, "Wilson", "no case was called positive"),
        },
        "history": ({"epoch": 1.0, "val_auc": 0.5}, {"epoch": 2.0, "val_auc": 0.75}),
        "provenance": {"checkpoint": "abc", "versions": {"torch": "2"}},
    } | changes
    return EvaluationRun(id=name, **values)


def reader_study(studies_: list[str], protocol: str = "sequential", **changes: Any) -> int:
    """A running reader study of these cases and `model("model")`, read by Ann and Bob; gives its id."""
    readers = changes.pop("readers", ("Ann", "Bob"))
    start, accepted = changes.pop("start", True), "a test's readers may know its cases"
    values = {"name": f"{protocol} study", "task": "breast-mri", "seed": 7, "rules": Rules(False, False, 14)} | changes
    with engine.write() as session:
        models.add_model(session, model())
        for name in readers:
            if users.get_user(session, name) is None:
                users.add_user(session, name, "reviewer")
        plan = StudyPlan(
            protocol=protocol, model_version=version("model"), cases=tuple(studies_), readers=tuple(readers), **values
        )
        number = reader_studies.add_reader_study(session, plan, "Lea").id
        if start:
            reader_studies.start_reader_study(session, number, "Lea", accepted)
    return number
