"""Adjudication: where readers differ, or agree against the model, a lead decides; the decision is a reference standard."""

from __future__ import annotations

import streamlit as st

from core.records import Refused
from core.tasks import TASKS
from db import adjudication, reader_studies, studies
from db import engine as store
from db.adjudication import QueueQuery
from db.studies import StudySummary
from pages.ui import decision_form, identity, messages
from pages.ui.frames import pictures_of, prefetch_of
from pages.ui.viewer import study_viewer

DAILY = 0
KINDS = {"": "All", "readers": "Readers differ", "model": "Readers against the model"}


def scope() -> QueueQuery:
    """Daily work or a closed reader study, one kind of disagreement or both."""
    with store.read() as session:
        closed = {study.id: study for study in reader_studies.list_reader_studies(session, status="closed")}
    titles = {DAILY: "Daily work"} | {number: study.name for number, study in closed.items()}
    asked = st.query_params.get("reader_study", "")
    known = asked.isdigit() and int(asked) in titles
    if asked and not known:
        st.info("The link names a study whose readings cannot be adjudicated: it is not closed, or not in this store.")
    at = list(titles).index(int(asked)) if known else 0
    with st.container(horizontal=True, vertical_alignment="bottom"):
        number = st.selectbox(
            "Readings of", list(titles), index=at, format_func=titles.get, key=f"adj_scope:{asked}", width=320
        )
        query = QueueQuery(number or None)
        with store.read() as session:
            counts = adjudication.count_queue(session, query)
        labels = {"": f"All {counts['readers'] + counts['model']}"}
        labels |= {kind: f"{KINDS[kind]} {counts[kind]}" for kind in adjudication.KINDS}
        kind = st.segmented_control(
            "Waiting", list(labels), format_func=labels.get, default="", required=True, key="adj_kind"
        )
        st.badge(f"{counts['decided']} decided", color="green")
        if number in closed and closed[number].simulated:
            st.badge("Simulated", color="orange")
    return QueueQuery(query.reader_study, kind or "")


def picture(study: StudySummary, query: QueueQuery, after: str | None) -> None:
    with store.read() as session:
        readings = adjudication.anonymous_readings(session, study.id, query.reader_study)
    regions = [region for marks in readings["regions"] for region in marks or ()]
    study_viewer(
        **pictures_of(study),
        view_key=f"adjudication:{study.id}",
        regions=regions,
        prefetch=prefetch_of(after),
        key="adj_viewer",
    )
    if regions:
        st.caption("The marks are those of all readers together.")


def case(user: identity.users.User, query: QueueQuery, study_id: str, after: str | None) -> None:
    with store.read() as session:
        study = studies.get_study_summary(session, study_id)
    if study is None:
        raise Refused("This study is no longer in the store.")
    if study.held:
        raise Refused("This study is held until somebody has looked for names in its pixels.")
    middle, right = st.columns([6.5, 3.5], gap="small")
    with right:
        decision_form.show(user, study, query)
    with middle:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"**{study.name}**", width="content")
            st.markdown(f":gray[{TASKS[study.task].title}]", width="content")
            st.space("stretch")
            if "study" in st.query_params:
                st.button("Back to the queue", type="tertiary", on_click=st.query_params.pop, args=("study", None))
            elif after:
                skip = st.session_state.setdefault("adj_skipped", [])
                st.button(
                    "Skip", icon=":material/arrow_forward:", type="tertiary", shortcut="Alt+Right",
                    on_click=skip.append, args=(study_id,),
                )  # fmt: skip
        picture(study, query, after)


def decided(query: QueueQuery) -> None:
    with store.read() as session:
        table = adjudication.list_decisions(session, query, limit=500)
    if table.empty:
        return
    with st.expander(f"Decided ({len(table)})", icon=":material/history:"):
        shown = table.assign(created_at=table["created_at"].str[:16].str.replace("T", " "))
        event = st.dataframe(
            shown, hide_index=True, on_select="rerun", selection_mode="single-cell", key="adj_decided", alt="Decisions",
            column_order=["study_name", "label", "birads", "reason", "decided_by", "created_at"],
            column_config={
                "study_name": "Study", "label": "Decision", "birads": "BI-RADS", "reason": "Why", "decided_by": "By",
                "created_at": "Decided (UTC)",
            },
        )  # fmt: skip
        if cells := event["selection"].get("cells"):
            st.query_params["study"] = str(table["study_id"].iloc[int(cells[0][0])])
            st.rerun()


user = identity.current_user()
identity.require_lead(user)
st.title("Adjudication")
query = scope()
skipped = st.session_state.get("adj_skipped", [])
with store.read() as db_session:  # two that were not skipped are among them, if there are any
    waiting = list(adjudication.list_queue(db_session, query, limit=len(skipped) + 2)["study_id"])
waiting.sort(key=lambda study: skipped.index(study) if study in skipped else -1)
if asked := st.query_params.get("study", ""):
    case(user, query, asked, None)
elif waiting:
    case(user, query, waiting[0], next(iter(waiting[1:]), None))
else:
    messages.empty(
        "Nothing to decide",
        "No disagreement waits here. Readers of a running reader study are adjudicated once it is closed.",
    )
decided(query)
