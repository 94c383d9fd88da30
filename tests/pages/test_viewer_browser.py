"""The viewer in a real browser: what it draws, checked pixel by pixel, and what it tells Python."""

from __future__ import annotations

import itertools
import json
import math
import os
import re

import numpy as np
import pytest

from core.colours import SEQUENTIAL, colours
from pages.ui.viewer import colour_tables
from tests.pages.serving import ROOT, served

W, H = 64, 48  # size of the gradient: value = 16 * (64 * row + column)

pytestmark = pytest.mark.browser

SERVER = """
import gzip
import numpy as np
import streamlit as st
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

gradient = (16 * np.arange(48 * 64)).reshape(48, 64).astype("<u2")
colours = np.zeros((10, 20, 3), np.uint8)
colours[0, 19] = 10, 200, 30
PIXELS = {"gradient": gradient, "second": np.full((48, 64), 40000, "<u2"), "flat": np.full((64, 64), 120, np.uint8),
          "colours": colours, "large": np.full((2048, 2048), 20000, "<u2")}

def pixels(request):
    if request.path_params["name"] == "refused":
        return PlainTextResponse("Their sizes differ.", status_code=422)
    body = gzip.compress(PIXELS[request.path_params["name"]].tobytes(), 1)
    return Response(body, media_type="application/octet-stream", headers={"Content-Encoding": "gzip"})

app = st.App("script.py", routes=[Route("/px/{name}", pixels)])
"""

SCRIPT = """
import json, time
from dataclasses import replace
import numpy as np
import streamlit as st
from core.records import Heatmap, Window
from pages.ui.viewer import Frame, received_regions, study_viewer, viewer_heatmap

st.set_page_config(layout="wide")
ss = st.session_state
ss.setdefault("regions", {})
ss.setdefault("runs", 0)
ss.runs += 1

def grey(name="gradient", **more):
    return Frame(**{**dict(url=f"px/{name}", width=64, height=48, window_center=24000, window_width=20001,
                           slope=2, intercept=-1000, spacing_mm=(0.5, 0.5), label="gradient"), **more})

def heat(values, signed=False):
    values = np.asarray(values, np.float32)
    made = Heatmap(values, "Grad-CAM", "malignant", "features.7", "v1", "hash", signed)
    return viewer_heatmap(made, 0, (-1, 1) if signed else (0, 1))

# Three levels for 0-29999, 30000-39999 and so on: entries of 10000 stored values each.
STEPS = Window(30000, 60000, "TABLE", "HARDER", np.array([0, 0, 0, 13107, 39321, 65535], "<u2").tobytes())
corner, both = np.zeros((8, 8)), np.zeros((8, 8))
corner[0, 7] = both[0, 7] = 1
both[7, 0] = -1
flat = Frame(url="px/flat", width=64, height=64, bits=8)
CASES = {
    "grey": ([grey()], None),
    "sigmoid": ([grey(function="SIGMOID", window_width=16000)], None),
    "exact": ([grey(function="LINEAR_EXACT", window_width=20000)], None),
    "choice": ([grey(windows=(Window(24000, 20001, "LINEAR", "NORMAL"), STEPS, Window(24000, 33)))], None),
    "alike": ([grey(windows=(replace(STEPS, explanation="NORMAL"), Window(24000, 16000, "SIGMOID", "NORMAL")))], None),
    "film": ([grey(time_ms=20), grey("second", time_ms=400)], None),
    "narrow": ([grey(window_center=24000.5, window_width=33)], None),
    "frames": ([grey(), grey("second", laterality="L", view="CC")], None),
    "colour": ([Frame(url="px/colours", width=20, height=10, colour=True, bits=8)], None),
    "corner": ([flat], heat(corner)),
    "signed": ([flat], heat(both, signed=True)),
    "asked": ([flat], heat(corner)),
    "faint": ([flat], heat(corner * 0.1)),
    "zero": ([flat], heat(np.zeros((8, 8)))),
    "missing": ([grey("absent")], None),
    "wrong": ([grey("flat")], None),
    "refused": ([grey("refused")], None),
    "hung": ([Frame(url="px/flat", width=64, height=64, bits=8, laterality=side, view="CC", chest_wall="left") for side in "RL"],
             heat(corner), [[0], [1], [], []]),
    "large": ([grey("large", width=2048, height=2048)], None),
}

def keep_regions():
    view_key, items = received_regions()
    ss.regions[view_key] = items

def keep_point():
    ss.points = [*ss.get("points", []), ss.viewer["point"]]

def forget():
    ss.regions = {}

def next_slowly():
    ss.case = "exact#next"
    ss.slow = 1.5

view_key = st.text_input("Case", "grey#0", key="case")  # "<case>#<number>": each test has its own
st.button("Rerun")
st.button("Forget", on_click=forget)
st.button("Next", on_click=next_slowly)
st.text_input("Comment")
time.sleep(ss.pop("slow", 0))
frames, heatmap, *more = CASES[view_key.split("#")[0]]
hanging = more[0] if more else ()
study_viewer(frames, hanging=hanging, view_key=view_key, heatmap=heatmap, heatmap_on=view_key.startswith("asked"),
             regions=ss.regions.get(view_key, []), height=480,
             on_regions_change=keep_regions, on_point_change=keep_point)
st.code(json.dumps({"case": view_key, "runs": ss.runs, "regions": ss.regions, "points": ss.get("points", [])}), language=None)
"""


