"""Results of a finished reader study, for leads: readers, MRMC, effect of the model, agreement, what if, planning, data."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from core.study_readings import StudyReadings, with_reference
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
    study_readers,
    study_regions,
)
from pages.ui.study_data import Finished
from pages.ui.study_tables import say_origin

BADGES = {"study": ("Closed", "blue"), "simulated": ("Simulated", "orange"), "imported": ("Imported", "violet")}
NEEDS_POSITIVE = {"MRMC", "Effect of the model", "What if", "Planner"}


def choose(found: list[Finished]) -> Finished:
    """The study that the address names, else the newest."""
    keys = [study.key for study in found]
    titles = {study.key: study.name for study in found}
    asked = st.query_params.get("study", keys[0])
    if asked not in keys:
        st.warning(
            "The link names a study that has no results here; the newest one is shown.", icon=":material/link_off:"
        )
        asked = keys[0]
    picked = st.selectbox(
        "Study", keys, index=keys.index(asked), format_func=titles.get, key=f"sr_study:{asked}:{len(keys)}", width=420
    )
    if picked != asked:
        st.query_params["study"] = picked
    return next(study for study in found if study.key == picked)


def head(study: Finished, readings: StudyReadings) -> StudyReadings:
    """What the study is, and the reference standard that is asked for."""
    text, colour = BADGES[study.origin]
    rows = readings.readings
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(text, color=colour)
        if study.origin == "imported" and readings.origin == "simulated":
            st.badge("Simulated", color="orange")
        st.markdown(
            f":gray[{TASKS[study.task].title} · {len(readings.readers)} readers · {rows['case'].nunique()} cases · "
            f"{len(rows):,} readings · {study.facts}]",
            width="content",
        )
    say_origin(readings)
    decided = rows.loc[rows["adjudicated"] != "", "case"].nunique()
    if decided:
        kind = st.segmented_control(
            "Measured against", ["dataset", "adjudicated"], default="dataset", required=True, key="sr_reference",
            format_func={"dataset": "The dataset's reference", "adjudicated": f"Adjudicated ({decided} cases)"}.get,
        )  # fmt: skip
        return with_reference(readings, kind)
    return readings


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
        "MRMC": lambda: study_readers.mrmc(readings),
        "Effect of the model": lambda: study_effect.effect(readings),
        "Agreement": lambda: agreement(study, readings),
        "What if": lambda: study_effect.strategies(readings),
        "Planner": lambda: study_readers.planner(readings),
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
    chosen_study = choose(studies)
    loaded = head(chosen_study, study_data.load(user, chosen_study))
    sections(user, chosen_study, loaded)
else:
    messages.empty(
        "No results yet", "Results of a reader study open when it is closed. Studies run elsewhere can be imported."
    )
    st.page_link("reader_studies.py", label="To the reader studies", icon=":material/groups:")
with st.expander("Import a study that was run elsewhere", icon=":material/upload:"):
    study_exchange.import_form(user)
