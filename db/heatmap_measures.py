"""What was measured of a model's heatmaps: one set of figures for each model, method and part; measuring again replaces it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from core.records import Refused
from db.audit import add_entry
from db.tables import HAS_REGIONS, HeatmapMeasureRow, HoldRow, ModelRow, ReviewRow, StudyRow, utc_now

Parts = dict[str, dict[str, Any]]  # part -> JSON-safe facts, with `measured_at`


@dataclass(frozen=True)
class MarkedStudy:
    """What one reviewer marked in one study: `regions` as in `core.records.Review`, and the class of that reading."""

    study_id: str
    label: str
    regions: tuple[Mapping[str, Any], ...]


def put_measure(
    session: Session, version: str, method: str, part: str, facts: Mapping[str, Any], *, actor: str = "system"
) -> None:
    """Keep the facts of one part of one method on one model; raises `Refused` when the model is not registered."""
    if session.get(ModelRow, version) is None:
        raise Refused(f"There is no model with version {version[:12]}; register it first.")
    row = session.get(HeatmapMeasureRow, (version, method, part))
    if row is None:
        row = HeatmapMeasureRow(model_version=version, method=method, part=part)
        session.add(row)
    row.facts, row.measured_by, row.measured_at = dict(facts), actor, utc_now()
    session.flush()
    add_entry(session, actor, "heatmap.measure", f"model:{version}", {"method": method, "part": part})


def get_measures(session: Session, version: str) -> dict[str, Parts]:
    """Method -> part -> facts of that model; empty where nothing was measured."""
    query = select(HeatmapMeasureRow).where(HeatmapMeasureRow.model_version == version)
    found: dict[str, Parts] = {}
    for row in session.scalars(query.order_by(HeatmapMeasureRow.method, HeatmapMeasureRow.part)):
        found.setdefault(row.method, {})[row.part] = {**row.facts, "measured_at": row.measured_at}
    return found


def list_regions(session: Session, task: str, *, limit: int = 500) -> list[MarkedStudy]:
    """Regions that reviewers drew in daily work in studies of that task: of each chain its last review, newest first.

    Reviews without regions, of held studies and of reader studies are left out: a running one must not show through a figure.
    """
    later = aliased(ReviewRow)
    held = select(HoldRow.study_id).where(HoldRow.released_at.is_(None))
    query = (
        select(ReviewRow.study_id, ReviewRow.reviewer, ReviewRow.label, ReviewRow.regions)
        .join(StudyRow, StudyRow.id == ReviewRow.study_id)
        .where(HAS_REGIONS, StudyRow.task == task, ReviewRow.reader_study.is_(None))
        .where(~select(later.id).where(later.supersedes == ReviewRow.id).exists())
        .where(ReviewRow.study_id.not_in(held))
        .order_by(ReviewRow.id.desc())
    )
    found: dict[tuple[str, str], MarkedStudy] = {}
    for row in session.execute(query, execution_options={"yield_per": limit}):
        if len(found) == limit:
            break
        # The aided reading is newer than the unaided one, and its regions are the reviewer's last word.
        found.setdefault((row.study_id, row.reviewer), MarkedStudy(row.study_id, row.label, tuple(row.regions)))
    return list(found.values())