@pytest.fixture(scope="module")
def server_url(tmp_path_factory):
    """A small app with the viewer and a pixel route, on a free loopback port."""
    folder = tmp_path_factory.mktemp("viewer")
    (folder / "server.py").write_text(SERVER)
    (folder / "script.py").write_text(SCRIPT)
    options = ("--server.headless=true", "--server.fileWatcherType=none", "--browser.gatherUsageStats=false")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with served(folder, environment, folder / "server.py", "--server.address=127.0.0.1", *options) as (url, _):
        yield url


class Screen:
    """One open page and short words for what the tests do on it."""

    def __init__(self, page, url: str) -> None:
        self.page, self.url = page, url
        self.requests: list[str] = []
        self.sent: list[object] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("websocket", self._listen)
        self.canvas = page.locator(".stage canvas")
        self.numbers = itertools.count(1)
        page.goto(url)
        self.wait_data("shown", re.compile("."))

    def _listen(self, socket) -> None:
        self.requests.append(socket.url)
        socket.on("framesent", lambda data: self.sent.append(data))

    def open(self, case: str, shown: bool = True) -> None:
        """Go to a case of the harness that no test has seen, and wait until its picture is on the stage."""
        self.go(f"{case}#{next(self.numbers)}", shown)

    def go(self, view_key: str, shown: bool = True) -> None:
        """Go to this very case, perhaps once more."""
        self.view_key = view_key
        self.press("Escape", "w")
        field = self.page.get_by_label("Case")
        field.fill(self.view_key)
        field.press("Enter")
        field.blur()
        self.wait_data("view", self.view_key)
        if shown:
            self.wait_data("shown", re.compile("."))

    def data(self, name: str) -> str:
        """An attribute `data-<name>` of the canvas."""
        return self.canvas.get_attribute(f"data-{name}") or ""

    def wait_data(self, name: str, value) -> None:
        """Wait until the canvas says so."""
        from playwright.sync_api import expect

        expect(self.canvas).to_have_attribute(f"data-{name}", value, timeout=30_000)

    def settle(self) -> None:
        """Two animation frames: whatever was asked for is drawn."""
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def box(self) -> dict:
        """Where the stage lies on the page."""
        return self.canvas.bounding_box()

    def place(self, row: float, column: float, size: tuple[int, int] = (W, H)) -> tuple[float, float]:
        """Stage position of a point of a fitted image, worked out from the stage's size alone."""
        box, (width, height) = self.box(), size
        zoom = min(box["width"] / width, box["height"] / height)
        return (box["width"] - width * zoom) / 2 + column * zoom, (box["height"] - height * zoom) / 2 + row * zoom

    def pixel(self, row: int, column: int, size: tuple[int, int] = (W, H)) -> list[int]:
        """RGB on the canvas at the centre of an image pixel."""
        self.settle()
        x, y = self.place(row + 0.5, column + 0.5, size)
        script = """(canvas, [x, y]) => [...canvas.getContext("2d").getImageData(
            x * canvas.width / canvas.clientWidth, y * canvas.height / canvas.clientHeight, 1, 1).data].slice(0, 3)"""
        return self.canvas.evaluate(script, [x, y])

    def drag(self, start: tuple[float, float], end: tuple[float, float], button: str = "left") -> None:
        """Drag between two stage positions in five moves."""
        box, mouse = self.box(), self.page.mouse
        mouse.move(box["x"] + start[0], box["y"] + start[1])
        mouse.down(button=button)
        mouse.move(box["x"] + end[0], box["y"] + end[1], steps=5)
        mouse.up(button=button)
        self.settle()

    def press(self, *keys: str) -> None:
        """Press keys and let them be drawn."""
        for key in keys:
            self.page.keyboard.press(key)
        self.settle()

    def told(self) -> dict:
        """What the Python script last wrote on the page."""
        return json.loads(self.page.locator("[data-testid=stCode]").inner_text())

    def wait_told(self, condition) -> dict:
        """Wait until what Python wrote meets the condition, and return it."""
        for _ in range(400):
            if condition(told := self.told()):
                return told
            self.page.wait_for_timeout(50)
        pytest.fail(f"Python never said it; it last said {told}")

    def coloured(self) -> list[dict]:
        """Image coordinates (fractions) and colour of every canvas pixel (of every third) that is not grey."""
        self.settle()
        return self.canvas.evaluate("""canvas => {
            const {width, height} = canvas, found = [], side = Math.min(width, height), left = (width - side) / 2;
            const data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
            for (let i = 0; i < data.length; i += 12) {  // every third pixel is enough to see where colour is
                const r = data[i], g = data[i + 1], b = data[i + 2], x = (i / 4) % width, y = Math.floor(i / 4 / width);
                if (Math.max(r, g, b) - Math.min(r, g, b) > 8) found.push({u: (x + .5 - left) / side, v: (y + .5) / side, r, g, b});
            }
            return found;
        }""")


