"""The image viewer: a Streamlit components-v2 canvas. Looking stays in the browser; only marks reach Python.

Pixels come from addresses that the page gives; the heatmap travels as its raw grid and is coloured in the browser.
Region coordinates are image pixels: pixel (row, column) covers x in [column, column + 1) and y in [row, row + 1).
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import streamlit as st

from core.colours import SEQUENTIAL, SIGNED
from core.explain.resolution import is_painted, resolution
from core.records import Heatmap, Image, VoiFunction, Window
from core.window import WHITE

MAX_GRID = 256  # cells along a heatmap's longer side that travel to the browser
MAX_REGIONS = 100  # per case: more is no reading but a fault
MAX_COORDINATE = 8192  # the reader refuses larger pictures

_HERE = Path(__file__).parent
# One module for the browser; later files use names of earlier ones, and viewer.js has the export that Streamlit calls.
_SCRIPTS = (
    "tables.js",
    "pictures.js",
    "heatmap.js",
    "regions.js",
    "hud.js",
    "stage.js",
    "input.js",
    "stacks.js",
    "hanging.js",
    "looking.js",
    "controls.js",
    "saving.js",
    "arriving.js",
    "typing.js",
    "page_keys.js",
    "attention.js",
    "viewer.js",
)
_POINTS = {"rect": 2, "point": 1}  # kind of region -> number of its points


def colour_tables() -> str:
    """The colour tables of exported pictures, so that the screen shows the same."""
    return f"const COLOUR_STOPS = {json.dumps(SEQUENTIAL)};\nconst SIGNED_STOPS = {json.dumps(SIGNED)};"


_mount = st.components.v2.component(
    "tumortrace_viewer",
    html=(_HERE / "viewer.html").read_text("utf-8"),
    css=(_HERE / "viewer.css").read_text("utf-8"),
    js="\n".join([colour_tables(), *((_HERE / name).read_text("utf-8") for name in _SCRIPTS)]),
)


@dataclass(frozen=True)
class Frame:
    """One image as the browser needs it.

    `url` answers with the raw pixels, row by row: uint8 (`bits` 8), little-endian uint16 (`bits` 16), or RGB bytes (`colour`);
    it should stay the same from rerun to rerun, since the browser keeps pixels by it. The window is in stored values;
    `slope` and `intercept` turn those into the modality's unit for display. `spacing_mm` is (row, column).
    `windows` are those that the file offers, to choose from; the first is the frame's own. `time_ms` is how long a film
    shows the frame. `marks` are texts for the left and right edge ("R", "L"), empty unless the image's orientation is known.
    `series`, `phase` and `slice` are those of `Image`. `chest_wall` says at which edge of a mammogram it lies; where it is
    empty, the browser looks where the tissue lies.
    """

    url: str
    width: int
    height: int
    colour: bool = False
    bits: Literal[8, 16] = 16
    window_center: float = 128.0
    window_width: float = 256.0
    function: VoiFunction = "LINEAR"
    laterality: str = ""
    view: str = ""
    slope: float = 1.0
    intercept: float = 0.0
    spacing_mm: tuple[float, float] | None = None
    label: str = ""
    marks: tuple[str, str] = ("", "")
    windows: tuple[Window, ...] = ()
    time_ms: float | None = None
    series: int = 0
    phase: int | None = None
    slice: int | None = None
    chest_wall: Literal["left", "right", ""] = ""

    @classmethod
    def of(cls, image: Image, url: str, label: str = "") -> Frame:
        """The frame of a stored image whose pixels `url` serves."""
        height, width = image.pixels.shape[:2]
        window = {}
        if image.window is not None:
            window = {
                "window_center": image.window.center,
                "window_width": image.window.width,
                "function": image.window.function,
            }
        return cls(
            url=url,
            width=width,
            height=height,
            colour=image.is_colour,
            bits=16 if image.pixels.dtype == np.uint16 else 8,
            laterality=image.laterality,
            view=image.view,
            slope=image.slope,
            intercept=image.intercept,
            spacing_mm=image.spacing_mm,
            label=label,
            windows=image.windows,
            time_ms=image.frame_time_ms,
            **window,
        )


def own_scale(heatmap: Heatmap) -> tuple[float, float]:
    """The scale on which this heatmap's own strongest value has full colour: not comparable between images."""
    top = float(np.abs(heatmap.values).max())
    return (-top if heatmap.signed else 0.0, top)


