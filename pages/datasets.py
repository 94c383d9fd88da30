"""Datasets: what each holds, what it lacks, what stands twice, what stands out. For leads: it shows the reference standard."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from core.tasks import TASKS
from db.datasets import DatasetEntry
from db.users import User
from pages.ui import dataset_data as data
from pages.ui import dataset_map, dataset_pictures, dataset_tables, identity, jobs, messages
from pages.ui.dataset_data import Opened

TABLES = {
    "Overview": dataset_tables.overview,
    "Missing values": dataset_tables.missing,
    "Distributions": dataset_tables.distributions,
    "Cross-tables": dataset_tables.cross,
}
PICTURES = {
    "Samples": dataset_pictures.samples,
    "Domain shift": dataset_pictures.shift,
    "Duplicates": dataset_pictures.duplicates,
    "Outliers": dataset_pictures.outliers,
}
MAP = "Map"
REGISTERING = "ds_registering"


def registration(user: User) -> None:
    with st.expander("Register a dataset", icon=":material/add:"):
        st.caption(
            "A folder tree `split/Class/Patient/file`, a MedMNIST-style `.npz`, or a `.csv` manifest, by its path on this machine. "
            "The files stay where they are; small copies of the pictures are kept for this page."
        )
        with st.container(horizontal=True, vertical_alignment="bottom"):
            path = st.text_input("Path", key="ds_path", placeholder="/data/breast/train.csv").strip()
            task = st.selectbox("Task", list(TASKS), format_func=lambda t: TASKS[t].title, key="ds_task", width=220)
            name = st.text_input("Name", key="ds_name", max_chars=80, placeholder="of the file or folder", width=260)
            if st.button("Register", type="primary", disabled=not path):
                st.session_state[REGISTERING] = data.register(user, Path(path).expanduser(), task, name.strip())
    job = st.session_state.get(REGISTERING)
    if job and not jobs.running(job):
        del st.session_state[REGISTERING]
    elif job and (entry := jobs.fetch(job)):
        del st.session_state[REGISTERING]
        st.query_params["dataset"] = entry.name
        messages.saved(f"Registered {entry.name}")


def choose(entries: list[DatasetEntry]) -> DatasetEntry:
    names = [entry.name for entry in entries]
    wanted = st.query_params.get("dataset")
    place = names.index(wanted) if wanted in names else 0
    text = {
        e.name: f"{e.name} · {TASKS[e.task].title} · n = {sum(sum(c.values()) for c in e.counts.values()):,}"
        for e in entries
    }
    chosen = st.selectbox("Dataset", names, index=place, format_func=text.get)
    st.query_params["dataset"] = chosen
    return entries[names.index(chosen)]


def section(shown: Opened, user: User) -> None:
    sections = [
        *TABLES,
        *(PICTURES if shown.profile.has_pictures else ()),
        *([MAP] if shown.profile.has_pictures else ()),
    ]
    chosen = st.segmented_control(
        "Section", sections, default=sections[0], required=True, key=f"ds_section:{shown.profile.has_pictures}",
        label_visibility="collapsed", persist_state="session",
    )  # fmt: skip
    if not shown.profile.has_pictures:
        st.caption("This table came without its pictures, so only its columns can be explored.")
    if chosen == MAP:
        dataset_map.show(shown, user)
    else:
        {**TABLES, **PICTURES}[chosen](shown)


user = identity.current_user()
st.title("Datasets")
identity.require_lead(user)
registration(user)
entries = data.listed(user)
if entries:
    section(data.opened(user, choose(entries)), user)
else:
    messages.empty("No datasets yet", "Add one above, or with `python -m db add-dataset PATH --task TASK`.")
