"""Heatmaps on request: one row above the picture chooses method and class; slow ones show progress and can be stopped."""

from __future__ import annotations

import logging
from concurrent.futures import wait
from dataclasses import dataclass

import streamlit as st

from core.explain import METHODS, Cancelled, Request
from core.records import Heatmap, Refused
from db.engine import StoreError
from pages.ui import resources
from pages.ui.case import Case
from pages.ui.heatmap_jobs import HeatmapJob, forget_job, heatmap_job
from pages.ui.model_panel import ModelView

OFF = "off"
_LOG = logging.getLogger("tumortrace")


@dataclass(frozen=True)
class Shown:
    """The heatmap over image number `image_index`, and the sentence that belongs beneath it."""

    heatmap: Heatmap
    image_index: int
    caption: str


def show(case: Case, view: ModelView) -> Shown | None:
    """Draw the row; the heatmap when one is asked for and ready."""
    key = case.key("heatmap")
    titles = {OFF: "Off"} | {name: m.title for name, m in METHODS.items()}
    prediction = view.prediction
    classes = list(prediction.probabilities)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button("Heatmap", shortcut="G", type="tertiary", on_click=_toggle, args=(key,), help="Grad-CAM on or off")
        st.session_state.setdefault(key, OFF)
        method = st.segmented_control(
            "Heatmap", list(titles), format_func=titles.get, key=key, required=True, label_visibility="collapsed"
        )
        if method in (OFF, None):
            return None
        target = st.selectbox(
            "Class", classes, index=classes.index(prediction.predicted), key=case.key("target"),
            label_visibility="collapsed", width=170, format_func=lambda c: f"of {c.replace('_', ' ')}",
        )  # fmt: skip
        index = int(prediction.per_image[:, classes.index(target)].argmax())
        if len(case.study.images) > 1:
            index = st.number_input(
                "Image", 1, len(case.study.images), index + 1, key=case.key("map_image"), width=110, help="of image number"
            ) - 1  # fmt: skip
    try:
        image = resources.study_pixels(case.study.id).images[index]
    except (Refused, StoreError) as problem:
        st.warning(str(problem), icon=":material/block:")
        return None
    heatmap = _wait(heatmap_job(image, view.model.version, Request(method=method, target_class=target)))
    if heatmap is None:
        return None
    h, w = heatmap.values.shape
    caption = (
        f"{METHODS[method].what} Resolution {h} × {w} over {image.pixels.shape[0]} × {image.pixels.shape[1]} pixels. Full colour "
        f"is this picture's own maximum, {float(abs(heatmap.values).max()):.2e}: colours are not comparable between pictures."
    )
    return Shown(heatmap, index, caption)


def _toggle(key: str) -> None:
    st.session_state[key] = "gradcam" if st.session_state.get(key, OFF) == OFF else OFF


def _wait(job: HeatmapJob) -> Heatmap | None:
    """The finished heatmap; or None while the page shows its progress, or with the reason why there is none.

    Whatever went wrong is said here, so that the rest of the page, the assessment above all, is still drawn.
    """
    if not job.future.done():
        wait([job.future], timeout=0.3)
    if not job.future.done():
        _progress(job)
        return None
    try:
        return job.future.result()
    except Cancelled:
        reason = "The heatmap was stopped."
    except (Refused, StoreError) as problem:
        reason = str(problem)
    except Exception:
        _LOG.exception("a heatmap failed")
        reason = "The heatmap could not be made; the reading can go on without it."
    with st.container(horizontal=True, vertical_alignment="center"):
        st.warning(reason, icon=":material/block:")
        st.button("Try again", icon=":material/refresh:", key="retry_heatmap", on_click=forget_job, args=(job,))
    return None


@st.fragment(run_every=0.4)
def _progress(job: HeatmapJob) -> None:
    if job.future.done():
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(job.progress, text="Computing the heatmap …")
        st.button("Stop", icon=":material/stop:", key="stop_heatmap", on_click=job.cancel.set)
