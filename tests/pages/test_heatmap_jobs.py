"""Heatmaps in the making: who waits for what, what is stopped and what is kept."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from core.checkpoint import load_checkpoint
from core.explain import METHODS, Request
from core.predict import Answer
from core.records import Heatmap, Image, Study, full_range_window
from pages.ui import heatmap_checks, heatmap_jobs, heatmap_progress
from tests.pages.conftest import register
from tests.pages.test_heatmaps_page import opened, until
from tests.pages.test_pages import add_studies, button, open_page, said


def picture(seed=0):
    """A random picture."""
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 40), dtype=np.uint8)
    return Image(pixels, full_range_window(pixels))


@pytest.fixture
def held(store, monkeypatch):
    """Slow methods wait until the event is set or they are cancelled; the others are made as ever."""
    heatmap_jobs._jobs().clear()
    go, real = threading.Event(), heatmap_jobs.explain

    def explain(checkpoint, image, request, *, device, watch):
        while METHODS[request.method].folds and not go.is_set():
            watch.check()
            time.sleep(0.01)
        return real(checkpoint, image, request, device=device, watch=watch)

    monkeypatch.setattr(heatmap_jobs, "explain", explain)
    yield go
    go.set()
    until(lambda: all(job.future.done() for job in heatmap_jobs._jobs().values()))


def begin(version, method="occlusion", image=None, target="malignant", tab="a"):
    """A job that this tab waits for."""
    return heatmap_jobs.heatmap_job(image or picture(), version, Request(method, target), tab)


def test_only_finished_maps_are_forgotten(held, trained, monkeypatch):
    """A job that is being made is found again however many come after it; of the finished ones the newest stay."""
    monkeypatch.setattr(heatmap_jobs, "KEPT", 2)
    version = register(trained)
    slow = begin(version)
    for seed in range(5):
        begin(version, "gradcam", picture(seed)).future.result(60)
    assert begin(version) is slow
    assert not slow.future.done()
    assert sum(job.future.done() for job in heatmap_jobs._jobs().values()) <= 3  # the last came after the count


def test_the_maps_of_a_large_study_are_one_entry(held, trained):
    """200 pictures and two classes push out nothing; each map is there, as the prediction's pass gave it."""
    version = register(trained)
    slow = begin(version)
    images = tuple(picture(seed) for seed in range(200))
    maps = np.random.default_rng(1).random((200, 2, 4, 4), dtype=np.float32)
    study = Study("s" * 64, "large", "MR", images, task="breast-mri")
    heatmap_jobs.keep_maps_of(study, version, Answer(np.zeros((200, 2)), maps, "an engine"))
    assert len(heatmap_jobs._jobs()) == 1
    assert begin(version) is slow
    classes = load_checkpoint(trained / "checkpoint.pt").classes
    job = begin(version, "gradcam", images[123], target=classes[1])
    assert job.future.done()
    np.testing.assert_array_equal(job.future.result().values, maps[123, 1])
    heatmap_jobs._came_along().clear()


def test_quick_methods_do_not_wait_behind_slow_ones(held, trained):
    """Four slow maps are begun or queue; a Grad-CAM is made meanwhile."""
    version = register(trained)
    slow = [begin(version, method) for method in ("occlusion", "lime", "shapley", "integrated-gradients")]
    assert begin(version, "gradcam").future.result(30).method == "gradcam"
    assert not any(job.future.done() for job in slow)


def test_a_map_goes_on_as_long_as_somebody_waits(held, trained):
    """One of two tabs leaves: nothing happens. Both: it is cancelled, and whoever asks next begins anew."""
    version = register(trained)
    job = begin(version, tab="a")
    assert begin(version, tab="b") is job
    job.leave("a")
    assert not job.cancel.is_set()
    assert begin(version, tab="b") is job
    job.leave("b")
    assert job.cancel.is_set()
    assert isinstance(job.future.exception(timeout=30), heatmap_jobs.Cancelled)
    assert begin(version, tab="b") is not job


def test_a_finished_map_is_kept_when_everybody_leaves(held, trained):
    """It costs nothing any more."""
    version = register(trained)
    job = begin(version, "gradcam")
    job.future.result(30)
    job.leave("a")
    assert begin(version, "gradcam") is job


def test_a_map_that_was_left_before_its_turn_is_never_begun(held, trained, monkeypatch):
    """Two are being made; the third is left while it queues."""
    version = register(trained)
    begin(version, "lime"), begin(version, "shapley")
    third = begin(version)
    until(lambda: third in heatmap_jobs._jobs().values())
    third.leave("a")
    made = []
    monkeypatch.setattr(heatmap_jobs, "load_heatmap", lambda *_: made.append(1))
    held.set()
    assert isinstance(third.future.exception(timeout=30), heatmap_jobs.Cancelled)
    assert third.progress == 0
    assert not made


def choose(at, *methods):
    """Choose methods."""
    (choice,) = [c for c in at.multiselect if c.label == "Heatmap"]
    at = choice.set_value(list(methods)).run()
    assert not at.exception, at.exception
    return at


def test_the_page_waits_once_for_all_its_maps(held, trained, monkeypatch):
    """Three slow methods, every class: six bars after one wait, each with its own name, and the assessment stands there."""
    one, _ = opened(trained, monkeypatch)
    waits, real = [], heatmap_progress.wait
    monkeypatch.setattr(
        heatmap_progress, "wait", lambda futures, timeout: waits.append(timeout) or real(futures, timeout)
    )
    at = choose(open_page("review", study=one), "occlusion", "lime", "integrated-gradients")
    waits.clear()
    (target,) = [s for s in at.selectbox if s.label == "Class"]
    at = target.set_value("every class").run()
    assert waits == [0.3]
    bars = [p.proto.text for p in at.get("progress") if p.proto.text.endswith("…")]
    assert len(bars) == 6
    assert "Integrated Gradients of benign …" in bars
    assert button(at, "Save")


