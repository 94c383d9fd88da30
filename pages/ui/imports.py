"""Uploads that are read and stored in the background: clicks, other pages and a closed tab do not end them.

One import per person at a time. What is done is stored exam by exam, so that a stop leaves whole studies only.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import streamlit as st

from core.reading import NpzPart, Source
from core.reading.exams import HEAD_BYTES
from core.tasks import TASKS
from db.engine import StoreError
from db.importing import Imported, Tally, counted, import_exams

_SHORT = 0.7  # seconds that a page waits for a small upload before it shows progress
_SHOWN = 5


@dataclass
class Import:
    """One person's import: how far it is, the rows of its table so far, and why it ended early if it did."""

    tally: Tally
    user: str
    rows: list[dict[str, str]] = field(default_factory=list)
    stop: Event = field(default_factory=Event)
    problem: str = ""
    future: Future[None] | None = None


@st.cache_resource(show_spinner=False)
def _threads() -> ThreadPoolExecutor:
    # As many as files are decoded at a time; further people wait in line.
    return ThreadPoolExecutor(max_workers=2, thread_name_prefix="import")


@st.cache_resource(show_spinner=False)
def _imports() -> dict[str, Import]:
    return {}


def start(user: str, files: Sequence[Any], task: str, part: NpzPart) -> None:
    """Begin to import uploaded files for this person."""
    running = _imports()[user] = Import(Tally(len(files)), user)
    running.future = _threads().submit(_run, running, [_source(file) for file in files], task, part)


def running(user: str) -> bool:
    """Whether this person's import is under way or waits to be shown."""
    return user in _imports()


def finished(user: str) -> Import | None:
    """This person's import once it has ended, which is then forgotten; None while the page shows its progress."""
    found = _imports()[user]
    assert found.future is not None
    if wait([found.future], _SHORT).not_done:
        _progress(user, found)  # it may end while this is drawn: the run that follows shows it
        return None
    _imports().pop(user, None)
    found.future.result()
    return found


def _source(file: Any) -> Source:
    """An uploaded file, let go of as soon as it is loaded: its memory is then free while the others are read."""
    held = [file]
    return Source(file.name, lambda: held.pop().getvalue(), lambda: bytes(held[0].getbuffer()[:HEAD_BYTES]))


def _run(found: Import, sources: list[Source], task: str, part: NpzPart) -> None:
    try:
        for exam in import_exams(sources, task, by=found.user, part=part):
            for imported in exam:
                found.tally.count(imported)
                found.rows.append(_row(imported))
            if found.stop.is_set():
                found.problem = "You stopped the import."
                break
    except StoreError as problem:
        found.problem = str(problem)
    if left := found.tally.total - found.tally.files:
        rest = f"{counted(left, 'file was', 'files were')} not read; what is listed below as stored stays."
        found.problem = f"{found.problem} {rest} Drop them again: nothing is stored twice."


def _row(imported: Imported) -> dict[str, str]:
    """The row of the table that says what a file became."""
    row = {"File": imported.name, "Result": imported.result, "What": imported.note, "study": ""}
    if imported.refused:
        return row | {"What": str(imported.refused)}
    if not imported.added:
        return row | {"What": " · ".join((imported.note, *imported.notices))}
    known = imported.added.count(False)
    also = [f"{known} already stored"] if known and any(imported.added) else []
    what = [imported.title, TASKS[imported.task].title, counted(imported.images, "image"), *imported.held[:1], *also]
    notices = imported.notices if any(imported.added) else ()
    return row | {"What": " · ".join((*what, *notices)), "study": imported.study_ids[0]}


@st.fragment(run_every=0.5)
def _progress(user: str, found: Import) -> None:
    if found.future and found.future.done():
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.progress(found.tally.fraction, text=found.tally.text)
        if st.button("Stop", icon=":material/stop_circle:", key="upload_stop", disabled=found.stop.is_set()):
            found.stop.set()
    st.caption(
        "You may go on reading meanwhile: this continues when you leave the page, and is listed here when you return."
    )
    for name, problem in found.tally.refused[-_SHOWN:]:
        st.caption(f":red[Refused] {_plain(name)} — {problem}")


def _plain(name: str) -> str:
    return name.replace("_", r"\_").replace("*", r"\*")
