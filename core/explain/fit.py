"""Which methods suit a network, and how coarsely it sees: told from its structure, no weights are looked at.

What a method is refused for was seen with planted evidence, see `benchmarks/planted.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from core.architectures import get_architecture
from core.architectures.libraries import skeleton
from core.checkpoint import Checkpoint
from core.explain.registry import Method

POOLINGS = (
    4  # max poolings from which neither one pixel's gradient nor the cover of one superpixel says much of its place
)


@dataclass(frozen=True)
class Structure:
    """`cell`: rows and columns of input pixels that one cell stands for, of the heatmap layer or of a max pooling behind it;
    the activations there are; `poolings`: how many poolings keep the largest value and make the map smaller."""

    cell: tuple[int, int]
    relus: bool
    sigmoids: bool
    poolings: int


@cache
def structure(architecture: str, channels: int, size: tuple[int, int]) -> Structure:
    """The structure of an architecture that has a heatmap layer, for inputs (channels, *size)."""
    known, grids = get_architecture(architecture), []
    net = skeleton(known.build, 2).eval().to("meta")
    pools = [part for part in net.modules() if isinstance(part, nn.MaxPool2d) and part.stride not in (1, (1, 1))]
    for part in (net.get_submodule(known.heatmap_layer), *pools):
        part.register_forward_hook(lambda _module, _inputs, output: grids.append(tuple(output.shape[2:])))
    with torch.no_grad():
        net(torch.empty(1, channels, *size, device="meta"))
    kinds = [type(part) for part in net.modules()]
    rows, columns = (-(-edge // cells) for edge, cells in zip(size, min(grids), strict=True))
    return Structure((rows, columns), bool({nn.ReLU, nn.ReLU6} & set(kinds)), nn.Sigmoid in kinds, len(pools))


def structures(checkpoint: Checkpoint) -> list[Structure]:
    """Of a model, or of an ensemble's members; none where there is no network."""
    parts = [part for part in checkpoint.members or (checkpoint,) if part.heatmap_layer]
    return [structure(p.architecture, p.preprocessing.channels, p.preprocessing.size) for p in parts]


def cell(checkpoint: Checkpoint) -> tuple[int, int]:
    """Rows and columns of input pixels that the coarsest member sees as one; (1, 1) where there is no network."""
    size, found = checkpoint.preprocessing.size, structures(checkpoint)
    rows, columns = ([s.cell[axis] for s in found] for axis in (0, 1))
    return min(size[0], max(rows, default=1)), min(size[1], max(columns, default=1))


def unfit(method: Method, checkpoint: Checkpoint) -> str:
    """Why a method does not explain a model, as a clause; empty where it does."""
    if method.needs != "scores" and not checkpoint.heatmap_layer:
        return f"it needs a map of features, and {checkpoint.architecture} has none"
    if method.name not in ("guided-gradcam", "smoothgrad", "feature-ablation", "lime"):
        return ""
    found = structures(checkpoint)
    if method.name == "guided-gradcam" and not all(s.relus for s in found):
        return "it guides gradients through ReLU layers, and this network has none"
    if method.name == "smoothgrad" and any(s.sigmoids for s in found):
        return "gradients vanish in this network's sigmoids just where it has seen something"
    if not any(s.poolings >= POOLINGS for s in found):
        return ""
    if method.name == "smoothgrad":
        return "this network's max poolings let the gradient through to one pixel of each cell, bright or dark"
    if method.name == "feature-ablation":
        return "behind this network's max poolings one covered superpixel changes nothing while what is beside it is as bright"
    if method.name == "lime":
        return "behind this network's max poolings covering a part of what is bright changes nothing, and its weights are chance"
    return ""
