"""The model's result on the review page. Never drawn in a blind reading."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import streamlit as st

from core.records import Model, OperatingPoint, Prediction, Refused
from db import engine as store
from db import models
from db.engine import StoreError
from pages.ui import messages, ready
from pages.ui.case import Case

_LOG = logging.getLogger("tumortrace")


@dataclass(frozen=True)
class ModelView:
    """What the panel shows: the model and its stored prediction."""

    model: Model
    prediction_id: int
    prediction: Prediction


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
            with st.spinner("Predicting …", show_time=False):
                prediction_id, prediction = ready.prediction_of(case.study.id, model.version, case.reviewer)
        except (Refused, StoreError) as reason:
            st.warning(str(reason), icon=":material/block:")
            return None
        except Exception:  # whatever a model does, the reading must be possible
            _LOG.exception("a prediction failed")
            st.warning("No result: the model failed on this study. The reading can go on.", icon=":material/block:")
            return None
        _result(model, prediction)
    return ModelView(model, prediction_id, prediction)


def _choose_model(case: Case) -> Model | None:
    with store.read() as session:
        if case.place is not None:  # a reader study has one model, whatever is active meanwhile
            model = models.get_model(session, case.place.reader_study.model_version)
            st.markdown(f"**Model** {model.name}" if model else "No model")
            return model
        active = models.list_models(session, task=case.study.task, status="active")
        newest = models.default_model(session, case.study.task)
    if not active or newest is None:
        return None
    by_version = {m.version: m for m in sorted(active, key=lambda m: m.version != newest.version)}
    version = st.selectbox(
        "Model", list(by_version), format_func=lambda v: f"{by_version[v].name} · {v[:8]}",
        key=f"model:{case.study.task}", persist_state="session",
    )  # fmt: skip
    return by_version[version]


def _result(model: Model, prediction: Prediction) -> None:
    for name, p in sorted(prediction.probabilities.items(), key=lambda item: -item[1]):
        title = messages.label_title(name)
        st.progress(p, text=f"**{title}** · {p:.1%}" if name == prediction.predicted else f"{title} · {p:.1%}")
    st.caption(f"Says **{prediction.predicted}** {_rule(prediction.operating_point)}.")
    with st.popover("How this was made", icon=":material/info:", type="tertiary"):
        size = prediction.preprocessing["size"]
        st.markdown(
            f"- Model **{model.name}**, {model.architecture}, version `{model.version[:16]}`\n"
            f"- Preprocessing: stretched to {size[0]} × {size[1]}, {prediction.preprocessing['channels']} channel(s), "
            f"mean {_short(prediction.preprocessing['mean'])}, std {_short(prediction.preprocessing['std'])}\n"
            f"- Images scored: {len(prediction.per_image)}; the study's probabilities are their mean\n"
            f"- Device: {prediction.device}, by {prediction.versions.get('engine', 'PyTorch')}\n"
            f"- Libraries: {', '.join(f'{k} {v}' for k, v in prediction.versions.items() if k != 'engine')}"
        )


def _short(values: tuple[float, ...] | list[float]) -> str:
    return ", ".join(f"{v:.3g}" for v in values)


def _rule(point: OperatingPoint | None) -> str:
    if point is None:
        return "(the most probable class)"
    return f"at its operating point {point.name}, {point.threshold:.3f}, chosen on {point.chosen_on}"
