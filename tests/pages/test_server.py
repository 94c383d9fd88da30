"""The server around the pages: who gets in, and what the pixel route gives out. Asked directly, without a browser."""

import asyncio
import gzip
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import numpy as np
import pytest
from itsdangerous import TimestampSigner
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from core import settings
from core.records import Image, full_range_window
from db import engine, holds, pixels, studies
from db.users import User
from pages.ui import derived, identity, pixel_route
from tests.db import make


async def echo(request: Request):
    """Says who the guard says it is."""
    return PlainTextResponse(request.headers.get("x-tumortrace-user", "nobody"))


APP = Starlette(
    routes=[*identity.routes(), pixel_route.route(), derived.route(), Route("/{path:path}", echo)],
    middleware=[Middleware(identity.SignInGuard)],
)


def ask(target, method="GET", headers=None, body=b"", kind="http"):
    """One request to the server; gives (status, headers, body)."""
    path, _, query = target.partition("?")
    raw = [(k.lower().encode(), v.encode("latin-1")) for k, v in (headers or {}).items()]
    scope = {
        "type": kind, "method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode(),
        "headers": raw, "scheme": "http", "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1), "root_path": "",
        "http_version": "1.1", "subprotocols": [],
    }  # fmt: skip
    sent, waiting = [], [{"type": "http.request", "body": body, "more_body": False}]

    async def receive():
        if not waiting:
            await asyncio.Event().wait()  # the client stays connected
        return waiting.pop()

    async def send(message):
        sent.append(message)

    with ThreadPoolExecutor(1) as thread:  # a browser test's event loop may be running in this one
        thread.submit(asyncio.run, APP(scope, receive, send)).result()
    start = sent[0]
    text = b"".join(m.get("body", b"") for m in sent)
    return start.get("status", start["type"]), {k.decode(): v.decode() for k, v in start.get("headers", [])}, text


def cookie(name="Anna"):
    """The cookie of somebody who has signed in."""
    signed = TimestampSigner(settings.installation_secret(), salt="sign-in").sign(quote(name)).decode()
    return {"Cookie": f"{identity.COOKIE}={signed}"}


def form(**fields):
    """A submitted sign-in form."""
    body = "&".join(f"{k}={quote(v)}" for k, v in fields.items()).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": str(len(body))}
    return ask("/sign-in", "POST", headers, body)


def test_strangers_are_sent_to_the_form_or_refused(store):
    """A page leads to the form, anything else is 401, a websocket is closed; the health check stays open."""
    status, headers, _ = ask("/review?study=abc", headers={"Accept": "text/html"})
    assert (status, headers["location"]) == (303, "/sign-in?next=/review%3Fstudy%3Dabc")
    assert ask("/static/app.js")[0] == 401
    assert ask("/_stcore/stream", kind="websocket")[0] == "websocket.close"
    assert ask("/_stcore/health")[0] == 200


def test_identity_headers_from_outside_are_dropped(store):
    """A forged header is nobody's; beside a cookie, the cookie's name counts."""
    forged = {"X-TumorTrace-User": "Lea"}
    assert ask("/page", headers=forged)[0] == 401
    assert ask("/page", headers=forged | cookie("Anna"))[2] == b"Anna"
    assert ask("/page", headers=cookie("Zoë Ångström"))[2].decode() == quote("Zoë Ångström")


@pytest.mark.parametrize("value", ["", "Anna", "Anna.AAAA.BBBB", "x" * 4000])
def test_a_made_up_cookie_opens_nothing(store, value):
    """Only the installation's own signature counts."""
    assert ask("/page", headers={"Cookie": f"{identity.COOKIE}={value}"})[0] == 401


def test_an_old_cookie_expires(store, monkeypatch):
    """After a shift one signs in again."""
    old = cookie()
    monkeypatch.setattr(identity, "MAX_AGE_S", -1)
    assert ask("/page", headers=old)[0] == 401


def test_signing_in_gives_a_cookie_that_scripts_can_not_read(store):
    """The cookie is HttpOnly and same-site, and what it holds gets in."""
    status, headers, _ = form(name=" Anna ", role="reviewer", next="/models")
    assert (status, headers["location"]) == (303, "/models")
    assert "httponly" in headers["set-cookie"].lower()
    assert "samesite=lax" in headers["set-cookie"].lower()
    assert ask("/page", headers={"Cookie": headers["set-cookie"].split(";")[0]})[2] == b"Anna"


