"""One case as the review page sees it: the study, the reader's own readings of it, and whether the model may be shown."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from core import settings
from core.reader_records import ReaderStudy
from core.records import Phase, Refused, Review
from core.tasks import TASKS, Task
from db import drafts, reader_studies, reader_turns, reviews, studies, writer
from db import engine as store
from db.reader_turns import Progress
from db.studies import StudySummary
from db.writer import Session
from pages.ui.clock import Clock
from pages.ui.session import case_key

_TIMED = "timed"  # key of the clock of the case that is looked at in this tab: there is one at most


@dataclass(frozen=True)
class Place:
    """Where a case stands in a reader study: the study, and how far its reader has come. `turn` is None for a case read before."""

    reader_study: ReaderStudy
    progress: Progress
    again: bool  # a case that is looked at again, not the one whose turn it is
    repeat: int = 0  # 1 where its reader has read it in this phase before, which nothing on the page tells


@dataclass(frozen=True)
class Case:
    """A study in front of one reviewer. `blind` means that nothing of a model's result may reach the browser yet.

    `place` is None in daily work.
    """

    study: StudySummary
    reviewer: str
    phase: Phase
    blind: bool
    history: tuple[Review, ...]  # the reader's own readings of the study, oldest first
    draft: Mapping[str, Any]
    place: Place | None = None

    @property
    def reader_study(self) -> int | None:
        """Id of the reader study that the reading belongs to, or None in daily work."""
        return None if self.place is None else self.place.reader_study.id

    @property
    def repeat(self) -> int:
        """1 for the second reading of a case that a reader study asks for twice, else 0."""
        return 0 if self.place is None else self.place.repeat

    @property
    def title(self) -> str:
        """What the case is called. In a reader study it has a number only: a name could give the answer away."""
        if self.place is None:
            return self.study.name
        if self.place.again or self.place.progress.turn is None:
            return "Previous case"
        return f"Case {self.place.progress.turn.number} of {self.place.progress.turn.total}"

    @property
    def washout(self) -> bool:
        """Whether the two readings of a case are made in sessions that must know nothing of each other."""
        return self.place is not None and self.place.reader_study.protocol == "washout"

    @property
    def unaided(self) -> Review | None:
        """The reader's current unaided reading."""
        return self._newest("unaided")

    @property
    def aided(self) -> Review | None:
        """The reader's current aided reading."""
        return self._newest("aided")

    def _newest(self, phase: Phase) -> Review | None:
        if self.washout and phase != self.phase:
            return None  # the other session is not recalled
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

    @property
    def view_key(self) -> str:
        """What the viewer calls the case: the same study read in another phase or reader study is another view."""
        return self.key("view")

    def key(self, name: str) -> str:
        """Widget key of this case and phase, and in a reader study of this reading of it."""
        scope = "" if self.place is None else f":{self.place.reader_study.id}" + ":2" * self.place.repeat
        return case_key(name, self.study.id, self.phase) + scope


def open_case(study_id: str, reviewer: str) -> Case | None:
    """The case of that study in daily work, or None where the store has none. Its clock waits for `begin_clock`.

    `Refused` while the reviewer reads it in a running reader study: here the model would be a click away.
    """
    with store.read() as session:
        study = studies.get_study_summary(session, study_id)
        if study is None:
            return None
        if reader_turns.is_held_back(session, reviewer, study_id):
            raise Refused("You read this study in a running reader study; open it from **Reader studies**.")
        history = tuple(reviews.review_history(session, study_id, reviewer))
        draft = drafts.get_draft(session, study_id, reviewer) or {}
    blind = settings.reading_protocol() == "unaided-then-aided" and not history
    phase: Phase = "unaided" if blind else "aided"
    return _begun(Case(study, reviewer, phase, blind, history, _own(draft, phase, 0)))


def open_turn(number: int, reviewer: str, study_id: str = "") -> Case | Progress:
    """The case whose turn it is in a reader study; where nothing is to be read now, how far the reader has come.

    `study_id` asks for the case read last instead, where it may be looked at again: never in a wash-out, never a case that
    has its aided reading still to come. `Refused` for whoever does not read the study.
    """
    with store.read() as session:
        reader_study = reader_studies.get_reader_study(session, number)
        if reader_study is None or reader_study.status == "draft":
            raise Refused("There is no such reader study to read.")
        progress = reader_turns.progress_of(session, reader_study, reviewer)
        turn = progress.turn
        again = bool(study_id) and can_look_back(reader_study, progress) and study_id == progress.last
        if turn is None and not again:
            return progress
        wanted, phase, repeat = progress.last, "aided", progress.last_repeat
        if turn is not None and not again:
            wanted, phase, repeat = turn.study_id, turn.phase, turn.repeat
        study = studies.get_study_summary(session, wanted)
        history = tuple(reviews.review_history(session, wanted, reviewer, number, repeat))
        draft = drafts.get_draft(session, wanted, reviewer, number, repeat) or {}
    assert study is not None  # a case of a reader study is a study: the store's keys see to it
    place = Place(reader_study, progress, again, repeat)
    return _begun(Case(study, reviewer, phase, phase == "unaided", history, _own(draft, phase, repeat), place))


