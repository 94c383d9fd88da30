"""What exploring a dataset needs, made once and kept in a folder: its table, the facts and small copies of its pictures.

Pages then never open the dataset itself: a table of 54,706 rows is read in a blink, and copies are mapped, not loaded.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from core import settings
from core.datasets.dataset import Dataset, Progress
from core.datasets.explore import case_table
from core.datasets.pictures import copy_shape, measure
from core.files import write_json
from core.records import Refused

_FORMAT = 1


@dataclass(frozen=True)
class Profile:
    """A dataset made ready for looking at. `copies` (N, e, e) or (N, e, e, 3) uint8 and `facts` go with the table's rows."""

    name: str
    task: str
    fingerprint: str
    table: pd.DataFrame
    facts: pd.DataFrame
    copies: np.ndarray

    @property
    def has_pictures(self) -> bool:
        """False for a table whose pictures are all absent."""
        return bool(self.facts["height"].notna().any())


def profile_folder(fingerprint: str, task: str) -> Path:
    """Where this installation keeps the profile of that dataset; `fingerprint` is a SHA-256 in hex."""
    return settings.home() / "datasets" / f"{fingerprint[:32]}-{task}"


def make_profile(dataset: Dataset, folder: Path, progress: Progress | None = None) -> Profile:
    """Look at every case once and write what was seen to `folder`, all or nothing; an older profile there is replaced."""
    draft = folder.with_name(folder.name + ".part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    shape = copy_shape(dataset.cases)
    copies = np.lib.format.open_memmap(draft / "copies.npy", mode="w+", dtype=np.uint8, shape=shape)
    measure(dataset.cases, copies, progress).to_parquet(draft / "facts.parquet")
    copies.flush()
    case_table(dataset).to_parquet(draft / "table.parquet")
    facts = {"format": _FORMAT, "name": dataset.name, "task": dataset.task, "fingerprint": dataset.fingerprint}
    write_json(draft / "profile.json", facts)
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)
    return read_profile(folder)


def read_profile(folder: Path) -> Profile:
    """A profile written by `make_profile`; raises `Refused` where there is none."""
    try:
        facts = json.loads((folder / "profile.json").read_text(encoding="utf-8"))
        if facts["format"] != _FORMAT:
            raise Refused("This dataset was registered by another version of the program; register it again.")
        copies = np.load(folder / "copies.npy", mmap_mode="r", allow_pickle=False)
        table, measured = pd.read_parquet(folder / "table.parquet"), pd.read_parquet(folder / "facts.parquet")
    except (OSError, ValueError, KeyError) as e:
        if isinstance(e, Refused):
            raise
        raise Refused("What was seen of this dataset is missing or damaged; register it again.") from e
    return Profile(facts["name"], facts["task"], facts["fingerprint"], table, measured, copies)