@pytest.fixture(scope="module")
def screen(chromium, server_url):
    """One page for all tests: each goes to a case of its own, as a reviewer would."""
    page = chromium.new_page(viewport={"width": 1200, "height": 800})
    yield Screen(page, server_url)
    page.close()


def grey(value: float, kind: str, center: float, width: float) -> int:
    """Grey level 0–255 as DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3 print it."""
    if kind == "SIGMOID":
        return math.floor(255 / (1 + math.exp(-4 * (value - center) / width)) + 0.5)
    if kind == "LINEAR":
        center, width = center - 0.5, width - 1
    return math.floor(min(255, max(0, ((value - center) / width + 0.5) * 255)) + 0.5)


def test_linear_window_gives_the_grey_levels_of_the_standard(screen):
    """LINEAR, centre 24000, width 20001: 0 below 14000, 128 at 24000, 191 at 28992, 255 from 34000 on."""
    screen.open("grey")
    expected = {(0, 0): 0, (13, 43): 0, (23, 28): 128, (28, 20): 191, (33, 13): 255, (47, 63): 255}
    assert {at: screen.pixel(*at) for at in expected} == {at: [g, g, g] for at, g in expected.items()}
    assert all(grey(16 * (64 * r + c), "LINEAR", 24000, 20001) == g for (r, c), g in expected.items())


@pytest.mark.parametrize(
    ("case", "window"),
    [
        ("sigmoid", ("SIGMOID", 24000, 16000)),
        ("exact", ("LINEAR_EXACT", 24000, 20000)),
        ("narrow", ("LINEAR", 24000.5, 33)),  # 0, 128, 255 at neighbouring pixels: half a unit off would show
    ],
)
def test_window_functions_follow_the_standard(screen, case, window):
    """Every function gives the levels of its formula at dark, middle and bright values."""
    screen.open(case)
    for row, column in [(0, 0), (18, 5), (23, 27), (23, 28), (23, 29), (27, 22), (40, 1), (47, 63)]:
        assert screen.pixel(row, column) == [grey(16 * (64 * row + column), *window)] * 3


