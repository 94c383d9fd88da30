"""Choosing the cases of a reader study: by query, by a list, or as a sample. For leads: a sample knows the reference standard.

Held studies, which may show names, are never among them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import islice, takewhile

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.records import Refused
from db.reader_studies import not_held
from db.reading_order import drawn_number
from db.tables import StudyRow

_SHORTEST_ID = 8  # digits of a study id that name it


def cases_by_query(session: Session, task: str, search: str = "") -> list[str]:
    """Ids of all studies of the task whose name or patient holds `search`, in order of arrival."""
    query = select(StudyRow.id).where(StudyRow.task == task, not_held()).order_by(StudyRow.number)
    if words := search.strip():
        by_name = StudyRow.name.icontains(words, autoescape=True)
        query = query.where(by_name | StudyRow.patient_id.icontains(words, autoescape=True))
    return list(session.scalars(query))


def cases_by_list(session: Session, task: str, lines: Sequence[str]) -> tuple[list[str], list[str]]:
    """(ids, lines without a study): each line is an id (or its first 8 digits or more), a study's name, or a patient.

    A line that fits several studies stands for all of them; a study named twice counts once.
    """
    wanted = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not wanted:
        return [], []
    query = select(StudyRow.id, StudyRow.name, StudyRow.patient_id).where(StudyRow.task == task, not_held())
    fits: dict[str, list[str]] = defaultdict(list)  # what a line may say -> ids, in order of arrival
    ids = []
    # All studies of the task in one query: one for each line took ten seconds at 2,000 lines.
    for study, name, patient in session.execute(query.order_by(StudyRow.number)):
        ids.append(study)
        for says in dict.fromkeys((study, name, patient)):
            fits[says].append(study)
    ids.sort()
    found: dict[str, None] = {}
    unknown = []
    for line in wanted:
        named = list(dict.fromkeys([*_beginning_with(ids, line), *fits.get(line, ())]))
        found |= dict.fromkeys(named)
        if not named:
            unknown.append(line)
    return list(found), unknown


def _beginning_with(ids: list[str], line: str) -> list[str]:
    """Of sorted ids those that begin with the line, where it is long enough to name one."""
    if len(line) < _SHORTEST_ID:
        return []
    digits = line.lower()
    return list(takewhile(lambda study: study.startswith(digits), islice(ids, bisect_left(ids, digits), None)))


def reference_counts(session: Session, task: str) -> dict[str, int]:
    """Class -> how many studies of the task have it as their reference standard."""
    query = select(StudyRow.reference_standard, func.count()).where(
        StudyRow.task == task, not_held(), StudyRow.reference_standard.is_not(None)
    )
    return dict(session.execute(query.group_by(StudyRow.reference_standard)).all())


def cases_by_sample(session: Session, task: str, wanted: Mapping[str, int], seed: int) -> list[str]:
    """Ids of `wanted[class]` studies of each class, drawn by lot: the same store and seed give the same sample.

    `Refused` where a class has fewer studies than are wanted.
    """
    sample: list[str] = []
    for label, count in wanted.items():
        query = select(StudyRow.id).where(StudyRow.task == task, not_held(), StudyRow.reference_standard == label)
        ids = sorted(session.scalars(query), key=lambda study: drawn_number(seed, "sample", study))
        if len(ids) < count:
            raise Refused(f"Only {len(ids)} studies have the reference standard {label}; {count} are wanted.")
        sample += ids[:count]
    return sample
