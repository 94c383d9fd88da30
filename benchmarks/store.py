"""Save times of reviewers who all save at once, with `synchronous = FULL`: group commit beside one transaction per save.

Run with `python -m benchmarks.store [reviewers] [reviews each]`. Both ways run in the same process, in turns, each on a store of
its own; each reviewer saves the next review as soon as the last one is acknowledged, which nobody does all day.
`paced` is the same with a pause of about a second between a reviewer's saves.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

ROUNDS = 3


def through_the_writer(review: object) -> None:
    """What the review page does."""
    from db import reviews, writer

    writer.save(lambda session: reviews.add_review(session, review))


def one_by_one(review: object) -> None:
    """A write transaction (BEGIN IMMEDIATE) of its own for each review."""
    from db import engine, reviews

    with engine.write() as session:
        reviews.add_review(session, review)


def measure(save: Callable[[object], None], reviewers: int, each: int, pause_s: float) -> tuple[np.ndarray, float]:
    """(seconds per save (reviewers * each,), saves per second) of reviewers who save at once in a fresh store."""
    from core.records import Image, Review, Study, full_range_window, study_id
    from db import engine, reviews, studies

    with tempfile.TemporaryDirectory() as folder:
        os.environ["TUMORTRACE_HOME"], os.environ["DATABASE_URL"] = folder, f"sqlite:///{Path(folder) / 'store.db'}"
        engine.init()
        made = []
        with engine.write() as session:
            for number in range(each):
                pixels = np.full((2, 2), number, np.uint16)
                images = (Image(pixels, full_range_window(pixels)),)
                made.append(Study(study_id(images), f"Study {number}", "MR", images, task="breast-mri"))
                studies.add_study(session, made[-1])

        def work(name: str) -> list[float]:
            taken, rng = [], random.Random(name)
            for study in made:
                if pause_s:
                    time.sleep(pause_s * rng.uniform(0.5, 1.5))
                start = time.perf_counter()
                save(Review(study.id, name, "aided", "benign", f"{name}-{study.id}", comment="clear margins"))
                taken.append(time.perf_counter() - start)
            return taken

        begin = time.perf_counter()
        with ThreadPoolExecutor(reviewers) as pool:
            times = np.array(list(pool.map(work, [f"reviewer {n}" for n in range(reviewers)])))  # (reviewers, each)
        wall = time.perf_counter() - begin
        with engine.read() as session:
            kept = reviews.count_reviews(session, reviews.ReviewQuery())
        engine.dispose()
    assert kept == times.size, f"{times.size - kept} acknowledged saves were lost"
    return times.ravel(), times.size / wall


def main() -> None:
    """Print the table that stands in docs/benchmarks.md."""
    reviewers = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    each = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    print(f"{reviewers} reviewers × {each} saves, {ROUNDS} rounds; all acknowledged saves were found\n")
    print("| how | pace | p50 ms | p95 ms | p99 ms | worst ms | saves/s |\n| --- | --- | --- | --- | --- | --- | --- |")
    for pause_s, pace in ((0.0, "flat out"), (1.0, "paced")):
        for name, save in (("group commit", through_the_writer), ("one by one", one_by_one)):
            rounds = [measure(save, reviewers, each if not pause_s else min(each, 8), pause_s) for _ in range(ROUNDS)]
            ms = 1000 * np.concatenate([times for times, _ in rounds])
            p50, p95, p99 = np.percentile(ms, [50, 95, 99])
            rate = np.median([rate for _, rate in rounds])
            print(f"| {name} | {pace} | {p50:.1f} | {p95:.1f} | {p99:.1f} | {ms.max():.1f} | {rate:.0f} |")


if __name__ == "__main__":
    main()
