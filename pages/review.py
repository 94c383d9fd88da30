"""Review: the picture, the reviewer's own reading, then the model's result and heatmap, and on to the next case."""

from __future__ import annotations

import streamlit as st

from core.explain import METHODS
from db import engine as store
from db import studies
from pages.ui import (
    assessment,
    clean_again,
    heatmap_panels,
    heatmap_row,
    identity,
    messages,
    model_panel,
    queue,
    ready,
    session,
    study_panel,
    wants,
)  # fmt: skip
from pages.ui.case import Case, attend, begin_clock, keep_seconds, open_case
from pages.ui.frames import pictures_of, prefetch_of
from pages.ui.heatmap_row import Shown
from pages.ui.viewer import own_scale, received_attention, received_regions, study_viewer, viewer_heatmap

BEAT_S = 15  # how much of the counted time a crash may cost


def header(case: Case, query: session.WorklistQuery) -> str | None:
    study = case.study
    facts = [case.task.title, study.modality, f"{len(study.images)} images" if len(study.images) > 1 else ""]
    if case.place is None and study.patient_id not in study.name:
        facts = [study.patient_id, *facts]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{case.title}**", width="content")
        st.markdown(f":gray[{' · '.join(f for f in facts if f)}]", width="content")
        st.space("stretch")
        if case.blind:
            st.badge("Blind reading: model hidden", icon=":material/visibility_off:", color="gray")
        else:
            st.badge("Model visible", icon=":material/visibility:", color="orange")
        if case.place is not None:
            return study_panel.steps(case)
        with store.read() as db_session:
            before, after = studies.neighbours(db_session, query, study.id)
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


def viewer(case: Case, shown: Shown | None, coming: str | None) -> None:
    heatmap = None
    if shown:
        title = METHODS[shown.heatmap.method].title
        top = shown.scales[0]
        scale = own_scale(shown.heatmap) if top is None else (-top if shown.heatmap.signed else 0.0, top)
        heatmap = viewer_heatmap(shown.heatmap, shown.image_index, scale, title=title)

    def keep_regions() -> None:
        received = received_regions()
        if received and received[0] == case.view_key:  # a late event never lands on another case
            messages.guarded(assessment.correct)(case)  # a mark on a finished reading begins its correction
            messages.guarded(assessment.keep_draft_of)(case, {"regions": received[1]})

    def keep_clock() -> None:
        received = received_attention()
        if received and received[0] == case.view_key:
            messages.guarded(attend)(case, received[1], received[2])

    study_viewer(
        **pictures_of(case.study), view_key=case.view_key, heatmap=heatmap, heatmap_on=True, regions=case.regions,
        prefetch=prefetch_of(coming), on_regions_change=keep_regions, on_attention_change=keep_clock,
    )  # fmt: skip
    if notices := case.study.metadata.get("notices"):  # raw values, overlays that are not drawn, lossy compression
        st.caption(" ".join(notices))
    if shown:
        heatmap_panels.show(case, shown)


@st.fragment(run_every=BEAT_S)
def beat(case: Case) -> None:
    messages.guarded(keep_seconds)(case)


def after_save(case: Case) -> None:
    """After an unaided reading the same case goes on with the model; after an aided one the next unread comes."""
    if case.place is not None:
        st.query_params.pop("study", None)  # whose turn it is follows from what is saved
        return
    if not case.blind and (following := next_unread(case)):
        st.query_params["study"] = following


def next_unread(case: Case) -> str | None:
    """The study to which saving leads in daily work."""
    with store.read() as db_session:
        return studies.next_unread(db_session, session.worklist_query(case.reviewer), case.study.id)


def page(case: Case, query: session.WorklistQuery) -> None:
    left, middle, right = st.columns([2.0, 5.8, 2.6], gap="small")
    with right:
        view = None if case.blind else model_panel.show(case)
        if case.blind and case.washout:
            st.caption("This session is read without the model.")
        elif case.blind:
            st.caption("Read first. The model's result is made and shown after your reading is saved.")
    with middle:
        after = header(case, query)
        coming = after if case.place else next_unread(case) or after
        shown = heatmap_row.show(case, view) if view else None
        if case.blind and not case.washout:
            heatmap_row.waiting()
        viewer(case, shown, coming)
    begin_clock(case)  # not before the result is there: waiting for it is no reading
    with right:
        assessment.show(case, view.prediction_id if view else None, shown is not None, after_save)
    with left:
        if case.place is None:
            queue.show(query, case.study.id)
            clean_again.link(identity.current_user(), case.study.id)
        else:
            study_panel.show(case)
    beat(case)
    ready.make_what_comes_next(case, coming)


def first_unread(query: session.WorklistQuery) -> None:
    with store.read() as db_session:
        first = studies.next_unread(db_session, query, "")
    if first:
        st.query_params["study"] = first


user = identity.current_user()
query = session.worklist_query(user.name)
case: Case | None
if "reader_study" in st.query_params:
    case = study_panel.open_or_say(st.query_params["reader_study"], user.name, st.query_params.get("study", ""))
else:
    if "study" not in st.query_params:
        first_unread(query)
    case = open_case(st.query_params.get("study", ""), user.name)
    if case is None:
        study_panel.nothing_to_read("study" in st.query_params)
wants.leave_other_views(case.view_key if case else "")
if case is not None and case.study.held:
    study_panel.held(case)
elif case is not None:
    page(case, query)
