"""Agreement: where reviewers and models agree, where they do not, and each disagreement one click from its study."""

from __future__ import annotations

import dataclasses

import pandas as pd
import streamlit as st

from core.tasks import TASKS
from db import engine as store
from db import reviews
from db.reviews import ReviewQuery
from pages.ui import daily_agreement, identity, messages
from pages.ui.tables import CLICK, clicked_row

PAGE = 25
PARTS = ("With the model", "Groups and time", "Two by two", "Coefficients", "Disagreements")


def disagreements(query: ReviewQuery, counts: pd.DataFrame) -> None:
    total = int(counts.loc[counts["label"] != counts["predicted"], "n"].sum())
    st.subheader(f"Disagreements ({total})")
    if not total:
        st.caption("None: every aided reading of this filter names the class that the model named.")
        return
    pages = -(-total // PAGE)
    number = st.number_input(f"Page of {pages}", 1, pages, 1, key="agr_page", width=160) if pages > 1 else 1
    with store.read() as db_session:
        rows = reviews.list_disagreements(
            db_session, dataclasses.replace(query, limit=PAGE, offset=(int(number) - 1) * PAGE)
        )
    event = st.dataframe(
        rows.assign(created_at=rows["created_at"].str[:16].str.replace("T", " ")), hide_index=True, on_select="rerun",
        selection_mode=CLICK, key=f"agr_rows:{number}", alt="Disagreements",
        column_order=["study_name", "reviewer", "label", "confidence", "model_name", "predicted", "comment", "created_at"],
        column_config={
            "study_name": "Study", "reviewer": "Reviewer", "label": "Reviewer says", "confidence": "Confidence",
            "model_name": "Model", "predicted": "Model says", "comment": "Comment",
            "created_at": st.column_config.TextColumn("Saved (UTC)"),
        },
    )  # fmt: skip
    if (picked := clicked_row(event)) is not None:
        st.switch_page("review.py", query_params={"study": str(rows["study_id"].iloc[picked])})


def export(query: ReviewQuery) -> bytes:
    with store.read() as db_session:
        return reviews.list_reviews(db_session, query).to_csv(index=False).encode()


user = identity.current_user()
st.title("Agreement")
# Reviewers see their own readings; leads see everybody's.
# A list of their own readings would tell them the model's class of cases that they are to read without it.
query = ReviewQuery() if user.role == "lead" else ReviewQuery(reviewer=user.name, shown_to=user.name)
scope = daily_agreement.Scope.of(user)
counts = daily_agreement.counts(scope)
if counts.empty:
    messages.empty("No aided readings yet", "Read a study on the **Review** page: once it is saved, it counts here.")
    st.page_link("review.py", label="Read the next study", icon=":material/radiology:")
    if user.role == "lead":
        st.page_link("study_results.py", label="Agreement in reader studies", icon=":material/analytics:")
else:
    st.caption(
        "Daily work: aided readings against the model that was shown, newest reading of each study. Intervals are 95 %."
    )
    tasks = list(dict.fromkeys(counts["task"]))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        task = tasks[0]
        if len(tasks) > 1:
            task = st.selectbox("Task", tasks, format_func=lambda t: TASKS[t].title, key="agr_task", width=240)
        part = st.segmented_control(
            "Section",
            PARTS,
            default=PARTS[0],
            required=True,
            key="agr_part",
            label_visibility="collapsed",
            persist_state="session",
        )
    if part == "With the model":
        daily_agreement.overview(counts, task)
    elif part == "Groups and time":
        daily_agreement.groups(scope, task)
    elif part == "Disagreements":
        disagreements(dataclasses.replace(query, task=task), counts[counts["task"] == task])
    else:
        daily_agreement.two_by_two(scope, task, part)
    st.download_button(
        "Download all readings (CSV)", lambda: export(query), "tumortrace-reviews.csv", "text/csv",
        icon=":material/download:", on_click="ignore",
    )  # fmt: skip
