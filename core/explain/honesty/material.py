"""What maps are measured on: validation images of a dataset, and cases whose lesion masks are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Picture

from core.datasets.dataset import Case, Dataset
from core.records import Image, Refused
from core.tasks import get_task

VALIDATION, HELD_OUT = "val", "test"


@dataclass(frozen=True)
class MaskedCase:
    """One image with the mask (H, W) bool of what a map of class `target` should point at; the mask is not empty."""

    image: Image
    mask: np.ndarray
    target: str
    patient_id: str


@dataclass(frozen=True)
class Material:
    """Of one dataset: `images` of its validation split, masked cases of its test split (`cases`) and of validation (`tuning`).

    Cases are those of the task's positive class, where it has one; each map is made for the case's own class.
    """

    name: str
    fingerprint: str
    task: str
    images: tuple[Image, ...]
    cases: tuple[MaskedCase, ...] = ()
    tuning: tuple[MaskedCase, ...] = ()


def material_of(dataset: Dataset, path: Path, limit: int) -> Material:
    """At most `limit` images and masked cases of each split, drawn once and always alike.

    Masks lie beside the pictures: `masks/` with the files of `images/` as PNG (not 0 is lesion), or `test_masks` and
    `val_masks` of an NPZ file. Raises `Refused` where there is no validation split, or a mask of another size than its image.
    """
    masks = _Masks(path)
    return Material(
        dataset.name, dataset.fingerprint, dataset.task,
        tuple(case.load() for case in _drawn(_with_picture(dataset.split(VALIDATION)), limit)),
        _masked(dataset, HELD_OUT, masks, limit), _masked(dataset, VALIDATION, masks, max(1, limit // 2)),
    )  # fmt: skip


def _with_picture(cases: Sequence[Case]) -> list[Case]:
    return [case for case in cases if case.pixel_hash]


def _masked(dataset: Dataset, split: str, masks: _Masks, limit: int) -> tuple[MaskedCase, ...]:
    task, there = get_task(dataset.task), dataset.counts()
    if split not in there:
        return ()
    wanted = [
        case
        for case in _with_picture(dataset.split(split))
        if task.positive_index in (None, case.label) and masks.of(case) is not None
    ]
    found = []
    for case in _drawn(wanted, limit):
        image, mask = case.load(), masks.of(case)
        assert mask is not None
        if mask.shape != image.pixels.shape[:2]:
            raise Refused(f"The mask of {case.case_id} is {mask.shape}, its image {image.pixels.shape[:2]}.")
        found.append(MaskedCase(image, mask, task.classes[case.label], case.patient_id))
    return tuple(found)


def _drawn(cases: Sequence[Case], limit: int) -> list[Case]:
    """At most `limit` of the cases, in their order."""
    chosen = np.random.default_rng(0).choice(len(cases), min(limit, len(cases)), replace=False)
    return [cases[i] for i in np.sort(chosen)]


class _Masks:
    """The masks beside a dataset's pictures; none where there are none."""

    def __init__(self, path: Path) -> None:
        self._folder = path / "masks" if path.is_dir() else None
        self._arrays: dict[str, np.ndarray] = {}
        if path.suffix.lower() == ".npz":
            with np.load(path, allow_pickle=False) as file:
                self._arrays = {s: file[f"{s}_masks"] for s in (VALIDATION, HELD_OUT) if f"{s}_masks" in file}

    def of(self, case: Case) -> np.ndarray | None:
        """The mask of a case (H, W) bool, or None where it has none or an empty one."""
        mask = None
        if self._folder is not None:
            file = (self._folder / case.case_id).with_suffix(".png")
            if file.exists():
                with Picture.open(file) as picture:
                    mask = np.asarray(picture.convert("L")) > 0
        elif case.split in self._arrays:
            mask = self._arrays[case.split][int(case.case_id.rpartition("/")[2])] > 0
        return mask if mask is not None and mask.any() else None
