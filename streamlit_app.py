"""What `streamlit run` starts: the server with warm imports, the pixel route and the sign-in guard; nothing else."""

from __future__ import annotations

import gc
import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from starlette.responses import RedirectResponse
from starlette.routing import Route

from core import reading
from db import engine
from pages.ui import daily_data, derived, identity, pixel_route, whole_callbacks

# Imported before the first visitor comes, so that no page waits for them (torch alone takes a second or two).
WARM = (
    "torch",
    "torchvision",
    "captum.attr",
    "plotly.graph_objects",
    "sklearn.metrics",
    "core.explain",
    "core.predict",
)


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[None]:
    """Bring the store up to date and import what is slow, before the first visitor."""
    whole_callbacks.install()
    engine.init()
    reading.warm()
    for name in WARM:
        importlib.import_module(name)
    # Streamlit collects garbage after every script run; what is imported by now is taken out of that (13 ms, not 149).
    gc.collect()
    gc.freeze()
    daily_data.warm()
    yield


app = st.App(
    Path(__file__).parent / "pages" / "main.py",
    lifespan=lifespan,
    # The worklist is the front page; its name leads there too.
    routes=[
        *identity.routes(),
        pixel_route.route(),
        derived.route(),
        Route("/worklist", lambda _: RedirectResponse("/")),
    ],
    middleware=[Middleware(identity.SignInGuard)],
)
