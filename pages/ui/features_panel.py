"""One side of the features page: which study, image and region; its picture; and the numbers of both sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from core.features import FAMILIES, FeatureVector, crop, grey_of
from core.features.cooccurrence import horizontal_matrix
from core.features.figures import histogram_figure, histogram_groups, matrix_figure
from core.records import Image, Refused, Study
from db.users import User
from pages.ui import features_data as data
from pages.ui import messages, resources

NONE = ""
_FILE_BOX, _ROUND = "feat_file_box", "feat_file_round"
_MOST_HISTOGRAMS = 6  # HOG has 36, which nobody would look at
_WIDTH = 620  # of a picture on the page; it shrinks with its column
_LARGEST, _SMALLEST = 1024, 384  # edges of the picture that is sent, in pixels


@dataclass(frozen=True)
class Side:
    """A chosen picture: `title` for people, `number` its place in the study (from 0), `region` a rectangle or None."""

    study_id: str
    title: str
    task: str
    image: Image
    number: int
    region: Mapping[str, Any] | None


def choose(user: User, label: str, key: str, *, optional: bool = False) -> Side | None:
    """Search box, study, image and region of one side; the study is kept in the address as `key`."""
    wanted = st.query_params.get(key, NONE)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        words = st.text_input(f"Search for {label}", placeholder="name or patient", key=f"feat_search:{key}", width=200)
        found = data.search(words.strip(), user)
        if wanted and wanted not in found and not words.strip():
            found = {wanted: resources.study_pixels(wanted).name} | found
        ids = [*([NONE] if optional else []), *found]
        if not ids:
            st.caption("Nothing matches.")
            return None
        place = ids.index(wanted) if wanted in ids else 0
        names = {NONE: "None"} | found
        chosen = st.selectbox(label[0].upper() + label[1:], ids, index=place, format_func=names.get)
    if not chosen:
        st.query_params.pop(key, None)
        return None
    st.query_params[key] = chosen
    return _side(user, resources.study_pixels(chosen), key)


def offer_file() -> UploadedFile | None:
    """The place for one file that is looked at and never stored; gives the file that lies there."""
    with st.popover("Look at a file", icon=":material/file_open:", key=_FILE_BOX, on_change="rerun"):
        return st.file_uploader(
            "PNG, JPEG, TIFF, DICOM, NPZ or a ZIP of these. The file is not stored.",
            key=f"feat_file:{st.session_state.setdefault(_ROUND, 0)}", on_change=_close_box,
        )  # fmt: skip


def choose_file(user: User, file: UploadedFile) -> Side | None:
    """An uploaded file as a side, with the way back; None, with the reason on the page, where it cannot be read."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        what = st.empty()
        st.button("Close the file", icon=":material/close:", on_click=_drop_file, key="feat_file_close")
    with messages.shown():
        with st.spinner("Reading …", show_time=False):
            study, count = data.file_study(file.file_id, file.name, file.getvalue())
        what.text(f"{study.name}, not stored{f'; the first of {count} studies in the file' if count > 1 else ''}")
        return _side(user, study, "file")
    return None


def _close_box() -> None:
    st.session_state[_FILE_BOX] = False


def _drop_file() -> None:
    st.session_state[_ROUND] += 1  # a new key empties the uploader


def _side(user: User, study: Study, key: str) -> Side:
    study_id = study.id
    number, region = 0, None
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        if len(study.images) > 1:
            text = f"Image of {len(study.images)}"
            number = (
                int(st.number_input(text, 1, len(study.images), 1, key=f"feat_image:{key}:{study_id}", width=140)) - 1
            )
        if drawn := data.regions_of(study_id, number, user):
            options = [None, *range(len(drawn))]
            picked = st.selectbox(
                "Region", options, key=f"feat_region:{key}:{study_id}:{number}", width=260,
                format_func=lambda i: "Whole image" if i is None else _region_text(drawn[i]),
            )  # fmt: skip
            region = None if picked is None else drawn[picked]
    return Side(study_id, study.name, study.task, study.images[number], number, region)


