"""The reader study beside the picture: how far its reader is, what is asked. It shows nothing of models or other readers."""

from __future__ import annotations

import streamlit as st

from pages.ui import messages
from pages.ui.case import Case, can_look_back, open_turn

PROTOCOLS = {
    "aided": "Aided only",
    "sequential": "Unaided, then aided",
    "washout": "Two sessions with wash-out",
}
WHAT = {
    "aided": "The model is visible from the start.",
    "sequential": "You read each case without the model; once that reading is saved it stands, and the model is shown.",
    "washout": "You read all cases twice, in two sessions: one without the model, one with it. What is saved stands.",
}


def open_or_say(number: str, reader: str, study_id: str) -> Case | None:
    """The case to read in that reader study; None where the page says instead why there is nothing to read now."""
    found = open_turn(int(number) if number.isdigit() else 0, reader, study_id)
    if isinstance(found, Case):
        return found
    if found.opens_at:
        messages.empty(
            "First session done",
            f"All {found.done} readings of it are saved. The second session opens on {found.opens_at[:10]} "
            f"at {found.opens_at[11:16]} UTC: until then you should forget these cases.",
        )
    elif found.held:
        messages.empty(
            "The rest is held",
            f"{found.done} of your {found.readings} readings are saved. {held_words(found.held)}",
        )
    elif found.done < found.readings:
        messages.empty("This reader study is closed", f"{found.done} of your {found.readings} readings are saved.")
    else:
        messages.empty("All read", f"Your {found.readings} readings are saved. Thank you.")
    st.page_link("reader_studies.py", label="To my reader studies", icon=":material/groups:")
    return None


def held_words(readings: int) -> str:
    """How many readings wait for somebody to look for names in the pixels."""
    if readings == 1:
        return "1 reading is left out while the case is held; you are asked for it once it is released."
    return (
        f"{readings} readings are left out while their cases are held; you are asked for them once those are released."
    )


def nothing_to_read(unknown: bool) -> None:
    """The empty states of daily work: a link to an unknown study, or nothing left."""
    if unknown:
        messages.empty(
            "No such study",
            "The link points to a study that this store does not have. Choose one from the worklist.",
        )
    else:
        messages.empty("Nothing to read", "Every study is read, or there is none yet. Add some on the **Upload** page.")
    st.page_link("worklist.py", label="To the worklist", icon=":material/list:")


def held(case: Case) -> None:
    """A study that may show a name is read by nobody until somebody has looked at its pixels."""
    messages.empty("This study is held", f"{case.study.held} It can be read once it was cleaned.")
    st.page_link("clean.py", label="Clean it", icon=":material/ink_eraser:", query_params={"study": case.study.id})
    st.page_link("worklist.py", label="To the worklist", icon=":material/list:")


def steps(case: Case) -> str | None:
    """The button that looks back, or returns; gives the id of the case that comes next, for its picture to be there."""
    place = case.place
    assert place is not None
    if place.again:
        st.button(
            "Back to my turn", icon=":material/arrow_forward:", type="tertiary", shortcut="Alt+Right",
            on_click=st.query_params.pop, args=("study", None),
        )  # fmt: skip
        return None
    if can_look_back(place.reader_study, place.progress):
        st.button(
            "Previous", icon=":material/arrow_back:", type="tertiary", shortcut="Alt+Left",
            on_click=st.query_params.__setitem__, args=("study", place.progress.last),
        )  # fmt: skip
    return place.progress.after or None


def show(case: Case) -> None:
    """Name, protocol and progress of the reader study."""
    place = case.place
    assert place is not None
    study, progress = place.reader_study, place.progress
    with st.container(border=True, gap="small"):
        st.markdown(f"**{messages.plain(study.name)}**")
        st.caption(f"Reader study · {PROTOCOLS[study.protocol].lower()}. {WHAT[study.protocol]}")
        if progress.turn is not None and study.protocol == "washout":
            st.badge(f"Session {progress.turn.session} of 2", color="blue")
        st.progress(progress.done / progress.readings, text=f"{progress.done} of {progress.readings} readings saved")
        if progress.held:
            st.caption(f":material/ink_eraser: {held_words(progress.held)}")
        st.caption(
            f"Class **1–{len(case.task.classes)}** · likelihood **L** · BI-RADS **Shift+0–6** · save **Ctrl+Enter**. "
            "The clock stands while this window is hidden or nobody moves for two minutes."
        )
        st.page_link("reader_studies.py", label="Reader studies", icon=":material/groups:")
