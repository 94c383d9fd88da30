"""The form in which a lead draws up a reader study. Nothing is stored before "Create draft"."""

from __future__ import annotations

import streamlit as st

from core.reader_records import PROTOCOLS, Rules, StudyPlan
from core.records import Refused
from core.tasks import TASKS, Task
from db import engine as store
from db import models, reader_cases, reader_studies, users
from db.users import User
from pages.ui import identity, messages
from pages.ui.study_panel import PROTOCOLS as TITLES
from pages.ui.study_panel import WHAT

SOURCES = {"sample": "Sample by reference standard", "query": "Query", "list": "List"}
MAX_LIST_BYTES = 1_000_000


def show(user: User) -> None:
    """The form; `Refused` for anybody but a lead, since a sample knows the reference standard."""
    identity.require_lead(user)
    left, right = st.columns(2, gap="medium")
    with left:
        name = st.text_input("Name", max_chars=80, placeholder="for example Spring readers, breast MRI", key="rs_name")
        task = TASKS[st.selectbox("Task", list(TASKS), format_func=lambda t: TASKS[t].title, key="rs_task")]
        protocol = st.segmented_control(
            "Protocol", PROTOCOLS, format_func=TITLES.get, default="sequential", required=True, key="rs_protocol"
        )
        st.caption(WHAT[protocol])
        version = _model(task)
        readers = _readers()
        rules = _rules(task, protocol)
    with right:
        seed = st.number_input(
            "Seed", 0, 2**31 - 1, 1, key="rs_seed", help="Fixes the sample and every reader's order: the same seed, the same study."
        )  # fmt: skip
        cases = _cases(task, int(seed))
        twice = 1 if protocol == "aided" else 2
        st.markdown(
            f"**{len(cases)} cases × {len(readers)} readers × {twice} = {len(cases) * len(readers) * twice} readings**"
        )
        create = messages.guarded(_create)
        plan = (name, task.name, protocol, version, tuple(cases), tuple(readers), int(seed), rules)
        st.button(
            "Create draft", type="primary", icon=":material/add:", on_click=create, args=(user, plan),
            disabled=not (name.strip() and cases and readers and version),
        )  # fmt: skip


def _model(task: Task) -> str:
    with store.read() as session:
        usable = {m.version: m for m in models.list_models(session, task=task.name) if m.status != "withdrawn"}
    if not usable:
        st.warning(
            f"No model of {task.title.lower()} is registered. Register one on the **Models** page.",
            icon=":material/block:",
        )
        return ""
    return st.selectbox(
        "Model", list(usable), format_func=lambda v: f"{usable[v].name} · {v[:8]}", key=f"rs_model:{task.name}"
    )


def _readers() -> list[str]:
    with store.read() as session:
        known = [person.name for person in users.list_users(session) if person.role == "reviewer"]
    return st.multiselect(
        "Readers", known, key="rs_readers", placeholder="Choose reviewers" if known else "No reviewer has signed in yet"
    )


def _rules(task: Task, protocol: str) -> Rules:
    days = 28
    with st.container(horizontal=True, vertical_alignment="bottom"):
        likelihood = task.positive is not None and st.toggle("Likelihood required", True, key="rs_likelihood")
        birads = task.birads and st.toggle("BI-RADS required", False, key="rs_birads")
        if protocol == "washout":
            days = st.number_input("Wash-out, days", 0, 365, 28, key="rs_days", width=160)
    return Rules(likelihood, birads, int(days))


def _cases(task: Task, seed: int) -> list[str]:
    source = st.segmented_control(
        "Cases", list(SOURCES), format_func=SOURCES.get, default="sample", required=True, key="rs_source"
    )
    return {"sample": _sample, "query": _query, "list": _list}[source](task, seed)


def _sample(task: Task, seed: int) -> list[str]:
    with store.read() as session:
        counts = reader_cases.reference_counts(session, task.name)
    if not counts:
        st.caption("No study of this task states a reference standard. Choose the cases by query or list.")
        return []
    wanted = {}
    with st.container(horizontal=True):
        for label in task.classes:
            most = counts.get(label, 0)
            text = f"{label.replace('_', ' ').capitalize()}, of {most}"
            wanted[label] = int(st.number_input(text, 0, most, min(20, most), key=f"rs_n:{task.name}:{label}"))
    with store.read() as session:
        return reader_cases.cases_by_sample(session, task.name, wanted, seed)


def _query(task: Task, _seed: int) -> list[str]:
    words = st.text_input("Name or patient holds", placeholder="empty: all studies of the task", key="rs_query")
    with store.read() as session:
        return reader_cases.cases_by_query(session, task.name, words)


def _list(task: Task, _seed: int) -> list[str]:
    text = st.text_area(
        "Ids, names or patients, one per line", height=120, key="rs_list", max_chars=400_000,
        help="An id may be shortened to its first eight digits.",
    )  # fmt: skip
    file = st.file_uploader("Or a text or CSV file: the first column counts", type=["txt", "csv"], key="rs_file")
    lines = text.splitlines() + (_lines_of(file.getvalue()) if file else [])
    with store.read() as session:
        cases, unknown = reader_cases.cases_by_list(session, task.name, lines)
    if unknown:
        st.warning(f"{len(unknown)} lines fit no study of this task: {', '.join(unknown[:5])}", icon=":material/help:")
    return cases


def _lines_of(data: bytes) -> list[str]:
    if len(data) > MAX_LIST_BYTES:
        raise Refused("The list is larger than 1 MB; a reader study has 5,000 cases at most.")
    return [line.split(",")[0].strip().strip('"') for line in data.decode("utf-8-sig", "replace").splitlines()]


def _create(user: User, plan: tuple) -> None:
    identity.require_lead(user)
    with store.write() as session:
        added = reader_studies.add_reader_study(session, StudyPlan(*plan), user.name)
    for key in ("rs_name", "rs_readers"):
        st.session_state.pop(key, None)
    messages.saved(f"Draft created: {added.name}")
