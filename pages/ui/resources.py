"""What all sessions of the process share: the inference engine, the threads for slow heatmaps, the store's address."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event

import streamlit as st

from core import settings
from core.checkpoint import load_checkpoint
from core.explain import Request, explain, load_heatmap, save_heatmap
from core.predict import Engine, predict_study
from core.records import Heatmap, Image, Prediction, Refused, Study
from db import engine as store
from db import models, predictions, studies


@st.cache_resource(show_spinner=False)
def engine() -> Engine:
    """The one engine of this process."""
    return Engine(lambda version: load_checkpoint(models.model_file(version)), settings.device())


@st.cache_resource(show_spinner=False)
def _slow_threads() -> ThreadPoolExecutor:
    # Two at a time: heatmaps that take seconds must leave the processor to other reviewers' predictions.
    return ThreadPoolExecutor(max_workers=2, thread_name_prefix="heatmap")


def study_pixels(study_id: str) -> Study:
    """A stored study with its pixels; raises `Refused` when it is not in the store."""
    return _study_pixels(settings.database_url(), study_id)


@st.cache_resource(max_entries=2, ttl=600, show_spinner=False)
def _study_pixels(store_address: str, study_id: str) -> Study:
    """The id is a content hash: within one store, what is kept under it can never be out of date.

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


@dataclass
class HeatmapJob:
    """A heatmap being made: `progress` in [0, 1], `future` gives it, `cancel` stops it."""

    future: Future[Heatmap] | None = None
    progress: float = 0.0
    cancel: Event = field(default_factory=Event)


@st.cache_resource(show_spinner=False)
def _jobs() -> dict[tuple[str, str, str, str], HeatmapJob]:
    return {}


def heatmap_job(image: Image, version: str, request: Request) -> HeatmapJob:
    """The job that makes this heatmap, started at the first call; later calls, from any session, get the same one."""
    key = (image.content_hash, version, request.method, request.target_class)
    jobs = _jobs()
    job = jobs.get(key)
    if job and job.future and job.future.done() and (job.future.cancelled() or job.future.exception()):
        job = None  # a failed or stopped one is tried again when asked for again
    if job is None:
        job = jobs[key] = HeatmapJob()
        job.future = _slow_threads().submit(_make, job, image, version, request)
        while len(jobs) > 256:  # finished maps are on disk: forgetting them here costs a file read
            jobs.pop(next(iter(jobs)))
    return job


def _make(job: HeatmapJob, image: Image, version: str, request: Request) -> Heatmap:
    folder = settings.home() / "heatmaps" / version[:16]
    path = folder / f"{image.content_hash}-{request.method}-{request.target_class}.npz"
    if path.exists():
        return load_heatmap(path)

    def report(fraction: float) -> None:
        job.progress = fraction

    checkpoint, device = engine().checkpoint(version), engine().device
    heatmap = explain(checkpoint, image, request, device=device, progress=report, cancelled=job.cancel.is_set)
    folder.mkdir(parents=True, exist_ok=True)
    save_heatmap(heatmap, path)
    return heatmap
