"""Results of a finished reader study, for leads: readers, MRMC, effect of the model, agreement, what if, planning, data."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from core.study_readings import StudyReadings
from core.tasks import TASKS
from db import engine as store
from db import study_results
from db.users import User
from pages.ui import (
    agreement_parts,
    identity,
    messages,
    study_data,
    study_effect,
    study_exchange,
    study_head,
    study_mrmc,
    study_planner,
    study_readers,
    study_regions,
)
from pages.ui.study_data import Finished

NEEDS_POSITIVE = {"MRMC", "Effect of the model", "What if", "Planner"}


def agreement(study: Finished, readings: StudyReadings) -> None:
    facts: dict[str, dict[str, object]] = {}
    if study.origin != "imported":
        with store.read() as session:
            facts = agreement_parts.facts_of(study_results.case_facts(session, study.number))
    agreement_parts.show(readings, "sr_agr", facts)


def sections(user: User, study: Finished, readings: StudyReadings) -> None:
    """Only the section that is open runs."""
    parts: dict[str, Callable[[], None]] = {
        "Readers": lambda: study_readers.readers(readings),
        "MRMC": lambda: study_mrmc.mrmc(readings),
        "Effect of the model": lambda: study_effect.effect(readings),
        "Agreement": lambda: agreement(study, readings),
        "What if": lambda: study_effect.strategies(readings),
        "Planner": lambda: study_planner.planner(readings),
        "Regions and heatmaps": lambda: study_regions.show(user, study, readings),
        "Data": lambda: study_exchange.downloads(user, study, readings),
    }
    if TASKS[study.task].positive is None:
        parts = {name: part for name, part in parts.items() if name not in NEEDS_POSITIVE}
    chosen = st.segmented_control(
        "Section", list(parts), default="Readers", required=True, key="sr_section", label_visibility="collapsed",
        persist_state="session",
    )  # fmt: skip
    with messages.shown():
        parts[chosen if chosen in parts else "Readers"]()


user = identity.current_user()
identity.require_lead(user)
st.title("Study results")
studies = study_data.finished_studies(user)
if studies:
    chosen_study = study_head.choose(studies)
    loaded = study_head.head(chosen_study, study_data.load(user, chosen_study))
    if loaded.readings.empty:
        messages.empty("Nothing to count", "All that was read is of withdrawn readers. Ask for them above.")
    else:
        sections(user, chosen_study, loaded)
else:
    messages.empty(
        "No results yet", "Results of a reader study open when it is closed. Studies run elsewhere can be imported."
    )
    st.page_link("reader_studies.py", label="To the reader studies", icon=":material/groups:")
with st.expander("Import a study that was run elsewhere", icon=":material/upload:"):
    study_exchange.import_form(user)
