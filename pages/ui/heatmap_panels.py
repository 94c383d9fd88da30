"""Several heatmaps side by side beneath the picture, and what can be downloaded of them."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import streamlit as st

from core.explain import METHODS, display_scale, overlay, overlay_png, save_heatmap
from core.explain.resolution import caveat
from core.records import Heatmap, Image, Study
from pages.ui import heatmap_checks, resources
from pages.ui.case import Case
from pages.ui.heatmap_row import Shown, caption

COLUMNS = 3
LONGEST = 900  # pixels of a panel's longer side: a mammogram's own would take seconds to colour and to send


def show(case: Case, shown: Shown) -> None:
    """The caption of the map over the picture, its checks, or the panels where there are more, and the downloads."""
    st.caption(caption(shown.heatmap, shown.scales[0]))
    if len(shown.maps) == 1:
        heatmap_checks.show(case, shown.image, shown.heatmap, shown.details[0])
    with st.container(horizontal=True, vertical_alignment="center"):
        same = len(shown.maps) > 1 and st.toggle(
            "One colour scale for all", key=case.key("same_scale"),
            help="Full colour is the largest raw value of all these maps. Methods measure different things: "
            "a pale map is not a weaker reason.",
        )  # fmt: skip
        own = len(shown.maps) > 1 and any(shown.scales) and not same and st.toggle(
            "Each picture's own colours", key=case.key("own_scale"),
            help="Full colour is each map's own maximum: a map of nothing then looks like something.",
        )  # fmt: skip
        _downloads(case, shown)
    if len(shown.maps) < 2:
        return
    largest = max(display_scale(heatmap) for heatmap in shown.maps) if same else None
    step = math.ceil(max(shown.image.pixels.shape[:2]) / LONGEST)
    small = replace(shown.image, pixels=shown.image.pixels[::step, ::step])
    columns = st.columns(COLUMNS, gap="small")
    for i, heatmap in enumerate(shown.maps):
        top = largest if same else None if own else shown.scales[i]
        with columns[i % COLUMNS]:
            st.markdown(f"**{_title(heatmap)}**")
            st.image(overlay(small, heatmap, scale=top or None, opacity=0.7), width="stretch")
            whose = (
                "all these maps' maximum"
                if same
                else "its own maximum"
                if top is None
                else "many maps' 99th percentile"
            )
            said = f"{caveat(heatmap)} {_scale(heatmap, top, whose)}" if heatmap.values.any() else caption(heatmap, top)
            st.caption(said)
            heatmap_checks.show(case, shown.image, heatmap, [METHODS[heatmap.method].what, *shown.details[i]])


def _scale(heatmap: Heatmap, top: float | None, whose: str) -> str:
    """The legend of a panel: what its colours mean, which raw value full colour is, and whose that is."""
    full = f"{top or display_scale(heatmap):.3g}, {whose}."
    return f"Blue against, orange for; full colour ±{full}" if heatmap.signed else f"Full colour {full}"


def _downloads(case: Case, shown: Shown) -> None:
    """Each file is made when its button is clicked, never before."""
    with st.popover("Download", icon=":material/download:", type="tertiary"):
        named = {_title(heatmap): heatmap for heatmap in shown.maps}
        tops = dict(zip(named, shown.scales, strict=True))
        choice = st.selectbox("Heatmap", list(named), key=case.key("download_map"))
        if choice not in named:
            return
        heatmap = named[choice]
        name = f"{case.study.name}-{heatmap.method}-{heatmap.target_class}".replace(" ", "_").replace("/", "_")
        for label, ending, mime, make in files(case.study.id, shown.image, heatmap, tops[choice]):
            st.download_button(
                label, data=make, file_name=f"{name}.{ending}", mime=mime, on_click="ignore", width="stretch",
                key=case.key(f"download_{ending}"),
            )  # fmt: skip
        st.caption("Each file says what it is, by which model, and: research use, not for diagnosis.")


def _title(heatmap: Heatmap) -> str:
    return f"{METHODS[heatmap.method].title} of {heatmap.target_class.replace('_', ' ')}"


def _npz(heatmap: Heatmap) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "heatmap.npz"
        save_heatmap(heatmap, path)
        return path.read_bytes()


def files(
    study_id: str, image: Image, heatmap: Heatmap, top: float | None
) -> list[tuple[str, str, str, Callable[[], bytes]]]:
    """Label, file ending, MIME type and maker of each file; both overlays have full colour at `top`, None for the map's own."""

    def study() -> Study:
        return resources.study_pixels(study_id)

    def capture() -> bytes:
        from core.explain.dicom import secondary_capture  # highdicom is slow to import, and only exports need it

        return secondary_capture(study(), image, heatmap, scale=top)

    def raw() -> bytes:
        from core.explain.dicom import parametric_map  # as above

        return parametric_map(study(), image, heatmap)

    return [
        ("Overlay, PNG", "png", "image/png", lambda: overlay_png(image, heatmap, scale=top)),
        ("Raw values, NPZ", "npz", "application/octet-stream", lambda: _npz(heatmap)),
        ("Overlay, DICOM", "overlay.dcm", "application/dicom", capture),
        ("Raw values, DICOM", "raw.dcm", "application/dicom", raw),
    ]
