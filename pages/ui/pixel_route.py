"""Pixels for the viewer: raw values of one stored image, gzip as they lie on disk, behind sign-in and a signed address."""

from __future__ import annotations

import hashlib
import hmac
import time

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from core import settings
from db import engine as store
from db import holds, pixels

DAY_S = 86_400


def pixel_url(pixel_hash: str, *, keep: bool = True) -> str:
    """Address of an image's pixels, the same all day (so that the browser caches it), void the day after tomorrow.

    Without `keep` the browser is told not to keep them: what is masked later must not lie in its cache. Only such an address
    gives the pixels of a study that is held.
    """
    return f"pixels/{pixel_hash}?t={_token(pixel_hash, _today(), keep)}" + ("" if keep else "&keep=no")


def _today() -> int:
    return int(time.time()) // DAY_S


def _token(pixel_hash: str, day: int, keep: bool) -> str:
    meant = f"{pixel_hash}|{day}" + ("" if keep else "|to be cleaned")
    return hmac.new(settings.installation_secret(), meant.encode(), hashlib.sha256).hexdigest()[:32]


async def _pixels(request: Request) -> Response:
    pixel_hash, token = request.path_params["pixel_hash"], request.query_params.get("t", "")
    cleaning = request.query_params.get("keep") == "no"
    valid = (_token(pixel_hash, day, not cleaning) for day in (_today(), _today() - 1))
    if not any(hmac.compare_digest(token.encode(), expected.encode()) for expected in valid):
        return PlainTextResponse("This picture's address has expired. Reload the page.", status_code=403)
    path = pixels.pixel_path(pixel_hash)
    if not cleaning and await run_in_threadpool(_is_hidden, pixel_hash):
        return PlainTextResponse("This picture's study is held until somebody has cleaned it.", status_code=403)
    if not path.is_file():
        return PlainTextResponse("This picture is missing from the store.", status_code=404)
    kept = "no-store" if cleaning else "private, max-age=86400, immutable"
    headers = {"Content-Encoding": "gzip", "Cache-Control": kept}
    return FileResponse(path, media_type="application/octet-stream", headers=headers)


def _is_hidden(pixel_hash: str) -> bool:
    with store.read() as session:
        return holds.is_hidden(session, pixel_hash)


def route() -> Route:
    """`/pixels/<hash>?t=<token>`."""
    return Route("/pixels/{pixel_hash:str}", _pixels)