def test_a_known_name_keeps_its_role(store):
    """A reviewer does not become a lead by choosing so at the next sign-in."""
    from db import engine, users

    form(name="Anna", role="reviewer", next="/")
    form(name="anna", role="lead", next="/")
    with engine.read() as session:
        assert [(u.name, u.role) for u in users.list_users(session)] == [("Anna", "reviewer")]


@pytest.mark.parametrize("fields", [{"name": " "}, {"name": "x" * 61}, {"name": "Eve", "role": "owner"}])
def test_a_wrong_form_is_shown_again_with_a_sentence(store, fields):
    """No name, too long a name or an unknown role: 422 and what is wrong, on the form."""
    status, _, body = form(**{"role": "reviewer", "next": "/", **fields})
    assert status == 422
    assert b'role="alert">' in body
    assert b'role="alert"></p>' not in body


@pytest.mark.parametrize("target", ["//example.org", "/\\example.org", "https://example.org", "javascript:alert(1)"])
def test_signing_in_never_leads_elsewhere(store, target):
    """Only this server's own paths are followed."""
    assert form(name="Anna", role="reviewer", next=target)[1]["location"] == "/"


def test_what_the_form_is_given_is_escaped(store):
    """Markup in the address does not become markup on the page."""
    _, _, body = ask("/sign-in?next=/%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
    assert b"<script" not in body


@pytest.fixture
def stored(store):
    """The hash and bytes of one stored image."""
    grey = np.arange(12, dtype=np.uint16).reshape(3, 4)
    return pixels.put_pixels(Image(grey, full_range_window(grey))), grey.astype("<u2").tobytes()


def test_pixels_come_as_they_are_stored(stored):
    """Gzip of little-endian values, kept by the browser but by nobody between."""
    pixel_hash, raw = stored
    status, headers, body = ask("/" + pixel_route.pixel_url(pixel_hash), headers=cookie())
    assert (status, headers["content-encoding"]) == (200, "gzip")
    assert headers["cache-control"].startswith("private")
    assert gzip.decompress(body) == raw


def test_held_pixels_are_given_for_cleaning_only(store):
    """While every study that shows them is held, the readers' address is refused, and cannot be turned into the other one."""
    study = make.study(3)
    with engine.write() as session:
        studies.add_study(session, study)
        holds.add_hold(session, study.id, "Names may be seen.", "Ann")
    pixel_hash = study.images[0].content_hash
    address, cleaning = (f"/{pixel_route.pixel_url(pixel_hash, keep=keep)}" for keep in (True, False))
    assert ask(address, headers=cookie())[0] == 403
    assert ask(f"{address}&keep=no", headers=cookie())[0] == 403
    status, headers, _ = ask(cleaning, headers=cookie())
    assert (status, headers["cache-control"]) == (200, "no-store")
    with engine.write() as session:
        holds.release(session, study.id, User("Ann", "reviewer", ""), {})
    assert ask(address, headers=cookie())[0] == 200


def test_pixels_need_a_signed_address_and_a_cookie(stored, monkeypatch):
    """No cookie: 401. No token, another image's token, or one of the day before yesterday: 403. An unknown image: 404."""
    pixel_hash, _ = stored
    address = "/" + pixel_route.pixel_url(pixel_hash)
    other = "f" * 64
    assert ask(address)[0] == 401
    assert ask(f"/pixels/{pixel_hash}", headers=cookie())[0] == 403
    assert ask(f"/pixels/{pixel_hash}?t=%C3%A9", headers=cookie())[0] == 403
    assert ask(address.replace(pixel_hash, other), headers=cookie())[0] == 403
    assert ask("/" + pixel_route.pixel_url(other), headers=cookie())[0] == 404
    today = pixel_route._today()
    monkeypatch.setattr(pixel_route, "_today", lambda: today + 1)
    assert ask(address, headers=cookie())[0] == 200
    monkeypatch.setattr(pixel_route, "_today", lambda: today + 2)
    assert ask(address, headers=cookie())[0] == 403
