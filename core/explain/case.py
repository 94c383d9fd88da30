"""What every explanation method works on, and how it is watched while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from core.preprocess import Preprocessing
from core.records import Refused

PATIENCE = 2.0  # seconds that one batch of long work waits for more urgent work at most


class Cancelled(Exception):
    """The caller asked a running explanation to stop."""


@dataclass
class Watch:
    """Counts the model's work of one explanation: reports the share done (0–1) and stops when the caller says so.

    `total` is the number of images the model will see; methods set it before they start.
    """

    progress: Callable[[float], None] | None = None
    cancelled: Callable[[], bool] | None = None
    give_way: Callable[[], None] | None = None  # returns when nothing more urgent wants the processor
    total: int = 1
    done: int = 0
    waited: float = 0.0  # seconds, in this batch

    def check(self) -> None:
        """Let more urgent work go first, for `PATIENCE` in each batch; raise `Cancelled` when nobody wants the result any more."""
        if self.give_way is not None and self.waited < PATIENCE:
            start = time.monotonic()
            self.give_way()
            self.waited += time.monotonic() - start
        if self.cancelled is not None and self.cancelled():
            raise Cancelled("The explanation was cancelled.")

    def advance(self, images: int) -> None:
        """Say that the model has seen so many more images."""
        self.done, self.waited = self.done + images, 0.0
        if self.progress is not None:
            self.progress(min(1.0, self.done / self.total))


@dataclass(frozen=True)
class Case:
    """One model, one image, one class: `x` is the preprocessed image (1, C, H, W) on the module's device.

    `mean` and `std` (one per channel) are those of the preprocessing, which turn `x` back into brightness in [0, 1].
    """

    module: nn.Module
    x: torch.Tensor
    class_index: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    seed: int = 0
    watch: Watch = field(default_factory=Watch)
    _own: list[torch.Tensor] = field(
        default_factory=list, init=False
    )  # logits (1, classes) of `x`, once a method asked

    def forward(self, x: torch.Tensor, run: nn.Module | None = None, *more: Any) -> torch.Tensor:
        """Logits (N, classes), counted by the watch, which is asked before each layer: a batch may take a second.

        `run`, with what `more` it needs, is another way to the module's logits.
        """
        run = run or self.module
        with ExitStack() as hooks:
            for part in run.modules():
                if isinstance(part, nn.Conv2d | nn.Linear):
                    hooks.enter_context(part.register_forward_pre_hook(lambda *_: self.watch.check()))
            self.watch.check()
            logits = run(x, *more)
        self.watch.advance(len(x))
        if x is self.x:
            self._own[:] = [logits.detach()]
        return logits

    @torch.no_grad()
    def logits(self, x: torch.Tensor, run: nn.Module | None = None, *more: Any) -> torch.Tensor:
        """As `forward`, without a graph."""
        return self.forward(x, run, *more)

    def scores(self, x: torch.Tensor, run: nn.Module | None = None, *more: Any) -> torch.Tensor:
        """As `logits`, of the class that is explained: (N,)."""
        return self.logits(x, run, *more)[:, self.class_index]

    def score(self) -> torch.Tensor:
        """Logit () of that class for the image itself; the model is asked only where no method has done so."""
        if not self._own:
            self.scores(self.x)
        return self._own[0][0, self.class_index]

    def brightness(self) -> torch.Tensor:
        """The image as displayed: (H, W, C) in [0, 1], on the CPU."""
        mean, std = (torch.tensor(v)[:, None, None] for v in (self.mean, self.std))
        return (self.x[0].cpu() * std + mean).clamp(0, 1).permute(1, 2, 0)

    def baseline(self, kind: str) -> torch.Tensor:
        """What stands for "nothing seen", (1, C, 1, 1) in normalised space: `black`, or the image's own `mean` colour."""
        if kind == "mean":
            return self.x.mean(dim=(2, 3), keepdim=True)
        if kind == "black":
            black = [-mean / std for mean, std in zip(self.mean, self.std, strict=True)]
            return torch.tensor(black, device=self.x.device)[None, :, None, None]
        raise Refused(f"The baseline must be black or mean, not {kind!r}.")


def case_of(module: nn.Module, x: torch.Tensor, class_index: int, spec: Preprocessing, **more: Any) -> Case:
    """A case from a preprocessed image and the preprocessing that made it."""
    return Case(module, x, class_index, spec.mean, spec.std, **more)
