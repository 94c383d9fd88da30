"""Script times of the dashboards with 50 runs of 100,000 predictions in a store of their own.

Run with `python -m benchmarks.dashboards [runs] [cases]`. It drives the pages as scripts, so browser and network are not in
the figures. `cold` is the first time in a process, with nothing kept; the others are 20 actions each.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
ACTIONS = 20


def fill(count: int, cases: int) -> list[str]:
    """Runs of one dataset straight into the store; gives their ids, oldest first."""
    from core.records import CaseDetails, EvaluationRun, OperatingPoint
    from core.statistics.summary import evaluate
    from core.tasks import TASKS
    from db import engine, runs, users

    engine.init()
    task, rng = TASKS["breast-mri"], np.random.default_rng(0)
    labels = (rng.random(cases) < 0.3).astype(np.int64)
    case_ids = tuple(f"test/case-{i:07}" for i in range(cases))
    sites = CaseDetails({"site": tuple(np.array(["A", "B", "C"])[rng.integers(0, 3, cases)].tolist())})
    point, ids = OperatingPoint("youden", 0.5, "val (n = 1,000)"), []
    for number in range(count):
        logit = 1.5 * (2 * labels - 1) + (1 + number / count) * rng.normal(size=cases)
        positive = np.round(1 / (1 + np.exp(-logit)), 8)
        probabilities = np.column_stack([1 - positive, positive])
        run = EvaluationRun(
            id=f"{number:02x}{'0' * 62}", model_version=f"{number:064x}", model_name=f"Model {number}", task=task.name,
            classes=task.classes, dataset="benchmark", split="test", case_ids=case_ids, patient_ids=case_ids, labels=labels,
            probabilities=probabilities, operating_point=point, metrics=evaluate(labels, probabilities, task, 0.5),
            provenance={"dataset": {"fingerprint": "f"}, "seconds": 1.0 + number, "parameters": 1000 * number},
        )  # fmt: skip
        with engine.write() as session:
            runs.add_run(session, run, sites)
        ids.append(run.id)
    with engine.write() as session:
        users.add_user(session, "Lea", "lead")
    return ids


def page(name: str, **query: str) -> object:
    """A page of the program, run once."""
    from streamlit.testing.v1 import AppTest

    at = AppTest.from_file(str(ROOT / "pages" / "main.py"), default_timeout=300)
    at.user = {"name": "Lea"}
    at.query_params.update(query)
    at.switch_page(f"{name}.py")
    at.run()
    assert not [*at.exception, *at.error], (at.exception, at.error)
    return at


def timed(action: Callable[[], object]) -> tuple[float, float]:
    """Seconds that it takes: by the clock, and of processor time (what it would take on a machine with nothing else to do)."""
    start, worked = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - start, time.process_time() - worked


def forget() -> None:
    """Nothing kept, as after a restart of the server."""
    import streamlit as st

    st.cache_resource.clear()


def report(name: str, seconds: list[tuple[float, float]]) -> None:
    """One line of a Markdown table."""
    clock, worked = np.array(seconds).T * 1000
    p50, p95 = np.percentile(clock, [50, 95])
    print(f"| {name} | {len(seconds)} | {p50:.0f} | {p95:.0f} | {np.median(worked):.0f} |", flush=True)


def main(count: int = 50, cases: int = 100_000) -> None:
    """Fill a store and time each action."""
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {
            "TUMORTRACE_HOME": home,
            "DATABASE_URL": f"sqlite:///{home}/store.db",
            "TUMORTRACE_DEVICE": "cpu",
        }
        ids = fill(count, cases)
        page("runs")  # imports
        page("performance", run=ids[0])
        page("comparison", runs=",".join(ids[:2]))
        print(f"{count} runs × {cases:,} predictions, {os.cpu_count()} cores\n")
        print("| action | n | p50 ms | p95 ms | CPU p50 ms |\n| --- | --- | --- | --- | --- |")
        report("any page, nothing on it", [timed(lambda: page("sign_out")) for _ in range(ACTIONS)])
        report("runs list", [timed(lambda: page("runs")) for _ in range(ACTIONS)])
        report("runs list, search", [timed(lambda i=i: page("runs", search=f"Model {i}")) for i in range(ACTIONS)])
        opened = []
        for run_id in ids[:ACTIONS]:
            forget()
            opened.append(timed(lambda run_id=run_id: page("performance", run=run_id)))
        report("performance, open, cold", opened)
        report("performance, open again", [timed(lambda: page("performance", run=ids[0])) for _ in range(ACTIONS)])
        moving, moved = page("performance", run=ids[0]), []
        for step in range(ACTIONS):
            moving.slider[0].set_value(0.3 + step / 100)
            moved.append(timed(moving.run))
        report("performance, threshold moved", moved)
        for section in ("Cases", "Label noise", "Calibration", "Classes", "Subgroups", "Provenance"):
            times = []
            for run_id in ids[:ACTIONS]:
                forget()
                times.append(
                    timed(lambda run_id=run_id, section=section: page("performance", run=run_id, section=section))
                )
            report(f"performance, {section}, cold", times)
        for some in (5, count):
            linked, cold = ",".join(run_id[:12] for run_id in ids[:some]), []
            for _ in range(5):
                forget()
                cold.append(timed(lambda linked=linked: page("comparison", runs=linked)))
            report(f"comparison of {some}, cold", cold)
            for view in ("Table", "ROC curves", "Disagreement", "Shared errors", "Cost"):
                times = [
                    timed(lambda linked=linked, view=view: page("comparison", runs=linked, view=view))
                    for _ in range(ACTIONS)
                ]
                report(f"comparison of {some}, {view}", times)


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:]))
