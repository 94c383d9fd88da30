"""A reader's own cases to look at again, in a closed study: only to look at, since their reference standard is told here."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st

from core.reader_panel import cases_again
from core.records import Refused
from core.study_readings import PHASES, StudyReadings
from db import engine as store
from db import studies
from pages.ui.frames import pictures_of
from pages.ui.tables import CLICK, clicked_row
from pages.ui.viewer import study_viewer


def again(study: StudyReadings, reader: str) -> None:
    """The cases in which the reader differs from the reference standard in the end; a click shows one beneath."""
    table = cases_again(study, reader)
    st.subheader(f"Cases to look at again ({len(table)})")
    if table.empty:
        st.caption("None: your last reading of every case is that of the reference standard.")
        return
    unread = [phase for phase in PHASES if phase not in study.phases]
    event = st.dataframe(
        table.drop(columns=["case", *unread]), hide_index=True, on_select="rerun", selection_mode=CLICK,
        alt="Cases to look at again", key=f"mr_again:{study.fingerprint[:8]}",
        column_config={"why": "Why", "unaided": "You, unaided", "aided": "You, aided", "model": "Model", "truth": "Reference"},
    )  # fmt: skip
    st.caption("A click shows the case beneath, with your marks, only to look at: nothing of it is saved or counted.")
    if (picked := clicked_row(event)) is not None:
        look(study, reader, str(table["case"].iloc[picked]))


def look(study: StudyReadings, reader: str, case: str) -> None:
    """The pictures of one case with the reader's own last marks; what is drawn here is kept nowhere."""
    with store.read() as session:
        summary = studies.get_study_summary(session, case)
    if summary is None:
        raise Refused("This study is no longer in the store.")
    key = f"again:{study.fingerprint[:8]}:{case}"
    study_viewer(**pictures_of(summary), view_key=key, regions=own_regions(study, reader, case), key="mr_viewer")


def own_regions(study: StudyReadings, reader: str, case: str) -> list[dict[str, Any]]:
    """The marks of the reader's last first reading of the case."""
    rows = study.readings
    own = rows[(rows["reader"] == reader) & (rows["case"] == case)].sort_values("phase")  # aided stands before unaided
    return json.loads(own["regions"].iloc[0]) if len(own) else []
