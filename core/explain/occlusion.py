"""Occlusion: how much the class score drops when a window of the image is covered."""

from __future__ import annotations

import math

import torch

from core.explain.case import Case


def window_corners(edge: int, window: int, stride: int) -> list[int]:
    """First pixels of the windows along one edge; the last window reaches or passes the end, so no pixel is left out."""
    return [i * stride for i in range(math.ceil(max(0, edge - window) / stride) + 1)]


def nearness(window: tuple[int, int]) -> torch.Tensor:
    """What a window's drop weighs at each of its pixels, (rows, columns): most in its middle, least at its rim, a pyramid."""
    rows, columns = (
        torch.minimum(torch.arange(1, edge + 1), torch.arange(edge, 0, -1)).float() / math.ceil(edge / 2)
        for edge in window
    )
    return rows[:, None] * columns


def occlusion(
    case: Case, *, window: tuple[int, int], stride: tuple[int, int], baseline: str, batch: int
) -> torch.Tensor:
    """Mean score drop (H, W) over the windows that cover each pixel: at input resolution, signed, in logits.

    `window` and `stride` are (rows, columns) in pixels, stride ≤ window; a window is filled with the baseline colour
    (Zeiler & Fergus, 2014, who write the score at the window's middle). So a window speaks loudest for its middle, see
    `nearness`: evidence that one window alone covers is then found there, not anywhere under it. `captum.attr.Occlusion`
    weighs all pixels of a window alike, and is the same where windows do not overlap. `batch` covered copies go through the
    model at a time.
    """
    _, _, height, width = case.x.shape
    corners = [
        (r, c)
        for r in window_corners(height, window[0], stride[0])
        for c in window_corners(width, window[1], stride[1])
    ]
    near = nearness(window).to(case.x.device)
    fill = case.baseline(baseline)[0]  # (C, 1, 1)
    case.watch.total = 1 + len(corners)
    whole = case.scores(case.x)[0]
    drops, weights = torch.zeros(2, height, width, device=case.x.device)
    for start in range(0, len(corners), batch):
        part = corners[start : start + batch]
        copies = case.x.repeat(len(part), 1, 1, 1)
        for copy, (r, c) in zip(copies, part, strict=True):
            copy[:, r : r + window[0], c : c + window[1]] = fill
        for drop, (r, c) in zip(whole - case.scores(copies), part, strict=True):
            seen = near[: height - r, : width - c]
            drops[r : r + window[0], c : c + window[1]] += drop * seen
            weights[r : r + window[0], c : c + window[1]] += seen
    return drops / weights
