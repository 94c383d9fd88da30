"""Held studies of one picture as a sheet: look, choose those in which nothing is written, release them together.

Nothing is chosen beforehand, and nothing is released that does not stand on the sheet.
"""

from __future__ import annotations

import base64

import streamlit as st

from core.thumbnails import thumbnail
from db import engine as store
from db import holds, studies
from db.holds import Hold
from db.images import ImageSummary, load_image
from db.users import User
from pages.ui import cleaning, messages

SHEET = 12
_TILE = 372  # pixels of the screen: four beside each other on a wide one, two on a narrow one
_EDGE = 720  # pixels of the picture: text stays legible when it is enlarged


def _chosen_key(study_id: str) -> str:
    return f"clean_seen:{study_id}"


def show(user: User, waiting: list[Hold], singles: list[Hold]) -> None:
    """The sheet of `singles`, the held studies of one picture among all those `waiting` for this person."""
    sheets = -(-len(singles) // SHEET)
    number = _header(len(waiting), sheets)
    here = singles[(number - 1) * SHEET : number * SHEET]
    ids = [hold.study_id for hold in here]
    chosen = [study_id for study_id in ids if st.session_state.get(_chosen_key(study_id))]
    _controls(user, ids, chosen)
    with st.container(horizontal=True, gap="small"):
        for hold in here:
            _tile(hold)
    if several := len(waiting) - len(singles):
        first = next(hold for hold in waiting if hold.images > 1)
        what = "1 held study has" if several == 1 else f"{several} held studies have"
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"{what} several images, which are looked through one study at a time.")
            _open_button("Open the first", first.study_id)


def _header(held: int, sheets: int) -> int:
    """Title and the sheet that is shown, from 1."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.title("Clean", width="content")
        st.badge(f"{held:,} held", icon=":material/visibility_lock:", color="violet")
        st.space("stretch")
        if sheets == 1:
            return 1
        if st.session_state.get("clean_sheet", 1) > sheets:
            st.session_state["clean_sheet"] = sheets
        return int(st.number_input(f"Sheet of {sheets}", 1, sheets, key="clean_sheet", width=140))


def _controls(user: User, ids: list[str], chosen: list[str]) -> None:
    st.caption(
        "Look at every picture; point at one to enlarge it. Choose those in which there is no name, number, date or face. "
        "The others are masked one by one."
    )

    def choose(value: bool) -> None:
        for study_id in ids:
            st.session_state[_chosen_key(study_id)] = value

    def release() -> None:
        with store.write() as session:
            count = holds.release_seen(session, chosen, user)
        st.session_state[cleaning.SAID] = (
            f"{count} released, nothing masked" if count > 1 else "Released, nothing masked"
        )

    whole = len(chosen) == len(ids)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            "Choose none" if whole else "Choose all on this sheet", icon=":material/select_all:", shortcut="A",
            on_click=choose, args=(not whole,), key="clean_choose",
        )  # fmt: skip
        st.button(
            f"Nothing to mask: release {len(chosen)}" if chosen else "Nothing to mask: release", type="primary",
            icon=":material/check:", shortcut="Ctrl+Enter", disabled=not chosen, on_click=messages.guarded(release),
            key="clean_release", help="Each of the chosen studies gets a line in the audit log, with your name.",
        )  # fmt: skip


def _tile(hold: Hold) -> None:
    with st.container(border=True, width=_TILE, gap="small"):
        st.image(_picture(hold.study_id), width="stretch", alt=hold.name)
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.checkbox(hold.name, key=_chosen_key(hold.study_id))
            _open_button("Mask", hold.study_id)


def _open_button(label: str, study_id: str) -> None:
    st.button(
        label, icon=":material/ink_eraser:", type="tertiary", key=f"clean_open:{study_id}",
        on_click=st.query_params.__setitem__, args=("study", study_id),
    )  # fmt: skip


def _picture(study_id: str) -> str:
    """The study's picture, in the page itself: what may be masked later must not lie at an address or in a cache."""
    with store.read() as session:
        study = studies.get_study_summary(session, study_id)
    return _encoded(study.images[0].pixel_hash, study.images[0]) if study else ""


@st.cache_resource(max_entries=4 * SHEET, ttl=300, show_spinner=False)
def _encoded(pixel_hash: str, _image: ImageSummary) -> str:
    jpeg = thumbnail(load_image(_image), _EDGE, "JPEG")
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