def can_look_back(study: ReaderStudy, progress: Progress) -> bool:
    """Whether the case read last may be opened again: it is wholly read, and seeing the model once more spoils nothing."""
    turn = progress.turn
    unfinished = turn is not None and (turn.study_id, turn.repeat) == (progress.last, progress.last_repeat)
    return study.status == "running" and study.protocol != "washout" and bool(progress.last) and not unfinished


def _own(draft: Mapping[str, Any], phase: Phase, repeat: int) -> Mapping[str, Any]:
    """The draft, where it is of this phase and repeat; else an empty one."""
    return draft if (draft.get("phase"), draft.get("repeat", 0)) == (phase, repeat) else {}


def _begun(case: Case) -> Case:
    if st.session_state.get(_TIMED) != case.key("clock"):
        leave()
    st.session_state.setdefault(case.key("token"), case.draft.get("token") or uuid.uuid4().hex)
    return case


def begin_clock(case: Case) -> None:
    """Let the case's clock run from now on, where the case has just come: called when picture and model's result are there.

    One that a hidden window has stopped is left alone.
    """
    key = case.key("clock")
    if st.session_state.get(_TIMED) != key or key not in st.session_state:
        st.session_state[key] = _clock(case).resumed(time.monotonic())
        st.session_state[_TIMED] = key


def leave() -> None:
    """Stop the clock that runs in this tab: its reader has gone to another case or page."""
    key = st.session_state.pop(_TIMED, None)
    if key is not None and key in st.session_state:
        st.session_state[key] = st.session_state[key].paused(time.monotonic())


def seconds_spent(case: Case) -> float:
    """Seconds that somebody looked at the case, over reloads; for a correction with those of the reading that it corrects."""
    return _clock(case).seconds(time.monotonic())


def _clock(case: Case) -> Clock:
    said = case.aided.seconds if case.aided else 0.0  # a correction goes on from there
    return st.session_state.get(case.key("clock"), Clock(float(case.draft.get("seconds", said))))


def attend(case: Case, active: bool, idle_s: float) -> None:
    """Let the case's clock run, or stop it; `idle_s` seconds before now do not count."""
    key, now = case.key("clock"), time.monotonic()
    if case.key("token") not in st.session_state or (active and key not in st.session_state):
        return  # saved meanwhile, or not all there yet
    st.session_state[key] = _clock(case).resumed(now) if active else _clock(case).paused(now, idle_s)
    st.session_state[_TIMED] = key
    keep_seconds(case)


def keep_seconds(case: Case) -> None:
    """Store the clock's sum, so that a reload goes on from it. In daily work only beside answers: looking begins no reading."""
    token, seconds = st.session_state.get(case.key("token")), seconds_spent(case)
    if token is not None:
        writer.save(lambda session: _keep_seconds(session, case, token, seconds))


def _keep_seconds(session: Session, case: Case, token: str, seconds: float) -> None:
    where, scope = (case.study.id, case.reviewer), (case.reader_study, case.repeat)
    stored = drafts.get_draft(session, *where, *scope)
    draft = stored if stored is None else _own(stored, case.phase, case.repeat) or None
    if draft is None and case.place is not None and not case.place.again:
        begun = {"phase": case.phase, "repeat": case.repeat, "token": token}
        saved = reviews.saved_tokens(session, *where, *scope)
        draft = begun if list(saved) == case.readings else None
    if draft is not None and draft.get("token") == token and draft.get("seconds") != seconds:
        drafts.save_draft(session, *where, {**draft, "seconds": seconds}, case.reader_study, repeat=case.repeat)


def keep_draft(case: Case, **changed: Any) -> None:
    """Store what the reviewer has entered so far, so that a reload, a crash or a lunch break loses nothing.

    Raises `Refused` where this reading is saved already, by a click a moment ago or in another tab: what is stored stays.
    """
    token, seconds = st.session_state.get(case.key("token")), seconds_spent(case)
    entered = changed | {"phase": case.phase, "repeat": case.repeat, "token": token, "seconds": seconds}
    writer.save(lambda session: _keep_draft(session, case, entered))


def _keep_draft(session: Session, case: Case, entered: dict[str, Any]) -> None:
    where, scope = (case.study.id, case.reviewer), (case.reader_study, case.repeat)
    saved = reviews.saved_tokens(session, *where, *scope)
    if entered["token"] is None or list(saved) != case.readings:
        raise Refused("This reading is saved already. Reload the page to see it.")
    draft = dict(_own(drafts.get_draft(session, *where, *scope) or {}, case.phase, case.repeat))
    drafts.save_draft(session, *where, draft | entered, case.reader_study, repeat=case.repeat)


def forget(case: Case) -> None:
    """Forget the clock and token of a case whose reading is stored: a later correction is a new reading."""
    for name in ("clock", "token"):
        st.session_state.pop(case.key(name), None)
