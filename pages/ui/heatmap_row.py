"""Heatmaps on request: one row above the picture chooses methods and class; slow ones show progress and can be stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from core.explain import METHODS, Request
from core.explain.fit import unfit
from core.explain.honesty.reference import full_colour
from core.explain.honesty.words import colours, not_offered, sentence
from core.explain.resolution import is_painted, resolution
from core.records import Heatmap, Image, Refused
from db.engine import StoreError
from db.heatmap_measures import Parts
from pages.ui import resources
from pages.ui.case import Case
from pages.ui.explanation_data import Measures, measures_of
from pages.ui.heatmap_progress import none_wanted, ready_maps
from pages.ui.model_panel import ModelView

MOST = 6  # methods at once
EVERY = "every class"
SOME_MAPS = METHODS["score-cam"].defaults((1, 1), (1, 1))["channels"]
ALL_MAPS = {"channels": 65_536}  # of Score-CAM: more than any layer has


@dataclass(frozen=True)
class Shown:
    """The heatmap over image number `image_index`, and all maps that were asked for, it included.

    `scales` has for each map the raw value of full colour in the model's reference, or None where there is none; `details` what
    stands behind the map's popover.
    """

    heatmap: Heatmap
    image_index: int
    image: Image
    maps: Sequence[Heatmap]
    scales: Sequence[float | None]
    details: Sequence[Sequence[str]]


def show(case: Case, view: ModelView) -> Shown | None:
    """Draw the row; the heatmaps that are asked for and ready, or None."""
    measures = measures_of(view.model.version)
    methods, targets, index = _choose(case, view, measures)
    if not methods:
        none_wanted(case.view_key)
        return None
    try:
        image = resources.study_pixels(case.study.id).images[index]
    except (Refused, StoreError) as problem:
        st.warning(str(problem), icon=":material/block:")
        return None
    full = "score-cam" in methods and st.toggle(
        "Score-CAM over all feature maps",
        key=case.key("all_maps"),
        help=f"{SOME_MAPS} of them take a fraction of the time.",
    )
    requests = [
        Request(method, target, parameters=ALL_MAPS if full and method == "score-cam" else {})
        for method in methods
        for target in targets
    ]
    maps = ready_maps(case.view_key, image, view.model.version, requests)
    if not maps:
        return None
    # Over all its maps Score-CAM has other values than those that the reference was measured with.
    tops = [None if full and m.method == "score-cam" else full_colour(_part(measures, m.method)) for m in maps]
    told = [details(m, image, top, measures.get(m.method, {})) for m, top in zip(maps, tops, strict=True)]
    return Shown(maps[0], index, image, maps, tops, told)


def _part(measures: Measures, method: str) -> dict[str, Any]:
    return measures.get(method, {}).get("reference", {})


def _offered(version: str, measures: Measures) -> list[str]:
    """The methods that suit this model and whose maps depend on its weights, or were not yet checked; the others are named."""
    withheld = {name: why for name in METHODS if (why := _unfit(name, version) or not_offered(measures.get(name, {})))}
    if withheld:
        titles = ", ".join(METHODS[name].title for name in withheld)
        reasons = "\n".join(f"- {METHODS[name].title}: {why.rstrip('.')}." for name, why in withheld.items())
        st.caption(f"Not offered for this model: {titles}.", help=reasons)
    return [name for name in METHODS if name not in withheld]


def _unfit(method: str, version: str) -> str:
    try:
        return unfit(METHODS[method], resources.engine().checkpoint(version))
    except (Refused, StoreError):  # the map itself will say that the weights cannot be read
        return ""


def waiting() -> None:
    """The row of a case that is read blind first: it keeps its place, or the picture would jump when the model is shown."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button("Heatmap", type="tertiary", disabled=True, key="heatmap-waiting")
        st.text_input(
            "Heatmap", placeholder="After your reading is saved", disabled=True, label_visibility="collapsed",
            key="heatmaps-waiting",
        )  # fmt: skip


