"""Typed keys of `st.session_state`: what pages hand to each other within one browser tab. Nothing here must survive a reload."""

from __future__ import annotations

import streamlit as st

from core import settings
from db.studies import WorklistQuery

_QUERY, _STARTED, _TOKEN = "worklist_query", "started", "token"


def worklist_query(reviewer: str) -> WorklistQuery:
    """The filter and order last used on the worklist, so that previous and next follow it."""
    query = st.session_state.get(_QUERY)
    if query is None or query.reviewer != reviewer:
        query = WorklistQuery(reviewer=reviewer, protocol=settings.reading_protocol())
    return query


def keep_worklist_query(query: WorklistQuery) -> None:
    """Remember the worklist's filter and order."""
    st.session_state[_QUERY] = query


def case_key(name: str, study_id: str, phase: str) -> str:
    """Widget key of one case in one phase: a key shared by cases would show the last case's answer in the browser."""
    return f"{name}:{phase}:{study_id}"
