"""Performance: one evaluation run, every number with its n and interval, live over the threshold, down to its cases."""

from __future__ import annotations

import streamlit as st

from core.report import run_report
from core.tasks import TASKS
from db import engine as store
from db import run_list
from pages.ui import (
    identity,
    messages,
    performance_cases,
    performance_checklist,
    performance_details,
    performance_overview,
    run_data,
)
from pages.ui.charts import format_choice
from pages.ui.run_data import RunData

SECTIONS = {
    "overview": "Overview", "cases": "Cases", "suspects": "Label noise", "calibration": "Calibration", "classes": "Classes",
    "subgroups": "Subgroups", "training": "Training", "checklist": "Checklist", "provenance": "Provenance",
}  # fmt: skip
WITH_PICTURES = ("cases", "suspects")  # they show reference standards: a reader who saw them would not read blind


def choose() -> str | None:
    with store.read() as session:
        listed, wanted = run_list.name_runs(session), st.query_params.get("run", "")
        linked = run_list.resolve(session, [wanted])[0] if wanted else ""
    if listed.empty and not linked:
        return None
    labels = {
        row.id: f"{row.model_name} · {TASKS[row.task].title} · {row.dataset} / {row.split} · n = {row.n:,} · {row.created_at[:16]}"
        for row in listed.itertuples()
    }
    if linked and linked not in labels:  # archived, or older than the list is long
        labels = {linked: f"Run {linked[:12]}"} | labels
    ids = list(labels)
    chosen = st.selectbox(
        "Evaluation run", ids, index=ids.index(linked) if linked else 0, format_func=labels.get, key=f"run:{linked}",
        label_visibility="collapsed",
    )  # fmt: skip
    if chosen != linked:
        st.query_params["run"] = chosen
    return chosen


def downloads(data: RunData) -> None:
    run = data.run
    st.page_link("comparison.py", label="Compare", icon=":material/compare_arrows:", query_params={"runs": run.id[:12]})
    st.download_button(
        "Report",
        lambda: run_report(run).encode(),
        f"tumortrace-run-{run.id[:12]}.html",
        "text/html",
        icon=":material/description:",
        on_click="ignore",
        help="One printable page, HTML in a single file",
    )
    format_choice()


def show(data: RunData, *, lead: bool) -> None:
    sections = [name for name in SECTIONS if lead or name not in WITH_PICTURES]
    threshold = performance_overview.threshold_control(data)
    key = performance_cases.SECTION
    section = st.segmented_control(
        "Section", sections, default=None if key in st.session_state else "overview", required=True, key=key,
        format_func=SECTIONS.get, bind="query-params", persist_state="page", label_visibility="collapsed",
    )  # fmt: skip
    if section == "overview":
        performance_overview.show(data, threshold, cases_open=lead)
        if not lead:
            st.caption(
                "Project leads can open the cases: pictures with their reference standard would unblind a reading."
            )
    elif section == "cases":
        performance_cases.show(data, threshold)
    elif section == "suspects":
        performance_cases.show_suspects(data)
    elif section == "calibration":
        performance_details.calibration(data, threshold)
    elif section == "classes":
        performance_details.classes(data, threshold)
    elif section == "subgroups":
        performance_details.subgroups(data, threshold)
    elif section == "training":
        performance_details.training(data)
    elif section == "checklist":
        performance_checklist.show(data)
    else:
        performance_details.provenance(data)


user = identity.current_user()
with st.container(horizontal=True, vertical_alignment="center"):
    st.title("Performance", width="content")
    chosen = choose()
    data = run_data.load(chosen) if chosen else None
    if data:
        downloads(data)
if data is None:
    messages.empty(
        "No evaluation runs yet", "Score a model with `python -m core evaluate`, then `python -m db ingest RUN_DIR`."
    )
else:
    show(data, lead=user.role == "lead")