def test_windows_of_the_file_can_be_chosen(screen):
    """V goes round the file's windows, the select names them, a look-up table draws its own levels, F goes back."""
    screen.open("choice")
    select = screen.page.get_by_label("Window of the file")
    assert select.locator("option").all_text_contents() == ["Normal", "Harder", "Window 3"]
    assert screen.pixel(28, 20)[0] == 191
    screen.press("v")
    screen.wait_data("ww", "60000")
    # Values 14336, 28992, 30016, 40000 and 49152 fall into entries 1, 2, 3, 4 and 4.
    places = [(14, 0), (28, 20), (29, 20), (39, 4), (47, 63)]
    assert [screen.pixel(*at)[0] for at in places] == [0, 0, 51, 153, 153]
    select.select_option("Window 3")
    screen.wait_data("ww", "33")
    screen.press("v")
    screen.wait_data("ww", "20001")
    screen.press("v", "f")
    screen.wait_data("ww", "20001")


def test_windows_of_one_name_are_told_apart(screen):
    """A table and a curve that the file calls alike say what they are."""
    screen.open("alike")
    options = screen.page.get_by_label("Window of the file").locator("option")
    assert options.all_text_contents() == ["Normal, table", "Normal, sigmoid"]


def test_select_of_windows_is_absent_where_there_is_no_choice(screen):
    """One window is no choice."""
    screen.open("grey")
    assert screen.page.get_by_label("Window of the file").is_hidden()


def film(screen, changes):
    """Play the film for so many changes of its two frames: how long (ms) each of them was shown, every time."""
    watch = """(canvas, changes) => new Promise(done => {
      const seen = [];
      const watcher = new MutationObserver(() => {
        const last = seen[seen.length - 1];
        if (last?.frame !== canvas.dataset.frame) seen.push({ frame: canvas.dataset.frame, at: performance.now() });
        if (seen.length === changes) { watcher.disconnect(); done(seen); }
      });
      watcher.observe(canvas, { attributes: true, attributeFilter: ["data-frame"] });
    })"""
    screen.press("k")
    seen = screen.page.locator("canvas").first.evaluate(watch, changes)
    screen.press("k")
    lengths = {"0": [], "1": []}
    for one, after in itertools.pairwise(seen):
        lengths[one["frame"]].append(after["at"] - one["at"])
    return lengths


def test_film_keeps_its_own_time(screen):
    """Every frame is shown as long as its file says: 20 ms the first, 400 ms the second."""
    screen.open("film")
    lengths = film(screen, 6)
    assert min(lengths["1"]) >= 380
    assert max(lengths["0"]) < 380


def test_a_frame_drawn_late_is_shown_as_long_as_any(screen):
    """Every third picture of the screen comes 60 ms late: the 400 ms of a frame count from there."""
    screen.open("film")
    screen.page.evaluate("""() => {
      let pictures = 0;
      window.hogging = true;
      const hog = () => {
        const end = performance.now() + (pictures++ % 3 ? 0 : 60);
        while (performance.now() < end);
        if (window.hogging) requestAnimationFrame(hog);
      };
      requestAnimationFrame(hog);
    }""")
    lengths = film(screen, 12)
    screen.page.evaluate("window.hogging = false")
    assert min(lengths["1"]) >= 380


def test_array_corners_land_in_the_corners_and_invert_turns_grey_over(screen):
    """At fit, (row, column) of the array is drawn at that row and column, the outside is black, and I inverts."""
    screen.open("frames")
    screen.press("ArrowDown", "ArrowUp", "f")
    screen.wait_data("frame", "0")
    assert [screen.pixel(0, 0)[0], screen.pixel(0, 63)[0], screen.pixel(47, 0)[0], screen.pixel(47, 63)[0]] == [
        0,
        0,
        255,
        255,
    ]
    outside = screen.place(24, -1)
    assert outside[0] > 0
    assert screen.pixel(24, -1) == [0, 0, 0]
    before = screen.pixel(28, 20)[0]
    screen.press("i")
    assert screen.pixel(28, 20) == [255 - before] * 3
    assert screen.pixel(24, -1) == [0, 0, 0]


