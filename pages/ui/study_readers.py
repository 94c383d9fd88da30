"""Section of the results page about who read how much, and each reader's own figures."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.records import Estimate
from core.study_cuts import CLASS
from core.study_readings import StudyReadings, reader_figures
from core.tasks import TASKS
from pages.ui import messages
from pages.ui.study_cut import choose_cut
from pages.ui.study_tables import FIGURES as TITLES
from pages.ui.study_tables import ON_TOP, shown, study_csv, text


def readers(study: StudyReadings) -> None:
    """Who read how much, and each reader's own figures without and with the model."""
    _completeness(study)
    cut = choose_cut(study) if TASKS[study.task].positive else CLASS
    found = reader_figures(study, cut)
    figures = [name for name in TITLES if name in next(iter(found.values()))]
    if "sensitivity" in figures:
        figures.remove("accuracy")
    for start in range(0, len(figures), 2):
        for column, figure in zip(st.columns(2, gap="medium"), figures[start : start + 2], strict=False):
            with column:
                _one_figure(study, found, figure)
    st.caption(
        f"Sensitivity and specificity of {cut.words} (Wilson), AUC of the likelihood (DeLong), seconds with Student's t; "
        "95 % intervals over this study's cases, each reader alone; over patients where some have several cases."
        + (ON_TOP if study.protocol == "sequential" else "")
    )
    study_csv(study, lambda: _figures_csv(found), "reader-figures")


def _completeness(study: StudyReadings) -> None:
    """How much of what the study asks for was read, and who and what is missing altogether."""
    cases, asked = len(study.cases_asked), study.readers_asked
    counts = study.readings.groupby(["reader", "phase"]).size().unstack(fill_value=0)
    counts = counts.reindex(index=list(asked), columns=list(study.phases_asked), fill_value=0)
    whole, total = int((counts.to_numpy() == cases).all(axis=1).sum()), len(study.readings)
    wanted = cases * len(asked) * len(study.phases_asked)
    st.progress(
        total / wanted, text=f"{total:,} of {wanted:,} readings; {whole} of {len(asked)} readers read everything"
    )
    read, silent = study.readings["case"].nunique(), sorted(set(asked) - set(study.readers))
    parts = [f"{cases - read} of {cases} cases were read by nobody"] * (read < cases)
    parts += [f"no reading at all by {messages.plain(', '.join(silent))}"] * bool(silent)
    if parts:
        st.caption(f":orange[{'; '.join(parts)}.]")
    if unknown := study.readings.loc[study.readings["truth"] == "", "case"].nunique():
        st.caption(f"{unknown} of {read} cases that were read have no reference standard and count in agreement only.")


def _one_figure(study: StudyReadings, found: dict[tuple[str, str], dict[str, Estimate]], figure: str) -> None:
    digits = 1 if figure == "seconds" else 2
    rows = [
        {"Reader": reader, **{phase.capitalize(): text(found[reader, phase][figure], digits) for phase in study.phases}}
        for reader in study.readers
    ]
    st.markdown(f"**{TITLES[figure]}**")
    shown(pd.DataFrame(rows), f"{TITLES[figure]} by reader")


def _figures_csv(found: dict[tuple[str, str], dict[str, Estimate]]) -> pd.DataFrame:
    return pd.DataFrame([
        {"reader": reader, "phase": phase, "figure": name, "value": e.value, "low": e.low, "high": e.high, "n": e.n,
         "method": e.method}
        for (reader, phase), own in found.items() for name, e in own.items()
    ])  # fmt: skip
