"""A split as tensors."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import torch

from core.datasets.dataset import Dataset, Progress
from core.preprocess import Preprocessing, preprocess
from core.records import Refused

_MOST_BYTES = 4 * 2**30


def tensors(
    dataset: Dataset, split: str, preprocessing: Preprocessing, progress: Progress | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """All images of a split, as the model sees them, and their labels: x (N, C, H, W) float32 and y (N,) int64.

    Every image goes through `core.preprocess`, as in the app. Raises `Refused` when there is no such split, or when x would
    take more than 4 GiB of memory.
    """
    cases = dataset.split(split)
    shape = (len(cases), preprocessing.channels, *preprocessing.size)
    n_bytes = 4 * torch.Size(shape).numel()
    if n_bytes > _MOST_BYTES:
        raise Refused(
            f"{len(cases)} images of {preprocessing.size[0]} × {preprocessing.size[1]} pixels need {n_bytes / 2**30:.1f} GiB "
            "of memory, more than the 4 GiB allowed; choose a smaller size."
        )
    x = torch.empty(shape)  # (N, C, H, W)
    y = torch.tensor([case.label for case in cases], dtype=torch.int64)  # (N,)

    def fill(i: int) -> None:
        x[i] = preprocess(cases[i].load(), preprocessing)  # (C, H, W)

    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        for done, _ in enumerate(pool.map(fill, range(len(cases))), start=1):
            if progress and (done % 100 == 0 or done == len(cases)):
                progress(done, len(cases), f"Preparing {split}")
    return x, y
