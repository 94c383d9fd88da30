"""Section of the agreement page: where the regions that reviewers drew in daily work meet heatmaps. For leads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from core.explain import METHODS
from core.explain.honesty.benchmark import REVIEWERS
from core.explain.honesty.table import COLUMNS, long_rows, region_rows
from core.records import Model
from core.tasks import TASKS
from db.heatmap_measures import MarkedStudy
from db.users import User
from pages.ui import explanation_data as data
from pages.ui import identity, jobs, messages
from pages.ui.beside_controls import beside_controls
from pages.ui.downloads import table_downloads
from pages.ui.explanation_data import MOST_REGIONS, Measures

QUICK = ("gradcam", "hirescam", "layercam")


def show(user: User, task: str) -> None:
    """Pointing game, energy inside and IoU of every method and model that was compared; a button compares what is missing."""
    identity.require_lead(user)
    regions, known = data.marked(user, task), [m for m in data.registered(user) if m.task == task]
    if not regions:
        st.info(
            f"No reviewer has drawn a region in daily work of {TASKS[task].title.lower()} yet. Regions are drawn on the "
            "picture on the **Review** page; once a reading with one is saved, it can be held against heatmaps here."
        )
        return
    if not known:
        st.info("Every model of this task is withdrawn, so there are no heatmaps to hold the regions against.")
        return
    measured = {m.version: _against_regions(data.measures_of(m.version)) for m in known}
    model = _compare(user, known, measured, regions)
    rows = [
        {"Model": f"{m.name} · {m.version[:8]}", **row, "Regions": _age(measured[m.version], row["Method"], regions)}
        for m in known
        for row in region_rows(measured[m.version])
    ]
    if not rows and jobs.running(data.key_of(model.version)):
        return
    if not rows:
        messages.empty(
            "Not yet compared", "Choose a model and methods above; each map is made once, in the background."
        )
        return
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, alt="Regions and heatmaps",
        column_config={"Method": st.column_config.TextColumn(pinned=True)},
    )  # fmt: skip
    st.caption(
        f"The newest {len(regions)} readings with regions ({MOST_REGIONS} at most, fewer for slow methods). Each map is of the "
        "class that the reviewer gave; n counts marked pictures, and intervals are over studies. Points into it: the map's maximum "
        "lies in the region. A control that knows nothing of the model and does as well says that the map adds nothing. A heatmap "
        "is no lesion outline. The same stands on the **Explanations** page, beside lesion masks."
    )
    beside_controls(measured[model.version], REVIEWERS)
    table_downloads({"regions-and-heatmaps": lambda: _long(known, measured)}, "All figures")


def _compare(user: User, known: list[Model], measured: Mapping[str, Measures], regions: Sequence[MarkedStudy]) -> Model:
    """Choose a model and methods, and begin; or the progress of what runs. Gives the model."""
    names = {m.version: f"{m.name} · {m.architecture} · {m.version[:8]}" for m in known}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        version = st.selectbox("Model", list(names), format_func=names.get, key="agr_model", width=320)
        model = next(m for m in known if m.version == version)
        methods = st.multiselect(
            "Methods", list(METHODS), default=QUICK, format_func=lambda name: METHODS[name].title, key="agr_methods",
            help="Occlusion, LIME and others that cover parts take minutes each.",
        )  # fmt: skip
        key = data.key_of(version)
        waiting = jobs.running(key)
        open_parts = data.missing(measured[version], methods, None, regions)
        st.button(
            f"Compare what is missing ({len(open_parts)})", type="primary", icon=":material/target:", key="agr_compare",
            disabled=waiting or not open_parts, on_click=messages.guarded(data.begin), args=(user, model, None, methods),
        )  # fmt: skip
    if waiting:
        with messages.shown():
            if said := jobs.fetch(key, stoppable=True):
                st.toast(said)
                st.rerun()
    return model


def _against_regions(measures: Measures) -> Measures:
    return {method: {REVIEWERS: parts[REVIEWERS]} for method, parts in measures.items() if REVIEWERS in parts}


def _age(measures: Measures, title: str, regions: Sequence[MarkedStudy]) -> str:
    """Whether the figures are of the regions that there are now."""
    facts = next(parts[REVIEWERS] for name, parts in measures.items() if METHODS[name].title == title)
    return "these" if facts.get("regions") == data.fingerprint(regions) else f"earlier, {facts['measured_at'][:10]}"


def _long(known: list[Model], measured: Mapping[str, Measures]) -> pd.DataFrame:
    parts = [
        pd.DataFrame(long_rows(measured[m.version]), columns=list(COLUMNS)).assign(model=m.name, version=m.version)
        for m in known
    ]
    return pd.concat(parts, ignore_index=True)