def viewer_heatmap(
    heatmap: Heatmap, image_index: int, scale: tuple[float, float], *, title: str = ""
) -> dict[str, Any]:
    """A heatmap for `study_viewer`: the raw float32 grid for image number `image_index`, and what its colours mean.

    `scale` has the raw values at the colour bar's ends, (0, top) for unsigned and (-top, top) for signed maps, so that a
    colour means the same on every picture; `own_scale` gives the picture's own. Grids beyond 256 cells a side are
    area-averaged. `title` is the method's name for people (default: `heatmap.method`).

    Raises ValueError for any other scale: zero must be the colourless value.
    """
    low, top = (float(v) for v in scale)
    if not math.isfinite(top) or top < 0 or low != (-top if heatmap.signed else 0.0):
        raise ValueError(f"the scale of a {'signed' if heatmap.signed else 'unsigned'} heatmap cannot be {scale}")
    grid = _area_average(heatmap.values)
    raw_max = float(np.abs(grid).max())
    if top == 0 and raw_max > 0:
        raise ValueError("a scale of 0 would hide a heatmap that is not zero")
    size = resolution(heatmap)
    if not is_painted(heatmap) and grid.shape != heatmap.values.shape:
        size += f", shown as {grid.shape[0]} × {grid.shape[1]}"
    target = heatmap.target_class.replace("_", " ")
    return {
        "id": _heatmap_id(heatmap),
        "image": image_index,
        "h": grid.shape[0],
        "w": grid.shape[1],
        "data": base64.b64encode(np.ascontiguousarray(grid, dtype="<f4")).decode("ascii"),
        "signed": heatmap.signed,
        "scale_max": top,
        "raw_max": raw_max,
        "label": f"{title or heatmap.method} · {target} · {size}",
        "target": target,
        "layer": heatmap.layer,
        "painted": is_painted(heatmap),
    }


def _heatmap_id(heatmap: Heatmap) -> str:
    """Hash of everything that makes one heatmap another; the browser reuses what it has painted under the same id."""
    names = (heatmap.method, heatmap.target_class, heatmap.layer, heatmap.model_version, heatmap.image_hash)
    digest = hashlib.sha256(json.dumps([*names, heatmap.values.shape]).encode())
    digest.update(np.ascontiguousarray(heatmap.values))
    return digest.hexdigest()[:16]


def _area_average(values: np.ndarray) -> np.ndarray:
    """(h, w) -> at most (256, 256): each cell is the mean over the area it covers, fractions of cells included."""
    for axis in (0, 1):
        if values.shape[axis] > MAX_GRID:
            values = _average_along(values, axis)
    return values


