"""Studies whose class is known from their source: for project leads and evaluations, never for a reviewer's eyes."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.tables import HoldRow, ImageRow, StudyRow


def list_references(session: Session, task: str, *, limit: int = 5000) -> list[tuple[str, str, str]]:
    """(study id, reference standard, pixel hash of the first image) of that task's studies that state one, newest first.

    Held studies are left out.
    """
    held = select(HoldRow.study_id).where(HoldRow.released_at.is_(None))
    query = (
        select(StudyRow.id, StudyRow.reference_standard, ImageRow.pixel_hash)
        .join(ImageRow, (ImageRow.study_id == StudyRow.id) & (ImageRow.position == 0))
        .where(StudyRow.task == task, StudyRow.reference_standard.is_not(None), StudyRow.id.not_in(held))
        .order_by(StudyRow.number.desc())
        .limit(limit)
    )
    return [tuple(row) for row in session.execute(query)]
