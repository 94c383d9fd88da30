"""Clean: held studies, as a sheet or one after the other: nothing to mask, or black rectangles over names; then released."""

from __future__ import annotations

import streamlit as st

from db import engine as store
from db import holds, studies
from db.holds import Hold
from db.studies import StudySummary
from db.users import User
from pages.ui import clean_again, clean_sheet, cleaning, identity, messages
from pages.ui.frames import frames_of
from pages.ui.viewer import received_regions, study_viewer

VIEWER = "clean_viewer"
HINT = (
    "Drag a rectangle over every name, number and date, and over whatever shows a face; **Backspace** takes the last one back, "
    "**W** changes the window, the wheel the image. Look through all images before you release the study."
)


def header(waiting: list[Hold], place: int) -> None:
    go = st.query_params.__setitem__
    others = len(waiting) > 1
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{waiting[place].name}**", width="content")
        st.badge(f"{place + 1} of {len(waiting)} held", icon=":material/visibility_lock:", color="violet")
        st.space("stretch")
        if len(singles(waiting)) > 1:
            st.button("All on sheets", type="tertiary", on_click=st.query_params.pop, args=("study", None))
        for label, step, key in (("Previous held", -1, "Alt+Left"), ("Next held", 1, "N")):
            beside = waiting[(place + step) % len(waiting)].study_id
            st.button(label, type="tertiary", shortcut=key, disabled=not others, on_click=go, args=("study", beside))


def viewer(study: StudySummary) -> None:
    def keep() -> None:
        received = received_regions(VIEWER)
        if received and received[0] == study.id:  # a late event never lands on another study
            cleaning.keep_rectangles(study.id, received[1])

    study_viewer(
        frames_of(study, cleaning=True), view_key=study.id, regions=cleaning.rectangles(study.id), key=VIEWER,
        cleaning=True, on_regions_change=keep,
    )  # fmt: skip


def controls(user: User, hold: Hold, study: StudySummary, following: str) -> None:
    drawn = cleaning.rectangles(study.id)
    everywhere = False
    st.warning(hold.reason, icon=":material/visibility_lock:")
    st.caption(f"Uploaded by {hold.uploaded_by}, {hold.created_at[:16].replace('T', ' ')} UTC.")
    if cleaning.may_share(study):
        everywhere = st.toggle(f"On all {len(study.images)} images", value=True, key=f"clean_all:{study.id}")
    places = cleaning.touched(study, drawn, everywhere)
    if drawn:
        rectangles = "1 rectangle" if len(drawn) == 1 else f"{len(drawn)} rectangles"
        images = "1 image" if places == 1 else f"{places} images"
        st.markdown(f"**{rectangles}** on {images}, to be filled with black. This cannot be undone.")

    def release(masking: bool) -> None:
        text = cleaning.release(user, study, drawn if masking else [], everywhere=everywhere)
        st.session_state[cleaning.SAID] = text
        st.query_params.pop("study", None)
        if following:
            st.query_params["study"] = following

    st.button(
        "Mask and release", type="primary", icon=":material/ink_eraser:", shortcut="Ctrl+Enter", disabled=not drawn,
        width="stretch", on_click=messages.guarded(release), args=(True,), key=f"clean_mask:{study.id}",
    )  # fmt: skip
    st.button(
        "Nothing to mask", icon=":material/check:", disabled=bool(drawn), width="stretch",
        on_click=messages.guarded(release), args=(False,), key=f"clean_none:{study.id}",
        help="Delete the rectangles first." if drawn else "You have looked at every image: nobody can be told from them.",
    )  # fmt: skip
    st.caption(HINT)


def singles(waiting: list[Hold]) -> list[Hold]:
    """Studies of one picture, which a sheet shows whole."""
    return [hold for hold in waiting if hold.images == 1]


def page(user: User, waiting: list[Hold], wanted: str) -> None:
    ids = [hold.study_id for hold in waiting]
    place = ids.index(wanted) if wanted in ids else 0
    with store.read() as session:
        study = studies.get_study_summary(session, ids[place])
    assert study is not None  # the store forbids a hold without its study
    left, right = st.columns([6, 2], gap="small")
    with left:
        header(waiting, place)
        viewer(study)
    with right:
        controls(user, waiting[place], study, ids[(place + 1) % len(ids)] if len(ids) > 1 else "")


user = identity.current_user()
if said := st.session_state.pop(cleaning.SAID, ""):
    messages.saved(said)
with store.read() as db_session:
    waiting, held = holds.list_holds(db_session, user), len(holds.held_ids(db_session))
wanted = st.query_params.get("study", "")
if wanted and wanted not in {hold.study_id for hold in waiting}:
    clean_again.of_study(user, wanted)
elif waiting and not wanted and len(singles(waiting)) > 1:
    clean_sheet.show(user, waiting, singles(waiting))
elif waiting:
    page(user, waiting, wanted)
else:
    st.title("Clean")
    others = "One study is held" if held == 1 else f"{held} studies are held"
    empty = "Studies that may show names in their pixels wait here after their upload."
    what = f"{others} for the people who uploaded them, or for a project lead." if held else empty
    messages.empty("Nothing for you to clean", f"{what} Read on in the worklist.")
    st.page_link("worklist.py", label="To the worklist", icon=":material/list:")
if not wanted:
    clean_again.latest(user)
