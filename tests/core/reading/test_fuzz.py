"""Whatever is sent ends as studies or as `StudyRejected`, and the program is the same before and after.

600 seeded mutations; `make fuzz` makes it 6,000 (`FUZZ_FILES` says how many).
"""

from __future__ import annotations

import os
import random
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.datasets import load_dataset
from core.reading import process, read_uploads
from core.records import Refused
from tests.core.reading.samples import NARROW, is_sound, mutated, picture, subjects

KINDS = [*subjects(), "manifest"]
EACH = -(-int(os.environ.get("FUZZ_FILES", "600")) // len(KINDS))
SEED = int(os.environ.get("FUZZ_SEED", "0"))


def state() -> dict[str, int]:
    """What a careless reader would leave behind in this process."""
    own = Path("/proc/self")
    return {"files": len(list((own / "fd").iterdir())), "memory": int((own / "statm").read_text().split()[1]) * 4096}


def outcome_of(file: tuple[str, bytes]) -> str:
    """Read one file; gives what became of it, or fails."""
    outcomes = read_uploads([file])
    assert outcomes
    assert all(map(is_sound, outcomes)), outcomes
    reasons = [outcome.rejected.reason for outcome in outcomes if outcome.rejected]
    return reasons[0] if reasons else "read"


@pytest.mark.parametrize("kind", list(subjects()))
def test_a_sample_is_read(kind: str) -> None:
    """The files that are damaged below are readable before."""
    assert all(outcome.rejected is None for outcome in read_uploads([(kind, subjects()[kind])]))


@pytest.mark.parametrize("kind", list(subjects()))
def test_damaged_files_end_as_outcomes(kind: str) -> None:
    """Seeded mutations of each kind: no other exception, no open file, no memory that stays, no worker too many."""
    data = subjects()[kind]
    dice = random.Random(f"{kind} {SEED}")
    files = [(f"{kind} {number}", mutated(data, dice)) for number in range(EACH)]
    outcome_of((kind, data))
    before = state()
    with ThreadPoolExecutor(2) as threads:
        found = Counter(threads.map(outcome_of, files))
    after = state()
    assert sum(found.values()) == EACH
    assert len(found) > 1
    assert after["files"] <= before["files"] + 4  # at most one more warm worker: two ends, each once
    assert after["memory"] - before["memory"] < 128 << 20
    assert len(process.shared().pids()) <= 2


def test_damaged_manifests_are_read_or_refused(tmp_path: Path) -> None:
    """A CSV of pictures ends as a dataset or as one sentence, also where it names files outside its folder."""
    rows = ["image,label,patient_id,split"]
    for n in range(6):
        (tmp_path / f"{n}.png").write_bytes(picture(NARROW + n, "PNG"))
        rows.append(f"{n}.png,{'benign' if n % 2 else 'malignant'},p{n},{('train', 'val', 'test')[n % 3]}")
    table = "\n".join(rows).encode()
    dice = random.Random(f"manifest {SEED}")
    found: Counter[str] = Counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(EACH + 1):
            path = tmp_path / "manifest.csv"
            path.write_bytes(mutated(table, dice) if number else table)
            try:
                found["read" if load_dataset(path, "breast-ultrasound").cases else "empty"] += 1
            except Refused as refused:
                found["refused" if str(refused).endswith(".") else f"without a full stop: {refused}"] += 1
    assert {"read", "refused"} <= set(found) <= {"read", "refused", "empty"}
