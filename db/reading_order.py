"""In what order a reader reads: drawn from the study's seed, with the cases that come twice far behind their first reading."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import NamedTuple

from core.reader_records import ReaderStudy, repeat_gap
from core.records import Phase


class Step(NamedTuple):
    """One reading that is asked for; `repeat` is 1 where the same reader has read the case in this phase before."""

    session: int  # 1 or 2
    study_id: str
    phase: Phase
    repeat: int = 0


def drawn_number(seed: int, *parts: object) -> str:
    """64 hex digits drawn by lot: SHA-256 of seed and parts. Sorting by it is an order that anybody can make again."""
    return hashlib.sha256("|".join(map(str, (seed, *parts))).encode()).hexdigest()


def reading_steps(study: ReaderStudy, cases: list[str], reader: str, half: int) -> list[Step]:
    """All readings of one reader in order, drawn from the study's seed."""

    def order(session: int, *phases: Phase) -> list[Step]:
        return [
            Step(session, case, phase, nth) for case, nth in _order(study, cases, reader, session) for phase in phases
        ]

    if study.protocol == "aided":
        return order(1, "aided")
    if study.protocol == "sequential":
        return order(1, "unaided", "aided")
    first, second = ("unaided", "aided") if half == 0 else ("aided", "unaided")
    return order(1, first) + order(2, second)


def repeated_cases(study: ReaderStudy, cases: list[str]) -> set[str]:
    """The cases that every reader reads a second time in each phase: `rules.repeats` of them, drawn by lot."""
    return set(sorted(cases, key=lambda case: drawn_number(study.seed, "repeat", case))[: study.rules.repeats])


def _order(study: ReaderStudy, cases: list[str], reader: str, session: int) -> list[tuple[str, int]]:
    """(case, repeat) of one session: at least `repeat_gap` other cases lie between the two readings of one.

    Cases that come twice stand, by lot, among those that leave room for the gap behind them; each comes again at a place that
    is drawn from all that are far enough.
    """
    drawn = sorted(cases, key=lambda case: drawn_number(study.seed, reader, session, case))
    if not study.rules.repeats:
        return [(case, 0) for case in drawn]
    twice, last_first = repeated_cases(study, cases), len(cases) - repeat_gap(study.rules, len(cases))
    places = sorted(range(last_first), key=lambda place: drawn_number(study.seed, reader, session, "early", place))
    early = set(places[: len(twice)])
    coming_twice, others = (iter([case for case in drawn if (case in twice) == wanted]) for wanted in (True, False))
    order = [next(coming_twice if place in early else others) for place in range(len(drawn))]
    behind: dict[int, list[str]] = defaultdict(list)  # place -> what comes again after it
    for place in sorted(early):
        lot = int(drawn_number(study.seed, reader, session, "again", order[place]), 16)
        behind[len(cases) - last_first + place + lot % (last_first - place)].append(order[place])
    return [step for place, case in enumerate(order) for step in ((case, 0), *((c, 1) for c in behind[place]))]
