"""Reader studies: leads draw them up, start and close them and see who has come how far; readers go on reading."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import streamlit as st

from core.reader_records import ReaderStudy
from core.tasks import TASKS
from db import engine as store
from db import models, reader_studies, reader_turns, users
from db.users import User
from pages.ui import identity, messages, study_form
from pages.ui.study_panel import PROTOCOLS

STATUS = {"draft": ("Draft", "gray"), "running": ("Running", "green"), "closed": ("Closed", "blue")}


def act(user: User, what: Callable[..., None], number: int, said: str, *more: str) -> None:
    """One step of a study's life, by a lead."""
    identity.require_lead(user)
    with store.write() as session:
        what(session, number, *more, user.name)
    messages.saved(said)


def title(study: ReaderStudy, facts: str) -> None:
    text, colour = STATUS[study.status]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{study.name}**", width="content")
        st.badge(text, color=colour)
        st.markdown(f":gray[{facts}]", width="content")


def mine(user: User) -> None:
    """What the signed-in reviewer reads: progress, and one button that goes on."""
    with store.read() as session:
        found = reader_studies.list_reader_studies(session, reader=user.name)
        progress = {study.id: reader_turns.progress_of(session, study, user.name) for study in found}
    if not found:
        messages.empty(
            "You read in no study yet", "Once a project lead starts a reader study with you, it is listed here."
        )
    begun = next((study.id for study in found if progress[study.id].turn), None)
    for study in found:
        here = progress[study.id]
        with st.container(border=True, gap="small"):
            title(study, f"{TASKS[study.task].title} · {PROTOCOLS[study.protocol]} · {study.cases} cases")
            st.progress(here.done / here.readings, text=f"{here.done} of {here.readings} readings saved")
            if here.turn and st.button(
                "Continue reading" if here.done else "Begin reading", icon=":material/play_arrow:", key=f"go:{study.id}",
                type="primary" if study.id == begun else "secondary", shortcut="N" if study.id == begun else None,
            ):  # fmt: skip
                st.switch_page("review.py", query_params={"reader_study": str(study.id)})
            if here.opens_at:
                st.caption(f"The second session opens on {here.opens_at[:16].replace('T', ' at ')} UTC.")


def completeness(study: ReaderStudy) -> None:
    """Who has come how far: counts and times, never results."""
    with store.read() as session:
        table = reader_turns.list_progress(session, study.id)
    total = int(table["readings"].sum())
    st.progress(table["done"].sum() / total, text=f"{table['done'].sum()} of {total} readings saved")
    first = {0: "unaided", 1: "aided"} if study.protocol == "washout" else {}
    shown = pd.DataFrame(
        {
            "Reader": table["reader"],
            "Done": table["done"] / table["readings"] * 100,
            "Readings": table["done"].astype(str) + " of " + table["readings"].astype(str),
            "Begins": table["half"].map(first),
            "Last active (UTC)": table["last_active"].str[:16].str.replace("T", " ").fillna("not yet"),
        }
    )
    done = st.column_config.ProgressColumn("Done", min_value=0, max_value=100, format="%d %%")
    columns = [name for name in shown if name != "Begins" or first]
    st.dataframe(shown[columns], hide_index=True, column_config={"Done": done}, alt=f"Readers of {study.name}")


def add_reader(user: User, study: ReaderStudy) -> None:
    with store.read() as session:
        reading = reader_studies.list_readers(session, study.id)
        free = [p.name for p in users.list_users(session) if p.role == "reviewer" and p.name not in reading]
    with st.popover("Add a reader", icon=":material/person_add:", disabled=not free):
        name = st.selectbox("Reviewer", free, key=f"rs_add:{study.id}")
        st.button(
            "Add", key=f"rs_add_go:{study.id}", on_click=messages.guarded(act),
            args=(user, reader_studies.add_reader, study.id, f"{name} reads {study.name}", name),
        )  # fmt: skip


def step(user: User, study: ReaderStudy, label: str, what: Callable[..., None], said: str) -> None:
    """A step that cannot be taken back asks once more."""
    icon = ":material/flag:" if label != "Discard" else ":material/delete:"
    with st.popover(label, icon=icon, key=f"rs_ask_{label}:{study.id}"):
        st.markdown({
            "Start": "Cases, protocol, model and rules can no longer change once it runs. Readers can still be added.",
            "Close": "Nothing more can be read after closing. Results and adjudication open.",
            "Discard": "The draft is removed; the audit log keeps that it was there.",
        }[label])  # fmt: skip
        st.button(
            f"{label} {study.name}", type="primary", key=f"rs_{label}:{study.id}", on_click=messages.guarded(act),
            args=(user, what, study.id, f"{said}: {study.name}"),
        )  # fmt: skip


def card(user: User, study: ReaderStudy) -> None:
    with store.read() as session:
        model = models.get_model(session, study.model_version)
    rules = study.rules
    asked = [
        "likelihood required" * rules.likelihood_required, "BI-RADS required" * rules.birads_required,
        f"wash-out {rules.washout_days} days" if study.protocol == "washout" else "",
    ]  # fmt: skip
    with st.container(border=True, gap="small"):
        facts = [
            TASKS[study.task].title,
            PROTOCOLS[study.protocol],
            f"{study.cases} cases",
            model.name if model else "",
        ]
        title(study, " · ".join([*facts, f"seed {study.seed}", *filter(None, asked)]))
        completeness(study)
        with st.container(horizontal=True):
            if study.status == "draft":
                step(user, study, "Start", reader_studies.start_reader_study, "Running")
                step(user, study, "Discard", reader_studies.discard_draft_study, "Discarded")
            elif study.status == "running":
                step(user, study, "Close", reader_studies.close_reader_study, "Closed")
            if study.status != "closed":
                add_reader(user, study)
            else:
                st.page_link(
                    "adjudication.py", label="Adjudicate disagreements", icon=":material/gavel:",
                    query_params={"reader_study": str(study.id)},
                )  # fmt: skip


def all_studies(user: User) -> None:
    with store.read() as session:
        found = reader_studies.list_reader_studies(session)
    with st.expander("New reader study", icon=":material/add:", expanded=not found):
        study_form.show(user)
    if not found:
        st.caption("No reader study yet. Results are shown once a study is closed, completeness while it runs.")
    for study in found:
        card(user, study)


user = identity.current_user()
st.title("Reader studies" if user.role == "lead" else "My reader studies")
if user.role == "lead":
    all_studies(user)
else:
    mine(user)