def _choose(case: Case, view: ModelView, measures: Measures) -> tuple[list[str], list[str], int]:
    """Methods, classes and image number as the reviewer wants them; no method is off."""
    key, classes = case.key("heatmap"), list(view.prediction.probabilities)
    offered = _offered(view.model.version, measures)
    if not offered:
        return [], [], 0
    if key in st.session_state:  # of another model, perhaps
        st.session_state[key] = [name for name in st.session_state[key] if name in offered]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        quick, title = offered[0], METHODS[offered[0]].title
        st.button(
            "Heatmap", shortcut="G", type="tertiary", on_click=_toggle, args=(key, quick), help=f"{title} on or off"
        )
        methods = st.multiselect(
            "Heatmap", offered, format_func=lambda name: METHODS[name].title, key=key, max_selections=MOST,
            placeholder="Off: choose one method or several", label_visibility="collapsed",
        )  # fmt: skip
        if not methods:
            return [], [], 0
        target = st.selectbox(
            "Class", [*classes, EVERY], index=classes.index(view.prediction.predicted), key=case.key("target"),
            label_visibility="collapsed", width=170,
            format_func=lambda c: c if c == EVERY else f"of {c.replace('_', ' ')}",
        )  # fmt: skip
        first = view.prediction.predicted if target == EVERY else target
        index = int(view.prediction.per_image[:, classes.index(first)].argmax())
        if len(case.study.images) > 1:
            index = st.number_input(
                "Image", 1, len(case.study.images), index + 1, key=case.key("map_image"), width=110, help="of image number"
            ) - 1  # fmt: skip
    return methods, [first, *(c for c in classes if target == EVERY and c != first)], index


def caption(heatmap: Heatmap, scale: float | None) -> str:
    """What the map shows and what it does not, in a sentence; a second where its colours are its own, or there is nothing in it."""
    if not heatmap.values.any():
        said = "for or against" if heatmap.signed else "for"
        return (
            f"Zero everywhere: this method finds nothing that speaks {said} {heatmap.target_class.replace('_', ' ')}."
        )
    own = " Colours are this picture's own: do not compare them between pictures."
    return METHODS[heatmap.method].what + ("" if scale else own)


def details(heatmap: Heatmap, image: Image, scale: float | None, parts: Parts) -> list[str]:
    """Its true resolution, its raw scale, and what is known of the method on this model, in sentences."""
    facts = heatmap.parameters
    found = [_resolution(heatmap, image)]
    top = f"{float(abs(heatmap.values).max()):.3g}"  # as beside the colour bar
    found.append(f"Its maximum is {top}, which is full colour." if scale is None else f"Its maximum is {top}.")
    found.append(colours(parts) if scale else "No reference scale has been measured for this method and model yet.")
    if (share := facts.get("share")) is not None:
        score = facts["class_score"]
        found.append(
            f"The map adds up to {share:.0%} of the class score, {score:.3g}." if share <= 1 else
            f"The map adds up to {share * score:.3g}, more than the class score, {score:.3g}."
        )  # fmt: skip
    if facts.get("channels_used"):
        found.append(f"{facts['channels_used']} feature maps were used.")
    if facts.get("low"):
        sure = sum(low > 0 or high < 0 for low, high in zip(facts["low"], facts["high"], strict=True))
        found.append(f"{sure} of {facts['superpixels']} superpixels differ from zero at 95 %; R² {facts['r2']:.2f}.")
    return [*found, f"{METHODS[heatmap.method].title} on this model: {sentence(parts)}"]


def _resolution(heatmap: Heatmap, image: Image) -> str:
    h, w = heatmap.values.shape
    if is_painted(heatmap):
        said = resolution(heatmap)
        return f"{said[:1].upper()}{said[1:]} of the model's input, {h} × {w}."
    factor = max(image.pixels.shape[0] / h, image.pixels.shape[1] / w)
    return f"{resolution(heatmap)} values" + (f", enlarged {factor:.3g} times." if factor > 1 else ".")


def _toggle(key: str, method: str) -> None:
    st.session_state[key] = [] if st.session_state.get(key) else [method]
