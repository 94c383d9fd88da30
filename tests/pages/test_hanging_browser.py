"""Mammograms side by side and dynamic series on the running program: what lies where on the screen, and what is told of it."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest

from db import drafts, engine, studies
from tests.pages.conftest import Visitor
from tests.pages.exams import LEVELS, dynamic, four_views, mammogram, study_of

pytestmark = pytest.mark.browser
SIZE = (90, 60)  # rows and columns of a view


class Stage:
    """The viewer of one open study, and short words for what the tests do on it."""

    def __init__(self, page) -> None:
        self.page, self.canvas = page, page.locator(".stage canvas")

    def wait(self, name: str, value) -> None:
        """Until the canvas says so."""
        from playwright.sync_api import expect

        expect(self.canvas).to_have_attribute(f"data-{name}", value, timeout=30_000)

    def data(self, name: str) -> str:
        """An attribute of the canvas."""
        return self.canvas.get_attribute(f"data-{name}") or ""

    def press(self, *keys: str) -> None:
        """Press keys and let them be drawn."""
        for key in keys:
            self.page.keyboard.press(key)
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def at(self, place: int, row: float, column: float, *, flipped: bool, size=SIZE) -> tuple[float, float]:
        """Stage position of an image point in one of the four places, worked out from the stage's size alone."""
        box = self.canvas.bounding_box()
        wide, high = (box["width"] - 2) / 2, (box["height"] - 2) / 2
        zoom = min(wide / SIZE[1], high / SIZE[0])
        across = size[1] - column if flipped else column
        left = wide + 2 if place % 2 else wide - size[1] * zoom
        return left + across * zoom, (place // 2) * (high + 2) + row * zoom

    def grey(self, position: tuple[float, float]) -> int:
        """Grey level on the canvas there."""
        script = """(canvas, [x, y]) => canvas.getContext("2d").getImageData(
            x * canvas.width / canvas.clientWidth, y * canvas.height / canvas.clientHeight, 1, 1).data[0]"""
        return self.canvas.evaluate(script, list(position))

    def move(self, position: tuple[float, float]) -> None:
        """The pointer to a stage position."""
        box = self.canvas.bounding_box()
        self.page.mouse.move(box["x"] + position[0], box["y"] + position[1])

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag between two stage positions."""
        self.move(start)
        self.page.mouse.down()
        self.move(end)
        self.page.mouse.up()

    def text(self, selector: str) -> str:
        """What stands there."""
        return self.page.locator(selector).inner_text()


@pytest.fixture(scope="module")
def visitor(chromium, server_url):
    """One reviewer for all tests of this module."""
    someone = Visitor(chromium, server_url, "Hanna")
    yield someone
    someone.context.close()


@pytest.fixture
def show(visitor):
    """Put an exam into the store and open it; gives its stage."""

    def opened(files, tiles=None) -> Stage:
        study = study_of(files)
        with engine.write() as session:
            studies.add_study(session, study)
        visitor.page.goto(f"{visitor.url}/review?study={study.id}")
        stage = Stage(visitor.page)
        stage.wait("shown", re.compile("."))
        stage.wait("tiles", re.compile(",".join([r"\d"] * (tiles or len(files)))) if study.modality == "MG" else "0")
        stage.press("f")
        stage.study = study
        return stage

    return opened


def level(value: int) -> int:
    """Grey level of a value in the window 2048/4096 (LINEAR: PS3.3 C.11.2.1.2.1)."""
    return round(((value - 2047.5) / 4095 + 0.5) * 255)


# Place -> (view, stored mirrored, the array's index): RCC LCC / RMLO LMLO.
HUNG = [(("R", "CC"), True), (("L", "CC"), False), (("R", "MLO"), False), (("L", "MLO"), True)]


def test_four_views_hang_with_their_chest_walls_in_the_middle(show):
    """Each place shows its view's grey level beside the middle line and air outside; two are flipped, and say so."""
    stage = show(four_views(PatientID="hanging"))
    for place, (view, flipped) in enumerate(HUNG):
        wall, nipple = (57.5, 2.5) if (place % 2 == 0) != flipped else (2.5, 57.5)
        assert stage.grey(stage.at(place, 45, wall, flipped=flipped)) == pytest.approx(level(LEVELS[view]), abs=1)
        assert stage.grey(stage.at(place, 45, nipple, flipped=flipped)) == 0
        assert stage.grey(stage.at(place, 2.5, 2.5, flipped=flipped)) == pytest.approx(level(4000), abs=1)
        text = stage.page.locator(".tiles > div").nth(place).inner_text()
        assert text.startswith(" ".join(view))
        assert ("flipped for display" in text) == flipped
    assert stage.text(".cine output") == "4 of 4 images"


def test_pixel_under_the_pointer_is_the_pixel_of_the_array(show):
    """In flipped and unflipped views alike, side by side and at full size: array column, row and value."""
    stage = show(four_views(PatientID="probe"))
    for place, (view, flipped) in enumerate(HUNG):
        stage.move(stage.at(place, 4.5, 1.5, flipped=flipped))
        assert stage.text(".probe") == "x 1  y 4  value 4000"
        stage.move(stage.at(place, 45.5, 30.5, flipped=flipped))
        assert stage.text(".probe") == f"x 30  y 45  value {LEVELS[view]}"
    stage.press("z")
    assert stage.data("flipped")
    assert stage.text(".mark") == "R CC\nflipped for display"
    box = stage.canvas.bounding_box()
    zoom = box["height"] / SIZE[0]
    stage.move((box["width"] / 2 + (SIZE[1] / 2 - 1.5) * zoom, 4.5 * zoom))  # mirrored: column 1 stands right
    assert stage.text(".probe") == "x 1  y 4  value 4000"
    # The array's rows lead to the front (A), so on the mirrored screen the front is on the left.
    assert (stage.text(".edge.left"), stage.text(".edge.right")) == ("A", "P")


def regions_of(stage: Stage, count: int) -> list:
    """The draft's regions, once there are so many."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with engine.read() as session:
            regions = (drafts.get_draft(session, stage.study.id, "Hanna") or {}).get("regions", [])
        if len(regions) == count:
            return regions
        time.sleep(0.05)
    pytest.fail(f"there never were {count} regions: {regions}")


def test_regions_of_flipped_views_are_told_in_the_array(show):
    """A rectangle drawn from (10, 20) to (30, 50) in the flipped R CC and L MLO arrives as such, for the right image."""
    stage = show(four_views(PatientID="regions"))
    stage.press("b")
    for place in (0, 3):
        stage.drag(stage.at(place, 20, 10, flipped=True), stage.at(place, 50, 30, flipped=True))
    found = regions_of(stage, 2)
    assert [stage.study.images[r["image"]].laterality for r in found] == ["R", "L"]
    for region in found:
        assert [v for point in region["points"] for v in point] == pytest.approx([10, 20, 30, 50], abs=0.3)
    # Drawn where it was made: its left edge, array column 10, lies to the right on the screen.
    x, y = stage.at(0, 35, 10, flipped=True)
    script = """(canvas, [x, y]) => [...canvas.getContext("2d").getImageData(
        (x - 2) * canvas.width / canvas.clientWidth, y * canvas.height / canvas.clientHeight, 4, 1).data]"""
    data = np.array(stage.canvas.evaluate(script, [x, y])).reshape(-1, 4)
    assert (data[:, 2].astype(int) - data[:, 0] > 60).any()
    stage.press("w")


def test_one_view_comes_to_full_size_and_back(show):
    """Arrow keys choose, Z and a double click enlarge and return; a drag changes one window, or all while they are linked."""
    stage = show(four_views(PatientID="keys"))
    stored = [(image.laterality, image.view) for image in stage.study.images]
    order = [stored.index(view) for view in LEVELS]
    assert stage.data("frame") == str(order[0])
    stage.press("ArrowRight")
    assert stage.data("frame") == str(order[1])
    stage.press("ArrowDown", "z")
    stage.wait("tiles", str(order[3]))
    stage.press("ArrowLeft")
    stage.wait("tiles", str(order[2]))
    stage.canvas.dblclick()
    stage.wait("tiles", ",".join(map(str, order)))
    stage.canvas.dblclick(position=dict(zip("xy", stage.at(1, 45, 10, flipped=False), strict=True)))
    stage.wait("tiles", str(order[1]))
    stage.press("z", "x")  # from now on each its own window
    start = stage.at(1, 45, 10, flipped=False)
    stage.drag(start, (start[0] + 30, start[1]))
    assert float(stage.data("ww")) > 4096
    stage.press("ArrowLeft")
    assert stage.data("ww") == "4096"
    stage.press("ArrowRight", "x", "ArrowLeft")  # linked again: all have that of the chosen one
    assert float(stage.data("ww")) > 4096


def test_tissue_says_where_the_chest_wall_is_and_sizes_stay_in_scale(show):
    """Without orientation a mirrored R CC is flipped by its tissue; a view of double spacing is drawn twice as large."""
    files = [
        ("a.dcm", mammogram("R", "CC", "left", InstanceNumber=0, PatientOrientation=None)),
        ("b.dcm", mammogram("L", "CC", "left", (45, 30), InstanceNumber=1, ImagerPixelSpacing=[0.8, 0.8])),
    ]
    stage = show(files)
    assert stage.data("flipped") == "0"
    assert stage.grey(stage.at(0, 45, 2.5, flipped=True)) == pytest.approx(level(1000), abs=1)
    assert stage.grey(stage.at(1, 5, 5, flipped=False)) == pytest.approx(level(4000), abs=1)
    assert stage.page.locator(".tiles > div").nth(2).inner_text() == "R MLO: no image"
    # 6 pixels of 0.8 mm are as wide as 12 of 0.4: the square's edge lies there in the other view's pixels.
    assert stage.grey(stage.at(1, 5, 11, flipped=False)) == pytest.approx(level(4000), abs=1)
    assert stage.grey(stage.at(1, 5, 13, flipped=False)) != pytest.approx(level(4000), abs=1)


def test_images_beyond_the_four_are_counted_and_reached(show):
    """Two of R CC, one R ML: the wheel over R CC brings the second, the slider brings ML at full size, Z goes back."""
    views = [("R", "CC"), ("L", "CC"), ("R", "CC"), ("R", "ML")]
    files = [
        (f"{n}.dcm", mammogram(*view, "right" if view[0] == "R" else "left", (90, 60 - n), InstanceNumber=n))
        for n, view in enumerate(views)
    ]
    study = study_of(files)
    second, other = (next(n for n, i in enumerate(study.images) if i.pixels.shape[1] == w) for w in (58, 57))
    stage = show(files, tiles=2)
    first = stage.page.locator(".tiles > div").first
    assert first.inner_text() == "R CC\n1 of 2 (wheel)"
    assert stage.text(".cine output") == "2 of 4 images"
    stage.move((200, 100))
    stage.page.mouse.wheel(0, 100)
    stage.wait("frame", str(second))
    assert first.inner_text() == "R CC\n2 of 2 (wheel)"
    stage.page.locator("[data-set=frame]").fill(str(other))
    stage.wait("tiles", str(other))
    assert stage.text(".mark") == "R ML"
    stage.press("z")
    stage.wait("tiles", re.compile(r"^\d,\d$"))


def test_phases_change_at_the_same_slice_and_the_wheel_scrolls_slices(show):
    """Frame = 8 · phase + slice: the wheel stays in its phase, arrows and Shift-wheel stay on their slice."""
    stage = show(dynamic())
    stage.press("ArrowDown", "ArrowDown", "ArrowDown")
    stage.wait("frame", "3")
    stage.press("ArrowRight")
    stage.wait("frame", "11")
    assert "phase 2/3   slice 4/8" in stage.text(".hud")
    stage.move((300, 300))
    stage.page.mouse.wheel(0, 100)
    stage.wait("frame", "12")
    stage.page.keyboard.down("Shift")
    stage.page.mouse.wheel(0, 100)
    stage.page.keyboard.up("Shift")
    stage.wait("frame", "20")
    for _ in range(5):
        stage.press("ArrowDown")
    stage.wait("frame", "23")
    stage.page.get_by_label("Phase").select_option("0")
    stage.wait("frame", "7")


def test_subtraction_and_projection_are_shown_with_their_own_window(show):
    """In slice 4 the disc took up 300 in phase 2, which reads 300 under the pointer; the projection shows it from any slice."""
    stage = show(dynamic(size=96))
    stage.press("ArrowDown", "ArrowDown", "ArrowDown", "s")
    stage.wait("derived", "subtraction")
    stage.wait("frame", "11")
    assert stage.text(".mark") == "Subtraction 2 - 1\nderived for looking: not seen by any model"
    box = stage.canvas.bounding_box()
    zoom = min(box["width"], box["height"]) / 96
    left, top = (box["width"] - 96 * zoom) / 2, (box["height"] - 96 * zoom) / 2
    disc, still = (left + 30.5 * zoom, top + 20.5 * zoom), (left + 12.5 * zoom, top + 82.5 * zoom)
    for place, value in ((disc, 300), (still, 0)):
        stage.move(place)
        assert stage.text(".probe").endswith(f"value {value}")
        expected = round(255 * (value + 100.1) / 600.6)  # from -0.1 to 0.5 of the 1001 wide window
        assert stage.grey(place) == pytest.approx(expected, abs=1)
    stage.press("ArrowRight", "ArrowUp", "m")
    stage.wait("derived", "projection")
    stage.wait("frame", "18")
    stage.move(disc)
    assert stage.text(".probe").endswith("value 200")
    assert stage.text(".mark").startswith("Maximum intensity of subtraction 3 - 1")
    stage.press("m")
    stage.wait("derived", "")


def test_derived_pictures_come_from_signed_addresses(visitor):
    """The tests before this one asked for some, each with content, token and kind."""
    derived = [url for url in visitor.requests if "/derived/" in url]
    assert derived
    assert all(re.search(r"/derived/[0-9a-f]{64}/0\?v=[0-9a-f]{16}&t=[0-9a-f]{32}&kind=", url) for url in derived)
