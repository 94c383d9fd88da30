"""Pictures of a run's cases, page by page: one click to the study where the store has it, otherwise to a larger picture."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import streamlit as st

from pages.ui import run_data
from pages.ui.metric_names import class_name
from pages.ui.run_data import RunData

COLUMNS, ROWS = 8, 3
PAGE = COLUMNS * ROWS
_MARKUP = re.compile(r"\*\*|:[a-z]+\[|\]")  # of a note: a table shows it as it stands


def page_of(places: np.ndarray, key: str) -> np.ndarray:
    """The places on the page that the reader is on; the control is there only where there are several pages."""
    pages = max(1, -(-len(places) // PAGE))
    number = st.number_input(f"Page of {pages:,}", 1, pages, 1, key=key, width=160) if pages > 1 else 1
    return places[(int(number) - 1) * PAGE : int(number) * PAGE]


def gallery(data: RunData, places: np.ndarray, key: str, note: Callable[[int], str]) -> None:
    """Cases at `places` (K,) into the run, in that order. `note` says in a few words what matters about a case.

    Cases without pictures become a table with the same facts.
    """
    if not len(places):
        st.caption("No case is like that.")
        return
    shown = page_of(places, f"{key}:page")
    links, pictures = run_data.study_links(data.run.id, shown), run_data.pictures(data.run)
    if pictures is None:
        st.caption("This run came without pictures: evaluate again, or ingest the run folder with its thumbnails.zip.")
        _table(data, shown, links, note)
        return
    for start in range(0, len(shown), COLUMNS):
        columns = st.columns(COLUMNS, gap="small")
        for column, place in zip(columns, shown[start : start + COLUMNS].tolist(), strict=False):
            with column:
                _tile(data, place, pictures[place], links.get(place, ""), f"{key}:{place}", note(place))


def _tile(data: RunData, place: int, picture: bytes | None, study: str, key: str, note: str) -> None:
    name = data.run.case_ids[place]
    with st.container(border=True, gap="small"):
        if picture is None:
            st.caption("no picture")
        else:
            st.image(picture, width="stretch", alt=name, link=f"/review?study={study}" if study else None)
        st.markdown(f":small[{note}]")
        if study:
            st.page_link(
                "review.py", label="Study", icon=":material/radiology:", query_params={"study": study}, help=name
            )
        elif st.button("Larger", key=key, icon=":material/zoom_in:", type="tertiary", help=name):
            _larger(data, place, picture)


@st.dialog("Case", width="medium")
def _larger(data: RunData, place: int, picture: bytes | None) -> None:
    run = data.run
    left, right = st.columns([3, 2])
    with left:
        if picture:
            st.image(picture, width="stretch")
            st.caption("The run's thumbnail, enlarged. The study itself is not in this store.")
    with right:
        st.markdown(f"**{run.case_ids[place]}**  \nPatient {run.patient_ids[place]}")
        st.markdown(f"Reference standard: **{class_name(run.classes[run.labels[place]])}**")
        order = np.argsort(-run.probabilities[place])
        st.markdown("\n".join(f"- {class_name(run.classes[i])} {run.probabilities[place, i]:.3f}" for i in order))
        known = run_data.attributes(run.id)
        if len(known.columns):
            st.caption(" · ".join(f"{name} {known[name].iloc[place]}" for name in known))
    st.caption("Research use, not for diagnosis.")


def _table(data: RunData, shown: np.ndarray, links: dict[int, str], note: Callable[[int], str]) -> None:
    rows = pd.DataFrame(
        {
            "Case": [data.run.case_ids[i] for i in shown],
            "Patient": [data.run.patient_ids[i] for i in shown],
            "What": [_MARKUP.sub("", note(int(i))) for i in shown],
            "Study": [f"/review?study={links[int(i)]}" if int(i) in links else None for i in shown],
        }
    )
    if not links:
        rows = rows.drop(columns="Study")
    link = st.column_config.LinkColumn("Study", display_text="open")
    st.dataframe(rows, hide_index=True, column_config={"Study": link}, alt="Cases")
