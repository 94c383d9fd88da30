"""What all sessions of the process share: the inference engine and the pixels of the open studies."""

from __future__ import annotations

import streamlit as st

from core import settings
from core.checkpoint import Checkpoint, load_checkpoint
from core.onnx import OnnxNetwork, cached_onnx, open_checked
from core.predict import Engine
from core.records import Refused, Study
from db import engine as store
from db import holds, models, studies


@st.cache_resource(show_spinner=False)
def engine() -> Engine:
    """The one engine of this process."""
    faster = _onnx if settings.engine() == "auto" else None
    return Engine(lambda version: load_checkpoint(models.model_file(version)), settings.device(), faster=faster)


def _onnx(version: str, checkpoint: Checkpoint) -> OnnxNetwork:
    """The model in ONNX Runtime; raises where it is not installed, cannot be exported or gives other results."""
    return open_checked(checkpoint, cached_onnx(models.model_file(version), version))


def study_pixels(study_id: str) -> Study:
    """A stored study with its pixels; raises `Refused` when it is not in the store, or held."""
    with store.read() as session:
        holds.require_released(session, study_id)
        hashes = studies.pixel_hashes(session, study_id)
    return _study_pixels(settings.database_url(), study_id, hashes)


@st.cache_resource(max_entries=3, ttl=600, show_spinner=False)
def _study_pixels(store_address: str, study_id: str, hashes: tuple[str, ...]) -> Study:
    """Never out of date: the hashes are those of the pixels, also where a study was held again and masked.

    Three at most (this one, the last and the one made ahead): unpacking a mammogram costs a tenth of a second, which a rerun
    must not pay, and a large study much memory.
    """
    with store.read() as session:
        study = studies.get_study(session, study_id)
    if study is None:
        raise Refused("This study is no longer in the store.")
    return study