def test_a_bar_has_the_name_of_its_own_method(held, trained, monkeypatch):
    """Grad-CAM++ begins like Grad-CAM, and is not called so."""
    monkeypatch.setattr(heatmap_jobs, "explain", lambda *_, watch, **__: time.sleep(1.0) or watch.check())
    one, _ = opened(trained, monkeypatch)
    at = choose(open_page("review", study=one), "gradcam++")
    (bar,) = [p.proto.text for p in at.get("progress") if p.proto.text.endswith("…")]
    assert bar.startswith("Grad-CAM++ of ")


def the_job():
    """The one heatmap that is being made."""
    (job,) = [job for job in heatmap_jobs._jobs().values() if not job.future.done()]
    return job


def test_stopping_a_map_takes_it_from_nobody_else(held, trained, monkeypatch):
    """Two tabs wait; one stops: it says so and stays so, the other gets the map; asked for again, it is there."""
    one, _ = opened(trained, monkeypatch)
    mine, theirs = (choose(open_page("review", study=one), "occlusion") for _ in range(2))
    job = the_job()
    assert len(job.wanted) == 2
    mine = button(mine, "Stop").click().run()
    assert "The heatmap was stopped." in said(mine)
    mine.run()
    assert "The heatmap was stopped." in said(mine)
    assert not job.cancel.is_set()
    assert len(job.wanted) == 1
    held.set()
    job.future.result(60)
    theirs.run()
    assert "not a lesion outline" in said(theirs)
    mine = button(mine, "Try again").click().run()
    assert "not a lesion outline" in said(mine)


@pytest.mark.parametrize("how", ["another case", "another page", "another method"])
def test_maps_of_what_was_left_are_cancelled(held, trained, monkeypatch, how):
    """The reviewer goes on to another case, to another page, or takes the method out of the choice: nobody waits any more."""
    opened(trained, monkeypatch)
    one, two = add_studies(2)
    at = choose(open_page("review", study=one), "occlusion")
    job = the_job()
    if how == "another case":
        at.query_params["study"] = two
        at.run()
    elif how == "another page":
        at.switch_page("worklist.py").run()
    else:
        choose(at, "gradcam")
    assert not at.exception, at.exception
    assert job.cancel.is_set()


def test_checks_are_counted_as_maps_are(held, trained, monkeypatch):
    """A check that two tabs wait for goes on when one stops it; the one that stopped says so."""
    monkeypatch.setattr(heatmap_checks, "_give_way", lambda: held.wait(1))  # it cannot end before it is stopped
    heatmap_checks._checks().clear()
    one, _ = opened(trained, monkeypatch)
    mine, theirs = (choose(open_page("review", study=one), "gradcam") for _ in range(2))
    (check,) = heatmap_checks._checks().values()
    assert len(check.wanted) == 2
    mine = button(mine, "Stop").click().run()
    assert "Check stopped" in said(mine)
    assert not check.cancel.is_set()
    theirs.switch_page("worklist.py").run()
    assert check.cancel.is_set()
    until(check.future.done)


def test_kept_maps_are_found_by_their_parameters_and_by_the_code_that_made_them(held, trained, monkeypatch):
    """Other defaults, or a higher number of the code, make another file; the same ones find it."""
    held.set()
    version, home = register(trained), heatmap_jobs.settings.home() / "heatmaps"

    def files():
        heatmap_jobs._jobs().clear()
        begin(version, "score-cam").future.result(60)
        return len(list(home.rglob("*score-cam*.npz")))

    assert [files(), files()] == [1, 1]
    real = heatmap_jobs.defaults
    monkeypatch.setattr(heatmap_jobs, "defaults", lambda *a: {**real(*a), "channels": 5})
    assert files() == 2
    monkeypatch.setattr(heatmap_jobs, "defaults", real)
    monkeypatch.setattr(heatmap_jobs, "MADE", heatmap_jobs.MADE + 1)
    assert files() == 3


def test_kept_checks_are_found_by_parameters_and_by_the_code_that_made_them(monkeypatch):
    """Equal values by other parameters are another check, and so is one made in another way."""
    image = picture()

    def made(**facts):
        return Heatmap(np.ones((4, 4), np.float32), "lime", "benign", "input", "v", "h", True, facts)

    first = heatmap_checks.map_id(image, made(samples=4))
    assert heatmap_checks.map_id(image, made(samples=4)) == first
    assert heatmap_checks.map_id(image, made(samples=5)) != first
    monkeypatch.setattr(heatmap_checks, "MADE", heatmap_checks.MADE + 1)
    assert heatmap_checks.map_id(image, made(samples=4)) != first


def test_the_orders_of_a_picture_are_kept_for_its_other_maps(store, trained, monkeypatch):
    """The second method's check is given what the first one made."""
    one, _ = opened(trained, monkeypatch)
    heatmap_checks._checks().clear()
    heatmap_checks._rivals().clear()
    given, real = [], heatmap_checks.check_map
    monkeypatch.setattr(heatmap_checks, "check_map", lambda *a: given.append(a[3]) or real(*a))
    choose(open_page("review", study=one), "gradcam", "hirescam")
    until(
        lambda: len(heatmap_checks._checks()) == 2 and all(c.future.done() for c in heatmap_checks._checks().values())
    )
    kept = [rivals for rivals in given if rivals is not None]
    flat = sum(c.future.result()["flat"] for c in heatmap_checks._checks().values())
    assert len(given) == 2
    assert len(kept) == (1 if flat == 0 else 0)