def _region_text(region: Mapping[str, Any]) -> str:
    (x0, y0), (x1, y1) = region["points"]
    return f"{abs(x1 - x0):.0f} × {abs(y1 - y0):.0f} pixels at {min(x0, x1):.0f}, {min(y0, y1):.0f}"


def picture(side: Side, family: str, title: str) -> None:
    """The side's picture of that title, or its brightness, and what was measured."""
    grey = crop(grey_of(side.image), side.region)
    shown = FAMILIES[family].pictures(grey).get(title, grey)
    where = "region" if side.region else "whole image"
    st.image(
        _to_screen(shown), caption=f"{side.title}, {where}, {grey.shape[1]} × {grey.shape[0]} pixels", width=_WIDTH
    )


def _to_screen(shown: np.ndarray) -> np.ndarray:
    """uint8 for the browser: large pictures thinned, small ones enlarged in whole squares, so that no pixel is invented."""
    step = -(-max(shown.shape[:2]) // _LARGEST)
    shown = shown[::step, ::step]
    times = max(1, _SMALLEST // max(shown.shape[:2]))
    return np.rint(shown * 255).astype(np.uint8).repeat(times, axis=0).repeat(times, axis=1)


def titles_of(side: Side, family: str) -> list[str]:
    """Titles of the family's pictures; `Brightness` is always one."""
    small = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)  # titles are the same for every picture
    return list(dict.fromkeys([*FAMILIES[family].pictures(small), "Brightness"]))


def vector(side: Side, family: str) -> FeatureVector | None:
    """The side's numbers; None, with the reason on the page, where it cannot be measured."""
    try:
        with st.spinner("Measuring …", show_time=False):
            return data.measured(side.image, family, side.region)
    except Refused as reason:
        st.warning(str(reason), icon=":material/block:")
        return None


def numbers(vectors: Mapping[str, FeatureVector]) -> None:
    """All numbers of the sides beside each other, and the histograms among them as bars."""
    first = next(iter(vectors.values()))
    short = [name.split(".", 1)[1] for name in first.names]
    columns = {name: v.values for name, v in vectors.items()}
    table = pd.DataFrame({"Feature": short, **columns, "Unit": ["" if u == "1" else u for u in first.units]})
    config = dict.fromkeys(columns, st.column_config.NumberColumn(format="%.5g"))
    groups = histogram_groups(short)
    drawn = groups if len(groups) <= _MOST_HISTOGRAMS else {}
    left, right = st.columns(2) if len(vectors) > 1 and drawn else (st.container(), st.container())
    with left:
        st.dataframe(
            table, hide_index=True, height=min(400 if drawn else 620, 38 + 35 * len(table)), column_config=config,
            alt="Numbers of the family",
        )  # fmt: skip
    sides = {name: dict(zip(short, v.values.tolist(), strict=True)) for name, v in vectors.items()}
    with right:
        for title, bins in drawn.items():
            unit = first.units[short.index(bins[0])]
            st.plotly_chart(histogram_figure(f"{title}, {unit}", bins, sides), key=f"h:{title}")


def matrices(sides: list[Side]) -> None:
    """The co-occurrence matrix for the horizontal offset, drawn, and in numbers on request."""
    for column, (place, side) in zip(st.columns(2), enumerate(sides), strict=False):
        matrix = horizontal_matrix(crop(grey_of(side.image), side.region))
        with column:
            st.plotly_chart(matrix_figure(matrix, f"{side.title}: one pixel to the right"), key=f"matrix:{place}")
            with st.expander("The matrix in numbers", key=f"matrix_open:{place}", on_change="rerun") as box:
                if box.open:
                    st.dataframe(pd.DataFrame(matrix).map("{:.5f}".format), height=420, alt="Co-occurrence matrix")
