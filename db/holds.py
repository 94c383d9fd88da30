"""Studies held back until somebody has looked at their pixels, and how they are let go: masked, or seen to show nothing.

A masked study keeps its id, the hash of what arrived, so that the same file is the same study when it comes again; its pixels
are then not stored again. The replaced pixels, and whatever copies are kept of its files, are deleted from the disk unless
another study shows or has the same. A released
study can be held again: its readings stay, and nobody sees its pixels until it is released anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, bindparam, func, select
from sqlalchemy.orm import Session

from core.records import Image, Refused
from db.audit import add_entry
from db.copies import drop_removed, remove_copies
from db.engine import StoreError
from db.pixels import pixel_path, put_pixels
from db.tables import HoldRow, ImageRow, StudyRow, utc_now
from db.users import User

_LONGEST_REASON = 200


@dataclass(frozen=True)
class Hold:
    """A study that waits. `reason` is one sentence; `uploaded_by` a person's name, or how it came (terminal)."""

    study_id: str
    name: str
    reason: str
    uploaded_by: str
    created_at: str
    images: int = 1


@dataclass(frozen=True)
class Release:
    """A study that was held and let go: by whom, when (ISO 8601, UTC), and `outcome`, masked or nothing to mask."""

    study_id: str
    name: str
    released_by: str
    released_at: str
    outcome: str


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
    images = select(func.count()).where(ImageRow.study_id == HoldRow.study_id).scalar_subquery()
    query = (
        select(HoldRow, StudyRow.name, images)
        .join(StudyRow, StudyRow.id == HoldRow.study_id)
        .where(HoldRow.released_at.is_(None))
        .order_by(StudyRow.number)
    )
    if user.role != "lead":
        query = query.where(HoldRow.uploaded_by == user.name)
    return [
        Hold(row.study_id, name, row.reason, row.uploaded_by, row.created_at, count)
        for row, name, count in session.execute(query).all()
    ]


def list_releases(session: Session, user: User, limit: int = 20) -> list[Release]:
    """The studies let go last that this person may hold again, newest first: their own uploads, and all for a lead."""
    query = (
        select(HoldRow, StudyRow.name)
        .join(StudyRow, StudyRow.id == HoldRow.study_id)
        .where(HoldRow.released_at.is_not(None))
        .order_by(HoldRow.released_at.desc(), StudyRow.number.desc())
        .limit(limit)
    )
    if user.role != "lead":
        query = query.where(HoldRow.uploaded_by == user.name)
    return [
        Release(row.study_id, name, row.released_by or "", row.released_at or "", row.outcome or "")
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


# True for a picture that held studies show, and no other.
_SHOWN = select(ImageRow.__table__.c.study_id).where(ImageRow.__table__.c.pixel_hash == bindparam("pixel_hash"))
_IN_HELD = HoldRow.__table__.c.released_at.is_(None) & (HoldRow.__table__.c.study_id == ImageRow.__table__.c.study_id)
_OPEN = _SHOWN.where(~select(HoldRow.__table__.c.study_id).where(_IN_HELD).exists()).limit(1)
_ANY = _SHOWN.limit(1)


def is_hidden(session: Session, pixel_hash: str) -> bool:
    """True where every study that shows these pixels is held: whoever knows their address does not get them."""
    connection, asked = session.connection(), {"pixel_hash": pixel_hash}
    if connection.execute(_OPEN, asked).first() is not None:
        return False
    return connection.execute(_ANY, asked).first() is not None


def hold_again(session: Session, study_id: str, user: User, reason: str) -> None:
    """Hold a study that people may read already, with a line in the audit log; what was read and predicted stays.

    Raises `Refused` for an unknown study, one that is held, an empty reason, and for somebody who is neither a lead nor the
    person who uploaded it (known of studies that were held once).
    """
    row = session.get(HoldRow, study_id)
    if session.scalar(select(StudyRow.number).where(StudyRow.id == study_id)) is None:
        raise Refused("This study is no longer in the store.")
    if not _may_hold_again(row, user):
        raise Refused("Only the person who uploaded this study or a project lead can hold it again.")
    if row is not None and row.released_at is None:
        raise Refused("This study is held already.")
    if not reason.strip():
        raise Refused("Say in a few words why the study is held again.")
    if row is None:
        row = HoldRow(study_id=study_id, uploaded_by=user.name)
        session.add(row)
    row.reason = reason.strip()[:_LONGEST_REASON]
    row.created_at = utc_now()
    row.released_at = row.released_by = row.outcome = None  # `replaced` stays: those pixels must not come back
    session.flush()
    add_entry(session, user.name, "study held again", f"study:{study_id}", {"reason": row.reason})


def may_hold_again(session: Session, study_id: str, user: User) -> bool:
    """Whether `hold_again` lets this person: a lead, or who uploaded the study as far as that is known."""
    return _may_hold_again(session.get(HoldRow, study_id), user)


def _may_hold_again(row: HoldRow | None, user: User) -> bool:
    return user.role == "lead" or (row is not None and row.uploaded_by == user.name)


def release_seen(session: Session, study_ids: Iterable[str], user: User) -> int:
    """Let studies go in which somebody saw that there is nothing to mask; how many. Each gets its line in the audit log.

    Raises `Refused` as `release`: then none is let go.
    """
    wanted = list(dict.fromkeys(study_ids))
    for study_id in wanted:
        release(session, study_id, user, {})
    return len(wanted)


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
    hold.outcome = "masked" if masked else "nothing to mask"
    hold.replaced = [*(hold.replaced or []), *replaced]  # also what an earlier release masked
    session.flush()
    details: dict[str, Any] = {"outcome": hold.outcome, "images": sorted(masked)}
    if masked and (removed := remove_copies(session, study_id)):  # they show what was masked
        details["copies_deleted"] = removed
    add_entry(session, user.name, "study released", f"study:{study_id}", details)


def drop_replaced(session: Session) -> int:
    """Delete the files of replaced pixels that no image shows any more, also those that a stopped program left; how many.

    Copies of masked studies go as well (`db.copies.drop_removed`), uncounted. Call it in a write transaction of its own: no study
    can arrive with the same picture meanwhile.
    """
    dropped = 0
    drop_removed(session)
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
