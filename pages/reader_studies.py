"""Reader studies: leads draw them up, start and close them and see who has come how far; readers go on reading."""

from __future__ import annotations

import streamlit as st

from core.reader_records import ReaderStudy
from core.tasks import TASKS
from db import engine as store
from db import models, reader_studies, reader_turns, readers
from db.users import User
from pages.ui import identity, messages, study_form, study_steps
from pages.ui.study_panel import PROTOCOLS, held_words

STATUS = {"draft": ("Draft", "gray"), "running": ("Running", "green"), "closed": ("Closed", "blue")}


def title(study: ReaderStudy, facts: str) -> None:
    text, colour = STATUS[study.status]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{messages.plain(study.name)}**", width="content")
        st.badge(text, color=colour)
        if study.simulated:
            st.badge("Simulated", color="orange")
        st.markdown(f":gray[{facts}]", width="content")


def mine(user: User) -> None:
    """What the signed-in reviewer reads: progress, and one button that goes on."""
    with store.read() as session:
        found = reader_studies.list_reader_studies(session, reader=user.name)
        progress = {study.id: reader_turns.progress_of(session, study, user.name) for study in found}
        left = readers.withdrawn_from(session, user.name)
    if not found:
        messages.empty(
            "You read in no study now" if left else "You read in no study yet",
            "Once a project lead starts a reader study with you, it is listed here.",
        )
    begun = next((study.id for study in found if progress[study.id].turn), None)
    for study in found:
        here = progress[study.id]
        with st.container(border=True, gap="small"):
            title(study, f"{TASKS[study.task].title} · {PROTOCOLS[study.protocol]} · {study.shown} cases")
            st.progress(here.done / here.readings, text=f"{here.done} of {here.readings} readings saved")
            if here.held:
                st.caption(held_words(here.held))
            if here.turn and st.button(
                "Continue reading" if here.done else "Begin reading", icon=":material/play_arrow:", key=f"go:{study.id}",
                type="primary" if study.id == begun else "secondary", shortcut="N" if study.id == begun else None,
            ):  # fmt: skip
                st.switch_page("review.py", query_params={"reader_study": str(study.id)})
            if study.status == "closed":
                st.page_link("my_results.py", label="My results", icon=":material/person_search:")
            if here.opens_at:
                st.caption(f"The second session opens on {here.opens_at[:16].replace('T', ' at ')} UTC.")
    for name in left:
        st.caption(f"A project lead has withdrawn you from {messages.plain(name)}. What you saved there stays stored.")


def card(user: User, study: ReaderStudy) -> None:
    with store.read() as session:
        model = models.get_model(session, study.model_version)
    rules = study.rules
    asked = [
        "likelihood required" * rules.likelihood_required, "BI-RADS required" * rules.birads_required,
        f"wash-out {rules.washout_days} days" if study.protocol == "washout" else "",
        f"{rules.repeats} read twice" if rules.repeats else "",
    ]  # fmt: skip
    with st.container(border=True, gap="small"):
        facts = [
            TASKS[study.task].title,
            PROTOCOLS[study.protocol],
            f"{study.cases} cases",
            model.name if model else "",
        ]
        title(study, " · ".join([*facts, f"seed {study.seed}", *filter(None, asked)]))
        study_steps.completeness(study)
        with st.container(horizontal=True):
            if study.status == "draft":
                st.button(
                    "Edit", icon=":material/edit:", key=f"rs_edit_go:{study.id}",
                    on_click=messages.guarded(study_form.edit), args=(user, study),
                )  # fmt: skip
                study_steps.step(user, study, "Start", reader_studies.start_reader_study, "Running")
                study_steps.step(user, study, "Discard", reader_studies.discard_draft_study, "Discarded")
            elif study.status == "running":
                study_steps.step(user, study, "Close", reader_studies.close_reader_study, "Closed")
            if study.status != "closed":
                study_steps.add_reader(user, study)
            if study.status == "running":
                study_steps.withdraw_reader(user, study)
            elif study.status == "closed":
                st.page_link(
                    "study_results.py",
                    label="Results",
                    icon=":material/analytics:",
                    query_params={"study": str(study.id)},
                )
                st.page_link(
                    "adjudication.py", label="Adjudicate disagreements", icon=":material/gavel:",
                    query_params={"reader_study": str(study.id)},
                )  # fmt: skip


def all_studies(user: User) -> None:
    with store.read() as session:
        found = reader_studies.list_reader_studies(session)
    study_form.open_form(user, expanded=not found)
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
