"""The heatmaps that a page waits for: those that are ready, and for the others a bar, or why there are none."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import wait

import streamlit as st

from core.explain import METHODS, Cancelled, Request
from core.records import Heatmap, Image, Refused
from db.engine import StoreError
from pages.ui import wants
from pages.ui.heatmap_jobs import HeatmapJob, Key, heatmap_job, key_of
from pages.ui.wants import Waiting

KIND = "heatmaps"
PATIENCE = 0.3  # seconds for all of them together, before the rest of the page is drawn
_LOG = logging.getLogger("tumortrace")


def ready_maps(view_key: str, image: Image, version: str, requests: Sequence[Request]) -> list[Heatmap]:
    """The finished ones, in order; begins what is missing and shows its progress. What is no longer asked for is left."""
    waiting = wants.waiting(KIND, view_key)
    keys = [key_of(image, version, request) for request in requests]
    waiting.only(keys)
    jobs = {}
    for key, request in zip(keys, requests, strict=True):
        if key not in waiting.stopped:
            jobs[key] = heatmap_job(image, version, request, wants.tab())
            waiting.wait_for(jobs[key])
    wait([job.future for job in jobs.values()], timeout=PATIENCE)
    found = [_shown(waiting, key, jobs.get(key)) for key in keys]
    return [heatmap for heatmap in found if heatmap is not None]


def none_wanted(view_key: str) -> None:
    """No heatmap is asked for in this view (any more)."""
    wants.waiting(KIND, view_key).only(())


def _shown(waiting: Waiting, key: Key, job: HeatmapJob | None) -> Heatmap | None:
    """The finished heatmap; or None while the page shows its progress, or with the reason why there is none.

    Whatever went wrong is said here, so that the rest of the page, the assessment above all, is still drawn.
    """
    if job is not None and not job.future.done():
        st.fragment(_draw_progress, run_every=0.4, key=_name("progress", key))(waiting, job)
        return None
    reason = "The heatmap was stopped."
    try:
        if job is not None:
            return job.future.result()
    except Cancelled:
        pass
    except (Refused, StoreError) as problem:
        reason = str(problem)
    except Exception:
        _LOG.exception("a heatmap failed")
        reason = "The heatmap could not be made; the reading can go on without it."
    with st.container(horizontal=True, vertical_alignment="center"):
        st.warning(reason, icon=":material/block:")
        st.button(
            "Try again", icon=":material/refresh:", key=_name("retry", key), on_click=_again, args=(waiting, key, job)
        )
    return None


def _again(waiting: Waiting, key: Key, job: HeatmapJob | None) -> None:
    waiting.again(key)
    if job is not None:
        job.forget()


def _name(what: str, key: Key) -> str:
    return f"{what}:{key[2]}:{key[3]}"


def _draw_progress(waiting: Waiting, job: HeatmapJob) -> None:
    if job.future.done():
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(job.progress, text=f"{METHODS[job.method].title} of {job.key[3].replace('_', ' ')} …")
        st.button("Stop", icon=":material/stop:", key=_name("stop", job.key), on_click=waiting.stop, args=(job,))
