"""The narrow worklist beside the picture: where the reviewer is, and what comes next. It shows nothing of any model."""

from __future__ import annotations

import dataclasses

import streamlit as st

from db import engine as store
from db import studies
from db.studies import WorklistQuery
from pages.ui.tables import CLICK, clicked_row

STATUSES = {"unread": "Unread", "draft": "Begun", "flagged": "Flagged", "done": "Done", "held": "Held"}
ROWS = 60
ABOVE = 4  # rows above the open case: the table cannot be scrolled from here, so it begins near it


def show(query: WorklistQuery, study_id: str) -> None:
    """The cases of the current filter; a click opens one."""
    with store.read() as session:
        counts = studies.count_statuses(session, query.reviewer, query.task, protocol=query.protocol)
        before = studies.place(session, query, study_id)
        rows = studies.list_worklist(session, dataclasses.replace(query, limit=ROWS, offset=max(0, before - ABOVE)))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown("**Worklist**", width="content")
        st.badge(f"{counts['unread']} unread", color="blue")
    total, read = sum(counts.values()), counts["done"] + counts["flagged"]
    here = [i for i, row_id in enumerate(rows["id"]) if row_id == study_id]
    key = "queue"
    st.session_state[key] = {"selection": {"rows": here, "columns": [], "cells": []}}

    def pick() -> None:
        if (picked := clicked_row(st.session_state[key])) is not None:
            st.query_params["study"] = str(rows["id"].iloc[picked])

    st.dataframe(
        rows.assign(status=rows["status"].map(lambda s: [STATUSES[s]])), hide_index=True, height=560, row_height=31,
        key=key, on_select=pick, selection_mode=["single-row", CLICK], alt="Worklist", column_order=["name", "status"],
        column_config={
            "name": st.column_config.TextColumn("Study"),
            "status": st.column_config.MultiselectColumn(
                "Status", options=list(STATUSES.values()), color=["blue", "gray", "orange", "green", "violet"], width=84
            ),
        },
    )  # fmt: skip
    st.progress(read / total if total else 0.0, text=f"{read} of {total} read")
