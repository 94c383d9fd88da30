"""Slow work that survives clicks: one thread of each kind for all sessions, progress on the page, results kept until fetched."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import streamlit as st


@dataclass
class Job:
    """Work in progress: `done` of `total`, `text` says what is being done, `future` gives the result or raises.

    `stop` is set when somebody no longer wants the result; work that can stop looks at it.
    """

    future: Future[Any] | None = None
    done: int = 0
    total: int = 1
    text: str = "Waiting for other work"
    stop: Event = field(default_factory=Event)

    def report(self, done: int, total: int, text: str) -> None:
        """The progress callback that `core.datasets` asks for."""
        self.done, self.total, self.text = done, max(total, 1), text


@st.cache_resource(show_spinner=False)
def _thread(kind: str) -> ThreadPoolExecutor:
    # One: such work must leave the processor to reviewers.
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix=kind)


@st.cache_resource(show_spinner=False)
def _jobs() -> dict[tuple[str, ...], Job]:
    return {}


def start(key: tuple[str, ...], work: Callable[[Job], Any], kind: str = "dataset") -> Job:
    """The job of that key, begun at the first call; later calls, from any session, get the same one until it is fetched.

    Jobs of one `kind` wait for each other.
    """
    job = _jobs().get(key)
    if job is None:
        job = _jobs()[key] = Job()
        job.future = _thread(kind).submit(work, job)
    return job


def running(key: tuple[str, ...]) -> bool:
    """Whether a job of that key is under way or waits to be fetched."""
    return key in _jobs()


def fetch(key: tuple[str, ...], *, stoppable: bool = False, patience: float = 0.3) -> Any | None:
    """The result of a finished job, which is then forgotten; None while the page shows its progress. Raises what it raised.

    `stoppable` shows a button that asks the job to stop; `patience` is how many seconds to wait before progress is shown.
    """
    job = _jobs()[key]
    assert job.future is not None
    if wait([job.future], patience).not_done:
        _progress(job, stoppable)
        return None
    _jobs().pop(key, None)
    return job.future.result()


@st.fragment(run_every=0.25)
def _progress(job: Job, stoppable: bool) -> None:
    if job.future and job.future.done():
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.progress(min(job.done / job.total, 1.0), text=f"{job.text}: {job.done:,} of {job.total:,}")
        if stoppable:
            asked = job.stop.is_set()
            label = "Stopping …" if asked else "Stop"
            st.button(label, icon=":material/stop_circle:", key="job_stop", disabled=asked, on_click=job.stop.set)
