"""Score-CAM: each feature map as a mask on the image, weighted by how much the class score then keeps."""

from __future__ import annotations

import torch

from core.combine import untempered
from core.explain.case import Case


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
    case.watch.total = 1 + len(chosen)
    if not len(chosen):
        return torch.zeros_like(maps[0]), 0
    fill, size = case.baseline(baseline), tuple(case.x.shape[2:])
    scores = []
    for part in chosen.split(batch):
        span = (high - low)[part, None, None]
        masks = ((maps[part] - low[part, None, None]) / span)[:, None]  # (n, 1, h, w)
        masks = torch.nn.functional.interpolate(masks, size=size, mode="bilinear", align_corners=False)
        scores.append(case.scores(fill + (case.x - fill) * masks))
    weights = torch.softmax(torch.cat(scores), dim=0)[:, None, None]
    return (weights * maps[chosen]).sum(dim=0).relu(), len(chosen)
