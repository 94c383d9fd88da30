"""Heatmaps in the making: threads that all sessions share, and finished maps on disk."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from core import settings
from core.checkpoint import Checkpoint
from core.explain import Cancelled, Request, Watch, explain, get_method, load_heatmap, save_heatmap
from core.explain.answers import gradcam_of_answer
from core.explain.files import MADE
from core.explain.methods import defaults
from core.predict import Answer
from core.records import Heatmap, Image, Refused, Study
from pages.ui.resources import engine
from pages.ui.wants import LOCK, Work

_LOG = logging.getLogger("tumortrace")
KEPT = 256  # finished maps are on disk as well: forgetting one here costs a file read
STUDIES = 32  # whose Grad-CAMs came with their predictions: a few hundred kilobytes each at most

Key = tuple[str, str, str, str]


@dataclass
class HeatmapJob(Work):
    """A heatmap being made by `method`: `progress` in [0, 1]."""

    method: str = ""
    progress: float = 0.0


@st.cache_resource(show_spinner=False)
def _threads(slow: bool) -> ThreadPoolExecutor:
    # Two at a time: heatmaps that take seconds must leave the processor to other reviewers' predictions. Those that take a few
    # passes have a thread of their own, so that they do not wait for these.
    return ThreadPoolExecutor(max_workers=2 if slow else 1, thread_name_prefix="heatmap" if slow else "quick")


@st.cache_resource(show_spinner=False)
def _jobs() -> dict[Key, HeatmapJob]:
    return {}


@st.cache_resource(show_spinner=False)
def _came_along() -> OrderedDict[tuple[str, str], tuple[dict[str, int], Answer]]:
    return OrderedDict()  # (study, model version) -> place of each picture, and what was said of them


def key_of(image: Image, version: str, request: Request) -> Key:
    """What the heatmap is found by: picture, model version, method with what differs from its defaults, class."""
    how = request.method
    if request.parameters or request.seed:
        how += f"-{_hash([request.seed, dict(request.parameters)])}"
    return _seen(image), version, how, request.target_class


def _seen(image: Image) -> str:
    # The window is part of what the model sees: the same pixels through another window are another picture to it.
    return hashlib.sha256(f"{image.content_hash}|{image.window}".encode()).hexdigest()


def _hash(facts: list) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]


def heatmap_job(image: Image, version: str, request: Request, tab: str = "") -> HeatmapJob:
    """The job that makes this heatmap, begun at the first call; later calls, from any tab, get the same one.

    `tab` is the one that waits for it (see `Work`). A job that failed stays so until `forget`: a page that reruns must not begin
    it again by itself.
    """
    key = key_of(image, version, request)
    with LOCK:
        if (known := _jobs().get(key)) is not None:
            known.wanted.add(tab)
            return known
    there = _of_prediction(image, version, request)
    with LOCK:
        jobs = _jobs()
        if key not in jobs:
            job = jobs[key] = HeatmapJob(key, jobs, method=request.method)
            if there is not None:
                job.progress = 1.0
                job.future.set_result(there)
            else:
                _threads(_is_slow(request.method)).submit(_run, job, image, request)
            _forget_oldest(jobs)
        jobs[key].wanted.add(tab)
        return jobs[key]


def _is_slow(method: str) -> bool:
    return get_method(method).folds  # where the network runs many times


def _forget_oldest(jobs: dict[Key, HeatmapJob]) -> None:
    """Of the finished ones: what is being made is waited for."""
    finished = [key for key, job in jobs.items() if job.future.done()]
    for key in finished[: max(0, len(finished) - KEPT)]:
        del jobs[key]


def keep_maps_of(study: Study, version: str, answer: Answer) -> None:
    """Keep the Grad-CAMs that came with a prediction, so that asking for one finds it finished."""
    if answer.maps is None:
        return
    places = {_seen(image): place for place, image in enumerate(study.images)}
    with LOCK:
        there = _came_along()
        there[study.id, version] = places, answer
        there.move_to_end((study.id, version))
        while len(there) > STUDIES:
            there.popitem(last=False)


def _of_prediction(image: Image, version: str, request: Request) -> Heatmap | None:
    """The Grad-CAM that came with a prediction, or None."""
    if request != Request("gradcam", request.target_class):
        return None
    seen = _seen(image)
    with LOCK:
        of_version = [found for (_, made_by), found in _came_along().items() if made_by == version]
    for places, answer in of_version:
        if seen in places:
            part, device = answer.part(places[seen], 1), engine().device
            return gradcam_of_answer(engine().checkpoint(version), image, part, request.target_class, device)
    return None


def busy() -> bool:
    """Whether somebody waits for a heatmap: work that nobody waits for lets it go first."""
    with LOCK:
        return any(not job.future.done() for job in _jobs().values())


def _run(job: HeatmapJob, image: Image, request: Request) -> None:
    try:
        job.future.set_result(_make(job, image, request))
    except Exception as e:
        job.future.set_exception(e)


def _make(job: HeatmapJob, image: Image, request: Request) -> Heatmap:
    if job.cancel.is_set():  # left before its turn came
        raise Cancelled("The explanation was cancelled.")
    seen, version, _, target = job.key
    checkpoint, device = engine().checkpoint(version), engine().device
    path = settings.home() / "heatmaps" / version[:16] / f"{seen}-{_how(request, checkpoint)}-{target}.npz"
    if path.exists():
        try:
            return load_heatmap(path)
        except Refused:
            _LOG.warning("a damaged heatmap file is made again: %s", path.name)

    def report(fraction: float) -> None:
        job.progress = fraction

    watch = Watch(progress=report, cancelled=job.cancel.is_set, give_way=engine().give_way)
    heatmap = explain(checkpoint, image, request, device=device, watch=watch)
    _keep(heatmap, path)
    return heatmap


def _how(request: Request, checkpoint: Checkpoint) -> str:
    """Part of a kept file's name: other parameters, defaults included, and other code make other maps."""
    parameters = {**defaults(get_method(request.method), checkpoint), **request.parameters}
    return f"{request.method}-{_hash([MADE, request.seed, parameters])}"


def _keep(heatmap: Heatmap, path: Path) -> None:
    """A full disk must not take a finished heatmap from the reader: it is only made again next time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_heatmap(heatmap, path)
    except OSError as e:
        _LOG.warning("a heatmap could not be kept on disk: %s", e.strerror)
