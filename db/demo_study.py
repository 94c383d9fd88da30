"""The demo's reader study: simulated readers on the demo's own phantoms and a demo model's real predictions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as MaskImage
from sqlalchemy.orm import Session

from core import settings
from core.checkpoint import load_checkpoint
from core.predict import Engine, predict_study
from core.reader_records import ReaderStudy, Rules, StudyPlan
from core.records import Phase, Review, Study
from core.simulated_readers import SimulatedReadings, draw_readers, simulate
from core.tasks import get_task
from db import engine as store
from db import models, predictions, reader_studies, readers, reading_order, reviews, users

NAME = "Simulated readers, breast MRI phantoms"
READERS = 6
_SLACK = (0.6, 1.6)  # a simulated rectangle's edges, as shares of the lesion's


def predict_demo_cases(version: str, cases: list[Study]) -> dict[str, Any]:
    """Study id -> prediction of the registered model for the demo's studies."""
    engine = Engine(lambda wanted: load_checkpoint(models.model_file(wanted)), settings.device())
    return {study.id: predict_study(engine, version, study) for study in cases}


def add_demo_study(
    version: str, cases: list[Study], boxes: dict[str, list[float]], seed: int, progress: Callable[[float, str], None]
) -> int:
    """Predict, simulate, store and close; gives the reader study's id.

    `cases` have a reference standard; `boxes` maps study id -> (left, top, right, bottom) of its lesion in pixels.
    """
    said = predict_demo_cases(version, cases)
    task = get_task(cases[0].task)
    truth = np.array([study.reference_standard == task.positive for study in cases], dtype=int)
    scores = np.array([said[study.id].probabilities[task.positive] for study in cases])
    names = [f"Simulated reader {place}" for place in range(1, READERS + 1)]
    twice = [simulate(truth, scores, draw_readers(READERS, seed), seed, repeat) for repeat in (0, 1)]
    drawn = dict(zip(names, zip(*twice, strict=True), strict=True))
    plan = StudyPlan(
        NAME, task.name, "sequential", version, tuple(study.id for study in cases), tuple(names), seed,
        Rules(repeats=len(cases) // 4), simulated=True,
    )  # fmt: skip
    with store.write() as session:
        for name in names:
            if users.get_user(session, name) is None:
                users.add_user(session, name, "reviewer", actor="demo")
        shown = {case: predictions.add_prediction(session, p, requested_by="demo") for case, p in said.items()}
        study = reader_studies.add_reader_study(session, plan, "demo")
        reader_studies.start_reader_study(session, study.id, "demo")
        for place, name in enumerate(names):
            progress(place / len(names), f"{name} of {len(names)}")
            _read(session, study, name, (drawn[name], shown, boxes))
        reader_studies.close_reader_study(session, study.id, "demo")
    return study.id


def _read(
    session: Session,
    study: ReaderStudy,
    name: str,
    what: tuple[tuple[dict[str, SimulatedReadings], ...], dict[str, int], dict],
) -> None:
    """All readings of one simulated reader, in the order that the seed drew."""
    drawn, shown, boxes = what
    task, cases = get_task(study.task), reader_studies.list_cases(session, study.id)
    negative = next(label for label in task.classes if label != task.positive)
    half = readers.list_readers(session, study.id)[name]
    rng = np.random.default_rng([study.seed, 3, sum(name.encode())])
    for _, case, phase, repeat in reading_order.reading_steps(study, cases, name, half):
        i, read = cases.index(case), drawn[repeat][phase]
        label = task.positive if read.positive[i] else negative
        reviews.add_review(session, Review(
            case, name, phase, label, f"demo-{study.id}-{name}-{case}-{phase}-{repeat}",
            prediction_id=shown[case] if phase == "aided" else None, confidence=int(read.confidence[i]),
            likelihood=int(read.likelihood[i]), seconds=float(read.seconds[i]), reader_study=study.id, repeat=repeat,
            regions=_region(boxes.get(case), phase, bool(read.positive[i]), rng),
        ))  # fmt: skip


def _region(
    box: list[float] | None, phase: Phase, positive: bool, rng: np.random.Generator
) -> tuple[dict[str, Any], ...]:
    """A rectangle about the lesion, drawn with the model visible and where the reader calls the case positive."""
    if box is None or phase != "aided" or not positive:
        return ()
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    centre = ((left + right) / 2 + rng.normal(0, width / 6), (top + bottom) / 2 + rng.normal(0, height / 6))
    half = [edge / 2 * rng.uniform(*_SLACK) for edge in (width, height)]
    points = [[round(float(c - sign * h), 1) for c, h in zip(centre, half, strict=True)] for sign in (1, -1)]
    return ({"kind": "rect", "image": 0, "points": points},)


def lesion_box(picture: Path) -> list[float] | None:
    """(left, top, right, bottom) of the lesion of a phantom's DICOM file, from the mask beside it; None without a lesion."""
    parts = ["masks" if part == "images" else part for part in picture.with_suffix(".png").parts]
    with MaskImage.open(Path(*parts)) as mask:
        box = mask.convert("L").getbbox()
    return None if box is None else [float(edge) for edge in box]
