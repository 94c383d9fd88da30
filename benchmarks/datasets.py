"""What a click on the Datasets page costs for a table of 54,706 rows: the script's own time, p50 and p95, cold and warm.

Run with `python -m benchmarks.datasets [TABLE.csv]`; without a table, one of the same size and columns is made up. It works in a
temporary folder and touches no store of yours. Also timed: reading and registering, and the search for look-alikes.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
ROWS = 54_706


def made_up(path: Path) -> Path:
    """A table with the size, columns and gaps of the RSNA table, of random values."""
    rng = np.random.default_rng(0)
    patient = np.sort(rng.integers(0, 11_913, ROWS))
    table = pd.DataFrame({
        "site_id": patient % 2 + 1, "patient_id": patient, "image_id": np.arange(ROWS) + 10**6,
        "laterality": rng.choice(["L", "R"], ROWS), "view": rng.choice(["CC", "MLO", "AT"], ROWS),
        "age": np.where(rng.random(ROWS) < 0.001, np.nan, rng.normal(58.5, 10, ROWS).round()),
        "cancer": (np.isin(patient, rng.choice(11_913, 486, replace=False)) & (rng.random(ROWS) < 0.5)).astype(int),
        "biopsy": rng.integers(0, 2, ROWS), "invasive": rng.integers(0, 2, ROWS),
        "BIRADS": np.where(rng.random(ROWS) < 0.52, np.nan, rng.integers(0, 3, ROWS)), "implant": rng.integers(0, 2, ROWS),
        "density": rng.choice(["A", "B", "C", "D", None], ROWS), "machine_id": rng.choice([21, 29, 48, 49, 93], ROWS),
        "difficult_negative_case": rng.random(ROWS) < 0.14,
    })  # fmt: skip
    table.to_csv(path, index=False)
    return path


def timed(text: str, work: Callable[[], object]) -> float:
    """Run, print and give the seconds."""
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    print(f"{text:44} {seconds * 1000:9.1f} ms", flush=True)
    return seconds


def register(path: Path) -> None:
    """A store with the table in it and a lead."""
    from core.datasets import load_dataset
    from core.datasets.profile import make_profile, profile_folder
    from db import datasets, engine, users

    engine.init()
    dataset = load_dataset(path, "mammography")
    make_profile(dataset, profile_folder(dataset.fingerprint, dataset.task))
    entry = datasets.DatasetEntry("Table", str(path), dataset.task, dataset.fingerprint, dataset.counts())
    with engine.write() as session:
        datasets.add_dataset(session, entry)
        users.add_user(session, "Lead", "lead")


def clicks() -> list[float]:
    """Seconds of the script for opening the page, every section and every cross-table, each cold and then warm."""
    from streamlit.testing.v1 import AppTest

    page = AppTest.from_file(str(ROOT / "pages" / "main.py"), default_timeout=60)
    page.user = {"name": "Lead"}
    page.switch_page("datasets.py")
    page.run()  # imports
    seconds = []

    def act(text: str, change: Callable[[], object]) -> None:
        seconds.append(timed(text, change))
        assert not page.exception, page.exception

    for turn in ("cold", "warm"):
        act(f"open, {turn}", page.run)
        for section in ("Overview", "Missing values", "Distributions", "Cross-tables"):
            control = next(c for c in page.get("button_group") if str(c.key).startswith("ds_section"))
            act(f"{section}, {turn}", control.set_value(section).run)
        box = page.selectbox(key="ds_cross:Table")
        for column in box.options:
            act(f"cross-table {column}, {turn}", page.selectbox(key="ds_cross:Table").set_value(column).run)
    return seconds


def main(table: str = "") -> None:
    """Time all of it."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TUMORTRACE_HOME"] = folder
        os.environ.pop("DATABASE_URL", None)
        path = Path(table).resolve() if table else made_up(Path(folder) / "table.csv")
        timed("read, split by patient, profile, register", lambda: register(path))
        seconds = np.array(clicks()) * 1000
        print(f"{len(seconds)} page actions: p50 {np.median(seconds):.0f} ms, p95 {np.quantile(seconds, 0.95):.0f} ms, "
              f"slowest {seconds.max():.0f} ms")  # fmt: skip
        from core.datasets.lookalikes import hash_pairs
        from db import engine

        hashes = np.random.default_rng(0).integers(0, 2**64, ROWS, dtype=np.uint64)
        timed(f"look-alikes among {ROWS:,} random hashes", lambda: hash_pairs(hashes))
        engine.dispose()


if __name__ == "__main__":
    main(*sys.argv[1:2])
