"""What an adjudicator sees of the readings, and the decision: class, BI-RADS, why."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.reader_records import Decision
from core.records import BIRADS
from core.tasks import TASKS
from db import adjudication, predictions, writer
from db import engine as store
from db.adjudication import QueueQuery
from db.studies import StudySummary
from db.users import User
from pages.ui import identity, messages


def show(user: User, study: StudySummary, query: QueueQuery) -> None:
    """Anonymous readings, the model's result on request, earlier decisions, and the form."""
    identity.require_lead(user)
    with store.read() as session:
        readings = adjudication.anonymous_readings(session, study.id, query.reader_study)
        history = adjudication.decision_history(session, study.id)
    with st.container(border=True, gap="small"):
        st.markdown("**Readings**, without names")
        _readings(readings)
        _model(study, readings)
    for earlier in history:
        st.caption(
            f"{earlier.created_at[:16].replace('T', ' ')} UTC, {earlier.decided_by}: **{messages.label_title(earlier.label)}**"
            f"{f', BI-RADS {earlier.birads}' if earlier.birads else ''}{f': {earlier.reason}' if earlier.reason else ''}"
        )
    with st.container(border=True, gap="small"):
        st.markdown("**Change the decision**" if history else "**Your decision**")
        _form(user, study, query, history[-1].id if history else None)


def _readings(readings: pd.DataFrame) -> None:
    shown = readings.rename(
        columns={
            "reader": "Reader",
            "label": "Class",
            "likelihood": "Likelihood",
            "birads": "BI-RADS",
            "comment": "Comment",
        }
    )
    kept = [name for name in ("Reader", "Class", "BI-RADS", "Likelihood", "Comment") if name in shown]
    filled = [name for name in kept if name in ("Reader", "Class") or (shown[name].notna() & (shown[name] != "")).any()]
    st.dataframe(shown[filled], hide_index=True, placeholder="–", alt="Readings")


def _model(study: StudySummary, readings: pd.DataFrame) -> None:
    key = f"adj_model:{study.id}"
    visible = st.session_state.get(key, False)
    shown = [int(number) for number in readings["prediction_id"].dropna().unique()]
    if not shown:
        st.caption("No model was shown with these readings.")
        return
    st.button(  # a switch would keep the focus, and with it the keys that choose the class
        "Hide the model" if visible else "Show what the model said", shortcut="M", type="tertiary", key=f"{key}:go",
        icon=":material/visibility_off:" if visible else ":material/visibility:",
        on_click=st.session_state.__setitem__, args=(key, not visible),
    )  # fmt: skip
    for number in shown if visible else ():
        with store.read() as session:
            prediction = predictions.get_prediction_by_id(session, number)
        if prediction is not None:
            score = prediction.probabilities[prediction.predicted]
            st.markdown(
                f"Model `{prediction.model_version[:8]}`: **{messages.label_title(prediction.predicted)}**, {score:.1%}"
            )


def _form(user: User, study: StudySummary, query: QueueQuery, replaces: int | None) -> None:
    """The form for a decision that replaces the one of that id, or is the first."""
    key, task = f"adj:{study.id}", TASKS[study.task]
    chosen = st.session_state.get(f"{key}:label")
    with st.container(horizontal=True):
        for number, name in enumerate(task.classes, start=1):
            st.button(
                messages.label_title(name), key=f"{key}:class-{name}", shortcut=str(number), width="stretch",
                icon=":material/check_circle:" if name == chosen else ":material/circle:",
                on_click=st.session_state.__setitem__, args=(f"{key}:label", name),
            )  # fmt: skip
    if task.birads:
        st.segmented_control("BI-RADS (Shift+0–6)", BIRADS, key=f"birads:{key}", width="stretch")
    st.text_area("Why", height=76, max_chars=2000, key=f"{key}:reason", placeholder="optional; needed for a change")
    st.button(
        "Decide and next", type="primary", icon=":material/done_all:", width="stretch", shortcut="Ctrl+Enter",
        key=f"{key}:save", disabled=chosen is None, on_click=messages.guarded(_decide),
        args=(user, study, query, replaces),
    )  # fmt: skip


def _decide(user: User, study: StudySummary, query: QueueQuery, replaces: int | None) -> None:
    identity.require_lead(user)
    st.query_params["study"] = study.id  # where it is refused the case stays open, with what was typed
    said = {name: st.session_state.get(f"adj:{study.id}:{name}") for name in ("label", "reason")}
    decision = Decision(
        study.id, said["label"], user.name, reason=said["reason"] or "", reader_study=query.reader_study,
        birads=st.session_state.get(f"birads:adj:{study.id}") or "", supersedes=replaces,
    )  # fmt: skip
    writer.save(lambda session: adjudication.add_decision(session, decision))
    for name in ("label", "reason"):
        st.session_state.pop(f"adj:{study.id}:{name}", None)
    st.query_params.pop("study", None)
    messages.saved(f"Decided: {study.name}, {messages.label_title(decision.label).lower()}")
