"""Agreement: where reviewers and models agree, where they do not, and each disagreement one click from its study."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import streamlit as st

from core import figures
from core.statistics.agreement import cohen_kappa_from_table, raw_agreement_from_table
from core.tasks import TASKS
from db import engine as store
from db import reviews
from db.reviews import ReviewQuery
from pages.ui import identity, messages
from pages.ui.tables import CLICK, clicked_row

PAGE = 25


def square(counts: pd.DataFrame, classes: tuple[str, ...]) -> np.ndarray:
    """Counts (C, C): rows are the reviewer's class, columns the model's."""
    table = np.zeros((len(classes), len(classes)), dtype=int)
    for row in counts.itertuples():
        table[classes.index(row.label), classes.index(row.predicted)] += row.n
    return table


def summary(counts: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for (model, version, task, reviewer), group in counts.groupby(["model_name", "model_version", "task", "reviewer"]):
        table = square(group, TASKS[task].classes)
        rows.append(
            {
                "Model": f"{model} · {version[:8]}",
                "Task": TASKS[task].title,
                "Reviewer": reviewer,
                "n": int(table.sum()),
                "Raw agreement": figures.estimate_text(raw_agreement_from_table(table)),
                "Cohen's kappa": figures.estimate_text(cohen_kappa_from_table(table)),
            }
        )
    return pd.DataFrame(rows)


def disagreements(query: ReviewQuery) -> None:
    with store.read() as db_session:
        total = reviews.count_disagreements(db_session, query)
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
        column_order=["study", "reviewer", "label", "confidence", "model_name", "predicted", "comment", "created_at"],
        column_config={
            "study": "Study", "reviewer": "Reviewer", "label": "Reviewer says", "confidence": "Confidence",
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
with store.read() as db_session:
    counts = reviews.agreement_counts(db_session, query)
if counts.empty:
    messages.empty("No aided readings yet", "Read a study on the **Review** page: once it is saved, it counts here.")
    st.page_link("review.py", label="Read the next study", icon=":material/radiology:")
else:
    st.caption("Aided readings against the model that was shown, newest reading of each study. Intervals are 95 %.")
    st.dataframe(summary(counts), hide_index=True, alt="Agreement by model and reviewer")
    tasks = list(dict.fromkeys(counts["task"]))
    for column, task in zip(st.columns(max(2, len(tasks))), tasks, strict=False):
        table = square(counts[counts["task"] == task], TASKS[task].classes)
        with column:
            st.plotly_chart(figures.agreement_figure(table, TASKS[task].classes), key=f"matrix-{task}")
    disagreements(query)
    st.download_button(
        "Download all readings (CSV)", lambda: export(query), "tumortrace-reviews.csv", "text/csv",
        icon=":material/download:", on_click="ignore",
    )  # fmt: skip
