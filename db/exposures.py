"""Who saw a model's result of a case before a reader study asks them to read it without one.

Seen means that an aided reading of theirs with a model's result, whichever model's, is stored: of daily work or of another reader
study.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session, aliased

from core.reader_records import Protocol
from core.records import Refused
from db.tables import ReaderStudyCaseRow, ReviewRow

_CHUNK = 500  # ids in one query: databases limit the parameters of a statement


def seen_before(session: Session, readers: Collection[str], cases: Sequence[str]) -> dict[str, int]:
    """Reader -> of how many of these cases they have seen a model's result; those of none are left out."""
    found: Counter[str] = Counter()
    for start in range(0, len(cases), _CHUNK):
        found.update(_count(session, readers, ReviewRow.study_id.in_(cases[start : start + _CHUNK])))
    return dict(sorted(found.items()))


def seen_before_study(session: Session, number: int, readers: Collection[str]) -> dict[str, int]:
    """`seen_before` of the cases of that reader study, of which these readers have read nothing yet."""
    cases = select(ReaderStudyCaseRow.study_id).where(ReaderStudyCaseRow.reader_study == number)
    return dict(sorted(_count(session, readers, ReviewRow.study_id.in_(cases)).items()))


def require_accepted(
    session: Session, study: tuple[int, Protocol], readers: Collection[str], accepted: str
) -> dict[str, Any]:
    """What the audit log must say of cases that these readers know with the model; `study` is (id, protocol).

    `Refused` where the protocol asks for unaided readings of such cases and no reason says why that is `accepted`.
    """
    number, protocol = study
    found = {} if protocol == "aided" else seen_before_study(session, number, readers)
    if not found:
        return {}
    if not accepted.strip():
        raise Refused(f"{seen_words(found)} Say why that is accepted, or choose other cases or readers.")
    return {"seen_before": found, "accepted": accepted.strip()}


def seen_words(found: Mapping[str, int]) -> str:
    """The sentence for the lead."""
    total, names = sum(found.values()), ", ".join(f"{reader} {count}" for reader, count in found.items())
    return f"Readings without the model are asked of readers who have seen a model's result of the case before: {total} ({names})."


def readings_seen_before(session: Session, number: int) -> set[int]:
    """Ids of that study's readings whose reader had seen a model's result of the case elsewhere when they were saved."""
    earlier = aliased(ReviewRow)
    elsewhere = or_(earlier.reader_study.is_(None), earlier.reader_study != number)
    same = (earlier.reviewer == ReviewRow.reviewer, earlier.study_id == ReviewRow.study_id, earlier.id < ReviewRow.id)
    shown = (earlier.phase == "aided", earlier.prediction_id.is_not(None))
    query = select(ReviewRow.id).where(
        ReviewRow.reader_study == number, select(earlier.id).where(*same, *shown, elsewhere).exists()
    )
    return set(session.scalars(query))


def _count(session: Session, readers: Collection[str], among: ColumnElement[bool]) -> dict[str, int]:
    shown = (ReviewRow.phase == "aided", ReviewRow.prediction_id.is_not(None))
    query = select(ReviewRow.reviewer, func.count(func.distinct(ReviewRow.study_id)))
    query = query.where(ReviewRow.reviewer.in_(readers), among, *shown).group_by(ReviewRow.reviewer)
    return dict(session.execute(query).all())
