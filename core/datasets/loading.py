"""A path becomes a `Dataset`: read it, split it where it is not split, look for leaks."""

from __future__ import annotations

from pathlib import Path

from core.datasets.dataset import Dataset, Progress, base_name, find_leaks, fingerprint
from core.datasets.manifest import read_manifest
from core.datasets.npz import read_npz
from core.datasets.splits import complete_splits
from core.datasets.tree import read_tree
from core.records import Refused
from core.tasks import get_task


def as_dataset(data: Path | Dataset, task: str, progress: Progress | None = None) -> Dataset:
    """A dataset as it is, or read from its path; raises `Refused` when it was read for another task."""
    if not isinstance(data, Dataset):
        return load_dataset(data, task, progress)
    if data.task != task:
        raise Refused(f"{data.name} was read as {data.task}; it cannot be used for {task}.")
    return data


def load_dataset(path: Path, task: str, progress: Progress | None = None) -> Dataset:
    """Read a folder tree, a MedMNIST-style NPZ file or a CSV manifest (`core.datasets.manifest`).

    Trees: `split/Class/[Patient/[Sequence/]]file` or, unsplit, `Class/[Patient/]file`; a folder `images` on top is
    stepped into. Where a split is missing it is made by patient and always in the same way, so that training and
    evaluation agree. Every image is decoded once, by the app's own reader. `progress(done, total, text)` follows it.

    Raises `Refused` in one sentence: nothing there, another layout, an unknown class, an unreadable image.
    """
    known = get_task(task)
    path = Path(path)
    if not path.exists():
        raise Refused(f"There is no dataset at {base_name(path)}.")
    if path.is_dir():
        cases = read_tree(path, known, progress)
    elif path.suffix.lower() == ".npz":
        cases = read_npz(path, known, progress)
    elif path.suffix.lower() == ".csv":
        cases = read_manifest(path, known, progress)
    else:
        raise Refused(f"{path.name} is neither a folder of images nor an .npz or .csv file.")
    cases, remarks = complete_splits(cases, base_name(path), known.classes)
    return Dataset(
        name=base_name(path),
        task=task,
        fingerprint=fingerprint(cases),
        cases=cases,
        leaks=remarks + find_leaks(cases, known.classes),
    )
