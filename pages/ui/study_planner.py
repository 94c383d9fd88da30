"""Section of the results page that plans the next study from the variance components of this one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from core import figures_readers
from core.statistics.mrmc_planning import cases_needed, power_grid
from core.statistics.mrmc_records import GENERALISATIONS
from core.study_readings import StudyReadings
from pages.ui.study_mrmc import KINDS, analysed, choose
from pages.ui.study_tables import say_patients, shown, study_chart, study_csv


def planner(study: StudyReadings) -> None:
    """Readers and cases that a next study needs, from this one's variance components."""
    choice = choose(study)
    result = None if choice is None else analysed(choice, choice.cube())
    if result is None:
        return
    say_patients(study)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        difference = st.number_input(
            "Difference to find", 0.005, 0.5, 0.05, 0.005, format="%.3f", key="sr_d", width=170
        )
        power = st.number_input("Power", 0.5, 0.99, 0.8, 0.05, key="sr_power", width=130)
        alpha = st.number_input("Level", 0.001, 0.2, 0.05, 0.005, format="%.3f", key="sr_alpha", width=130)
        most = int(st.number_input("Readers up to", 3, 60, 12, key="sr_most", width=150))
        kind = st.selectbox("Generalises to", GENERALISATIONS, format_func=KINDS.get, key="sr_kind", width=320)
    pilot = result.components
    counts = sorted({2, 3, 4, 6, 8, 12, 20, 40, most})
    counts = [count for count in counts if count <= most]
    sizes = np.unique(np.geomspace(20, 5000, 60).astype(int)).tolist()
    grid = power_grid(pilot, difference, counts, sizes, generalises_to=kind, alpha=alpha)
    if not np.isfinite(grid.power).any():
        st.info("Nothing can be planned from this study: its readers' figures have no spread to learn from.")
        return
    needed = cases_needed(pilot, difference, counts, power=power, generalises_to=kind, alpha=alpha)
    left, right = st.columns([3, 2], gap="large")
    with left:
        data = pd.DataFrame(grid.power, index=grid.readers, columns=map(str, grid.cases)).reset_index(names="readers")
        study_chart(study, figures_readers.power_figure(grid, power), "power", lambda: data)
    with right:
        table = pd.DataFrame({
            "Readers": list(needed),
            f"Cases for a power of {power:g}": [f"{n:,}" if n else "not reached" for n in needed.values()],
        })  # fmt: skip
        shown(table, "Sample size")
        study_csv(study, lambda: pd.DataFrame({"readers": list(needed), "cases": list(needed.values())}), "sample-size")
        what = "of both classes, mixed as here" if choice.figure == "auc" else "of the one class that the figure is of"
        if None in needed.values():
            st.caption("Not reached: so few readers do not suffice, however many cases they read.")
        if (np.diff(grid.power, axis=1) < -0.01).any():
            st.caption("A line falls again where the test is left with hardly more degrees of freedom than readers.")
        st.caption(
            f"After Hillis, Obuchowski & Berbaum 2011, from this study's {len(result.readers)} readers and {pilot.cases} cases; "
            f"cases {what}. Components of so small a pilot are themselves uncertain."
        )
