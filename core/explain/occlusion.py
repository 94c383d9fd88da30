"""Occlusion: how much the class score drops when a window of the image is covered."""

from __future__ import annotations

import math

import torch

from core.explain.case import Case
from core.explain.crops import crops_for

MANY = 32  # windows from which it pays to look for a faster way


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
    model at a time, by `crops` where these give its scores.
    """
    _, _, height, width = case.x.shape
    corners = [
        (r, c)
        for r in window_corners(height, window[0], stride[0])
        for c in window_corners(width, window[1], stride[1])
    ]
    near, fill = nearness(window).to(case.x.device), case.baseline(baseline)
    tried = [corners[0], corners[len(corners) // 2]]
    case.watch.total = 1 + 2 * len(tried) + len(corners)
    whole = case.score()
    copies = _covered(case.x, tried, window, fill)
    crops = crops_for(case, window, tried, copies) if len(corners) >= MANY else None
    case.watch.total = case.watch.done + len(corners)
    drops, weights = torch.zeros(2, height, width, device=case.x.device)
    for start in range(0, len(corners), batch):
        part = corners[start : start + batch]
        copies = _covered(case.x, part, window, fill)
        scores = case.scores(copies, crops, part) if crops else case.scores(copies)
        for drop, (r, c) in zip(whole - scores, part, strict=True):
            seen = near[: height - r, : width - c]
            drops[r : r + window[0], c : c + window[1]] += drop * seen
            weights[r : r + window[0], c : c + window[1]] += seen
    return drops / weights


def _covered(
    x: torch.Tensor, corners: list[tuple[int, int]], window: tuple[int, int], fill: torch.Tensor
) -> torch.Tensor:
    """Copies (n, C, H, W) of an image, each with one window filled."""
    copies = x.repeat(len(corners), 1, 1, 1)
    for copy, (r, c) in zip(copies, corners, strict=True):
        copy[:, r : r + window[0], c : c + window[1]] = fill[0]
    return copies