def test_colour_pixels_are_drawn_as_they_are(screen):
    """RGB bytes reach the canvas unchanged and in order, at the right row and column."""
    screen.open("colour")
    assert screen.pixel(0, 19, (20, 10)) == [10, 200, 30]
    assert screen.pixel(9, 0, (20, 10)) == [0, 0, 0]


def test_heatmap_is_off_until_asked_for_and_colours_its_own_corner_only(screen):
    """One hot cell top right: nothing before H; then colour within that cell's bilinear reach and nowhere else."""
    screen.open("corner")
    assert screen.data("heat") == "off"
    assert screen.coloured() == []
    screen.press("h")
    assert screen.data("heat") == "on"
    coloured = screen.coloured()
    assert min(p["u"] for p in coloured) > 6.5 / 8
    assert max(p["v"] for p in coloured) < 1.5 / 8
    assert max(p["u"] for p in coloured) > 0.99  # edge to edge: the outermost pixels too
    assert min(p["v"] for p in coloured) < 0.01
    # Full scale is viridis's last stop (253, 231, 37) at half opacity over grey level 120: about (186, 176, 79).
    corner = next(p for p in coloured if p["u"] > 0.98 and p["v"] < 0.02)
    assert [corner["r"], corner["g"], corner["b"]] == pytest.approx([186, 175, 79], abs=3)
    screen.press("h")
    assert screen.coloured() == []


def test_heatmap_of_a_flipped_view_lies_over_its_own_pixels(screen):
    """The hot cell top right in the array of R CC is drawn top left on the screen, where the picture is flipped; L CC has none."""
    screen.open("hung")
    assert screen.data("flipped") == "0"
    screen.press("h")
    box = screen.box()
    side, middle = min(box["width"], box["height"]), (box["width"] - 2) / 2
    size = min(middle, (box["height"] - 2) / 2)  # of a square picture in its place
    # `coloured` counts from the middle square of the stage.
    across = [(p["u"] * side + (box["width"] - side) / 2 - (middle - size)) / size for p in screen.coloured()]
    down = [p["v"] * side / size for p in screen.coloured()]
    assert (min(across), max(across)) == (pytest.approx(0, abs=0.02), pytest.approx(1 / 8, abs=0.07))
    assert max(down) < 1.5 / 8
    screen.page.mouse.move(box["x"] + middle - size + 2, box["y"] + 2)
    assert "heatmap 1" in screen.page.locator(".probe").inner_text()
    screen.press("z")
    wide = [p["u"] for p in screen.coloured()]
    assert (min(wide), max(wide)) == (pytest.approx(0, abs=0.02), pytest.approx(1 / 8, abs=0.07))


def test_refusal_of_the_server_is_shown_in_its_own_words(screen):
    """A picture that the server will not make says why, and nothing else."""
    screen.open("refused", shown=False)
    screen.page.locator(".message", has_text="Their sizes differ.").wait_for()
    assert screen.page.locator(".message").inner_text() == "Their sizes differ."


def test_signed_heatmap_shows_for_in_orange_and_against_in_blue(screen):
    """A map with +1 top right and −1 bottom left: red outweighs blue only at the former, blue red only at the latter."""
    screen.open("signed")
    screen.press("h")
    coloured = screen.coloured()
    orange = [p for p in coloured if p["r"] > p["b"]]
    blue = [p for p in coloured if p["b"] > p["r"]]
    assert orange
    assert blue
    assert all(p["u"] > 0.8 and p["v"] < 0.2 for p in orange)
    assert all(p["u"] < 0.2 and p["v"] > 0.8 for p in blue)


def test_the_screens_colours_are_those_of_exported_pictures(screen):
    """All 256 colours of every table that the browser makes, against `core.colours`, to half a level of rounding."""
    script = colour_tables() + (ROOT / "pages/ui/viewer/tables.js").read_text()
    drawn = screen.page.evaluate(
        f"() => {{ {script}; return [SIGNED_STOPS, ...Object.values(COLOUR_STOPS)].map((text) => [...colourTable(text)]); }}"
    )
    assert len(drawn) == 1 + len(SEQUENTIAL)
    expected = [colours(np.linspace(-1, 1, 256), signed=True)]
    expected += [colours(np.linspace(0, 1, 256), signed=False, table=name) for name in SEQUENTIAL]
    for one, other in zip(drawn, expected, strict=True):
        assert np.abs(np.reshape(one, (256, 3)) - 255 * other).max() <= 0.5 + 1e-6


