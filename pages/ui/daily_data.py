"""Readings of daily work for the agreement page: kept in memory by the process and grown by what was saved since."""

from __future__ import annotations

import hashlib
import logging
import threading
from dataclasses import dataclass

import pandas as pd

from core import settings
from core.daily_readings import DailyReadings, no_readings
from db import daily_readings, review_counts
from db import engine as store
from db.users import User

_CHUNK = 100_000  # reviews that are read at once
_LOG = logging.getLogger("tumortrace")
_LOCK = threading.Lock()
_KEPT: dict[str, tuple[DailyReadings, str]] = {}  # by the store's address, with the token of the last review


@dataclass(frozen=True)
class Scope:
    """Whose readings: everybody's for a lead, one's own for a reviewer, less what is still read blind in a reader study."""

    reviewer: str = ""
    shown_to: str = ""

    @staticmethod
    def of(user: User) -> Scope:
        """What that person may see."""
        return Scope() if user.role == "lead" else Scope(user.name, user.name)


def counts(scope: Scope) -> pd.DataFrame:
    """Numbers of current readings by model, task, reviewer and both classes, see `db.review_counts`."""
    by = ("model_version", "model_name", "task", "reviewer", "predicted", "label")
    with store.read() as session:
        return review_counts.review_counts(session, by, reviewer=scope.reviewer, shown_to=scope.shown_to)


def readings(scope: Scope, task: str) -> DailyReadings:
    """All current readings of a task that the scope holds."""
    kept, hidden = _current(), []
    if scope.shown_to:
        with store.read() as session:
            hidden = daily_readings.hidden_cases(session, scope.shown_to)
    return kept.of(task, scope.reviewer, hidden)


def fingerprint(scope: Scope, found: DailyReadings) -> tuple[str, ...]:
    """By which results of these readings can be kept: nothing that was read is ever changed."""
    # A reviewer's readings depend on what is hidden from them as well.
    mine = hashlib.sha256(found.reviews["id"].to_numpy().tobytes()).hexdigest() if scope.shown_to else str(len(found))
    return "daily", settings.database_url(), scope.reviewer, str(found.last), mine


def forget() -> None:
    """Drop what is kept, as a restart of the server does."""
    with _LOCK:
        _KEPT.clear()


def warm() -> None:
    """Begin to read everything in the background: a million readings take some seconds."""
    threading.Thread(target=_warm, name="daily-readings", daemon=True).start()


def _warm() -> None:
    try:
        _current()
    except Exception:  # whoever opens the page next is told
        _LOG.warning("the readings of daily work could not be read ahead", exc_info=True)


def _current() -> DailyReadings:
    # The store is looked at inside the lock: an older view of it would not know the newest review kept.
    with _LOCK, store.read() as session:
        known, token = _KEPT.get(settings.database_url(), (no_readings(), ""))
        if known.last[0] and daily_readings.token_of(session, known.last[0]) != token:
            known = no_readings()  # another store under the same address, such as a restored one
        predictions = daily_readings.predictions_since(session, known.last[1])
        cases = daily_readings.cases_since(session, known.last[2])
        while True:
            reviews = daily_readings.reviews_since(session, known.last[0], _CHUNK)
            known = known.grown(reviews, predictions, cases)
            predictions, cases = predictions[:0], cases[:0]
            if len(reviews) < _CHUNK:
                break
        _KEPT[settings.database_url()] = known, daily_readings.token_of(session, known.last[0])
        return known
