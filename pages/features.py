"""Features: what can be measured in a picture, two pictures beside each other, and where a case lies among others."""

from __future__ import annotations

import streamlit as st

from core.checkpoint import load_checkpoint
from core.classical import coefficients
from core.features import FAMILIES, FeatureVector
from core.features.figures import coefficients_figure
from db import engine as store
from db import models, studies
from pages.ui import features_panel as panel
from pages.ui import features_strip, identity, messages

BASELINE = "features-logistic"


def choose_family() -> str:
    wanted = st.query_params.get("family", "")
    family = st.segmented_control(
        "Family", list(FAMILIES), format_func=lambda name: FAMILIES[name].title, required=True, key="feat_family",
        default=wanted if wanted in FAMILIES else "intensity", label_visibility="collapsed",
    )  # fmt: skip
    st.query_params["family"] = family
    return family


def looks(sides: list[panel.Side], family: str, vectors: dict[str, FeatureVector]) -> None:
    """One picture beside its numbers, or two pictures beside each other and the numbers of both below."""
    titles = panel.titles_of(sides[0], family)
    title = titles[0]
    if len(titles) > 1:
        title = st.segmented_control(
            "Picture",
            titles,
            default=titles[0],
            required=True,
            key=f"feat_picture:{family}",
            label_visibility="collapsed",
        )
    left, right = st.columns(2)
    with left:
        panel.picture(sides[0], family, title)
    with right:
        if len(sides) > 1:
            panel.picture(sides[1], family, title)
        else:
            panel.numbers(vectors)
    if FAMILIES[family].pictures_say:
        st.caption(FAMILIES[family].pictures_say)
    if len(sides) > 1:
        panel.numbers(vectors)


def baselines() -> None:
    """What the registered classical baselines weigh."""
    with store.read() as db_session:
        registered = [m for m in models.list_models(db_session) if m.architecture == BASELINE]
    if not registered:
        return
    st.subheader("What a classical baseline weighs")
    chosen = st.selectbox("Model", registered, format_func=lambda m: f"{m.name} · {m.version[:8]}", key="feat_model")
    table = coefficients(load_checkpoint(models.model_file(chosen.version)))
    label = st.selectbox("Class", list(table.columns[2:]), key=f"feat_class:{chosen.version}")
    st.plotly_chart(coefficients_figure(table, label), key="feat_coefficients")
    st.caption(
        "Each bar is the change in the class's log odds when that feature rises by one standard deviation of the training "
        "images and all others stay. Features go together: a small bar does not mean that a feature is useless."
    )


user = identity.current_user()
st.title("Features")
with st.container(horizontal=True, horizontal_alignment="distribute"):
    family = choose_family()
    file = panel.offer_file()
st.caption(FAMILIES[family].what)
with store.read() as db_session:
    stored = studies.count_studies(db_session)
if not stored:
    messages.empty("No studies yet", "Add the first ones on the **Upload** page, or look at a single file here.")
    st.page_link("upload.py", label="Upload studies", icon=":material/upload_file:")
left, right = st.columns(2)
first = second = None
with left:
    if file:
        first = panel.choose_file(user, file)
    elif stored:
        first = panel.choose(user, "study", "study")
with right:
    if stored:
        second = panel.choose(user, "second study", "other", optional=True)
sides = [side for side in (first, second) if side]
vectors = {}
for letter, side in zip("AB", sides, strict=False):
    if found := panel.vector(side, family):
        vectors[f"{letter} · {side.title}"] = found
if first and len(vectors) == len(sides):
    looks(sides, family, vectors)
    if family == "glcm":
        panel.matrices(sides)
    if user.role == "lead":
        features_strip.show(user, family, sides, vectors)
if stored:
    baselines()
