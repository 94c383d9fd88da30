"""The badge beside each heatmap: checked in the background after the map, one at a time; maps and predictions go first."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from core import settings
from core.explain import METHODS, Cancelled
from core.explain.honesty.beside import MADE, badges, check_map, legend, numbers, rivals_of
from core.explain.honesty.faithfulness import Rivals
from core.explain.honesty.maker import Maker
from core.explain.methods import defaults
from core.files import write_json
from core.records import Heatmap, Image, Refused
from pages.ui import heatmap_jobs, resources, wants
from pages.ui.case import Case
from pages.ui.wants import LOCK, Waiting, Work

KIND = "checks"
KEPT = 256
PATIENCE = 5.0  # seconds that one step waits for maps that are being made
_COLOURS = {True: "green", False: "orange", None: "gray"}
_LOG = logging.getLogger("tumortrace")


@st.cache_resource(show_spinner=False)
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="check")


@st.cache_resource(show_spinner=False)
def _checks() -> dict[str, Work]:
    return {}


@st.cache_resource(show_spinner=False)
def _rivals() -> OrderedDict[tuple[str, str, str], Rivals]:
    return OrderedDict()  # used by the one thread of checks only


def _seen(image: Image) -> str:
    """The picture as the model sees it: the window is part of that."""
    return f"{image.content_hash}|{image.window}"


def map_id(image: Image, heatmap: Heatmap) -> str:
    """A hash of everything that makes one map and its check another: window, method, parameters, and how checks are made."""
    facts = [MADE, heatmap.model_version, _seen(image), heatmap.method, heatmap.target_class, dict(heatmap.parameters)]
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode() + heatmap.values.tobytes()).hexdigest()[:32]


def check_of(image: Image, heatmap: Heatmap, tab: str = "") -> Work:
    """The check of this map, begun at the first call; found again in memory or on disk. `tab` is the one that waits for it.

    One that failed or was stopped stays so until `forget`.
    """
    key = map_id(image, heatmap)
    with LOCK:
        checks = _checks()
        if key not in checks:
            checks[key] = Work(key, checks)
            _thread().submit(_run, checks[key], image, heatmap)
            finished = [known for known, check in checks.items() if check.future.done()]
            for known in finished[: max(0, len(finished) - KEPT)]:
                del checks[known]
        checks[key].wanted.add(tab)
        return checks[key]


def _run(check: Work, image: Image, heatmap: Heatmap) -> None:
    try:
        check.future.set_result(_made(check, image, heatmap))
    except Exception as e:
        check.future.set_exception(e)


def _made(check: Work, image: Image, heatmap: Heatmap) -> dict[str, Any]:
    path = settings.home() / "heatmaps" / heatmap.model_version[:16] / f"{check.key}.check.json"
    if (kept := _kept(path)) is not None:
        return kept
    engine = resources.engine()
    checkpoint = engine.checkpoint(heatmap.model_version)
    maker = Maker(
        checkpoint, heatmap.method, engine.device, cancelled=check.cancel.is_set, give_way=_give_way,
        parameters={n: heatmap.parameters[n] for n in defaults(METHODS[heatmap.method], checkpoint) if n in heatmap.parameters},
    )  # fmt: skip
    rivals, about = _rivals(), (heatmap.model_version, _seen(image), heatmap.target_class)
    facts = check_map(maker, image, heatmap, rivals.get(about))
    if (found := rivals_of(facts)) is not None:
        rivals[about] = found  # random orders do not depend on the map: the next method's check costs a tenth
        while len(rivals) > KEPT:
            rivals.popitem(last=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, facts)
    except OSError as e:
        _LOG.warning("a check could not be kept on disk: %s", e.strerror)
    return facts


def _kept(path: Path) -> dict[str, Any] | None:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        badges(facts), numbers(facts), legend(facts)
    except (OSError, ValueError, KeyError, TypeError):  # absent, or damaged: it is made again
        return None
    return facts


def _give_way() -> None:
    """Return when neither a prediction nor a heatmap is waited for, or after a while."""
    resources.engine().give_way()
    until = time.monotonic() + PATIENCE
    while heatmap_jobs.busy() and time.monotonic() < until:
        time.sleep(0.05)


def show(case: Case, image: Image, heatmap: Heatmap, details: Sequence[str]) -> None:
    """The badges of one map: what was found, that it is being found, or that it was stopped; `details` and numbers on request."""
    waiting = wants.waiting(KIND, case.view_key)
    if (key := map_id(image, heatmap)) in waiting.stopped:
        _say(waiting, key, None, details, "Check stopped")
        return
    check = check_of(image, heatmap, wants.tab())
    waiting.wait_for(check)
    if check.future.done():
        _draw(waiting, check, details)
    else:
        st.fragment(_wait, run_every=1.0, key=f"check:{check.key}")(waiting, check, details)


def _numbers(details: Sequence[str], facts: dict[str, Any] | None = None) -> None:
    """The popover of a map: what is known of it and of its method, and the areas behind the badges where they are there."""
    with st.popover("Numbers", type="tertiary"):
        st.markdown("\n".join(f"- {line}" for line in details))
        if facts is None:
            return
        if rows := numbers(facts):
            st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Areas under the curves")
        st.caption(legend(facts))


def _wait(waiting: Waiting, check: Work, details: Sequence[str]) -> None:
    if check.future.done():
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge("Checking this map …", icon=":material/hourglass_empty:", color="gray")
        st.button("Stop", key=f"stop_check:{check.key}", type="tertiary", on_click=waiting.stop, args=(check,))
        _numbers(details)


def _say(waiting: Waiting, key: str, check: Work | None, details: Sequence[str], why: str) -> None:
    """Why there is no badge, and the button that asks for it again."""

    def again() -> None:
        waiting.again(key)
        if check is not None:
            check.forget()

    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(why, color="gray")
        st.button("Check again", key=f"check_again:{key}", type="tertiary", on_click=again)
        _numbers(details)


def _draw(waiting: Waiting, check: Work, details: Sequence[str]) -> None:
    try:
        facts = check.future.result()
    except Exception as reason:
        if not isinstance(reason, Cancelled | Refused):
            _LOG.exception("a check of a heatmap failed")
        why = "Check stopped" if isinstance(reason, Cancelled) else "This map could not be checked"
        _say(waiting, str(check.key), check, details, why)
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        for text, good in badges(facts):
            st.badge(text, color=_COLOURS[good])  # type: ignore[arg-type]
        _numbers(details, facts)
