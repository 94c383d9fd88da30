"""Reader studies as frozen records: a fixed list of cases that several readers read under one protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from core.records import Phase, Refused, check_birads

Protocol = Literal["aided", "sequential", "washout"]
StudyStatus = Literal["draft", "running", "closed"]

PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
MAX_CASES = 5000
MAX_READERS = 100
MAX_WASHOUT_DAYS = 365


@dataclass(frozen=True)
class Rules:
    """What a reading of a reader study must hold, how long its wash-out lasts, and how many cases are read twice.

    `washout_days` counts whole days between a reader's last reading of the first session and the first of the second;
    it means nothing under the other protocols. `repeats` cases come to each reader a second time in every phase, with
    `least_between` other cases or more in between; 0 stands for half of the cases.
    """

    likelihood_required: bool = True
    birads_required: bool = False
    washout_days: int = 28
    repeats: int = 0
    least_between: int = 0

    def __post_init__(self) -> None:
        if self.repeats < 0 or self.least_between < 0:
            raise Refused("Numbers of repeated cases, and of cases between, are 0 or more.")
        if not 0 <= self.washout_days <= MAX_WASHOUT_DAYS:
            raise Refused(f"A wash-out lasts 0 to {MAX_WASHOUT_DAYS} days, not {self.washout_days}.")


@dataclass(frozen=True)
class StudyPlan:
    """A reader study as a lead draws it up.

    `cases` are study ids without repeats, `readers` names of reviewers; `seed` fixes the order of every reader.
    `aided`: the model is visible from the start. `sequential`: each case unaided, then aided, in one sitting.
    `washout`: all cases in two sessions, one unaided and one aided, of which half the readers begin with either.
    `simulated`: no people read it; every page and export says so.
    """

    name: str
    task: str
    protocol: Protocol
    model_version: str
    cases: tuple[str, ...]
    readers: tuple[str, ...]
    seed: int = 0
    rules: Rules = Rules()
    simulated: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.name.strip()) <= 80 or not self.name.isprintable():
            raise Refused("A reader study's name must have 1 to 80 printable characters.")
        if self.protocol not in PROTOCOLS:
            raise Refused(f"A protocol is {', '.join(PROTOCOLS[:-1])} or {PROTOCOLS[-1]}, not '{self.protocol}'.")
        _check_list("case", self.cases, MAX_CASES)
        _check_list("reader", self.readers, MAX_READERS)
        between, cases = repeat_gap(self.rules, len(self.cases)), len(self.cases)
        if self.rules.repeats > max(0, cases - between):
            raise Refused(
                f"With {between} other cases in between, {max(0, cases - between)} of {cases} cases can be read twice, not "
                f"{self.rules.repeats}."
            )


@dataclass(frozen=True)
class ReaderStudy:
    """A reader study in the store. Times are ISO 8601 in UTC, empty until they come."""

    id: int
    name: str
    task: str
    protocol: Protocol
    model_version: str
    seed: int
    rules: Rules
    status: StudyStatus
    cases: int  # how many
    created_by: str
    created_at: str
    started_at: str = ""
    closed_at: str = ""
    simulated: bool = False

    @property
    def shown(self) -> int:
        """How many cases a reader is shown in each phase: those that are read twice count twice."""
        return self.cases + self.rules.repeats


@dataclass(frozen=True)
class ImportedStudy:
    """A reader study from elsewhere in the store: how much it holds, and the hash of what it says."""

    id: int
    name: str
    task: str
    fingerprint: str
    simulated: bool
    readers: int
    cases: int
    rows: int
    imported_by: str
    created_at: str


@dataclass(frozen=True)
class Turn:
    """What a reader reads next: this case, in this phase and session (1 or 2).

    `number` of `total` counts the cases of the session, those that come again too; `done` and `readings` all readings that the
    protocol asks of a reader. `repeat` is 1 where the case comes again: nobody tells the reader.
    """

    study_id: str
    phase: Phase
    session: int
    number: int
    total: int
    done: int
    readings: int
    repeat: int = 0


@dataclass(frozen=True)
class Withdrawal:
    """Why and when (ISO 8601, UTC) a reader was taken out of a running reader study; what they read stays stored."""

    reader: str
    at: str
    because: str


@dataclass(frozen=True)
class Decision:
    """An adjudicator's decision on one study: a reference standard with its own history.

    `reason` says why; `reader_study` is the reader study whose disagreement led to it, None for daily work.
    `supersedes` is the id of the decision that this one replaces.
    """

    study_id: str
    label: str
    decided_by: str
    reason: str = ""
    birads: str = ""
    reader_study: int | None = None
    supersedes: int | None = None
    id: int | None = None
    created_at: str = ""

    def __post_init__(self) -> None:
        if not self.label:
            raise ValueError("a decision needs a class")
        check_birads(self.birads)


def repeat_gap(rules: Rules, cases: int) -> int:
    """How many other cases lie at least between the two readings of a repeated one."""
    return rules.least_between or -(-cases // 2)


def _check_list(what: str, items: tuple[str, ...], most: int) -> None:
    if not 1 <= len(items) <= most:
        raise Refused(f"A reader study needs 1 to {most} {what}s, not {len(items)}.")
    if len(set(items)) != len(items):
        raise Refused(f"A {what} stands in the list twice.")
