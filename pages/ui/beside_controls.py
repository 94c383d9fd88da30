"""One method's heatmaps against masks or reviewers' regions, beside controls that know nothing of the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from core.explain import METHODS
from core.explain.honesty.table import control_rows
from core.explain.honesty.words import pointing
from pages.ui.explanation_data import Measures

AGAINST = {"masks": "Lesion masks", "reviewers": "Reviewers' regions"}


def beside_controls(measures: Measures, against: str) -> None:
    """The method that is chosen and its controls, with the paired differences; nothing where none was measured."""
    there = [name for name in METHODS if "own" in measures.get(name, {}).get(against, {})]
    if not there:
        return
    st.subheader("Beside the controls")
    name = st.selectbox("Method", there, format_func=lambda n: METHODS[n].title, key=f"ex_method:{against}", width=320)
    facts = measures[name][against]
    st.markdown(pointing(facts, AGAINST[against].lower()))
    st.dataframe(pd.DataFrame(control_rows(facts)), hide_index=True, alt="The method and its controls")
    st.caption(
        f"IoU at {facts['own']['threshold']:.0%} of the map's maximum, {_chosen(facts)}. {facts['empty']} of {facts['n']} maps "
        f"are empty and count as misses. Measured on {facts['dataset']}, {facts['measured_at'][:16].replace('T', ' ')} UTC."
    )


def _chosen(facts: Mapping[str, Any]) -> str:
    """Where the threshold of the IoU comes from."""
    if facts["tuned"]:
        return f"chosen for each on {facts['tuned']} validation masks"
    if facts.get("thresholds"):
        return f"chosen for each on the validation masks of {facts['tuned_on']}"
    return "fixed beforehand"
