"""Runs: every evaluation run, searched and filtered in the database; open one, compare several, tag, note, archive."""

from __future__ import annotations

import dataclasses

import streamlit as st

from core.tasks import TASKS
from db import engine as store
from db import run_list
from db.run_list import RunQuery
from pages.ui import identity, messages, run_table

PAGE = 50


def filters() -> RunQuery:
    with store.read() as session:
        choices = run_list.run_choices(session)
    bound = {"bind": "query-params", "persist_state": "session"}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        search = st.text_input("Search", placeholder="model, dataset, tag, note or id", key="search", **bound)
        task = st.selectbox(
            "Task", ["", *choices["task"]], format_func=lambda t: TASKS[t].title if t else "Any", key="task", **bound
        )
        model = st.selectbox(
            "Model", ["", *choices["model_name"]], format_func=lambda m: m or "Any", key="model", **bound
        )
        dataset = st.selectbox(
            "Dataset", ["", *choices["dataset"]], format_func=lambda d: d or "Any", key="dataset", **bound
        )
        tag = st.selectbox("Tag", ["", *choices["tag"]], format_func=lambda t: t or "Any", key="tag", **bound)
        days = st.date_input("Stored", value=(), key="days", persist_state="session", width=220)
        archived = st.toggle("Archived too", key="archived", **bound)
    since, until = (*(day.isoformat() for day in days), "", "")[:2] if days else ("", "")
    return RunQuery(
        search or "", task or "", model or "", "", dataset or "", tag or "", since, until, bool(archived), limit=PAGE
    )


def page_of(query: RunQuery, total: int) -> RunQuery:
    if total <= PAGE:
        return query
    pages = -(-total // PAGE)
    number = st.number_input(f"Page of {pages}", 1, pages, 1, key="runs_page", width=160)
    return dataclasses.replace(query, offset=(int(number) - 1) * PAGE)


user = identity.current_user()
st.title("Runs")
query = filters()
with store.read() as session:
    total, stored = run_list.count_runs(session, query), run_list.count_runs(session, RunQuery(archived=True))
if not stored:
    messages.empty(
        "No evaluation runs yet", "Score a model with `python -m core evaluate`, then `python -m db ingest RUN_DIR`."
    )
elif not total:
    messages.empty(
        "Nothing matches", "Clear the search or choose other filters; archived runs are hidden unless asked for."
    )
else:
    st.caption(f"{total:,} of {stored:,} runs, newest first. Intervals are 95 %.")
    query = page_of(query, total)
    with store.read() as session:
        rows = run_list.list_runs(session, query)
    picked = run_table.table(rows, key=f"runs:{hash(query)}")
    run_table.actions(user, rows, picked)
