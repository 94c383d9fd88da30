"""Performance, the cases behind the numbers: those of a cell, the right and the wrong ones, and suspected labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from core.statistics.label_noise import suspects
from pages.ui.charts import csv
from pages.ui.gallery import gallery
from pages.ui.metric_names import class_name
from pages.ui.run_data import RunData

SECTION, KIND = "section", "cases_kind"
ANY = -1
KINDS = {"all": "All", "wrong": "Incorrect", "right": "Correct"}
ORDERS = {"sure": "Most confident first", "unsure": "Least confident first", "order": "As in the run"}


def open_cell(run_id: str, truth: int, called: int) -> None:
    """Callback: go to the cases of one cell of the confusion matrix."""
    st.session_state[SECTION] = "cases"
    st.session_state[KIND] = "all"
    for name, value in (("truth", truth), ("called", called)):
        st.session_state[f"cases_{name}:{run_id}"] = value
    st.session_state.pop("cases:page", None)


def show(data: RunData, threshold: float | None) -> None:
    """The section: filters, then pictures."""
    run = data.run
    labels = {ANY: "Any"} | {i: class_name(name) for i, name in enumerate(run.classes)}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.segmented_control(
            "Cases", list(KINDS), default=None if KIND in st.session_state else "all", required=True,
            format_func=KINDS.get, key=KIND, persist_state="page",
        )  # fmt: skip
        truth = st.selectbox("Reference standard", list(labels), format_func=labels.get, key=f"cases_truth:{run.id}",
                             persist_state="page")  # fmt: skip
        called = st.selectbox("Predicted", list(labels), format_func=labels.get, key=f"cases_called:{run.id}",
                              persist_state="page")  # fmt: skip
        order = st.selectbox("Order", list(ORDERS), format_func=ORDERS.get, key="cases_order", persist_state="page")
    predicted = data.predicted(threshold)
    confidence = run.probabilities[np.arange(len(predicted)), predicted]
    places = _chosen(run.labels, predicted, kind or "all", (truth, called))
    if order != "order":
        places = places[np.argsort((-1 if order == "sure" else 1) * confidence[places], kind="stable")]
    at = "" if threshold is None else f" at threshold {threshold:.3f}"
    st.markdown(f"**{len(places):,} of {len(predicted):,} cases**{at}")

    def note(i: int) -> str:
        mark = "" if predicted[i] == run.labels[i] else ":orange[✗] "
        truth_name, called_name = class_name(run.classes[run.labels[i]]), class_name(run.classes[predicted[i]])
        return f"{mark}{truth_name} → **{called_name}** {confidence[i]:.2f}"

    gallery(data, places, "cases", note)
    csv(lambda: _table(data, places, predicted), "cases")


def _chosen(labels: np.ndarray, predicted: np.ndarray, kind: str, cell: tuple[int, int]) -> np.ndarray:
    wanted = np.ones(len(labels), dtype=bool)
    if kind != "all":
        wanted &= (labels == predicted) == (kind == "right")
    for values, value in zip((labels, predicted), cell, strict=True):
        if value != ANY:
            wanted &= values == value
    return np.flatnonzero(wanted)


def _table(data: RunData, places: np.ndarray, predicted: np.ndarray) -> pd.DataFrame:
    run = data.run
    table = pd.DataFrame(
        {
            "case_id": [run.case_ids[i] for i in places],
            "patient_id": [run.patient_ids[i] for i in places],
            "label": [run.classes[run.labels[i]] for i in places],
            "predicted": [run.classes[predicted[i]] for i in places],
        }
    )
    return table.assign(**{f"prob_{name}": run.probabilities[places, i] for i, name in enumerate(run.classes)})


def show_suspects(data: RunData) -> None:
    """Cases whose reference standard may be wrong, worst first."""
    run = data.run
    found = suspects(run.labels, run.probabilities)
    st.caption(
        "Cases where the model is surer of another class than it usually is of that class (confident learning). "
        "They are questions to a reader, not corrections: a confidently wrong model looks the same."
    )
    st.markdown(f"**{len(found.rows):,} suspected labels**, of n = {len(run.labels):,}")
    by_place = dict(zip(found.rows.tolist(), zip(found.given, found.suggested, found.margin, strict=True), strict=True))

    def note(i: int) -> str:
        given, suggested, margin = by_place[i]
        return (
            f"labelled {class_name(run.classes[given])}, **{class_name(run.classes[suggested])}**? margin {margin:.2f}"
        )

    gallery(data, found.rows, "suspects", note)
    if len(found.rows):
        csv(lambda: _table(data, found.rows, data.predicted(None)).assign(margin=found.margin), "label-suspects")
