"""Counts of current daily-work reviews against the model that was shown, from a small table that a trigger keeps.

A page that counted a million reviews at every look would take seconds; their kinds are a few thousand rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pandas as pd
from sqlalchemy import case, func, select
from sqlalchemy.orm import Session, aliased

from db.frames import frame
from db.reader_turns import held_back
from db.tables import ModelRow, PredictionRow, ReviewCountRow, ReviewRow

Dimension = Literal["model_version", "model_name", "task", "reviewer", "phase", "predicted", "label", "band", "month"]


def review_counts(
    session: Session, by: Sequence[Dimension], *, reviewer: str = "", shown_to: str = "", task: str = ""
) -> pd.DataFrame:
    """Numbers `n` of current daily-work reviews with a prediction, for each combination of the columns `by`, in their order.

    `band` is the confidence in fifths, −1 where none was given; `month` YYYY-MM. `shown_to` leaves out studies that this person
    reads in a running reader study, as in `ReviewQuery`; it needs `reviewer` to be the same person.
    """
    if shown_to and shown_to != reviewer:
        raise ValueError("shown_to is for a reviewer's own counts")
    columns = [
        ModelRow.name.label("model_name") if name == "model_name" else getattr(ReviewCountRow, name) for name in by
    ]
    query = select(*columns, func.sum(ReviewCountRow.n).label("n")).where(ReviewCountRow.n > 0)
    if "model_name" in by:
        query = query.outerjoin(ModelRow, ModelRow.version == ReviewCountRow.model_version)
    if reviewer:
        query = query.where(ReviewCountRow.reviewer == reviewer)
    if task:
        query = query.where(ReviewCountRow.task == task)
    table = frame(session, query.group_by(*columns).order_by(*columns))
    return _without_hidden(session, table, by, (shown_to, task)) if shown_to else table


def _without_hidden(session: Session, table: pd.DataFrame, by: Sequence[str], whose: tuple[str, str]) -> pd.DataFrame:
    """`table` less the reviews of studies that this person must not see the model of yet; there are few."""
    reader, task = whose
    later, review = aliased(ReviewRow), ReviewRow
    own = {
        "model_version": PredictionRow.model_version, "model_name": ModelRow.name.label("model_name"), "task": PredictionRow.task,
        "reviewer": review.reviewer, "phase": review.phase, "predicted": PredictionRow.predicted, "label": review.label,
        "band": case((review.confidence.is_(None), -1), (review.confidence >= 80, 4), else_=review.confidence // 20).label("band"),
        "month": func.substr(review.created_at, 1, 7).label("month"),
    }  # fmt: skip
    rows = (
        select(*(own[name].label(name) for name in by))
        .select_from(review)
        .join(PredictionRow, PredictionRow.id == review.prediction_id)
        .outerjoin(ModelRow, ModelRow.version == PredictionRow.model_version)
        .where(review.reviewer == reader, review.reader_study.is_(None), review.study_id.in_(held_back(reader)))
        .where(~select(later.id).where(later.supersedes == review.id).exists())
    )
    found = (rows.where(PredictionRow.task == task) if task else rows).subquery()
    groups = [
        found.c[name] for name in by
    ]  # grouped outside: PostgreSQL knows no two equal expressions with parameters
    hidden = frame(session, select(*groups, func.count().label("hidden")).group_by(*groups))
    if hidden.empty:
        return table
    both = table.merge(hidden, on=list(by), how="left")
    both["n"] = both["n"] - both["hidden"].fillna(0)
    return both[both["n"] > 0].drop(columns="hidden").reset_index(drop=True)
