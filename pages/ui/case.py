"""One case as the review page sees it: the study, the reader's own readings of it, and whether the model may be shown."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from core import settings
from core.records import Phase, Refused, Review
from core.tasks import TASKS, Task
from db import engine as store
from db import reviews, studies
from db.studies import StudySummary
from pages.ui.session import case_key


@dataclass(frozen=True)
class Case:
    """A study in front of one reviewer. `blind` means that nothing of a model's result may reach the browser yet."""

    study: StudySummary
    reviewer: str
    phase: Phase
    blind: bool
    history: tuple[Review, ...]  # the reader's own readings of the study, oldest first
    draft: Mapping[str, Any]

    @property
    def unaided(self) -> Review | None:
        """The reader's current unaided reading."""
        return self._newest("unaided")

    @property
    def aided(self) -> Review | None:
        """The reader's current aided reading."""
        return self._newest("aided")

    def _newest(self, phase: Phase) -> Review | None:
        return next((review for review in reversed(self.history) if review.phase == phase), None)

    @property
    def task(self) -> Task:
        """The study's task."""
        return TASKS[self.study.task]

    @property
    def readings(self) -> list[int | None]:
        """Ids of the readings that were there when the case was drawn: more by now means that it was saved meanwhile."""
        return [review.id for review in self.history]

    @property
    def regions(self) -> tuple[Mapping[str, Any], ...]:
        """The reviewer's own marks: those being drawn, else those of the newest reading."""
        if "regions" in self.draft:
            return tuple(self.draft["regions"])
        newest = self.aided or self.unaided
        return newest.regions if newest else ()

    def key(self, name: str) -> str:
        """Widget key of this case and phase."""
        return case_key(name, self.study.id, self.phase)


def open_case(study_id: str, reviewer: str) -> Case | None:
    """The case of that study, or None where the store has no such study. Starts its clock at the first call in this tab."""
    with store.read() as session:
        study = studies.get_study_summary(session, study_id)
        if study is None:
            return None
        history = tuple(reviews.review_history(session, study_id, reviewer))
        draft = reviews.get_draft(session, study_id, reviewer) or {}
    blind = settings.reading_protocol() == "unaided-then-aided" and not history
    phase: Phase = "unaided" if blind else "aided"
    case = Case(study, reviewer, phase, blind, history, draft if draft.get("phase") == phase else {})
    st.session_state.setdefault(case.key("started"), time.monotonic() - float(case.draft.get("seconds", 0)))
    st.session_state.setdefault(case.key("token"), case.draft.get("token") or uuid.uuid4().hex)
    return case


def seconds_spent(case: Case) -> float:
    """Seconds since the case was opened, over reloads."""
    return round(time.monotonic() - st.session_state.get(case.key("started"), time.monotonic()), 1)


def keep_draft(case: Case, **changed: Any) -> None:
    """Store what the reviewer has entered so far, so that a reload, a crash or a lunch break loses nothing.

    Raises `Refused` where this reading is saved already, by a click a moment ago or in another tab: what is stored stays.
    """
    token = st.session_state.get(case.key("token"))
    with store.write() as session:
        history = reviews.review_history(session, case.study.id, case.reviewer)
        if token is None or [review.id for review in history] != case.readings:
            raise Refused("This reading is saved already. Reload the page to see it.")
        draft = dict(reviews.get_draft(session, case.study.id, case.reviewer) or {})
        if draft.get("phase") != case.phase:
            draft = {}
        draft |= changed | {"phase": case.phase, "token": token, "seconds": seconds_spent(case)}
        reviews.save_draft(session, case.study.id, case.reviewer, draft)


def forget(case: Case) -> None:
    """Forget the clock and token of a case whose reading is stored: a later correction is a new reading."""
    for name in ("started", "token"):
        st.session_state.pop(case.key(name), None)
