"""MedMNIST-style NPZ files: `{train,val,test}_images` and `_labels`."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from core.datasets.dataset import SPLITS, Case, Progress
from core.records import Image, Refused, full_range_window
from core.tasks import Task


def read_npz(path: Path, task: Task, progress: Progress | None = None) -> tuple[Case, ...]:
    """Cases of an NPZ file: images uint8 (n, h, w) or (n, h, w, 3), labels (n,) or (n, 1) in the task's class order.

    Case ids are "split/index"; the format knows no patients, so every case is its own. Other arrays are ignored.
    Raises `Refused` for another content; pickled objects are never read.
    """
    arrays = _open(path)
    total = sum(len(images) for images, _ in arrays.values())
    cases: list[Case] = []
    for split, (images, labels) in arrays.items():
        _check(path.name, split, images, labels, task)
        for i, (pixels, label) in enumerate(zip(images, labels.reshape(-1), strict=True)):
            case_id = f"{split}/{i}"
            image = Image(pixels, None if pixels.ndim == 3 else full_range_window(pixels))
            cases.append(Case(case_id, case_id, split, int(label), image.content_hash, lambda image=image: image))
            if progress and len(cases) % 500 == 0:
                progress(len(cases), total, f"Reading {path.name}")
    if progress:
        progress(total, total, f"Reading {path.name}")
    return tuple(cases)


def _open(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images and labels of each split in the file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            names = [s for s in SPLITS if f"{s}_images" in file]
            arrays = {s: (file[f"{s}_images"], file[f"{s}_labels"]) for s in names}
    except (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as e:
        raise Refused(f"{path.name} cannot be read as an .npz file of images and labels: {e}.") from e
    if not arrays:
        raise Refused(f"{path.name} has none of the arrays train_images, val_images, test_images.")
    return arrays


def _check(name: str, split: str, images: np.ndarray, labels: np.ndarray, task: Task) -> None:
    colour = images.ndim == 4 and images.shape[3] == 3
    if images.dtype != np.uint8 or not (images.ndim == 3 or colour) or images.size == 0:
        raise Refused(
            f"{name}: {split}_images must be uint8 (n, h, w) or (n, h, w, 3), not {images.dtype} {images.shape}."
        )
    if labels.dtype.kind not in "iu" or labels.shape not in ((len(images),), (len(images), 1)):
        raise Refused(f"{name}: {split}_labels must be {len(images)} whole numbers, not {labels.dtype} {labels.shape}.")
    if labels.min() < 0 or labels.max() >= len(task.classes):
        raise Refused(f"{name}: {split}_labels must lie in 0–{len(task.classes) - 1}, the classes of {task.name}.")
