"""What all sessions of the process share: the inference engine and what it has predicted."""

from __future__ import annotations

import streamlit as st

from core import settings
from core.checkpoint import load_checkpoint
from core.predict import Engine, predict_study
from core.records import Prediction, Refused, Study
from db import engine as store
from db import holds, models, predictions, studies


@st.cache_resource(show_spinner=False)
def engine() -> Engine:
    """The one engine of this process."""
    return Engine(lambda version: load_checkpoint(models.model_file(version)), settings.device())


def study_pixels(study_id: str) -> Study:
    """A stored study with its pixels; raises `Refused` when it is not in the store, or held."""
    with store.read() as session:
        holds.require_released(session, study_id)
    return _study_pixels(settings.database_url(), study_id)


@st.cache_resource(max_entries=2, ttl=600, show_spinner=False)
def _study_pixels(store_address: str, study_id: str) -> Study:
    """Never out of date: the id is a hash of what arrived, and what is masked of it is masked before anybody may read it.

    Two at most: unpacking a mammogram costs a tenth of a second, which a rerun must not pay, and a large study much memory.
    """
    with store.read() as session:
        study = studies.get_study(session, study_id)
    if study is None:
        raise Refused("This study is no longer in the store.")
    return study


def stored_prediction(study_id: str, version: str, user: str) -> tuple[int, Prediction]:
    """The stored prediction of this model for this study with its id, made and stored first if there is none."""
    with store.read() as session:
        found = predictions.get_prediction(session, study_id, version)
    if found:
        return found
    prediction = predict_study(engine(), version, study_pixels(study_id))
    with store.write() as session:
        return predictions.add_prediction(session, prediction, requested_by=user), prediction
