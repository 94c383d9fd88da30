"""Predictions made ahead: what a reviewer will want next is computed in the background and waits here, unsent and unstored.

A prediction enters the store when it is first shown, never before: until the unaided reading is saved, neither the browser nor
the store has anything of it.
"""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

import streamlit as st

from core import settings
from core.predict import predict_study_with_maps
from core.records import Prediction
from db import engine as store
from db import models, predictions, studies
from pages.ui import resources
from pages.ui.case import Case
from pages.ui.heatmap_jobs import keep_maps_of

_LOCK = Lock()
KEPT = 128  # predictions: a few hundred bytes each

_Key = tuple[
    str, str, str, tuple[str, ...]
]  # store, study, model version, and its pixels: masking keeps the study's id


@st.cache_resource(show_spinner=False)
def _thread() -> ThreadPoolExecutor:
    # One: what is only expected must leave the processor to what is asked for.
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead")


@st.cache_resource(show_spinner=False)
def _made() -> OrderedDict[_Key, Future[Prediction]]:
    return OrderedDict()


def prediction_of(study_id: str, version: str, user: str) -> tuple[int, Prediction]:
    """The stored prediction of this model for this study with its id; made, or taken from what was made ahead, and stored now."""
    with store.read() as session:
        found = predictions.get_prediction(session, study_id, version)
    if found:
        return found
    prediction = _future(study_id, version)[1].result()
    with store.write() as session:
        return predictions.add_prediction(session, prediction, requested_by=user), prediction


def make_what_comes_next(case: Case, after: str | None) -> None:
    """In the background, the prediction and Grad-CAMs of the case being read blind and of the study after it; returns at once.

    Nothing of them goes to this page. Failures are told when the result is asked for.
    """
    version = _version_to_show(case)
    if version is None:
        return
    for study_id in ([case.study.id] if case.blind else []) + ([after] if after else []):
        key, future = _claim(study_id, version)
        if key is not None:
            _thread().submit(_make, key, future)


def _version_to_show(case: Case) -> str | None:
    """The model that this tab's reviewer sees: a reader study's own; in daily work the one chosen, else the active one, or None."""
    if case.place is not None:
        return case.place.reader_study.model_version
    task = case.study.task
    with store.read() as session:
        active = [m.version for m in models.list_models(session, task=task, status="active")]
        newest = models.default_model(session, task)
    chosen = st.session_state.get(f"model:{task}")
    return chosen if chosen in active else newest.version if newest else None


def _future(study_id: str, version: str) -> tuple[_Key | None, Future[Prediction]]:
    key, future = _claim(study_id, version)
    if key is not None:
        _make(key, future)  # nobody has begun: here and now
    return key, future


def _claim(study_id: str, version: str) -> tuple[_Key | None, Future[Prediction]]:
    """The prediction's future, and its key where the caller is the first to ask and has to make it."""
    with store.read() as session:
        key = (settings.database_url(), study_id, version, studies.pixel_hashes(session, study_id))
    with _LOCK:
        made = _made()
        if key in made:
            return None, made[key]
        made[key] = Future()
        while len(made) > KEPT:
            made.popitem(last=False)
        return key, made[key]


def _make(key: _Key, future: Future[Prediction]) -> None:
    _, study_id, version, _ = key
    try:
        study = resources.study_pixels(study_id)  # says so when it is held, or gone
        prediction, answer = predict_study_with_maps(resources.engine(), version, study)
        keep_maps_of(study, version, answer)
        future.set_result(prediction)
    except Exception as e:
        with _LOCK:
            _made().pop(key, None)  # the next one who asks tries again
        future.set_exception(e)
