"""Masking a held study: the rectangles drawn so far in this tab, and the release that makes them black for good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from core.deidentify.hold import masked
from db import engine as store
from db import holds, pixels
from db.images import load_image
from db.studies import StudySummary
from db.users import User

SAID = "clean_said"  # what the page says after the run that released a study


def _key(study_id: str) -> str:
    return f"clean_rectangles:{study_id}"


def rectangles(study_id: str) -> list[Mapping[str, Any]]:
    """What this person has drawn on the study and not yet released."""
    return st.session_state.get(_key(study_id), [])


def keep_rectangles(study_id: str, regions: Sequence[Mapping[str, Any]]) -> None:
    """Remember the viewer's rectangles; points mask nothing."""
    st.session_state[_key(study_id)] = [region for region in regions if region["kind"] == "rect"]


def may_share(study: StudySummary) -> bool:
    """True where a rectangle can lie on all images alike: several of one size."""
    return len(study.images) > 1 and len({(image.height, image.width) for image in study.images}) == 1


def touched(study: StudySummary, drawn: Sequence[Mapping[str, Any]], everywhere: bool) -> int:
    """How many images the rectangles change."""
    return len(study.images) if everywhere and drawn else len({region["image"] for region in drawn})


def release(user: User, study: StudySummary, drawn: Sequence[Mapping[str, Any]], *, everywhere: bool) -> str:
    """Store the masked pixels, release the study, delete what was replaced; the sentence to say after the commit.

    Raises `Refused` where this person may not, or somebody else was quicker.
    """
    with store.read() as session:
        holds.require_may_clean(session, study.id, user)
    new = {}
    if drawn:
        new = masked([load_image(image) for image in study.images], drawn, everywhere=everywhere)
        pixels.put_all(new.values())  # before the transaction, which must be short
    with store.write() as session:
        holds.release(session, study.id, user, new)
    with store.write() as session:
        holds.drop_replaced(session)
    st.session_state.pop(_key(study.id), None)
    return f"{study.name}: masked and released" if new else f"{study.name}: released, nothing masked"
