"""What models said about studies."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.records import OperatingPoint, Prediction, Refused
from db.holds import require_released
from db.tables import ModelRow, PredictionRow


def add_prediction(session: Session, prediction: Prediction, *, requested_by: str) -> int:
    """Keep a prediction and give its id; one of the same study, model version and device stands, and its id is given.

    `ValueError` for NaN, infinities, or a shape that does not fit the classes. `Refused` when the model is not registered
    or withdrawn, or the study is held.
    """
    _check(prediction)
    require_released(session, prediction.study_id)
    row = session.scalar(
        select(PredictionRow).where(
            PredictionRow.study_id == prediction.study_id,
            PredictionRow.model_version == prediction.model_version,
            PredictionRow.device == prediction.device,
        )
    )
    if row is not None:
        return row.id
    _check_model(session, prediction.model_version)
    point = prediction.operating_point
    row = PredictionRow(
        study_id=prediction.study_id,
        model_version=prediction.model_version,
        task=prediction.task,
        predicted=prediction.predicted,
        device=prediction.device,
        requested_by=requested_by,
        probabilities={name: float(value) for name, value in prediction.probabilities.items()},
        per_image=np.asarray(prediction.per_image, dtype=np.float64).tolist(),
        operating_point=None if point is None else asdict(point),
        preprocessing=dict(prediction.preprocessing),
        versions=dict(prediction.versions),
    )
    session.add(row)
    session.flush()
    return row.id


def get_prediction(session: Session, study_id: str, model_version: str) -> tuple[int, Prediction] | None:
    """Id and prediction of that model for that study (the newest, where several devices made one), or None."""
    query = select(PredictionRow).where(
        PredictionRow.study_id == study_id, PredictionRow.model_version == model_version
    )
    row = session.scalar(query.order_by(PredictionRow.id.desc()).limit(1))
    return None if row is None else (row.id, _record(row))


def get_prediction_by_id(session: Session, prediction_id: int) -> Prediction | None:
    """The prediction of that id, or None."""
    row = session.get(PredictionRow, prediction_id)
    return None if row is None else _record(row)


def _check(prediction: Prediction) -> None:
    values = np.array(list(prediction.probabilities.values()), dtype=np.float64)
    per_image = np.asarray(prediction.per_image, dtype=np.float64)
    if not (np.isfinite(values).all() and np.isfinite(per_image).all()):
        raise ValueError("a prediction must hold finite probabilities only")
    if per_image.ndim != 2 or per_image.shape[1] != len(values):
        raise ValueError(f"per_image must be (images, {len(values)} classes), not {per_image.shape}")
    if prediction.predicted not in prediction.probabilities:
        raise ValueError(f"the predicted class {prediction.predicted!r} is none of {list(prediction.probabilities)}")


def _check_model(session: Session, version: str) -> None:
    status = session.scalar(select(ModelRow.status).where(ModelRow.version == version))
    if status is None:
        raise Refused("This model is not registered, so its predictions cannot be kept.")
    if status == "withdrawn":
        raise Refused("This model is withdrawn and makes no new predictions.")


def _record(row: PredictionRow) -> Prediction:
    return Prediction(
        study_id=row.study_id,
        model_version=row.model_version,
        task=row.task,
        probabilities=row.probabilities,
        per_image=np.array(row.per_image, dtype=np.float64),  # (images, classes)
        predicted=row.predicted,
        operating_point=None if row.operating_point is None else OperatingPoint(**row.operating_point),
        device=row.device,
        preprocessing=row.preprocessing,
        versions=row.versions,
    )