def _average_along(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean over `MAX_GRID` equal stretches of one axis, as differences of the running integral at their ends."""
    count = values.shape[axis]
    rows = np.moveaxis(values, axis, 0).astype(np.float64)
    integral = np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0)])  # (count + 1, other)
    ends = np.linspace(0, count, MAX_GRID + 1)
    below = np.minimum(np.floor(ends).astype(int), count - 1)
    at_ends = integral[below] + (ends - below)[:, None] * rows[below]
    return np.moveaxis(np.diff(at_ends, axis=0) * (MAX_GRID / count), 0, axis).astype(np.float32)


def study_viewer(
    frames: Sequence[Frame],
    *,
    view_key: str,
    heatmap: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    heatmap_on: bool = False,
    regions: Sequence[Mapping[str, Any]] = (),
    prefetch: Sequence[str] = (),
    hanging: Sequence[Sequence[int]] = (),
    dynamic: Sequence[Mapping[str, Any]] = (),
    height: int | None = None,
    cleaning: bool = False,
    key: str = "viewer",
    on_regions_change: Callable[[], None] | None = None,
    on_point_change: Callable[[], None] | None = None,
    on_attention_change: Callable[[], None] | None = None,
) -> Any:
    """Show the images of one case and return the component's result.

    `view_key` names the case and comes back with every message; `key` stays the same from case to case, so that the
    browser keeps its canvas. `heatmap` is one `viewer_heatmap` or several (one per image); none keeps the model hidden.
    A heatmap is off until the reviewer asks for it: in the viewer, or on the page, which then says `heatmap_on`.
    `regions` come from the page's own store: {"kind": "rect" | "point", "image", "points": [[x, y], …]}; in a callback,
    `received_regions` says what the reviewer marked. `prefetch` are pixel addresses the reviewer will want next;
    `height` is the stage's in CSS pixels (default: what the window leaves). `cleaning` is for masking: the rectangle is in hand
    when a case opens, and nothing lies over the picture that could hide a name in its corners. `hanging` puts pictures side
    by side: for each of four places (above left and right, below left and right) the frames of that view, the first of which
    is hung, in equal scale and with the chest walls in the middle; such a picture may be flipped for display, never in what
    the viewer sends. `dynamic` names the `series` that were taken several times over and the `url` of their derived pictures,
    to which the viewer adds `&kind=subtraction|projection&phase=k&slice=s`. `on_attention_change` is
    called when the window is hidden or shown and when nobody moves or somebody does again: `received_attention` says which.
    """
    if not frames:
        raise ValueError("the viewer needs at least one frame")
    heatmaps = [] if heatmap is None else [heatmap] if isinstance(heatmap, Mapping) else list(heatmap)
    tables: dict[bytes, int] = {}  # a table that many frames share travels once
    data = {
        "view_key": view_key,
        "frames": [_frame_data(frame, tables) for frame in frames],
        "tables": [_eight_bits(table) for table in tables],
        "heatmaps": heatmaps,
        "heatmap_on": heatmap_on,
        "regions": list(regions),
        "acknowledged": _last_message(key).get("serial", 0),
        "prefetch": list(prefetch),
        "hanging": [list(place) for place in hanging],
        "dynamic": list(dynamic),
        "height": height,
        "cleaning": cleaning,
        "wants_point": on_point_change is not None,
        "wants_attention": on_attention_change is not None,
    }
    return _mount(
        key=key,
        data=data,
        on_regions_change=on_regions_change or _ignore,
        on_point_change=on_point_change or _ignore,
        on_attention_change=on_attention_change or _ignore,
    )


def _frame_data(frame: Frame, tables: dict[bytes, int]) -> dict[str, Any]:
    """A frame as JSON; look-up tables are put into `tables`, and a window has its table's number there, or -1."""
    windows = [
        {
            "center": window.center,
            "width": window.width,
            "kind": window.function,
            "name": window.explanation.capitalize(),
            "table": tables.setdefault(window.table, len(tables)) if window.table else -1,
        }
        for window in frame.windows
    ]
    return {**asdict(replace(frame, windows=())), "windows": windows}


def _eight_bits(table: bytes) -> str:
    """A 16-bit table as the screen's 256 levels, base64."""
    levels = np.rint(np.frombuffer(table, dtype="<u2") * (255 / WHITE)).astype(np.uint8)
    return base64.b64encode(levels.tobytes()).decode("ascii")


def _ignore() -> None:
    """Streamlit keeps a value in the result only where there is a callback."""


def _last_message(key: str) -> Mapping[str, Any]:
    """What the viewer last sent about regions; empty before the first mark."""
    message = (st.session_state.get(key) or {}).get("regions")
    return message if isinstance(message, Mapping) else {}


def received_regions(key: str = "viewer") -> tuple[str, list[dict[str, Any]]] | None:
    """(view_key, regions) that the reviewer last marked, or None before the first mark: call it in `on_regions_change`.

    A browser can send anything: regions that are not rectangles or points within a picture's limits are dropped, and so is
    whatever follows the hundredth.
    """
    message = _last_message(key)
    view_key, items = message.get("view_key"), message.get("items")
    if not isinstance(view_key, str) or not isinstance(items, Sequence):
        return None
    return view_key, [region for item in items[:MAX_REGIONS] if (region := _clean_region(item)) is not None]


def received_attention(key: str = "viewer") -> tuple[str, bool, float] | None:
    """(view_key, somebody looks, seconds without a movement until now): call it in `on_attention_change`; else None."""
    message = (st.session_state.get(key) or {}).get("attention")
    try:
        return str(message["view_key"]), message["active"] is True, float(message["idle_s"])
    except (TypeError, ValueError, KeyError):
        return None


def _clean_region(item: Any) -> dict[str, Any] | None:
    """The region with exactly the keys it may have, or None where it is not one."""
    try:
        kind, image = item["kind"], int(item["image"])
        points = [[float(x), float(y)] for x, y in item["points"]]
    except (TypeError, ValueError, KeyError, OverflowError):
        return None
    inside = all(0 <= value <= MAX_COORDINATE for point in points for value in point)  # False for NaN too
    if len(points) != _POINTS.get(kind, 0) or image < 0 or not inside:
        return None
    return {"kind": kind, "image": image, "points": points}
