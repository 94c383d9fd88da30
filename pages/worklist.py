"""Worklist: what there is to read, what is begun, flagged and done, for the signed-in reviewer."""

from __future__ import annotations

import dataclasses

import pandas as pd
import streamlit as st

from core.tasks import TASKS
from db import engine as store
from db import studies
from db.studies import WorklistQuery
from pages.ui import identity, messages, session
from pages.ui.tables import CLICK, clicked_row

PAGE = 50
STATUSES = {"unread": "Unread", "draft": "In progress", "flagged": "Flagged", "done": "Done", "held": "Held"}
SORTS = {"oldest": "Oldest first", "newest": "Newest first", "name": "By name"}


def open_study(study_id: str) -> None:
    st.switch_page("review.py", query_params={"study": study_id})


def filters(counts: dict[str, int], query: WorklistQuery) -> WorklistQuery:
    labels = {"": f"All {sum(counts.values())}"} | {key: f"{text} {counts[key]}" for key, text in STATUSES.items()}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        status = st.segmented_control(
            "Status", list(labels), format_func=labels.get, default="", required=True, key="wl_status",
            persist_state="session",
        )  # fmt: skip
        search = st.text_input("Search", placeholder="name or patient", key="wl_search", persist_state="session")
        task = st.selectbox(
            "Task", ["", *TASKS], format_func=lambda t: TASKS[t].title if t else "All tasks", key="wl_task",
            persist_state="session",
        )  # fmt: skip
        sort = st.selectbox("Order", list(SORTS), format_func=SORTS.get, key="wl_sort", persist_state="session")
    return dataclasses.replace(
        query, status=status or "", search=search.strip(), task=task, sort=sort, limit=PAGE, offset=0
    )


def page_offset(total: int) -> int:
    if total <= PAGE:
        return 0
    pages = -(-total // PAGE)
    number = st.number_input(f"Page of {pages}", 1, pages, 1, key="wl_page", width=160)
    return (int(number) - 1) * PAGE


def table(rows: pd.DataFrame, key: str) -> str | None:
    shown = rows.assign(
        status=rows["status"].map(lambda s: [STATUSES[s]]),
        task=rows["task"].map(lambda t: TASKS[t].title),
        created_at=rows["created_at"].str[:16].str.replace("T", " "),
    )
    config = {
        "name": st.column_config.TextColumn("Study", width="medium"),
        "patient_id": st.column_config.TextColumn("Patient", width="small"),
        "task": st.column_config.TextColumn("Task", width="small"),
        "modality": st.column_config.TextColumn("Modality", width="small"),
        "images": st.column_config.NumberColumn("Images", width="small"),
        "created_at": st.column_config.TextColumn("Received (UTC)", width="small"),
        "status": st.column_config.MultiselectColumn(
            "Status",
            options=list(STATUSES.values()),
            color=["blue", "gray", "orange", "green", "violet"],
            width="small",
        ),
    }
    event = st.dataframe(
        shown, hide_index=True, height=min(640, 38 + 35 * len(shown)), on_select="rerun", selection_mode=CLICK,
        column_order=list(config), column_config=config, key=key, alt="Worklist",
    )  # fmt: skip
    picked = clicked_row(event)
    return None if picked is None else str(rows["id"].iloc[picked])


def show(query: WorklistQuery, counts: dict[str, int]) -> None:
    total, read = sum(counts.values()), counts["done"] + counts["flagged"]
    st.progress(read / total, text=f"{read} of {total} read by {query.reviewer}")
    query = filters(counts, query)
    with store.read() as db_session:
        matching = studies.count_worklist(db_session, query)
    query = dataclasses.replace(query, offset=page_offset(matching))
    with store.read() as db_session:
        rows = studies.list_worklist(db_session, query)
    session.keep_worklist_query(query)
    if rows.empty:
        messages.empty("Nothing matches", "Clear the search or choose another status or task.")
    elif picked := table(rows, key=f"wl_table:{query.status}:{query.search}:{query.task}:{query.sort}:{query.offset}"):
        open_study(picked)


user = identity.current_user()
query = session.worklist_query(user.name)
with store.read() as db_session:
    counts = studies.count_statuses(db_session, user.name, protocol=query.protocol)

with st.container(horizontal=True, vertical_alignment="center"):
    st.title("Worklist")
    st.space("stretch")
    start = st.button(
        "Read next unread", type="primary", icon=":material/play_arrow:", shortcut="N", disabled=not counts["unread"]
    )
if not sum(counts.values()):
    messages.empty("No studies yet", "Add the first ones on the **Upload** page, or run `python -m db import FOLDER`.")
    st.page_link("upload.py", label="Upload studies", icon=":material/upload_file:")
else:
    show(query, counts)
if start:
    with store.read() as db_session:
        first = studies.next_unread(db_session, WorklistQuery(reviewer=user.name, protocol=query.protocol), "")
    if first:
        open_study(first)
