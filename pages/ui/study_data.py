"""Readings of finished reader studies for pages: found by key, kept until something changes, slow results kept by content."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import streamlit as st

from core import settings
from core.reader_records import ReaderStudy
from core.records import Refused
from core.study_readings import Origin, StudyReadings
from db import engine as store
from db import imported_studies, reader_studies, study_files, study_results
from db.users import User
from pages.ui import identity, jobs

T = TypeVar("T")
KEPT = 64  # results of slow work
_PATIENCE = 0.8  # seconds: what is nearly done comes sooner than a progress bar and a second run of the page


@dataclass(frozen=True)
class Finished:
    """A study with results: `key` is what addresses call it (its id, or "i" and the id of an imported one)."""

    key: str
    name: str
    task: str
    origin: Origin
    facts: str
    number: int


def finished_studies(user: User) -> list[Finished]:
    """Closed and imported studies, newest first; `Refused` for anybody but a lead."""
    identity.require_lead(user)
    with store.read() as session:
        closed = reader_studies.list_reader_studies(session, status="closed")
        imported = imported_studies.list_imported_studies(session)
    found = [
        Finished(f"i{s.id}", s.name, s.task, "imported", f"imported {s.created_at[:10]} by {s.imported_by}", s.id)
        for s in imported
    ]
    return [*(of_study(study) for study in closed), *found]


def of_study(study: ReaderStudy) -> Finished:
    """A closed study of this store."""
    origin: Origin = "simulated" if study.simulated else "study"
    return Finished(str(study.id), study.name, study.task, origin, f"closed {study.closed_at[:10]}", study.id)


def load(user: User, study: Finished) -> StudyReadings:
    """All readings, with readers' names; `Refused` for anybody but a lead."""
    identity.require_lead(user)
    decisions = 0
    if study.origin != "imported":
        with store.read() as session:
            decisions = study_results.newest_decision(session)
    return _load(settings.database_url(), study, decisions)


@st.cache_resource(max_entries=8, ttl=900, show_spinner="Reading the study")
def _load(store_address: str, study: Finished, decisions: int) -> StudyReadings:
    """A closed study changes by adjudication only; `decisions` is the id of the newest decision."""
    with store.read() as session:
        if study.origin == "imported":
            record = imported_studies.get_imported_study(session, study.number)
            if record is not None:
                return study_files.imported_study(session, record)
        else:
            own = reader_studies.get_reader_study(session, study.number)
            if own is not None:
                return study_files.own_study(session, own)
    raise Refused("This reader study is not in the store.")


@st.cache_resource(show_spinner=False)
def _results() -> OrderedDict[tuple[str, ...], object]:
    return OrderedDict()


def computed(key: tuple[str, ...], work: Callable[[jobs.Job], T]) -> T | None:
    """The result of slow work, kept by `key`, which must hold the fingerprint of all that goes in.

    None while it is being made: the page shows its progress and comes again by itself. Raises what the work raised.
    """
    kept = _results()
    if key in kept:
        kept.move_to_end(key)
        return kept[key]  # type: ignore[return-value]
    jobs.start(key, work, kind="results")
    result = jobs.fetch(key, patience=_PATIENCE)
    if result is not None:
        kept[key] = result
        while len(kept) > KEPT:
            kept.popitem(last=False)
    return result
