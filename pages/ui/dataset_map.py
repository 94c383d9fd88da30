"""The map of a dataset in a model's eyes: cases that the model finds alike lie close; a lasso lists them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from core.datasets import explore, figures
from core.datasets.embedding import map_methods
from core.tasks import get_task
from db import engine as store
from db import models
from db.users import User
from pages.ui import dataset_data as data
from pages.ui import identity, jobs
from pages.ui.dataset_data import Opened
from pages.ui.dataset_pictures import PAGE, caption, row_of, thumbnail


def show(shown: Opened, user: User) -> None:
    """Choose a model, make its features where they are not kept yet, draw, and list what the lasso holds."""
    with store.read() as session:
        known = models.list_models(session, task=shown.entry.task)
    if not known:
        st.info(
            f"No model for {get_task(shown.entry.task).title.lower()} is registered yet, so there is nothing to map by."
        )
        return
    with st.container(horizontal=True):
        model = st.selectbox(
            "Model", known, format_func=lambda m: f"{m.name} · {m.version[:8]}", key="ds_model", width=300
        )
        names = ["class", "predicted", *(c for c in data.columns(shown.key, shown.profile) if c != "label")]
        colour = st.selectbox("Colour", names, key=f"ds_colour:{shown.entry.name}", width=220)
        methods = map_methods()
        method = st.selectbox("Map", methods, key="ds_method", width=120) if len(methods) > 1 else methods[0]
    path = data.embedding_file(shown, model.version)
    if not path.exists() and not _make(shown, user, model.version):
        return
    key = str(path.stat().st_mtime_ns)
    seen = data.embedding(str(path), key)
    places, sentence = data.points(str(path), key, method)
    rows = pd.Series(np.arange(len(shown.profile.table)), index=shown.profile.table["case_id"])[
        list(seen.case_ids)
    ].to_numpy()
    cases = _cases(shown, seen.probabilities, rows)
    figure = figures.map_figure(
        places, rows, explore.groups(cases[colour]).rename(f"{method} by {colour}"), cases["text"]
    )
    event = st.plotly_chart(figure, key=f"ds_map:{path.stem}", on_select="rerun", selection_mode=("lasso", "box"))
    few = "" if len(rows) < data.MOST_MAPPED else f" {len(rows):,} cases, drawn at random."
    st.caption(f"{sentence}{few} Draw a lasso around cases to see them.")
    _selected(shown, cases, [int(point["customdata"]) for point in event["selection"]["points"]])


def _make(shown: Opened, user: User, version: str) -> bool:
    """Offer to run the model, then show how far it is; True once the features are there."""
    job = ("embed", str(shown.folder), version)
    if not jobs.running(job):
        st.caption("The model reads every picture once (at most 3,000); its features are kept for the next visit.")
        if not st.button("Map the cases", type="primary", icon=":material/scatter_plot:"):
            return False
        identity.require_lead(user)
        jobs.start(job, lambda progress: data.embedding_work(shown, version, progress) or True)
    return bool(jobs.fetch(job))


def _cases(shown: Opened, probabilities: np.ndarray, rows: np.ndarray) -> pd.DataFrame:
    """The mapped cases with the model's class, its probability, and a text for each."""
    classes = get_task(shown.entry.task).classes
    cases = shown.profile.table.iloc[rows].reset_index(drop=True)
    best = probabilities.argmax(axis=1)
    cases = cases.assign(
        row=rows, predicted=pd.Categorical.from_codes(best, list(classes)), probability=probabilities.max(axis=1)
    )
    cases["class"] = cases["label"]
    text = cases["case_id"] + "<br>" + cases["label"].astype(str) + ", model says " + cases["predicted"].astype(str)
    return cases.assign(text=text + " (" + cases["probability"].map("{:.2f}".format) + ")")


def _selected(shown: Opened, cases: pd.DataFrame, rows: list[int]) -> None:
    if not rows:
        return
    chosen = cases[cases["row"].isin(rows)]
    st.subheader(f"Selected cases ({len(chosen):,})")
    some = chosen["row"].head(PAGE).tolist()
    row_of([thumbnail(shown, row) for row in some], [caption(shown, row) for row in some])
    st.dataframe(
        chosen.drop(columns=["row", "text", "pixel_hash", "class"]), hide_index=True, placeholder="–", alt="Selected cases",
        column_config={"probability": st.column_config.NumberColumn(format="%.3f")},
    )  # fmt: skip