def test_heatmap_that_is_zero_everywhere_draws_nothing_and_says_so(screen):
    """With an all-zero grid the picture stays grey, the state is off, and the legend explains."""
    screen.open("zero")
    screen.press("h")
    assert screen.data("heat") == "off"
    assert screen.coloured() == []
    assert "zero everywhere" in screen.page.locator(".legend .note").inner_text()


def test_heatmap_asked_for_on_the_page_is_shown_at_once_and_can_be_switched_off(screen):
    """With `heatmap_on` the heatmap is there without a key; after H it stays off, through new data and a return too."""
    screen.open("asked")
    asked = screen.view_key
    assert screen.data("heat") == "on"
    screen.press("h", "q")
    box = screen.box()
    screen.page.mouse.click(box["x"] + 300, box["y"] + 200)
    screen.wait_told(lambda told: told["regions"].get(asked))
    screen.settle()
    assert screen.data("heat") == "off"
    screen.open("grey")
    screen.go(asked)
    assert screen.data("heat") == "off"


def test_legend_says_method_class_grid_and_raw_values(screen):
    """The label names method, class, grid and enlargement; the colour bar has raw values at its ends."""
    screen.open("corner")
    screen.press("h")
    note = screen.page.locator(".legend .note").inner_text()
    assert note.startswith("Grad-CAM · malignant · 8 × 8, enlarged 8× · features.7")
    assert "not a lesion outline" in note
    assert screen.page.locator(".scale span").all_inner_texts() == ["1", "0"]


def test_looking_sends_nothing_to_python(screen):
    """Window drags (left and right), zoom, pan, invert and heatmap controls change the picture without one message."""
    screen.open("corner")
    sent, draws, wc = len(screen.sent), int(screen.data("draws")), screen.data("wc")
    screen.drag((200, 200), (260, 150))
    assert screen.data("wc") != wc
    ww = screen.data("ww")
    screen.drag((200, 200), (260, 150), button="right")
    assert screen.data("ww") != ww
    zoom = float(screen.data("zoom"))
    screen.page.mouse.wheel(0, -300)
    screen.press("+", "p", "i", "h", "]", "[")
    screen.drag((200, 200), (100, 150))
    assert float(screen.data("zoom")) > zoom
    assert int(screen.data("draws")) > draws + 10
    assert len(screen.sent) == sent


def test_window_drag_is_told_in_the_modality_unit_and_reset_brings_it_back(screen):
    """HUD: slope 2, intercept −1000 turn centre 24000, width 20001 into 47000 and 40002; F restores the frame's window."""
    screen.open("grey")
    hud = screen.page.locator(".hud")
    assert "WW 40002  WC 47000" in hud.inner_text()
    screen.drag((100, 100), (200, 160))
    assert float(screen.data("ww")) > 20001
    assert float(screen.data("wc")) > 24000
    screen.press("f")
    assert (screen.data("ww"), screen.data("wc")) == ("20001", "24000")


def test_pixel_under_the_cursor_and_scale_bar(screen):
    """Stored 24000 reads as 47000 under the cursor; at 10 screen pixels per 0.5 mm pixel, 10 mm take 200."""
    screen.open("grey")
    box, (x, y) = screen.box(), screen.place(23.5, 28.5)
    screen.page.mouse.move(box["x"] + x, box["y"] + y)
    assert "x 28  y 23  value 47000" in screen.page.locator(".probe").inner_text()
    zoom = float(screen.data("zoom"))
    assert screen.page.locator(".ruler span").inner_text() == "10 mm"
    assert screen.page.locator(".ruler i").bounding_box()["width"] == pytest.approx(10 / 0.5 * zoom, abs=1)


