"""Performance, the draft of a reporting checklist: what the store can say, each with the way to the number; the rest."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.checklist import Item, checklist
from db import engine as store
from db import models
from pages.ui import run_data
from pages.ui.charts import csv
from pages.ui.run_data import RunData


def show(data: RunData) -> None:
    """The section."""
    run = data.run
    with store.read() as session:
        model = models.get_model(session, run.model_version)
    items = checklist(run, model, list(run_data.attributes(run.id).columns))
    filled = [item for item in items if item.value]
    st.caption(
        "A draft: topics after CLAIM 2024 and STARD-AI in our own words, without their item numbers. "
        "It fills what this store can prove; the published checklists are what an author completes."
    )
    st.progress(len(filled) / len(items), text=f"{len(filled)} of {len(items)} filled from the store")
    left, right = st.columns([3, 2])
    with left:
        st.subheader("Filled")
        rows = [
            {"Topic": i.topic, "What": i.what, "Value": i.value, "Where": _link(i, run.id)} for i in filled
        ]  # fmt: skip
        where = st.column_config.LinkColumn("Where", display_text=r"(?:section=|/)([A-Za-z]+)$", width="small")
        st.dataframe(pd.DataFrame(rows), hide_index=True, column_config={"Where": where}, height=720, alt="Filled")
    with right:
        st.subheader("Missing")
        missing = pd.DataFrame([{"Topic": i.topic, "What": i.what} for i in items if not i.value])
        st.dataframe(missing, hide_index=True, height=720, alt="Missing")
    csv(lambda: pd.DataFrame([vars(i) for i in items]), "checklist")


def _link(item: Item, run_id: str) -> str:
    if item.source == "models":
        return "/models"
    return f"/performance?run={run_id[:12]}&section={item.source.capitalize()}"
