"""Review: the picture, the reviewer's own reading, then the model's result and heatmap, and on to the next case."""

from __future__ import annotations

import streamlit as st

from core.explain import METHODS
from db import engine as store
from db import studies
from pages.ui import assessment, heatmap_row, identity, messages, model_panel, queue, session
from pages.ui.case import Case, open_case
from pages.ui.frames import frames_of, prefetch_of
from pages.ui.heatmap_row import Shown
from pages.ui.viewer import own_scale, received_regions, study_viewer, viewer_heatmap


def header(case: Case, query: session.WorklistQuery) -> str | None:
    study = case.study
    with store.read() as db_session:
        before, after = studies.neighbours(db_session, query, study.id)
    facts = [
        "" if study.patient_id in study.name else study.patient_id,
        case.task.title,
        study.modality,
        f"{len(study.images)} images" if len(study.images) > 1 else "",
    ]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{study.name}**", width="content")
        st.markdown(f":gray[{' · '.join(f for f in facts if f)}]", width="content")
        st.space("stretch")
        if case.blind:
            st.badge("Blind reading: model hidden", icon=":material/visibility_off:", color="gray")
        else:
            st.badge("Model visible", icon=":material/visibility:", color="orange")
        go = st.query_params.__setitem__
        st.button(
            "Previous", icon=":material/arrow_back:", type="tertiary", shortcut="Alt+Left", disabled=before is None,
            on_click=go, args=("study", before),
        )  # fmt: skip
        st.button(
            "Next", icon=":material/arrow_forward:", icon_position="right", type="tertiary", shortcut="Alt+Right",
            disabled=after is None, on_click=go, args=("study", after),
        )  # fmt: skip
    return after


def viewer(case: Case, shown: Shown | None, after: str | None) -> None:
    view_key = f"{case.study.id}:{case.phase}"
    heatmap = None
    if shown:
        title = METHODS[shown.heatmap.method].title
        heatmap = viewer_heatmap(shown.heatmap, shown.image_index, own_scale(shown.heatmap), title=title)

    def keep_regions() -> None:
        received = received_regions()
        if received and received[0] == view_key:  # a late event never lands on another case
            messages.guarded(assessment.correct)(case)  # a mark on a finished reading begins its correction
            messages.guarded(assessment.keep_draft_of)(case, {"regions": received[1]})

    study_viewer(
        frames_of(case.study), view_key=view_key, heatmap=heatmap, heatmap_on=True,
        regions=case.regions, prefetch=prefetch_of(after), on_regions_change=keep_regions,
    )  # fmt: skip
    if shown:
        st.caption(shown.caption)


def after_save(case: Case) -> None:
    """After an unaided reading the same case goes on with the model; after an aided one the next unread comes."""
    if case.blind:
        return
    with store.read() as db_session:
        following = studies.next_unread(db_session, session.worklist_query(case.reviewer), case.study.id)
    if following:
        st.query_params["study"] = following


def page(case: Case, query: session.WorklistQuery) -> None:
    left, middle, right = st.columns([2.0, 5.8, 2.6], gap="small")
    with right:
        view = None if case.blind else model_panel.show(case)
        if case.blind:
            st.caption("Read first. The model's result is made and shown after your reading is saved.")
    with middle:
        after = header(case, query)
        shown = heatmap_row.show(case, view) if view else None
        viewer(case, shown, after)
    with right:
        assessment.show(case, view.prediction_id if view else None, shown is not None, after_save)
    with left:
        queue.show(query, case.study.id)


user = identity.current_user()
query = session.worklist_query(user.name)
if "study" not in st.query_params:
    with store.read() as db_session:
        first = studies.next_unread(db_session, query, "")
    if first:
        st.query_params["study"] = first
case = open_case(st.query_params.get("study", ""), user.name)
if case is None and "study" in st.query_params:
    messages.empty(
        "No such study", "The link points to a study that this store does not have. Choose one from the worklist."
    )
elif case is None:
    messages.empty("Nothing to read", "Every study is read, or there is none yet. Add some on the **Upload** page.")
elif case.study.held:
    messages.empty("This study is held", f"{case.study.held} It can be read once it was cleaned.")
    st.page_link("clean.py", label="Clean it", icon=":material/ink_eraser:", query_params={"study": case.study.id})
else:
    page(case, query)
if case is None or case.study.held:
    st.page_link("worklist.py", label="To the worklist", icon=":material/list:")