def test_frames_scroll_by_wheel_keys_and_slider(screen):
    """The wheel and the arrows change the image, not the zoom; window and zoom of the study stay."""
    screen.open("frames")
    zoom = screen.data("zoom")
    box = screen.box()
    screen.page.mouse.move(box["x"] + 200, box["y"] + 200)
    screen.page.mouse.wheel(0, 100)
    screen.wait_data("frame", "1")
    assert screen.pixel(10, 10) == [255] * 3
    assert "L CC" in screen.page.locator(".mark").inner_text()
    screen.press("ArrowUp")
    screen.wait_data("frame", "0")
    screen.page.locator("[data-set=frame]").fill("1")
    screen.wait_data("frame", "1")
    assert screen.data("zoom") == zoom
    screen.page.locator("[data-do=play]").click()
    screen.wait_data("frame", "0")


def test_region_reaches_python_in_image_pixels_and_survives_a_rerun(screen):
    """A rectangle from (10, 5) to (30, 20) arrives as such, is drawn again after a rerun, and Backspace takes it away."""
    screen.open("grey")
    screen.press("b")
    screen.drag(screen.place(5, 10), screen.place(20, 30))
    told = screen.wait_told(lambda told: told["regions"].get(screen.view_key))
    (region,) = told["regions"][screen.view_key]
    assert (region["kind"], region["image"]) == ("rect", 0)
    assert [v for point in region["points"] for v in point] == pytest.approx([10, 5, 30, 20], abs=0.15)
    screen.page.get_by_role("button", name="Rerun").click()
    screen.wait_told(lambda later: later["runs"] > told["runs"])
    assert any(p["b"] > p["r"] for p in screen.coloured())
    screen.press("Backspace")
    screen.wait_told(lambda later: later["regions"][screen.view_key] == [])
    assert screen.coloured() == []


def test_python_has_the_last_word_on_regions(screen):
    """When the page's store loses the regions, the viewer, whose marks it has seen, shows none either."""
    screen.open("grey")
    screen.press("b")
    screen.drag(screen.place(5, 10), screen.place(20, 30))
    screen.drag(screen.place(8, 40), screen.place(30, 50))
    screen.wait_told(lambda told: len(told["regions"].get(screen.view_key, [])) == 2)
    assert screen.coloured()
    screen.page.get_by_role("button", name="Forget").click()
    screen.wait_told(lambda told: told["regions"] == {})
    assert screen.coloured() == []
    assert screen.page.locator("[data-do=clear]").is_disabled()


def test_point_reaches_python_as_region_and_as_event(screen):
    """A click with the point tool is kept as a region and told once as an event, both with the case's key."""
    screen.open("grey")
    screen.press("q")
    box, (x, y) = screen.box(), screen.place(12, 40)
    screen.page.mouse.click(box["x"] + x, box["y"] + y)
    key = screen.view_key
    told = screen.wait_told(lambda told: told["regions"].get(key) and key in {p["view_key"] for p in told["points"]})
    (kept,), event = told["regions"][screen.view_key], told["points"][-1]
    assert kept["points"][0] == pytest.approx([40, 12], abs=0.15)
    assert (event["view_key"], event["image"]) == (screen.view_key, 0)
    assert [event["x"], event["y"]] == kept["points"][0]


def test_late_region_stays_with_the_case_it_was_drawn_on(screen):
    """While Python is already at the next case, a rectangle on the old picture is stored under the old case only."""
    screen.open("grey")
    screen.press("b")
    screen.page.get_by_role("button", name="Next").click()
    screen.page.wait_for_function("document.querySelector('[aria-label=Case]').value === 'exact#next'")
    screen.drag(screen.place(5, 10), screen.place(20, 30))  # the script sleeps before it reaches the viewer
    told = screen.wait_told(lambda told: told["case"] == "exact#next" and told["regions"].get(screen.view_key))
    assert "exact#next" not in told["regions"]
    screen.wait_data("view", "exact#next")
    screen.settle()
    assert screen.coloured() == []


