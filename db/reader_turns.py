"""Whose turn it is: what a reader reads next, what may be saved, and what must stay hidden meanwhile."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

import pandas as pd
from sqlalchemy import Select, bindparam, func, select
from sqlalchemy.orm import Session

from core import settings
from core.reader_records import MAX_READERS, ReaderStudy, Turn, repeat_gap
from core.records import Refused, Review
from db.frames import frame
from db.reader_studies import get_reader_study, list_cases
from db.reading_order import Step, reading_steps
from db.tables import HoldRow, PredictionRow, ReaderRow, ReaderStudyCaseRow, ReaderStudyRow, ReviewRow, utc_now


@dataclass(frozen=True)
class Progress:
    """Where a reader stands: `turn` is None where there is nothing to read now; `opens_at` (ISO 8601, UTC) then says
    when a wash-out ends, and is empty where all is read or the study does not run. `last` is the case read last (for the
    second time where `last_repeat` is 1), `after` the one that follows the turn's within its session; both are empty where
    there is none. `held` readings wait because somebody must look for names in the pixels first: the reader goes on with the
    other cases."""

    turn: Turn | None
    done: int
    readings: int
    opens_at: str = ""
    last: str = ""
    last_repeat: int = 0
    after: str = ""
    held: int = 0


def progress_of(session: Session, study: ReaderStudy, reader: str, now: str = "") -> Progress:
    """Where that reader stands at the moment `now` (default: this one).

    `Refused` for somebody who does not read the study, or no longer.
    """
    values = {"of_study": study.id, "of_reader": reader, "started": study.started_at}
    found = session.connection().execute(_PLACE, values).one_or_none()
    if found is None:
        raise Refused("You are not a reader of this study.")
    if found.withdrawn_at:
        raise Refused(
            "You no longer read this study: a project lead has withdrawn you from it. What you saved stays stored."
        )
    steps = _steps_of(session, study, reader, found.half)
    if found.held:
        holds = dict(session.connection().execute(_HELD, values).all())
        return _progress_around(session, study, (reader, steps), holds, now)
    # Readings are saved in their order alone (`check_reading`), so their number says which comes next.
    done = found.done
    last = (steps[done - 1].study_id, steps[done - 1].repeat) if done else ("", 0)
    if done >= len(steps) or study.status != "running":
        return Progress(None, done, len(steps), "", *last)
    here = steps[done]
    if here.session == 2 and done == study.shown and (opens := _shut_until(session, study, reader, now)):
        return Progress(None, done, len(steps), opens, *last)
    return Progress(
        _turn(study, steps, done, done), done, len(steps), "", *last, _after(here, steps[done + 1 : done + 3])
    )


def _after(here: Step, following: list[Step]) -> str:
    """The next other case of the same session, among the two steps that follow; empty where there is none."""
    return next((s.study_id for s in following if s.session == here.session and s.study_id != here.study_id), "")


def _turn(study: ReaderStudy, steps: list[Step], place: int, done: int) -> Turn:
    session, case, phase, repeat = steps[place]
    per_case = 2 if study.protocol == "sequential" else 1
    number = place // per_case % study.shown + 1
    return Turn(case, phase, session, number, study.shown, done, len(steps), repeat)


def _progress_around(
    session: Session, study: ReaderStudy, of: tuple[str, list[Step]], holds: dict[str, bool], now: str
) -> Progress:
    """`progress_of` where cases were held: those that still are are passed over, and come first once they are released."""
    reader, steps = of
    query = select(ReviewRow.study_id, ReviewRow.phase, ReviewRow.repeat)
    own = {"of_study": study.id, "of_reader": reader}
    saved = [tuple(row) for row in session.execute(query.where(*_FIRST_READINGS).order_by(ReviewRow.id), own)]
    read = set(saved)
    unread = [i for i, step in enumerate(steps) if step[1:] not in read]
    places = [i for i in unread if not holds.get(steps[i].study_id)]
    places.sort(key=lambda i: (steps[i].session, _too_soon(study, steps[i], saved)))
    wait, unfinished = len(unread) - len(places), {(steps[i].study_id, steps[i].repeat) for i in unread}
    last = (saved[-1][0], saved[-1][2]) if saved and not holds.get(saved[-1][0]) else ("", 0)
    here = steps[places[0]] if places else None
    if study.protocol != "washout" and last in unfinished and (here is None or (here.study_id, here.repeat) != last):
        last = ("", 0)  # its model would be seen before its turn
    if here is None or study.status != "running":
        return Progress(None, len(saved), len(steps), "", *last, held=wait)
    if here.session == 2 and (opens := _shut_until(session, study, reader, now)):
        return Progress(None, len(saved), len(steps), opens, *last, held=wait)
    after = _after(here, [steps[i] for i in places[1:3]])
    return Progress(_turn(study, steps, places[0], len(saved)), len(saved), len(steps), "", *last, after, wait)


def _too_soon(study: ReaderStudy, step: Step, saved: list[tuple[str, str, int]]) -> bool:
    """Whether a case that was held would come again nearer to its first reading than planned: then it waits while others can."""
    if not step.repeat or (study.protocol == "sequential" and step.phase == "aided"):
        return False  # an aided reading follows its unaided one
    first = (step.study_id, step.phase, 0)
    if first not in saved:
        return True
    per_case = 2 if study.protocol == "sequential" else 1
    return len(saved) - 1 - saved.index(first) < per_case * repeat_gap(study.rules, study.cases)


def _shut_until(session: Session, study: ReaderStudy, reader: str, now: str) -> str:
    """When the second session of a wash-out opens, counted from the last reading of the first; empty where it is open."""
    half = session.scalar(select(ReaderRow.half).where(ReaderRow.reader_study == study.id, ReaderRow.reader == reader))
    first = ReviewRow.phase == ("unaided" if half == 0 else "aided")
    newest = select(func.max(ReviewRow.created_at)).where(*_FIRST_READINGS, first)
    latest = session.scalar(newest, {"of_study": study.id, "of_reader": reader})
    opens = _opens_at(study, latest) if latest else ""
    return opens if opens > (now or utc_now()) else ""


# What every save in a reader study asks, built once and past the mapper.
_OF_STUDY, _OF_READER = bindparam("of_study"), bindparam("of_reader")
# A reader's readings without corrections: as the index of them is made.
_FIRST_READINGS = (
    ReviewRow.reader_study == _OF_STUDY, ReviewRow.reviewer == _OF_READER, ReviewRow.supersedes.is_(None)
)  # fmt: skip
# Case -> whether it is held now, of those held at any time while the study ran: hardly ever one.
_HELD = select(HoldRow.study_id, HoldRow.released_at.is_(None)).where(
    HoldRow.study_id.in_(select(ReaderStudyCaseRow.study_id).where(ReaderStudyCaseRow.reader_study == _OF_STUDY)),
    HoldRow.released_at.is_(None) | (HoldRow.released_at >= bindparam("started")),
)
_PLACE = select(
    ReaderRow.half,
    ReaderRow.withdrawn_at,
    select(func.count()).where(*_FIRST_READINGS).scalar_subquery().label("done"),
    _HELD.exists().label("held"),
).where(ReaderRow.reader_study == _OF_STUDY, ReaderRow.reader == _OF_READER)
_SHOWN = select(PredictionRow.study_id, PredictionRow.model_version).where(PredictionRow.id == bindparam("number"))


_KEPT_ORDERS = (
    2 * MAX_READERS
)  # half a megabyte each at 2,000 cases; fewer than a study has readers would be drawn at each save
_orders: OrderedDict[tuple[Any, ...], list[Step]] = OrderedDict()
_orders_lock = Lock()


def _steps_of(session: Session, study: ReaderStudy, reader: str, half: int) -> list[Step]:
    """`reading_steps`, drawn once per reader of a study that runs: its cases no longer change, and every save asks."""
    key = (settings.database_url(), study.id, study.started_at, study.seed, reader, half)
    with _orders_lock:
        if key in _orders:
            _orders.move_to_end(key)
            return _orders[key]
    steps = reading_steps(study, list_cases(session, study.id), reader, half)
    if study.status != "draft":
        with _orders_lock:
            _orders[key] = steps
            while len(_orders) > _KEPT_ORDERS:
                _orders.popitem(last=False)
    return steps


def check_reading(session: Session, review: Review, *, corrects: bool) -> None:
    """Raise `Refused` unless this review is the reader's turn, or corrects an aided reading of a study without wash-out.

    A reading made without the model never changes. In a wash-out none does: a correction would show the model again.
    """
    study = get_reader_study(session, review.reader_study or 0)
    if study is None or study.status != "running":
        raise Refused("This reader study does not run, so nothing can be saved in it.")
    if corrects and (review.phase == "unaided" or study.protocol == "washout"):
        raise Refused("This reading is committed: in a reader study it can no longer change.")
    turn = progress_of(session, study, review.reviewer).turn
    if not corrects and (turn is None or _read(turn) != _read(review)):
        raise Refused("It is another case's turn in this reader study. Reload the page.")
    _check_rules(study, review)
    if review.phase == "aided" and review.prediction_id is None:
        raise Refused(
            "The model gave no result, and without one this is no aided reading. Reload the page, or tell the lead."
        )
    if review.prediction_id is not None:
        shown = session.connection().execute(_SHOWN, {"number": review.prediction_id}).one_or_none()
        if review.phase == "unaided" or shown != (review.study_id, study.model_version):
            raise Refused("This is not the result that the reader study's protocol shows.")


def _read(what: Turn | Review) -> tuple[str, str, int]:
    return what.study_id, what.phase, what.repeat


def _check_rules(study: ReaderStudy, review: Review) -> None:
    if study.rules.likelihood_required and review.likelihood is None:
        raise Refused("This reader study asks for a likelihood from 0 to 100.")
    if study.rules.birads_required and not review.birads:
        raise Refused("This reader study asks for a BI-RADS category.")


def held_back(reader: str) -> Select[Any]:
    """SQL for the ids of the studies that this person reads in a running reader study: daily work leaves them alone."""
    return (
        select(ReaderStudyCaseRow.study_id)
        .join(ReaderStudyRow, ReaderStudyRow.id == ReaderStudyCaseRow.reader_study)
        .join(ReaderRow, ReaderRow.reader_study == ReaderStudyRow.id)
        .where(ReaderStudyRow.status == "running", ReaderRow.reader == reader, ReaderRow.withdrawn_at == "")
    )


def is_held_back(session: Session, reader: str, study_id: str) -> bool:
    """Whether daily work must not show that study to this person yet: there the model would be a click away."""
    query = held_back(reader).where(ReaderStudyCaseRow.study_id == study_id)
    return session.scalar(query.limit(1)) is not None


def list_progress(session: Session, number: int) -> pd.DataFrame:
    """Completeness without results: reader, half, added_at, withdrawn_at (empty while they read), done, last_active,
    readings (all that are asked), by name."""
    study = get_reader_study(session, number)
    if study is None:
        raise Refused("This reader study is not in the store.")
    mine = (ReviewRow.reader_study == number) & (ReviewRow.reviewer == ReaderRow.reader)
    own = (ReaderRow.reader, ReaderRow.half, ReaderRow.added_at, ReaderRow.withdrawn_at)
    columns = (
        *own,
        func.count(ReviewRow.id).filter(ReviewRow.supersedes.is_(None)).label("done"),
        func.max(ReviewRow.created_at).label("last_active"),
    )  # fmt: skip
    query = select(*columns).outerjoin(ReviewRow, mine).where(ReaderRow.reader_study == number)
    table = frame(session, query.group_by(*own).order_by(ReaderRow.reader))
    return table.assign(readings=study.shown * (1 if study.protocol == "aided" else 2))


def count_held_cases(session: Session, number: int) -> int:
    """How many cases of that study are held now: its readers go on without them."""
    cases = select(ReaderStudyCaseRow.study_id).where(ReaderStudyCaseRow.reader_study == number)
    query = select(func.count()).where(HoldRow.study_id.in_(cases), HoldRow.released_at.is_(None))
    return session.scalar(query) or 0


def _opens_at(study: ReaderStudy, last: str) -> str:
    opens = datetime.fromisoformat(last) + timedelta(days=study.rules.washout_days)
    return opens.isoformat(timespec="milliseconds")
