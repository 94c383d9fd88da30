"""The list of runs as a table, and what can be done with the picked ones."""

from __future__ import annotations

import dataclasses

import pandas as pd
import streamlit as st

from core.run_comparison import MOST_RUNS
from core.tasks import TASKS
from db import engine as store
from db import run_list
from db.run_list import RunMarks
from db.users import User
from pages.ui import identity, messages

SHOWN = ("auc", "accuracy", "sensitivity", "specificity")


def table(rows: pd.DataFrame, key: str) -> list[str]:
    """One page of runs; gives the ids of the picked ones."""
    shown = rows.assign(
        task=rows["task"].map(lambda t: TASKS[t].title if t in TASKS else t),
        created_at=rows["created_at"].str[:16].str.replace("T", " "), short=rows["id"].str[:12],
    )  # fmt: skip
    for name in SHOWN:
        if name in rows:
            parts = (rows[f"{name}{part}"] for part in ("", "_low", "_high", "_n"))
            shown[name] = [_interval(*values) for values in zip(*parts, strict=True)]
    config = {
        "model_name": "Model", "task": "Task", "dataset": "Dataset", "split": "Split", "n": "n", "auc": "AUC (95 %)",
        "accuracy": "Accuracy", "sensitivity": "Sensitivity", "specificity": "Specificity",
        "tags": st.column_config.ListColumn("Tags"), "notes": "Notes",
        "created_at": st.column_config.TextColumn("Stored (UTC)"), "archived": "Archived", "short": "Id",
    }  # fmt: skip
    order = [name for name in config if name in shown and (name != "archived" or rows["archived"].any())]
    event = st.dataframe(
        shown, hide_index=True, height=min(640, 38 + 35 * len(shown)), on_select="rerun", selection_mode="multi-row",
        column_order=order, column_config=config, key=key, placeholder="–", alt="Runs",
    )  # fmt: skip
    return [str(rows["id"].iloc[place]) for place in event["selection"]["rows"]]


def _interval(value: float, low: float, high: float, n: int) -> str:
    if pd.isna(n):
        return "–"  # the run's task has no such figure
    return "undefined" if pd.isna(value) else f"{value:.3f} ({low:.3f}–{high:.3f})"


def _mark(user: User, run_id: str, marks: RunMarks) -> None:
    identity.require_lead(user)
    with store.write() as session:
        run_list.set_marks(session, run_id, marks, user.name)
    messages.saved("Saved")


def _archive(user: User, run_ids: list[str], archived: bool) -> None:
    identity.require_lead(user)
    with store.write() as session:
        for run_id in run_ids:
            marks = dataclasses.replace(run_list.get_marks(session, run_id), archived=archived)
            run_list.set_marks(session, run_id, marks, user.name)
    messages.saved("Archived" if archived else "Restored")


def actions(user: User, rows: pd.DataFrame, picked: list[str]) -> None:
    """Open, compare; for leads archive, tags and notes."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Open", type="primary", icon=":material/monitoring:", disabled=len(picked) != 1):
            st.switch_page("performance.py", query_params={"run": picked[0][:12]})
        if st.button("Compare", icon=":material/compare_arrows:", disabled=not 2 <= len(picked) <= MOST_RUNS):
            st.switch_page("comparison.py", query_params={"runs": ",".join(run_id[:12] for run_id in picked)})
        if user.role == "lead":
            chosen = rows[rows["id"].isin(picked)]
            away = bool(len(chosen)) and bool(chosen["archived"].all())
            st.button(
                "Restore" if away else "Archive", icon=":material/unarchive:" if away else ":material/archive:",
                disabled=not picked, on_click=messages.guarded(_archive), args=(user, picked, not away),
                help="Archived runs are hidden from lists; nothing is deleted.",
            )  # fmt: skip
        st.caption("Pick one run to open, or two to fifty to compare." if not picked else f"{len(picked)} picked")
    if user.role == "lead" and len(picked) == 1:
        _edit(user, picked[0])


def _edit(user: User, run_id: str) -> None:
    with store.read() as session:
        marks = run_list.get_marks(session, run_id)
    with st.form(f"marks:{run_id}"):
        tags = st.text_input("Tags", ", ".join(marks.tags), help="Separated by commas")
        notes = st.text_area("Notes", marks.notes, height=80, max_chars=run_list.LONGEST_NOTES)
        if st.form_submit_button("Save"):
            messages.guarded(_mark)(user, run_id, dataclasses.replace(marks, tags=tuple(tags.split(",")), notes=notes))
            st.rerun()
