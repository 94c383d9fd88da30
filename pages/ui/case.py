"""One case as the review page sees it: the study, the reader's own readings of it, and whether the model may be shown."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from core import settings
from core.records import Phase, Review
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
    unaided: Review | None
    aided: Review | None
    draft: Mapping[str, Any]

    @property
    def task(self) -> Task:
        """The study's task."""
        return TASKS[self.study.task]

    def key(self, name: str) -> str:
        """Widget key of this case and phase."""
        return case_key(name, self.study.id, self.phase)


def open_case(study_id: str, reviewer: str) -> Case | None:
    """The case of that study, or None where the store has no such study. Starts its clock at the first call in this tab."""
    with store.read() as session:
        study = studies.get_study_summary(session, study_id)
        if study is None:
            return None
        unaided = reviews.latest_review(session, study_id, reviewer, "unaided")
        aided = reviews.latest_review(session, study_id, reviewer, "aided")
        draft = reviews.get_draft(session, study_id, reviewer) or {}
    blind = settings.reading_protocol() == "unaided-then-aided" and unaided is None and aided is None
    phase: Phase = "unaided" if blind else "aided"
    case = Case(study, reviewer, phase, blind, unaided, aided, draft if draft.get("phase") == phase else {})
    st.session_state.setdefault(case.key("started"), time.monotonic() - float(case.draft.get("seconds", 0)))
    st.session_state.setdefault(case.key("token"), case.draft.get("token") or uuid.uuid4().hex)
    return case


def seconds_spent(case: Case) -> float:
    """Seconds since the case was opened, over reloads."""
    return round(time.monotonic() - st.session_state.get(case.key("started"), time.monotonic()), 1)


def keep_draft(case: Case, **changed: Any) -> None:
    """Store what the reviewer has entered so far, so that a reload, a crash or a lunch break loses nothing."""
    with store.write() as session:
        draft = dict(reviews.get_draft(session, case.study.id, case.reviewer) or {})
        if draft.get("phase") != case.phase:
            draft = {}
        draft |= changed | {
            "phase": case.phase, "token": st.session_state[case.key("token")], "seconds": seconds_spent(case)
        }  # fmt: skip
        reviews.save_draft(session, case.study.id, case.reviewer, draft)


def forget(case: Case) -> None:
    """Forget the clock and token of a case whose reading is stored: a later correction is a new reading."""
    for name in ("started", "token"):
        st.session_state.pop(case.key(name), None)
