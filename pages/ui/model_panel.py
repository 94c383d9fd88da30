"""The model's side of the review page: which model, its result, and heatmaps on request. Never drawn in a blind reading."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from core.explain import METHODS, Cancelled, Request
from core.records import Heatmap, Model, OperatingPoint, Prediction, Refused, Study
from db import engine as store
from db import models, studies
from pages.ui import resources
from pages.ui.case import Case

OFF = "off"


@dataclass(frozen=True)
class ModelView:
    """What the panel shows: the stored prediction, and the heatmap of image number `image_index` if one is asked for."""

    prediction_id: int
    prediction: Prediction
    heatmap: Heatmap | None
    image_index: int


def show(case: Case) -> ModelView | None:
    """Draw the panel; None where the model gives no result."""
    with st.container(border=True, gap="small"):
        model = _choose_model(case)
        if model is None:
            st.caption(
                f"No active model for {case.task.title.lower()}. A lead can activate one on the **Models** page."
            )
            return None
        try:
            study = _load(case.study.id)
            with st.spinner("Predicting …", show_time=False):
                prediction_id, prediction = resources.stored_prediction(study, model.version, case.reviewer)
        except Refused as reason:
            st.warning(str(reason), icon=":material/block:")
            return None
        _result(model, prediction)
        heatmap, index = _heatmap(case, study, model, prediction)
    return ModelView(prediction_id, prediction, heatmap, index)


def _load(study_id: str) -> Study:
    with store.read() as session:
        study = studies.get_study(session, study_id)
    if study is None:
        raise Refused("This study is no longer in the store.")
    return study


def _choose_model(case: Case) -> Model | None:
    with store.read() as session:
        active = models.list_models(session, task=case.study.task, status="active")
    by_version = {m.version: m for m in active}
    if not by_version:
        return None
    version = st.selectbox(
        "Model", list(by_version), format_func=lambda v: f"{by_version[v].name} · {v[:8]}",
        key=f"model:{case.study.task}", persist_state="session",
    )  # fmt: skip
    return by_version[version]


def _result(model: Model, prediction: Prediction) -> None:
    for name, p in sorted(prediction.probabilities.items(), key=lambda item: -item[1]):
        title = name.replace("_", " ").capitalize()
        st.progress(p, text=f"**{title}** · {p:.1%}" if name == prediction.predicted else f"{title} · {p:.1%}")
    st.caption(f"Says **{prediction.predicted}** {_rule(prediction.operating_point)}.")
    with st.popover("How this was made", icon=":material/info:", type="tertiary"):
        size = prediction.preprocessing["size"]
        st.markdown(
            f"- Model **{model.name}**, {model.architecture}, version `{model.version[:16]}`\n"
            f"- Preprocessing: stretched to {size[0]} × {size[1]}, {prediction.preprocessing['channels']} channel(s), "
            f"mean {_short(prediction.preprocessing['mean'])}, std {_short(prediction.preprocessing['std'])}\n"
            f"- {len(prediction.per_image)} image(s); the study's probabilities are their mean\n"
            f"- Device: {prediction.device}\n"
            f"- Libraries: {', '.join(f'{k} {v}' for k, v in prediction.versions.items())}"
        )


def _short(values: tuple[float, ...] | list[float]) -> str:
    return ", ".join(f"{v:.3g}" for v in values)


def _rule(point: OperatingPoint | None) -> str:
    if point is None:
        return "(the most probable class)"
    return f"at its operating point {point.name}, {point.threshold:.3f}, chosen on {point.chosen_on}"


def _toggle_gradcam(key: str) -> None:
    st.session_state[key] = "gradcam" if st.session_state.get(key, OFF) == OFF else OFF


def _heatmap(case: Case, study: Study, model: Model, prediction: Prediction) -> tuple[Heatmap | None, int]:
    key = case.key("heatmap")
    titles = {OFF: "Off"} | {name: m.title for name, m in METHODS.items()}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        method = st.selectbox("Heatmap", list(titles), format_func=titles.get, key=key)
        st.button("Grad-CAM", shortcut="G", on_click=_toggle_gradcam, args=(key,), help="Switch Grad-CAM on or off")
    if method == OFF:
        return None, 0
    classes = list(prediction.probabilities)
    with st.container(horizontal=True):
        target = st.selectbox("of class", classes, index=classes.index(prediction.predicted), key=case.key("target"))
        strongest = int(prediction.per_image[:, classes.index(target)].argmax())
        index = strongest
        if len(study.images) > 1:
            index = st.number_input("of image", 1, len(study.images), strongest + 1, key=case.key("map_image")) - 1
    job = resources.heatmap_job(study.images[index], model.version, Request(method=method, target_class=target))
    heatmap = _wait(job)
    if heatmap is not None:
        h, w = heatmap.values.shape
        st.caption(f"{METHODS[method].what} Resolution {h} × {w}; raw maximum {float(abs(heatmap.values).max()):.2e}.")
    return heatmap, index


def _wait(job: resources.HeatmapJob) -> Heatmap | None:
    """The finished heatmap, or None while the page shows its progress and asks again."""
    try:
        return job.future.result(timeout=0.25)
    except TimeoutError:
        _progress(job)
        return None
    except Cancelled:
        st.caption("Stopped. Choose the heatmap again to start it anew.")
        return None


@st.fragment(run_every=0.4)
def _progress(job: resources.HeatmapJob) -> None:
    if job.future.done():
        st.rerun()
    st.progress(job.progress, text="Computing the heatmap …")
    if st.button("Stop", icon=":material/stop:", key="stop_heatmap"):
        job.cancel.set()
