"""Explanations: what each method's heatmaps are worth on each model, beside controls that know nothing of the model."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.explain import METHODS
from core.explain.honesty.table import COLUMNS, NOT_YET, long_rows, method_rows
from core.explain.honesty.words import no_better_than_centre
from core.records import Model
from core.tasks import TASKS
from db.datasets import DatasetEntry
from db.users import User
from pages.ui import explanation_data as data
from pages.ui import identity, jobs, messages
from pages.ui.beside_controls import AGAINST, beside_controls
from pages.ui.charts import csv
from pages.ui.explanation_data import Measures

QUICK = [name for name, method in METHODS.items() if not method.slow]


def choose_model(known: list[Model]) -> Model:
    versions = [m.version for m in known]
    wanted = st.query_params.get("model", "")
    place = versions.index(wanted) if wanted in versions else 0
    named = {m.version: f"{m.name} · {TASKS[m.task].title} · {m.architecture} · {m.version[:8]}" for m in known}
    chosen = st.selectbox("Model", versions, index=place, format_func=named.get)
    st.query_params["model"] = chosen
    return known[versions.index(chosen)]


def controls(user: User, model: Model, measures: Measures) -> None:
    """Choose what to measure on, and begin; or the progress of what runs."""
    key = data.key_of(model.version)
    if jobs.running(key):
        with messages.shown():  # what was refused is said, and can be tried again below
            if said := jobs.fetch(key, stoppable=True):
                st.toast(said)
                st.rerun()
        if jobs.running(key):
            return
    there = data.datasets_of(user, model.task)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        entry: DatasetEntry | None = None
        if there:
            names = {e.name: e for e in there}
            entry = names[st.selectbox("Measured on", list(names), key=f"ex_data:{model.version}", width=280)]
        methods = st.multiselect(
            "Methods", list(METHODS), default=QUICK, format_func=lambda name: METHODS[name].title,
            key=f"ex_methods:{model.version}", help="Occlusion, LIME and others that cover parts take minutes each.",
        )  # fmt: skip
        open_parts = data.missing(measures, methods, entry, data.marked(user, model.task))
        st.button(
            f"Measure what is missing ({len(open_parts)})", type="primary", icon=":material/play_arrow:",
            disabled=not open_parts, on_click=messages.guarded(data.begin), args=(user, model, entry, methods),
        )  # fmt: skip
    if not there:
        st.caption(
            f"No dataset of {TASKS[model.task].title.lower()} is registered: a lead can register one on the **Datasets** page. "
            "Maps are measured on its validation pictures, and on lesion masks beside its test pictures."
        )


def overview(measures: Measures, against: str) -> None:
    """Method by method, in a table and in words."""
    rows = pd.DataFrame(method_rows(measures, against))
    rows = rows[[row in measures for row in METHODS]]
    if named := [METHODS[name].title for name in no_better_than_centre(measures, against)]:
        st.warning(
            f"Not better than the image centre, which knows nothing of the picture: {', '.join(named)}. Such a map does not say "
            "where to look.", icon=":material/location_disabled:",
        )  # fmt: skip
    table = rows.drop(columns="In words")
    widths = {name: st.column_config.TextColumn(width=width(name, table[name])) for name in table.columns}
    st.dataframe(
        table, hide_index=True, height="content", alt="Methods and what was measured of them",
        column_config={**widths, "Method": st.column_config.TextColumn(pinned=True)},
    )  # fmt: skip
    open_methods = [method.title for name, method in METHODS.items() if name not in measures]
    if open_methods:
        st.caption(f"{NOT_YET.capitalize()}: {', '.join(open_methods)}.")
    by_words = rows.groupby("In words", sort=False)["Method"].agg(", ".join)
    st.markdown("\n".join(f"- **{methods}**: {words}" for words, methods in by_words.items()))


def width(name: str, cells: pd.Series) -> int:
    """Pixels that the longest cell needs: left to itself the table cuts intervals off."""
    return 24 + 6 * max(len(name), *cells.str.len())


user = identity.current_user()
st.title("Explanations")
identity.require_lead(user)
known = data.registered(user)
if not known:
    messages.empty("No models yet", "Register one on the **Models** page; then its heatmaps can be measured here.")
else:
    model = choose_model(known)
    found = data.measures_of(model.version)
    controls(user, model, found)
    if not found:
        messages.empty(
            "Not yet measured", "Choose methods above and measure them; reviewers see what comes of it beside each map."
        )
    else:
        against = st.segmented_control(
            "Against", list(AGAINST), default="masks", required=True, format_func=AGAINST.get, label_visibility="collapsed",
        )  # fmt: skip
        overview(found, against)
        beside_controls(found, against)
        table = pd.DataFrame(long_rows(found), columns=list(COLUMNS))
        csv(lambda: table, "explanations", f"explanations-{model.version[:12]}")
