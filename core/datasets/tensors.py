"""A split as tensors: decoded once, in memory where they fit, otherwise in a file that is mapped into memory."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from core import settings
from core.datasets.dataset import Case, Dataset, Progress
from core.preprocess import Preprocessing, preprocess
from core.records import Refused

MEMORY_BYTES = 4 * 2**30  # of one split; a larger one is mapped


def tensors(
    dataset: Dataset, split: str, preprocessing: Preprocessing, progress: Progress | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """All images of a split, as the model sees them, and their labels: x (N, C, H, W) float32 and y (N,) int64.

    Every image goes through `core.preprocess`, as in the app. Above 4 GiB x lies in a file of the home folder's `tensors`,
    which is read as it is needed and found again by the next training of the same pictures; it may be removed at any time.
    Raises `Refused` when there is no such split, or no room for that file.
    """
    cases = dataset.split(split)
    y = torch.tensor([case.label for case in cases], dtype=torch.int64)  # (N,)
    shape = torch.Size((len(cases), preprocessing.channels, *preprocessing.size))
    if 4 * shape.numel() <= MEMORY_BYTES:
        x = torch.empty(shape)  # (N, C, H, W)
        _fill(x, cases, preprocessing, split, progress)
        return x, y
    file = _cache_file(cases, preprocessing)
    if not file.exists():
        _write(file, shape, cases, preprocessing, split, progress)
    return torch.from_file(str(file), shared=False, size=shape.numel()).view(shape), y


def _fill(
    x: torch.Tensor, cases: Sequence[Case], preprocessing: Preprocessing, split: str, progress: Progress | None
) -> None:
    def fill(i: int) -> None:
        x[i] = preprocess(cases[i].load(), preprocessing)  # (C, H, W)

    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        for done, _ in enumerate(pool.map(fill, range(len(cases))), start=1):
            if progress and (done % 100 == 0 or done == len(cases)):
                progress(done, len(cases), f"Preparing {split}")


def _cache_file(cases: Sequence[Case], preprocessing: Preprocessing) -> Path:
    """Named after the pictures in their order and what was done to them: another split or size is another file."""
    made_of = json.dumps([[case.pixel_hash or case.case_id for case in cases], preprocessing.as_dict()])
    folder = settings.home() / "tensors"
    folder.mkdir(exist_ok=True)
    return folder / f"{hashlib.sha256(made_of.encode()).hexdigest()[:32]}.f32"


def _write(
    file: Path,
    shape: torch.Size,
    cases: Sequence[Case],
    preprocessing: Preprocessing,
    split: str,
    progress: Progress | None,
) -> None:
    """Fill the file, all or nothing; processes that do so at once each write their own, and the last one stays."""
    needed, free = 4 * shape.numel(), shutil.disk_usage(file.parent).free
    if needed > 0.95 * free:
        raise Refused(
            f"{len(cases)} images of {preprocessing.size[0]} × {preprocessing.size[1]} pixels need {needed / 2**30:.1f} GiB "
            f"in the home folder, where {free / 2**30:.1f} GiB are free; choose a smaller size or make room."
        )
    draft = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        x = torch.from_file(str(draft), shared=True, size=shape.numel()).view(shape)
        _fill(x, cases, preprocessing, split, progress)
        del x
        os.replace(draft, file)
    finally:
        draft.unlink(missing_ok=True)
