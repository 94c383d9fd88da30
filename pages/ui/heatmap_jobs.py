"""Heatmaps in the making: threads that all sessions share, and finished maps on disk."""

from __future__ import annotations

import hashlib
import json
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock

import streamlit as st

from core import settings
from core.explain import Request, Watch, explain, load_heatmap, save_heatmap
from core.explain.answers import gradcam_of_answer
from core.predict import Answer
from core.records import Heatmap, Image, Refused, Study
from pages.ui.resources import engine

_LOG = logging.getLogger("tumortrace")
_LOCK = Lock()
KEPT = 256  # finished maps are on disk as well: forgetting one here costs a file read

Key = tuple[str, str, str, str]


@dataclass
class HeatmapJob:
    """A heatmap being made: `progress` in [0, 1], `future` gives it or says why not, `cancel` stops it."""

    key: Key
    future: Future[Heatmap]
    progress: float = 0.0
    cancel: Event = field(default_factory=Event)


@st.cache_resource(show_spinner=False)
def _threads() -> ThreadPoolExecutor:
    # Two at a time: heatmaps that take seconds must leave the processor to other reviewers' predictions.
    return ThreadPoolExecutor(max_workers=2, thread_name_prefix="heatmap")


@st.cache_resource(show_spinner=False)
def _jobs() -> dict[Key, HeatmapJob]:
    return {}


def _key(image: Image, version: str, request: Request) -> Key:
    # The window is part of what the model sees: the same pixels through another window are another picture to it.
    seen = hashlib.sha256(f"{image.content_hash}|{image.window}".encode()).hexdigest()
    how = request.method
    if request.parameters or request.seed:
        text = json.dumps([request.seed, dict(request.parameters)], sort_keys=True)
        how += f"-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return seen, version, how, request.target_class


def heatmap_job(image: Image, version: str, request: Request) -> HeatmapJob:
    """The job that makes this heatmap, started at the first call; later calls, from any session, get the same one.

    One that failed or was stopped stays so until `forget_job`: a page that reruns must not start it again by itself.
    """
    key = _key(image, version, request)
    with _LOCK:
        jobs = _jobs()
        if key not in jobs:
            job = jobs[key] = HeatmapJob(key, Future())
            _threads().submit(_run, job, image, request)
            _forget_oldest(jobs)
        return jobs[key]


def keep_maps_of(study: Study, version: str, answer: Answer) -> None:
    """Keep the Grad-CAMs that came with a prediction, so that asking for one finds it finished."""
    checkpoint = engine().checkpoint(version)
    for i, image in enumerate(study.images):
        for target in checkpoint.classes:
            heatmap = gradcam_of_answer(checkpoint, image, answer.part(i, 1), target, engine().device)
            if heatmap is None:
                continue
            job = HeatmapJob(_key(image, version, Request("gradcam", target)), Future(), progress=1.0)
            job.future.set_result(heatmap)
            with _LOCK:
                _jobs().setdefault(job.key, job)
                _forget_oldest(_jobs())


def _forget_oldest(jobs: dict[Key, HeatmapJob]) -> None:
    while len(jobs) > KEPT:
        jobs.pop(next(iter(jobs)))


def busy() -> bool:
    """Whether somebody waits for a heatmap: work that nobody waits for lets it go first."""
    with _LOCK:
        return any(not job.future.done() for job in _jobs().values())


def forget_job(job: HeatmapJob) -> None:
    """Let the next `heatmap_job` start this one anew."""
    with _LOCK:
        if _jobs().get(job.key) is job:
            del _jobs()[job.key]


def _run(job: HeatmapJob, image: Image, request: Request) -> None:
    try:
        job.future.set_result(_make(job, image, request))
    except Exception as e:
        job.future.set_exception(e)


def _make(job: HeatmapJob, image: Image, request: Request) -> Heatmap:
    seen, version, how, target = job.key
    path = settings.home() / "heatmaps" / version[:16] / f"{seen}-{how}-{target}.npz"
    if path.exists():
        try:
            return load_heatmap(path)
        except Refused:
            _LOG.warning("a damaged heatmap file is made again: %s", path.name)

    def report(fraction: float) -> None:
        job.progress = fraction

    checkpoint, device = engine().checkpoint(version), engine().device
    watch = Watch(progress=report, cancelled=job.cancel.is_set, give_way=engine().give_way)
    heatmap = explain(checkpoint, image, request, device=device, watch=watch)
    _keep(heatmap, path)
    return heatmap


def _keep(heatmap: Heatmap, path: Path) -> None:
    """A full disk must not take a finished heatmap from the reader: it is only made again next time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_heatmap(heatmap, path)
    except OSError as e:
        _LOG.warning("a heatmap could not be kept on disk: %s", e.strerror)
