"""Pixels for the viewer: raw values of one stored image, gzip as they lie on disk, behind sign-in and a signed address."""

from __future__ import annotations

import hashlib
import hmac
import time

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from core import settings
from db import pixels

DAY_S = 86_400


def pixel_url(pixel_hash: str, *, keep: bool = True) -> str:
    """Address of an image's pixels, the same all day (so that the browser caches it), void the day after tomorrow.

    Without `keep` the browser is told not to keep them: what is masked later must not lie in its cache.
    """
    return f"pixels/{pixel_hash}?t={_token(pixel_hash, _today())}" + ("" if keep else "&keep=no")


def _today() -> int:
    return int(time.time()) // DAY_S


def _token(pixel_hash: str, day: int) -> str:
    return hmac.new(settings.installation_secret(), f"{pixel_hash}|{day}".encode(), hashlib.sha256).hexdigest()[:32]


async def _pixels(request: Request) -> Response:
    pixel_hash, token = request.path_params["pixel_hash"], request.query_params.get("t", "")
    valid = (_token(pixel_hash, day) for day in (_today(), _today() - 1))
    if not any(hmac.compare_digest(token.encode(), expected.encode()) for expected in valid):
        return PlainTextResponse("This picture's address has expired. Reload the page.", status_code=403)
    path = pixels.pixel_path(pixel_hash)
    if not path.is_file():
        return PlainTextResponse("This picture is missing from the store.", status_code=404)
    kept = "no-store" if request.query_params.get("keep") == "no" else "private, max-age=86400, immutable"
    headers = {"Content-Encoding": "gzip", "Cache-Control": kept}
    return FileResponse(path, media_type="application/octet-stream", headers=headers)


def route() -> Route:
    """`/pixels/<hash>?t=<token>`."""
    return Route("/pixels/{pixel_hash:str}", _pixels)
