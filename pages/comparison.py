"""Comparison: several runs on the same cases, side by side against a baseline."""

from __future__ import annotations

import streamlit as st

from core.run_comparison import MOST_RUNS
from db import engine as store
from db import run_list
from pages.ui import compared as comparing
from pages.ui import comparison_sections as sections
from pages.ui import identity, messages
from pages.ui.charts import format_choice
from pages.ui.compared import Compared

SECTIONS = {
    "table": "Table",
    "curves": "ROC curves",
    "pairs": "Disagreement",
    "errors": "Shared errors",
    "cost": "Cost",
}


def choose() -> list[str]:
    """The runs of the link `?runs=a,b`, and those added or removed here."""
    with store.read() as session:
        linked = run_list.resolve(session, st.query_params.get("runs", "").split(","))
        listed = run_list.name_runs(session)
    names = {row.id: f"{comparing.name_of(row)} · {row.dataset} / {row.split}" for row in listed.itertuples()}
    names |= {run_id: f"Run {run_id[:12]}" for run_id in linked if run_id not in names}
    if linked:
        first = listed[listed["id"] == linked[0]]
        same = {
            k
            for row in first.itertuples()
            for k in listed[(listed["task"] == row.task) & (listed["split"] == row.split)]["id"]
        }
        names = {k: v for k, v in names.items() if k in same or k in linked or not same}
    with st.expander(f"Runs ({len(linked)})", expanded=len(linked) < 2, icon=":material/table_rows:"):
        chosen = st.multiselect(
            "Runs", list(names), default=linked, format_func=names.get, max_selections=MOST_RUNS, key=f"runs:{','.join(linked)}",
            placeholder="Choose two or more runs", label_visibility="collapsed",
        )  # fmt: skip
        st.page_link("runs.py", label="Choose from the list of runs", icon=":material/table_rows:")
    if chosen != linked:
        st.query_params["runs"] = ",".join(run_id[:12] for run_id in chosen)
    return chosen


def baseline_of(ids: list[str]) -> str:
    wanted = next((run_id for run_id in ids if run_id.startswith(st.query_params.get("baseline", "") or "-")), ids[0])
    with store.read() as session:
        rows = run_list.list_runs(session, run_list.RunQuery(ids=tuple(ids), archived=True, limit=len(ids)))
    names = {row.id: comparing.name_of(row) for row in rows.itertuples()}
    chosen = st.selectbox(
        "Baseline", ids, index=ids.index(wanted), format_func=names.get, key=f"baseline:{','.join(ids)}"
    )
    if chosen != wanted or "baseline" in st.query_params:
        st.query_params["baseline"] = chosen[:12]
    return chosen


def show(compared: Compared, *, lead: bool) -> None:
    for name, reason in compared.refused.items():
        st.error(f"{name} is not comparable with {compared.names[0]}: {reason}.", icon=":material/block:")
    if len(compared.ids) < 2:
        messages.empty("Nothing to compare", "Choose runs on the same dataset and split as the baseline.")
        return
    section = st.segmented_control(
        "Section", list(SECTIONS), default="table", required=True, format_func=SECTIONS.get, key="view",
        bind="query-params", persist_state="page", label_visibility="collapsed",
    )  # fmt: skip
    if section == "table":
        sections.table(compared)
    elif section == "curves":
        sections.curves(compared)
    elif section == "pairs":
        sections.disagreement(compared, cases_open=lead)
    elif section == "errors":
        sections.errors(compared)
    else:
        sections.cost(compared)


user = identity.current_user()
with st.container(horizontal=True, vertical_alignment="center"):
    st.title("Comparison")
    st.space("stretch")
    format_choice()
top = st.columns([3, 2], vertical_alignment="bottom")
with top[0]:
    chosen = choose()
if len(chosen) < 2:
    messages.empty("Choose two to fifty runs", "Read them from the list above, or pick them on the **Runs** page.")
elif len(chosen) > MOST_RUNS:
    st.error(f"{len(chosen)} runs are too many: compare at most {MOST_RUNS}.", icon=":material/block:")
else:
    with top[1]:
        baseline = baseline_of(chosen)
    show(comparing.gather(chosen, baseline), lead=user.role == "lead")
