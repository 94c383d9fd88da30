"""Score-CAM: each feature map as a mask on the image, weighted by how much the class score then keeps."""

from __future__ import annotations

import torch

from core.combine import untempered
from core.explain.case import Case
from core.explain.mixtures import mixture_scores


def score_cam(case: Case, layer: str, *, channels: int, baseline: str, batch: int) -> tuple[torch.Tensor, int]:
    """ReLU(Σ_k w_k A_k) (h, w), ≥ 0, and how many feature maps were used (Wang et al., 2020).

    Each map A_k, stretched over the image and scaled to 0–1, fades the image to the baseline colour; w_k is the softmax over
    maps of the class scores. Only the `channels` maps that vary most are asked, the others weigh nothing; a map that is the
    same everywhere masks nothing and is left out.
    """
    case.watch.total = 1 + channels
    kept: list[torch.Tensor] = []
    watched = untempered(case.module).get_submodule(layer)
    with watched.register_forward_hook(lambda _m, _i, out: kept.append(out.detach().clone())):
        case.scores(case.x)
    maps = kept[0][0]  # (K, h, w)
    low, high = maps.amin(dim=(1, 2)), maps.amax(dim=(1, 2))
    order = maps.flatten(1).std(dim=1, correction=0).argsort(descending=True, stable=True)
    chosen = order[(high > low)[order]][:channels]
    if not len(chosen):
        return torch.zeros_like(maps[0]), 0
    fill, grid = case.baseline(baseline), maps.shape[1:]

    def faded(shares: torch.Tensor) -> torch.Tensor:
        masks = shares.view(-1, 1, *grid)
        size = tuple(case.x.shape[2:])
        return (case.x - fill) * torch.nn.functional.interpolate(masks, size=size, mode="bilinear", align_corners=False)

    def pictures() -> tuple[torch.Tensor, torch.Tensor]:
        return fill[0].expand(case.x.shape[1:]), faded(torch.eye(grid.numel(), device=case.x.device))

    shares = ((maps - low[:, None, None]) / (high - low)[:, None, None])[chosen].flatten(1)  # (n, h · w) in [0, 1]
    scores = mixture_scores(case, lambda rows: fill + faded(rows), pictures, shares, batch)
    weights = torch.softmax(scores, dim=0)[:, None, None]
    return (weights * maps[chosen]).sum(dim=0).relu(), len(chosen)
