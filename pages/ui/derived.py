"""Subtractions and projections of dynamic series, made on demand for the viewer alone: `/derived/<study>/<series>`."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from core import settings
from core.reading.series import maximum_intensity, subtraction
from core.records import Refused
from db import engine as store
from db import studies
from db.engine import StoreError
from db.images import ImageSummary, load_image
from db.studies import StudySummary
from pages.ui.pixel_route import DAY_S

KEPT = 128  # pictures of a few hundred kilobytes each, as they are sent


@dataclass(frozen=True)
class Sent:
    """A picture as the browser gets it: gzip pixels, and what they mean as JSON."""

    body: bytes
    meaning: str


def dynamic_series(study: StudySummary) -> list[dict[str, Any]]:
    """The series of the study that were taken several times over, with the address that gives their derived pictures."""
    numbers = dict.fromkeys(image.series for image in study.images if image.phase)
    return [{"series": series, "url": _address(study, series)} for series in numbers]


def _address(study: StudySummary, series: int) -> str:
    """The same all day; another one once any pixel of the series is another (masked)."""
    content = _content(study, series)
    return f"derived/{study.id}/{series}?v={content[:16]}&t={_token(study.id, content, _today())}"


def _today() -> int:
    return int(time.time()) // DAY_S


def _content(study: StudySummary, series: int) -> str:
    """One hash of all pixels of the series."""
    return hashlib.sha256("|".join(image.pixel_hash for image in _members(study, series)).encode()).hexdigest()


def _token(study_id: str, content: str, day: int) -> str:
    text = f"derived|{study_id}|{content}|{day}"
    return hmac.new(settings.installation_secret(), text.encode(), hashlib.sha256).hexdigest()[:32]


def _members(study: StudySummary, series: int) -> list[ImageSummary]:
    return [image for image in study.images if image.series == series and image.phase is not None]


def _derived(request: Request) -> Response:
    """A plain function: Starlette runs it in a thread, so that other people's pages do not wait for it."""
    parameters = request.query_params
    try:
        series = int(request.path_params["series"])
        phase, level = int(parameters["phase"]), int(parameters.get("slice", 0))
    except (KeyError, ValueError):
        return PlainTextResponse("There is no such picture.", status_code=404)
    try:
        with store.read() as session:
            study = studies.get_study_summary(session, request.path_params["study"])
        if study is None or not _is_valid(parameters.get("t", ""), study, series):
            return PlainTextResponse("This picture's address has expired. Reload the page.", status_code=403)
        if study.held:
            return PlainTextResponse("This picture's study is held until somebody has cleaned it.", status_code=403)
        sent = picture(_members(study, series), parameters.get("kind", ""), phase, level)
    except (Refused, StoreError) as reason:
        return PlainTextResponse(str(reason), status_code=422)
    kept = {"Content-Encoding": "gzip", "Cache-Control": "private, max-age=86400, immutable"}
    return Response(sent.body, media_type="application/octet-stream", headers=kept | {"X-Picture": sent.meaning})


def _is_valid(token: str, study: StudySummary, series: int) -> bool:
    content = _content(study, series)
    expected = (_token(study.id, content, day) for day in (_today(), _today() - 1))
    return any(hmac.compare_digest(token.encode(), each.encode()) for each in expected)


def picture(members: Sequence[ImageSummary], kind: str, phase: int, level: int) -> Sent:
    """The `subtraction` of phase `phase` - phase 0 at a slice, or its `projection` over all slices; of one series.

    Kept by what goes in, pixels by their hash. Raises `Refused` where a picture is lacking or they do not lie over each other.
    """
    at = {(image.phase, image.slice): image for image in members}
    levels = sorted(image.slice or 0 for image in members if image.phase == 0)
    if phase < 1 or kind not in ("subtraction", "projection") or not levels:
        raise Refused("There is no such derived picture.")
    if kind == "subtraction":
        levels = [level]
    lacking = next(((p, s) for s in levels for p in (0, phase) if (p, s) not in at), None)
    if lacking:
        raise Refused(f"Phase {lacking[0] + 1} has no slice {lacking[1] + 1}: there is nothing to subtract.")
    widths = [image.window.width * abs(image.slope) for image in members if image.window]
    later, first = (tuple(at[p, s] for s in levels) for p in (phase, 0))
    return _made(kind, later, first, statistics.median(widths or [1.0]))


@lru_cache(maxsize=KEPT)
def _made(kind: str, later: tuple[ImageSummary, ...], first: tuple[ImageSummary, ...], width: float) -> Sent:
    if kind == "subtraction":
        image = subtraction(load_image(later[0]), load_image(first[0]), width)
    else:
        image = maximum_intensity(zip(map(load_image, later), map(load_image, first), strict=True), width)
    assert image.window is not None  # a grey image has one
    meaning = {
        "slope": image.slope, "intercept": image.intercept, "window_center": image.window.center,
        "window_width": image.window.width, "function": image.window.function,
    }  # fmt: skip
    pixels = np.ascontiguousarray(image.pixels, dtype="<u2")
    return Sent(gzip.compress(pixels, compresslevel=1, mtime=0), json.dumps(meaning))


def route() -> Route:
    """`/derived/<study>/<series>?kind=…&phase=…&slice=…&t=<token>`."""
    return Route("/derived/{study:str}/{series:str}", _derived)
