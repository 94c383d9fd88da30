"""Copies of one image that are mixtures of a few pictures, scored faster: convolution is linear.

The network's first convolution runs on the pictures alone, and what it gives of them is mixed for each copy: same numbers, and
neither masks nor covered copies are made.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from core.explain.case import Case
from core.explain.crops import links, trusted
from core.explain.fold import sharing_copy

TRIES = 2  # copies that are scored both ways, to see that the scores are the same
WORTH = 0.7  # of the multiplications of the first convolution: mixing more pictures than that saves nothing
MOST_NUMBERS = 1 << 26  # of the pictures behind it, 256 MiB


class Mixtures(nn.Module):
    """Logits of constant + Σ_s weights[:, s] · parts[s], of pictures (C, H, W) and (S, C, H, W)."""

    def __init__(self, stem: nn.Module, rest: nn.Module, constant: torch.Tensor, parts: torch.Tensor) -> None:
        super().__init__()
        self.rest = rest
        nothing = stem(torch.zeros_like(parts[:1]))
        behind = (torch.cat([stem(part) for part in parts.split(1)]) - nothing).permute(0, 2, 3, 1)  # (S, h, w, K)
        self.shape = behind.shape[1:]
        self.parts, self.constant = behind.flatten(1), stem(constant[None]).permute(0, 2, 3, 1).flatten()

    def forward(self, weights: torch.Tensor) -> torch.Tensor:
        """Logits (n, classes) for weights (n, S)."""
        maps = torch.addmm(self.constant, weights, self.parts).view(len(weights), *self.shape)
        return self.rest(maps.permute(0, 3, 1, 2))


def mixture_scores(
    case: Case,
    copies: Callable[[torch.Tensor], torch.Tensor],
    pictures: Callable[[], tuple[torch.Tensor, torch.Tensor]],
    weights: torch.Tensor,
    batch: int,
) -> torch.Tensor:
    """Scores (n,) of the copies for each row of weights (n, S), on the device.

    `copies` makes copies (n, C, H, W) of such rows, `pictures` the constant (C, H, W) and the parts (S, C, H, W) that they are
    mixtures of.
    """
    mixed = _mixtures_for(case, copies, pictures, weights)
    case.watch.total = case.watch.done + len(weights)
    parts = weights.split(batch)
    return torch.cat([case.scores(part, mixed) if mixed else case.scores(copies(part)) for part in parts])


@torch.no_grad()
def _mixtures_for(
    case: Case,
    copies: Callable[[torch.Tensor], torch.Tensor],
    pictures: Callable[[], tuple[torch.Tensor, torch.Tensor]],
    weights: torch.Tensor,
) -> Mixtures | None:
    """A faster way to score such copies, its scores compared with the network's own; None where there is none."""
    name, stem = next(links(case.module), ("", None))
    _, count = weights.shape
    if not isinstance(stem, nn.Conv2d) or len(weights) < 2 * count:
        return None
    cells = case.x.shape[2] * case.x.shape[3] // (stem.stride[0] * stem.stride[1])
    if count > WORTH * stem.weight[0].numel() or count * stem.out_channels * cells > MOST_NUMBERS:
        return None
    rest = sharing_copy(case.module)
    rest.set_submodule(name, nn.Identity())
    tried = weights[:: len(weights) // TRIES][:TRIES]
    case.watch.total += 2 * TRIES
    return trusted(case, lambda: Mixtures(stem, rest, *pictures()), copies(tried), tried)