def test_case_is_found_as_it_was_left_and_the_next_one_starts_plain(screen):
    """Zoom, window, image and heatmap come back with their case; another case has none of them; opacity goes along."""
    screen.open("corner")
    left = screen.view_key
    screen.press("h", "+", "+", "i", "]")
    screen.drag((200, 200), (260, 150))
    names = ("zoom", "ww", "wc", "heat", "frame")
    kept = {name: screen.data(name) for name in names}
    opacity = screen.page.locator("[data-set=opacity]")
    assert opacity.input_value() == "0.6"
    screen.open("corner")
    assert {name: screen.data(name) for name in ("ww", "wc", "heat")} == {"ww": "256", "wc": "128", "heat": "off"}
    assert opacity.input_value() == "0.6"
    screen.press("[")
    screen.go(left)
    assert {name: screen.data(name) for name in names} == kept
    assert screen.page.locator("[data-do=invert]").get_attribute("aria-pressed") == "true"


def test_colours_follow_the_given_scale_until_the_own_maximum_is_asked_for(screen):
    """A map of at most 0.1 on a scale of 1 stays below the threshold; "own max" shows it and says so."""
    screen.open("faint")
    screen.press("h")
    assert screen.coloured() == []
    assert "this image's maximum 0.1" in screen.page.locator(".legend .note").inner_text()
    screen.page.locator("[data-do=own]").click()
    assert screen.coloured()
    assert "stretched to this image's maximum" in screen.page.locator(".legend .note").inner_text()
    assert screen.page.locator(".scale span").all_inner_texts() == ["0.1", "0"]


def test_zoom_keeps_the_place_under_the_cursor(screen):
    """Wheeling on the one mid-grey pixel of a narrow window leaves it under the cursor, and the zoom grows."""
    screen.open("narrow")
    box, (x, y), zoom = screen.box(), screen.place(23.5, 28.5), float(screen.data("zoom"))
    assert screen.pixel(23, 28) == [128] * 3
    screen.page.mouse.move(box["x"] + x, box["y"] + y)
    screen.page.mouse.wheel(0, -500)
    screen.settle()
    assert float(screen.data("zoom")) == pytest.approx(zoom * math.exp(0.75), rel=1e-3)
    assert screen.pixel(23, 28) == [128] * 3  # read at the place of the fitted picture


def test_help_lists_the_keys_and_combinations_are_left_to_the_page(screen):
    """? opens the list, Escape closes it; Ctrl+H and Alt+I do nothing here."""
    screen.open("corner")
    help_panel = screen.page.locator(".help")
    screen.press("?")
    assert "heatmap on or off" in help_panel.inner_text()
    screen.press("Escape")
    assert not help_panel.is_visible()
    screen.press("Control+h", "Alt+i")
    assert screen.data("heat") == "off"
    assert screen.page.locator("[data-do=invert]").get_attribute("aria-pressed") == "false"


def test_keys_leave_typing_alone(screen):
    """Letters typed into a text field stay text: no tool, no inversion, no heatmap."""
    screen.open("corner")
    screen.page.get_by_label("Comment").click()
    screen.page.keyboard.type("whiff bq")
    screen.settle()
    assert screen.data("heat") == "off"
    assert screen.page.locator("[data-tool=window]").get_attribute("aria-pressed") == "true"
    assert screen.page.locator("[data-do=invert]").get_attribute("aria-pressed") == "false"


@pytest.mark.parametrize(("case", "words"), [("missing", "status 500"), ("wrong", "4096 bytes instead of 6144")])
def test_failed_picture_is_said_in_one_sentence(screen, case, words):
    """An address that fails, or gives another number of bytes, leaves a black stage with one sentence."""
    screen.open(case, shown=False)
    message = screen.page.locator(".message", has_text="could not be loaded")
    message.wait_for()
    assert words in message.inner_text()
    assert message.inner_text().count(".") == 1
    assert screen.data("shown") == ""


def test_no_script_error_and_nothing_beyond_the_loopback(screen):
    """After all the above: no JavaScript error was raised, and no request or socket left 127.0.0.1."""
    assert screen.errors == []
    assert len(screen.requests) > 10
    assert [
        url for url in screen.requests if not re.match(r"((https?|wss?)://127\.0\.0\.1[:/]|blob:|data:)", url)
    ] == []
