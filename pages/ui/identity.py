"""Who is reviewing: the only place that knows. Real accounts replace this file and nothing else.

A name is signed into a cookie by the sign-in page; the guard lets nothing through without it (pages, pixels, websocket) and
hands the name to Streamlit in a header that cannot come from outside. The role always comes from the store.
"""

from __future__ import annotations

import secrets
import time
from html import escape
from pathlib import Path
from urllib.parse import quote, unquote

import streamlit as st
from itsdangerous import BadSignature, TimestampSigner
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from core import settings
from core.records import Refused
from db import engine, users

COOKIE = "tumortrace"
HEADER = b"x-tumortrace-user"
MAX_AGE_S = 12 * 3600  # one long shift
OPEN_PATHS = ("/sign-in", "/sign-out", "/_stcore/health")
# Cookies that were signed out, and when: an open window keeps the name with which its websocket began until it asks again.
# In memory, since a restart closes every websocket.
_ended: dict[str, float] = {}
_FORM = (Path(__file__).parent / "sign_in.html").read_text()


def current_user() -> users.User:
    """The signed-in person of this script run; stops the page where there is none (the guard should have seen to it)."""
    name = st.user.get("name")
    if name and not _window_ended():
        with engine.read() as session:
            user = users.get_user(session, unquote(str(name)))
        if user:
            return user
    # Without the middleware, or with a cookie whose name this store does not know (another store, a restored one).
    st.error("You are not signed in any more: what you entered before is kept." if name else "You are not signed in.")
    st.link_button("Sign in", "/sign-out")
    st.stop()


def require_signed_in() -> None:
    """Raise `Refused` in a window whose person has signed out elsewhere since it was opened: nothing is done in their name."""
    if _window_ended():
        raise Refused("You signed out in another window, so nothing was done. Sign in again.")


def _window_ended() -> bool:
    return st.context.cookies.get(COOKIE, "") in _ended


def require_lead(user: users.User) -> None:
    """Raise `Refused` unless the person is a lead: called where something is done, not only where a button is drawn."""
    if user.role != "lead":
        raise Refused("Only a project lead can do this. Ask a lead, or sign in as one.")


def _signer() -> TimestampSigner:
    return TimestampSigner(settings.installation_secret(), salt="sign-in")


def _name_in(cookies: dict[str, str]) -> str:
    token = cookies.get(COOKIE, "")
    if token in _ended:
        return ""
    try:
        return unquote(_signer().unsign(token, max_age=MAX_AGE_S).decode().split("|")[0])
    except BadSignature:
        return ""


class SignInGuard:
    """ASGI middleware: no cookie, no page, no pixel and no websocket; identity headers from outside are dropped."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a signed-in request through with its name; send a page to the sign-in form, refuse the rest."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        if connection.url.path.rstrip("/") in OPEN_PATHS:
            await self.app(scope, receive, send)
            return
        # Starlette's own parser keeps only the last cookie of a name and never raises.
        name = _name_in(connection.cookies)
        headers = [(key, value) for key, value in scope["headers"] if key.lower() != HEADER]
        if name:
            headers.append((HEADER, quote(name).encode()))
            await self.app({**scope, "headers": headers}, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 4401})
        else:
            await _ask_to_sign_in(connection)(scope, receive, send)


def _ask_to_sign_in(connection: HTTPConnection) -> Response:
    if "text/html" not in connection.headers.get("accept", ""):
        return PlainTextResponse("Sign in first.", status_code=401)
    target = connection.url.path + (f"?{connection.url.query}" if connection.url.query else "")
    return RedirectResponse(f"/sign-in?next={quote(target)}", status_code=303)


def _safe_target(target: str) -> str:
    # Only paths of this server: "//host" and "/\\host" would lead elsewhere.
    return target if target.startswith("/") and not target.startswith(("//", "/\\")) else "/"


def _form(target: str, problem: str = "", status: int = 200) -> HTMLResponse:
    page = _FORM.replace("{{next}}", escape(target, quote=True)).replace("{{problem}}", escape(problem))
    return HTMLResponse(page, status_code=status, headers={"Cache-Control": "no-store"})


async def _sign_in(request: Request) -> Response:
    target = _safe_target(request.query_params.get("next", "/"))
    if request.method == "GET":
        return _form(target)
    form = await request.form()
    target = _safe_target(str(form.get("next", "/")))
    try:
        user = await run_in_threadpool(_known_or_new, str(form.get("name", "")), str(form.get("role", "reviewer")))
    except (Refused, engine.StoreError) as problem:
        return _form(target, str(problem), status=422)
    response = RedirectResponse(target, status_code=303)
    if _name_in(request.cookies) != user.name:
        _end(request.cookies)  # another person at the same machine
    token = _signer().sign(f"{quote(user.name)}|{secrets.token_hex(8)}").decode()  # no two sign-ins have the same
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, token, max_age=MAX_AGE_S, httponly=True, samesite="lax", secure=secure)
    return response


def _known_or_new(name: str, role: str) -> users.User:
    """The person of that name; a new name joins with the role asked for, a known one keeps the role it has."""
    with engine.write() as session:
        return users.get_user(session, name) or users.add_user(session, name, role)


def _end(cookies: dict[str, str]) -> None:
    if not _name_in(cookies):
        return
    now = time.monotonic()
    for token in [token for token, ended in list(_ended.items()) if now - ended > MAX_AGE_S]:
        _ended.pop(token, None)  # worth nothing any more
    _ended[cookies[COOKIE]] = now


async def _sign_out(request: Request) -> Response:
    _end(request.cookies)
    response = RedirectResponse("/sign-in", status_code=303)
    response.delete_cookie(COOKIE)
    return response


def routes() -> list[Route]:
    """The sign-in and sign-out pages."""
    return [Route("/sign-in", _sign_in, methods=["GET", "POST"]), Route("/sign-out", _sign_out)]
