"""Agreement: where reviewers and models agree, where they do not, and each disagreement one click from its study."""

from __future__ import annotations

import streamlit as st

from core.tasks import TASKS
from pages.ui import daily_agreement, daily_data, daily_regions, identity, messages, reviews_download

PARTS = ("With the model", "Groups and time", "Two by two", "Coefficients", "Disagreements")
REGIONS = "Regions and heatmaps"

user = identity.current_user()
st.title("Agreement")
# Reviewers see their own readings; leads see everybody's.
scope = daily_data.Scope.of(user)
counts = daily_data.counts(scope)
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
            PARTS + ((REGIONS,) if user.role == "lead" else ()),
            default=PARTS[0],
            required=True,
            key="agr_part",
            label_visibility="collapsed",
            persist_state="session",
        )
    if part == "With the model":
        daily_agreement.overview(scope, counts, task)
    elif part == "Groups and time":
        daily_agreement.groups(scope, task)
    elif part == "Disagreements":
        daily_agreement.disagreements(scope, task)
    elif part == REGIONS:
        daily_regions.show(user, task)
    else:
        daily_agreement.two_by_two(scope, task, part)
    reviews_download.show(scope, user.name, int(counts["n"].sum()))
