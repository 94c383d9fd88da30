"""Head of the results page: which study, what it is, whose readings count, and which reference standard is asked for."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from core.study_readings import StudyReadings, with_reference
from core.tasks import TASKS
from db import engine as store
from db import readers
from pages.ui import messages
from pages.ui.study_data import Finished
from pages.ui.study_tables import say_origin

BADGES = {"study": ("Closed", "blue"), "simulated": ("Simulated", "orange"), "imported": ("Imported", "violet")}

# Hadgu, Stat Med 1999;18:2745 (discrepant resolution); Whiting et al., Ann Intern Med 2011;155:529 (incorporation).
ADJUDICATED = (
    "Adjudicated are only cases on which readers, or readers and the model, disagreed, by people who saw what these had said: such "
    "a reference favours whoever agreed with the others or was overheard (discrepant-resolution and incorporation bias), so "
    "agreement with it is probably too high."
)


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
            f":gray[{TASKS[study.task].title} · {len(readings.readers_asked)} readers · {len(readings.cases_asked)} cases · "
            f"{len(rows):,} readings · {study.facts}]",
            width="content",
        )
    say_origin(readings)
    readings = counted(study, readings)
    decided = rows.loc[rows["adjudicated"] != "", "case"].nunique()
    if decided:
        kind = st.segmented_control(
            "Measured against", ["dataset", "adjudicated"], default="dataset", required=True, key="sr_reference",
            format_func={"dataset": "The dataset's reference", "adjudicated": f"Adjudicated ({decided} cases)"}.get,
        )  # fmt: skip
        if kind == "adjudicated":
            st.caption(f":orange[{ADJUDICATED}]")
        return with_reference(readings, kind)
    return readings


def counted(study: Finished, readings: StudyReadings) -> StudyReadings:
    """Says what figures leave out: withdrawn readers, unless they are asked for, and second readings."""
    if readings.withdrawn:
        with store.read() as session:
            known = [] if study.origin == "imported" else readers.list_withdrawals(session, study.number)
        why = {w.reader: f" ({w.at[:10]}: {w.because})" for w in known}
        names = messages.plain(", ".join(name + why.get(name, "") for name in readings.withdrawn))
        wanted = st.toggle("With withdrawn readers", key=f"sr_withdrawn:{study.key}")
        st.caption(
            f"Withdrawn while the study ran: {names}. "
            + (
                "Their readings count in every figure here."
                if wanted
                else "Their readings are left out of every figure here."
            )
            + " Exports hold them with a mark."
        )
        readings = replace(readings, with_withdrawn=wanted)
    blind = readings.readings[readings.readings["phase"] == "unaided"]
    if seen := int(blind["seen_before"].sum()):
        st.caption(
            f":orange[{seen:,} of {len(blind):,} unaided readings are of readers who had seen a model's result of the case before "
            "this study. They count in every figure here; exports mark them in the column seen_before.]"
        )
    if not readings.repeats.empty:
        st.caption(
            f"{len(readings.repeats):,} second readings: all figures use the first reading of each case, but for **Same reader "
            "twice** under Agreement."
        )
    return readings
