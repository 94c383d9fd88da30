"""Save times of readers who all read at once, with `synchronous = FULL`: group commit beside one transaction per save.

Run with `python -m benchmarks.store [readers] [readings each]`. Each reading is what the review page stores of it, by the
page's own functions: three answers and one sum of the clock as drafts, then the save, which looks at draft and readings, adds
the review and removes the draft. `daily` is daily work; in `study` all are readers of one sequential reader study, where each
save looks whose turn it is. Both ways of writing run in the same process, in turns, each on a store of its own. `together`: all
readers press the same key at the same moment, and wait for each other before the next and before they open a case. `flat out`:
everybody goes on as soon as a save is acknowledged, opening the next case too, which nobody does all day. `paced`: about a
second for a reading.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np

ROUNDS = 3
ENTERED = ({"label": "benign"}, {"confidence": 80}, {"comment": "clear margins"})  # one after the other
ACTIONS = len(ENTERED) + 2  # with the beat and the save
SCOPES = ("daily", "study")
PACES = ("together", "flat out", "paced")

Save = Callable[[Callable[[Any], Any]], Any]


def through_the_writer(work: Callable[[Any], Any]) -> Any:
    """What the review page does."""
    from db import writer

    return writer.save(work)


def one_by_one(work: Callable[[Any], Any]) -> Any:
    """A write transaction (BEGIN IMMEDIATE) of its own for each save."""
    from db import engine

    with engine.write() as session:
        return work(session)


@contextmanager
def fresh_store(readers: list[str], cases: int, scope: str) -> Iterator[tuple[list[str], int | None]]:
    """(ids of the cases, id of the running reader study or None) of a store that is gone afterwards."""
    from core.reader_records import Rules, StudyPlan
    from core.records import Image, Model, Prediction, Study, full_range_window, study_id
    from db import engine, models, predictions, reader_studies, studies, users

    with tempfile.TemporaryDirectory() as folder:
        os.environ["TUMORTRACE_HOME"], os.environ["DATABASE_URL"] = folder, f"sqlite:///{Path(folder) / 'store.db'}"
        engine.init()
        made: list[str] = []
        with engine.write() as session:
            models.add_model(session, Model("0" * 64, "model", "small_cnn", "breast-mri"))
            for number in range(cases):
                pixels = np.full((2, 2), number, np.uint16)
                images = (Image(pixels, full_range_window(pixels)),)
                study = Study(study_id(images), f"Study {number}", "MR", images, task="breast-mri")
                studies.add_study(session, study)
                said = {"benign": 0.9, "malignant": 0.1}
                prediction = Prediction(
                    study.id, "0" * 64, "breast-mri", said, np.array([[0.9, 0.1]]), "benign", None, "cpu", {}, {}
                )
                predictions.add_prediction(session, prediction, requested_by="benchmark")
                made.append(study.id)
            for name in readers:
                users.add_user(session, name, "reviewer")
            number_of = None
            if scope == "study":
                plan = StudyPlan(
                    "All at once", "breast-mri", "sequential", "0" * 64, tuple(made), tuple(readers), rules=Rules(False)
                )
                number_of = reader_studies.add_reader_study(session, plan, "benchmark").id
                reader_studies.start_reader_study(session, number_of, "benchmark")
        try:
            yield made, number_of
        finally:
            engine.dispose()


def next_case(reader: str, study_id: str, number: int | None) -> tuple[Any, int | None]:
    """(the case as the review page holds it, id of the prediction that it shows), read from the store as the page reads it."""
    from db import engine, predictions, reader_studies, reader_turns, studies
    from pages.ui.case import Case, Place

    with engine.read() as session:
        if number is None:
            summary, phase, place = studies.get_study_summary(session, study_id), "aided", None
        else:
            study = reader_studies.get_reader_study(session, number)
            progress = reader_turns.progress_of(session, study, reader)
            summary = studies.get_study_summary(session, progress.turn.study_id)
            phase, place = progress.turn.phase, Place(study, progress, again=False)
        history = _history(session, summary.id, reader, number)
        shown = predictions.get_prediction(session, summary.id, "0" * 64)[0] if phase == "aided" else None
    return Case(summary, reader, phase, phase == "unaided", history, {"label": "benign"}, place), shown


def _history(session: Any, study_id: str, reader: str, number: int | None) -> tuple[Any, ...]:
    from db import reviews

    return tuple(reviews.review_history(session, study_id, reader, number))


def read_one(save: Save, case: Any, shown: int | None, wait: Callable[[], Any]) -> list[float]:
    """Seconds of each draft and, last, of the save of one reading."""
    from pages.ui import assessment
    from pages.ui import case as page

    token, taken = f"{case.key('token')}:{case.reviewer}", []
    own = {"phase": case.phase, "repeat": case.repeat, "token": token, "seconds": 12.0}
    steps = [lambda session, said=said: page._keep_draft(session, case, own | said) for said in ENTERED]
    steps.append(lambda session: page._keep_seconds(session, case, token, 15.0))
    steps.append(lambda session: assessment._store(session, case, shown, token, ({}, 20.0)))
    for step in steps:
        wait()
        start = time.perf_counter()
        save(step)
        taken.append(time.perf_counter() - start)
    return taken


def measure(save: Save, scope: str, readers: int, each: int, pace: str) -> tuple[np.ndarray, float]:
    """(seconds (readers · each, `ACTIONS`), the save last; readings per second) of readers at once in a fresh store."""
    names, all_here = [f"reader {n}" for n in range(readers)], Barrier(readers)
    with fresh_store(names, each if scope == "daily" else -(-each // 2), scope) as (cases, number):

        def work(name: str) -> list[list[float]]:
            rng, taken = random.Random(name), []
            waits = {
                "together": all_here.wait,
                "flat out": lambda: None,
                "paced": lambda: time.sleep(rng.uniform(0.5, 1.5) / ACTIONS),
            }
            for i in range(each):
                if pace == "together":
                    all_here.wait()
                case, shown = next_case(name, cases[i % len(cases)], number)
                taken.append(read_one(save, case, shown, waits[pace]))
            return taken

        begin = time.perf_counter()
        with ThreadPoolExecutor(readers) as pool:
            times = np.concatenate(list(pool.map(work, names)))  # (readers · each, ACTIONS)
        wall = time.perf_counter() - begin
        kept = _kept(number)
    assert kept == len(times), f"{len(times) - kept} acknowledged saves were lost"
    return times, len(times) / wall


def _kept(number: int | None) -> int:
    """How many reviews the store holds."""
    from db import engine, reader_turns, reviews

    with engine.read() as session:
        if number is None:
            return reviews.count_reviews(session, reviews.ReviewQuery())
        return int(reader_turns.list_progress(session, number)["done"].sum())


def _row(title: str, seconds: np.ndarray, rate: float) -> str:
    p50, p95, p99 = np.percentile(1000 * seconds, [50, 95, 99])
    return f"| {title} | {p50:.1f} | {p95:.1f} | {p99:.1f} | {1000 * seconds.max():.1f} | {rate:.0f} |"


def main() -> None:
    """Print the table that stands in docs/benchmarks.md."""
    readers = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    each = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    print(f"{readers} readers × {each} readings, {ROUNDS} rounds; all acknowledged saves were found\n")
    print("| what | how | pace | stored | p50 ms | p95 ms | p99 ms | worst ms | readings/s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for scope in SCOPES:
        for pace in PACES:
            for how, save in (("group commit", through_the_writer), ("one by one", one_by_one)):
                count = min(each, 8) if pace == "paced" else each
                rounds = [measure(save, scope, readers, count, pace) for _ in range(ROUNDS)]
                times, rate = np.concatenate([t for t, _ in rounds]), float(np.median([r for _, r in rounds]))
                title = f"{scope} | {how} | {pace}"
                print(_row(f"{title} | draft", times[:, :-1].ravel(), rate))
                print(_row(f"{title} | save", times[:, -1], rate), flush=True)


if __name__ == "__main__":
    main()
