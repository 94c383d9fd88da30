"""My results: a reader's own figures in a closed study beside the others without names, and cases to look at again."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.reader_panel import FEWEST, BesidePanel, beside_panel, reliance_beside_panel
from core.reader_records import ReaderStudy
from core.study_readings import StudyReadings, stored_readings
from core.tasks import TASKS, get_task
from db import engine as store
from db import reader_studies, study_results
from db.users import User
from pages.ui import identity, messages, my_cases, study_data, study_repeats
from pages.ui.study_effect import SHARE_TITLES
from pages.ui.study_tables import FIGURES, ON_TOP, say_origin, shown, text


def my_studies(user: User) -> list[ReaderStudy]:
    """Closed studies that this person read; nobody else's."""
    with store.read() as session:
        return reader_studies.list_reader_studies(session, reader=user.name, status="closed")


def my_readings(user: User, study: ReaderStudy) -> StudyReadings:
    """The study with everybody else as "panel n"; the store refuses whoever does not read it, and studies that still run."""
    with store.read() as session:
        table = study_results.panel_readings(session, study.id, user.name)
    rows = stored_readings(table, get_task(study.task))
    return StudyReadings(study.name, study.task, rows, "simulated" if study.simulated else "study")


def panel_table(rows: list[BesidePanel], titles: dict[str, str], name: str) -> None:
    table = pd.DataFrame([
        {
            "": titles[row.figure], "Phase": row.phase.capitalize(), "You": text(row.own, 1 if row.figure == "seconds" else 2),
            "Others, median": "–" if row.median is None else f"{row.median:.{1 if row.figure == 'seconds' else 2}f}",
            "Others, range": "–" if row.low is None else f"{row.low:.2f} to {row.high:.2f}",
        }
        for row in rows
    ])  # fmt: skip
    empty = [title for title in table if (table[title] == "–").all()]
    shown(table.drop(columns=empty + ["Phase"] * (set(table["Phase"]) == {"Both"})), name)
    if any(row.median is None for row in rows):
        st.caption(f"The others are shown from {FEWEST} of them on: the range of fewer would tell who is who.")


def reliance(study: StudyReadings, reader: str) -> None:
    st.subheader("You and the model")
    if study.phases != ("unaided", "aided") or TASKS[study.task].positive is None:
        st.caption("This needs readings of the same cases without and with the model.")
        return
    key = ("reliance", study.fingerprint, reader)
    found = study_data.computed(key, lambda job: reliance_beside_panel(study, reader))
    if found is not None:
        panel_table(found, SHARE_TITLES, "You and the model")
        st.caption(
            "Over-reliance: right before, then took a wrong model's class. Under-reliance: wrong before and after, although the "
            "model was right."
        )


user = identity.current_user()
st.title("My results")
studies = my_studies(user)
if not studies:
    messages.empty("No results of yours yet", "They open when a reader study that you read is closed.")
    st.page_link("reader_studies.py", label="To the reader studies", icon=":material/groups:")
else:
    names = {study.id: study.name for study in studies}
    picked_study = st.selectbox("Study", list(names), format_func=names.get, key="mr_study", width=420)
    own = my_readings(user, next(study for study in studies if study.id == picked_study))
    if user.name in own.readers:
        say_origin(own)
        st.caption(
            "Only you see this page. The other readers have no names here, nor have you on their pages. Project leads see each "
            "reader's figures, with the name, in the study's results."
        )
        panel_table(beside_panel(own, user.name), FIGURES, "You beside the others")
        if own.protocol == "sequential":
            st.caption(ON_TOP.strip())
        study_repeats.own(own, user.name)
        reliance(own, user.name)
        my_cases.again(own, user.name)
    else:
        messages.empty(
            "Nothing to show now",
            "You read nothing in this study, or its cases are among those that you read in a running one: they are shown here "
            "again once that is closed.",
        )
