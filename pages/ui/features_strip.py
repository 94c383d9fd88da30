"""Where a case lies among cases whose class is known. Leads only: it shows the reference standard of a set."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import streamlit as st

from core.features import FeatureVector
from core.features.figures import Strip, strip_figure
from core.figures import estimate_text
from core.statistics.proportions import wilson
from core.tasks import TASKS
from db.users import User
from pages.ui import features_data as data
from pages.ui.features_data import Cohort
from pages.ui.features_panel import Side

STORE, TABLE = "Studies of this store", "A feature table"


def show(user: User, family: str, sides: list[Side], vectors: Mapping[str, FeatureVector]) -> None:
    """Source, feature, strip plot, and for each class the share of cases that lie below."""
    st.subheader("Where this case lies")
    if not sides[0].task:  # only an uploaded file has none
        st.caption("The file does not say what it shows, so there are no cases to compare it with.")
        return
    cohort = _cohort(user, family, sides[0].task)
    if cohort is None:
        return
    first = next(iter(vectors.values()))
    feature = st.selectbox(
        "Feature", list(cohort.names), key=f"feat_strip:{family}", format_func=lambda name: name.split(".", 1)[1]
    )
    column, unit = cohort.names.index(feature), first.units[first.names.index(feature)]
    classes = TASKS[sides[0].task].classes
    # A case that is itself in the set would always find itself in the middle of its own class.
    others = ~np.isin(cohort.hashes, [side.image.content_hash for side in sides])
    strip = Strip(feature, unit, cohort.values[others, column], cohort.labels[others])
    cases = {name: float(v.values[v.names.index(feature)]) for name, v in vectors.items()}
    st.plotly_chart(strip_figure(strip, classes, cases), key="feat_strip_plot")
    for name, value in cases.items():
        st.markdown(f"**{name}** ({value:.4g}): {_places(strip, classes, value)}")
    if any(side.region for side in sides):
        st.caption("The others were measured whole, this case within its region: sizes and surroundings differ.")
    st.caption(f"First image of each study in {cohort.source}; the cases shown above are left out of it.")


def _places(strip: Strip, classes: tuple[str, ...], value: float) -> str:
    parts = []
    for label in classes:
        values = strip.values[(strip.labels == label) & np.isfinite(strip.values)]
        below = wilson(int((values < value).sum()), len(values), reason="no such case")
        parts.append(f"share of {label} below it {estimate_text(below)}")
    return "; ".join(parts)


def _cohort(user: User, family: str, task: str) -> Cohort | None:
    source = st.segmented_control(
        "Compared with", [STORE, TABLE], default=STORE, required=True, key="feat_source", persist_state="session"
    )
    if source == STORE:
        return data.store_cohort(user, task, family)
    text = "Written by `python -m core features FOLDER --task TASK --parquet OUT`"
    file = st.file_uploader(text, type=["parquet", "csv", "json"], key="feat_table")
    return data.table_cohort(user, file.name, file.getvalue(), family) if file else None
