"""What was added to daily work since a moment, as columns: for whoever keeps them in memory and counts them there.

Reviews, predictions and studies are only ever added, so whoever knows the last id of each knows everything with these three.
"""

from __future__ import annotations

import pandas as pd
from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session

from db.frames import frame
from db.reader_turns import held_back
from db.tables import ImageRow, PredictionRow, ReviewRow, StudyRow

# What sources state of a study that may group cases; other facts (rows, index …) name pictures rather than groups.
FACTS = (
    "site", "density", "implant", "birads", "patient_age", "patient_sex", "manufacturer", "body_part", "view_position",
    "presentation_intent", "source",
)  # fmt: skip
CASE_FACTS = ("modality", "laterality", "view", *FACTS)


def reviews_since(session: Session, last: int, limit: int) -> pd.DataFrame:
    """Daily-work reviews with an id above `last`, oldest first, at most `limit`, with or without a prediction.

    Columns: id, supersedes, prediction_id, reviewer, label, confidence, likelihood, birads, month (YYYY-MM, UTC).
    """
    r = ReviewRow
    columns = (
        r.id, r.supersedes, r.prediction_id, r.reviewer, r.label, r.confidence, r.likelihood, r.birads,
        func.substr(r.created_at, 1, 7).label("month"),
    )  # fmt: skip
    return frame(session, select(*columns).where(r.id > last, r.reader_study.is_(None)).order_by(r.id).limit(limit))


def predictions_since(session: Session, last: int) -> pd.DataFrame:
    """Predictions with an id above `last`: id, case (the study's number), model (version), task, predicted."""
    p = PredictionRow
    columns = (p.id, StudyRow.number.label("case"), p.model_version.label("model"), p.task, p.predicted)
    return frame(session, select(*columns).join(StudyRow, StudyRow.id == p.study_id).where(p.id > last).order_by(p.id))


def cases_since(session: Session, last: int) -> pd.DataFrame:
    """Studies with a number above `last`: case (that number), patient (empty where unknown), and `CASE_FACTS` as text.

    laterality and view are those of all its images, empty where these differ; what a source states differently of several files
    is a JSON list.
    """
    facts = [StudyRow.facts[name].as_string().label(name) for name in FACTS]
    columns = (StudyRow.number.label("case"), StudyRow.patient_id.label("patient"), StudyRow.modality)
    sides = (_of_images(ImageRow.laterality, "laterality"), _of_images(ImageRow.view, "view"))
    return frame(session, select(*columns, *sides, *facts).where(StudyRow.number > last).order_by(StudyRow.number))


def token_of(session: Session, number: int) -> str:
    """What tells one review from any other that could have its id, as in a restored store; empty where there is none."""
    return session.scalar(select(ReviewRow.client_token).where(ReviewRow.id == number)) or ""


def hidden_cases(session: Session, reader: str) -> list[int]:
    """Numbers of the studies whose results this person must not see yet, since they are read in a running reader study."""
    return list(session.scalars(select(StudyRow.number).where(StudyRow.id.in_(held_back(reader)))))


def _of_images(column: ColumnElement[str], name: str) -> ColumnElement[str]:
    least, most = (
        select(pick(column)).where(ImageRow.study_id == StudyRow.id).correlate(StudyRow).scalar_subquery()
        for pick in (func.min, func.max)
    )
    return case((least == most, least), else_="").label(name)
