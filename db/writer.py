"""Many small saves as one commit: what makes fifty reviewers who save at once wait for a few disk flushes, not for fifty.

One thread per process writes. It takes all saves that wait, runs each inside a savepoint of its own, so that a refused one
leaves its neighbours alone, commits once, and only then tells every caller what became of its save.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from db import engine
from db.engine import StoreError

__all__ = ["Session", "save"]

T = TypeVar("T")
_Item = tuple[Callable[[Session], Any], Future[Any]]

MAX_GROUP = 200  # saves in one commit: a longer queue must not let its first wait for its last

_waiting: deque[_Item] = deque()
_lock = threading.Lock()
_thread: threading.Thread | None = None
_wake = threading.Condition(_lock)


def save(work: Callable[[Session], T]) -> T:
    """Run `work` in a transaction that it may share with other saves, and give its result after the commit.

    `work` runs in another thread, is not told which others there are, and must not commit. What it raises is raised here,
    and nothing of it is kept; `StoreError` when the store fails, then nothing of the whole group is.
    """
    future: Future[T] = Future()
    with _wake:
        _waiting.append((work, future))
        _ensure_thread()
        _wake.notify()
    return future.result()


def _ensure_thread() -> None:
    global _thread
    if _thread is None or not _thread.is_alive():
        _thread = threading.Thread(target=_write_forever, name="store-writer", daemon=True)
        _thread.start()


def _write_forever() -> None:
    while True:
        with _wake:
            while not _waiting:
                _wake.wait()
            group = [_waiting.popleft() for _ in range(min(len(_waiting), MAX_GROUP))]
        _write(group)


def _write(group: list[_Item]) -> None:
    outcomes: list[tuple[Future[Any], Any, BaseException | None]] = []
    try:
        with engine.write() as session:
            for work, future in group:
                outcomes.append((future, *_try(session, work)))
    except BaseException as problem:  # the group's own failure: whoever waits must hear of it, whatever it is
        for _, future in group:
            future.set_exception(_again(problem))
        return
    for future, result, problem in outcomes:
        if problem is None:
            future.set_result(result)
        else:
            future.set_exception(problem)


def _try(session: Session, work: Callable[[Session], Any]) -> tuple[Any, BaseException | None]:
    """(result, None), or (None, what it raised) with the savepoint undone."""
    try:
        with engine.store_errors(), session.begin_nested():
            return work(session), None
    except StoreError as problem:
        if not session.get_transaction().is_active or not session.in_transaction():
            raise  # the database gave up the whole transaction, not this save alone
        return None, problem
    except Exception as problem:
        return None, problem


def _again(problem: BaseException) -> BaseException:
    """An exception of its own for each caller: one object raised in fifty threads would gather fifty tracebacks."""
    return StoreError(str(problem)) if isinstance(problem, StoreError) else problem
