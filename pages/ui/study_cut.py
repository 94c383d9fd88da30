"""What counts as a positive reading on the results page: one choice for all of its sections."""

from __future__ import annotations

import streamlit as st

from core.study_cuts import BIRADS_CUTS, CLASS, Cut, kinds_given
from core.study_readings import StudyReadings

_KINDS = {"class": "the class given", "birads": "BI-RADS …", "likelihood": "a likelihood from …"}


def choose_cut(study: StudyReadings) -> Cut:
    """The cut that the widgets ask for; nothing to choose where readers gave classes only."""
    kinds = kinds_given(study.readings)
    if len(kinds) == 1:
        return CLASS
    kind = st.segmented_control(
        "Positive is",
        kinds,
        default="class",
        required=True,
        key="sr_called",
        persist_state="session",
        format_func=_KINDS.get,
    )
    if kind == "birads":
        chosen = st.selectbox("BI-RADS", list(BIRADS_CUTS), key="sr_birads", persist_state="session", width=180)
        return Cut("birads", birads=chosen)
    if kind == "likelihood":
        return Cut(
            "likelihood",
            least=float(st.number_input("From", 0, 100, 50, key="sr_from", persist_state="session", width=120)),
        )
    return CLASS  # also where the kind was kept from another study, whose readers gave more
