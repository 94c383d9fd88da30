"""Maps by the hundred: one model, one method, counted, timed and stopped when asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from core.checkpoint import Checkpoint
from core.explain.case import Cancelled, Watch
from core.explain.methods import Request, explain
from core.records import Heatmap, Image


@dataclass
class Maker:
    """Makes maps of one model by one method. `seconds` holds how long each of the model's own maps took.

    `on_map` is called after each map; `cancelled` is asked before each and during slow ones, and so is `give_way`, which returns
    when nothing more urgent wants the processor.
    """

    checkpoint: Checkpoint
    method: str
    device: str = "cpu"
    on_map: Callable[[], None] | None = None
    cancelled: Callable[[], bool] | None = None
    give_way: Callable[[], None] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def heatmap(self, image: Image, target: str, other: Checkpoint | None = None) -> Heatmap:
        """The map of one class for one image, by the model or by `other` weights; raises `Cancelled`, or what `explain` raises."""
        self.check()
        watch = Watch(cancelled=self.cancelled, give_way=self.give_way)
        request = Request(self.method, target, parameters=self.parameters)
        begun = time.perf_counter()
        made = explain(other or self.checkpoint, image, request, device=self.device, watch=watch)
        if other is None:
            self.seconds.append(time.perf_counter() - begun)
        if self.on_map:
            self.on_map()
        return made

    def values(self, image: Image, target: str, other: Checkpoint | None = None) -> np.ndarray:
        """As `heatmap`: its raw values (h, w)."""
        return self.heatmap(image, target, other).values

    def check(self) -> None:
        """Let more urgent work go first; raise `Cancelled` when the caller no longer wants the result."""
        pause(self.give_way, self.cancelled)


def pause(give_way: Callable[[], None] | None, cancelled: Callable[[], bool] | None) -> None:
    """Let more urgent work go first, then raise `Cancelled` when the caller no longer wants the result."""
    if give_way:
        give_way()
    if cancelled and cancelled():
        raise Cancelled("The measurement was stopped.")


def untrained(checkpoint: Checkpoint, seed: int) -> Checkpoint:
    """The same architecture with every learned weight drawn anew: what it would be before training.

    Kernels and matrices are normal with variance 2 / inputs (He et al., 2015), biases 0, norms neutral. Members of an
    ensemble are drawn one by one. Deterministic in `seed`; the global random state is neither read nor set.
    """
    if checkpoint.members:
        members = tuple(untrained(m, seed + 1000 * (i + 1)) for i, m in enumerate(checkpoint.members))
        return replace(checkpoint, members=members)
    generator = torch.Generator().manual_seed(seed)
    state = {name: _drawn(name, value, generator) for name, value in checkpoint.state.items()}
    return replace(checkpoint, state=state)


def _drawn(name: str, like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if not like.is_floating_point():
        return like
    if like.ndim >= 2:
        drawn = torch.randn(like.shape, generator=generator) * (2 / max(1, like[0].numel())) ** 0.5
        return drawn.to(dtype=like.dtype, device=like.device)
    if name.endswith(("bias", "running_mean")):
        return torch.zeros_like(like)
    if name.endswith(("weight", "running_var")):
        return torch.ones_like(like)
    return like  # scales of inputs and the like: nothing that was learned by descent
