"""Studies held back until somebody has looked at their pixels, and how they are let go: masked, or seen to show nothing.

A masked study keeps its id, the hash of what arrived, so that the same file is the same study when it comes again; its pixels
are then not stored again. The replaced pixels are deleted from the disk unless another study shows the same picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, bindparam, select
from sqlalchemy.orm import Session

from core.records import Image, Refused
from db.audit import add_entry
from db.engine import StoreError
from db.pixels import pixel_path, put_pixels
from db.tables import HoldRow, ImageRow, StudyRow, utc_now
from db.users import User


@dataclass(frozen=True)
class Hold:
    """A study that waits. `reason` is one sentence; `uploaded_by` a person's name, or how it came (terminal)."""

    study_id: str
    name: str
    reason: str
    uploaded_by: str
    created_at: str


def add_hold(session: Session, study_id: str, reason: str, uploaded_by: str) -> None:
    """Hold a study that was just stored, with a line in the audit log."""
    session.add(HoldRow(study_id=study_id, reason=reason, uploaded_by=uploaded_by))
    session.flush()
    add_entry(session, uploaded_by, "study held", f"study:{study_id}", {"reason": reason})


def held_ids(session: Session) -> set[str]:
    """Ids of all studies that are held."""
    return set(session.scalars(select(HoldRow.study_id).where(HoldRow.released_at.is_(None))))


def list_holds(session: Session, user: User) -> list[Hold]:
    """The held studies that this person may clean, in order of arrival: their own uploads, and all for a lead."""
    query = (
        select(HoldRow, StudyRow.name)
        .join(StudyRow, StudyRow.id == HoldRow.study_id)
        .where(HoldRow.released_at.is_(None))
        .order_by(StudyRow.number)
    )
    if user.role != "lead":
        query = query.where(HoldRow.uploaded_by == user.name)
    return [
        Hold(row.study_id, name, row.reason, row.uploaded_by, row.created_at)
        for row, name in session.execute(query).all()
    ]


def require_may_clean(session: Session, study_id: str, user: User) -> None:
    """Raise `Refused` unless the study is held and this person may clean it: whoever uploaded it, or a lead."""
    row = session.get(HoldRow, study_id)
    if row is None or row.released_at is not None:
        raise Refused("This study is not held (any more). Reload the page.")
    if user.role != "lead" and row.uploaded_by != user.name:
        raise Refused("Only the person who uploaded this study or a project lead can release it.")


def holds_of(study_id: Any) -> Select[Any]:
    """SQL for the id of that study if it is held, no row otherwise; past the mapper, since every save of a review asks."""
    table = HoldRow.__table__
    return select(table.c.study_id).where(table.c.study_id == study_id, table.c.released_at.is_(None))


_HELD = holds_of(bindparam("study_id"))


def require_released(session: Session, study_id: str) -> None:
    """Raise `Refused` while the study is held: called wherever it would be read, predicted or measured."""
    require_not_held(session.connection().execute(_HELD, {"study_id": study_id}).scalar_one_or_none())


def require_not_held(held: str | None) -> None:
    """Raise `Refused` unless `holds_of` found nothing."""
    if held is not None:
        raise Refused("This study is held until somebody has looked for names in its pixels, on the Clean page.")


def release(session: Session, study_id: str, user: User, masked: Mapping[int, Image]) -> None:
    """Let a study go with `masked` images (position -> new image) in place of the old; none says: nothing to mask.

    Call `drop_replaced` after the commit. Raises `Refused` where it is not held or not this person's to clean, `ValueError`
    for a position that the study does not have or another size, `StoreError` when the disk fails.
    """
    require_may_clean(session, study_id, user)
    hold = session.get(HoldRow, study_id)
    assert hold is not None  # as just seen
    rows = {row.position: row for row in session.scalars(select(ImageRow).where(ImageRow.study_id == study_id))}
    replaced = []
    for position, image in masked.items():
        row = rows.get(position)
        if row is None or image.pixels.shape[:2] != (row.height, row.width):
            raise ValueError(f"image {position} is none of this study, or has another size")
        new = put_pixels(image)
        if new != row.pixel_hash:
            replaced.append(row.pixel_hash)
            row.pixel_hash = new
    hold.released_at, hold.released_by = utc_now(), user.name
    hold.outcome, hold.replaced = "masked" if masked else "nothing to mask", replaced
    session.flush()
    details = {"outcome": hold.outcome, "images": sorted(masked)}
    add_entry(session, user.name, "study released", f"study:{study_id}", details)


def drop_replaced(session: Session) -> int:
    """Delete the files of replaced pixels that no image shows any more, also those that a stopped program left; how many.

    Call it in a write transaction of its own: no study can arrive with the same picture meanwhile.
    """
    dropped = 0
    for pixel_hash in {each for hashes in session.scalars(select(HoldRow.replaced)) for each in hashes or ()}:
        path = pixel_path(pixel_hash)
        if path.exists() and session.scalar(select(ImageRow).where(ImageRow.pixel_hash == pixel_hash).limit(1)) is None:
            try:
                path.unlink()
            except OSError as error:
                raise StoreError(f"Replaced pixels cannot be deleted ({error.strerror}).") from error
            with suppress(OSError):  # the folder is only removed when it is empty
                path.parent.rmdir()
            dropped += 1
    return dropped
