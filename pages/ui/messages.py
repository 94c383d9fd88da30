"""How a page says that something went wrong: one sentence, never a traceback."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import streamlit as st

from core.records import Refused, StudyRejected
from db.engine import StoreError
from pages.ui import identity

_EXPECTED = (Refused, StudyRejected, StoreError)
_PENDING = "pending_problem"
_MARKDOWN = re.compile(r"[\\`*_{}\[\]<>()#+!|~$:-]")


@contextmanager
def shown() -> Iterator[None]:
    """Turn what the rooms refuse into a sentence on the page."""
    if problem := st.session_state.pop(_PENDING, ""):
        st.error(problem, icon=":material/error:")
    try:
        yield
    except _EXPECTED as problem:
        st.error(str(problem), icon=":material/error:")


def guarded(callback: Callable[..., None]) -> Callable[..., None]:
    """A widget callback whose refusals are shown on the next run of the page instead of ending it.

    It does nothing in the name of somebody who has signed out in another window since this one was drawn.
    """

    def run(*args: Any) -> None:
        try:
            identity.require_signed_in()
            callback(*args)
        except _EXPECTED as problem:
            st.session_state[_PENDING] = str(problem)

    return run


def saved(text: str) -> None:
    """Say, after the commit, that something is stored."""
    st.toast(text, icon=":material/check_circle:")


def plain(text: str) -> str:
    """Text that people typed, for a place that reads Markdown: shown as it is, never as a style, a link or a formula."""
    return _MARKDOWN.sub(r"\\\g<0>", text)


def label_title(label: str) -> str:
    """A class as people read it: "benign_mass" is "Benign mass"."""
    return label.replace("_", " ").capitalize()


def empty(title: str, what_next: str) -> None:
    """An empty state: what is missing and what to do next."""
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown(f"**{title}**", width="content")
        st.markdown(what_next, width="content")
