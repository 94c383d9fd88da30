"""How far a training is, for people and progress bars."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TrainingProgress:
    """Where a training stands: `epoch` of `epochs` (from 1; 0 while data is read), `fraction` of all epochs, in 0–1.

    `loss` is the mean training loss of this epoch so far; `validation` holds the last epoch's figures; `eta` and `text` are
    for people.
    """

    epoch: int
    epochs: int
    fraction: float
    loss: float | None = None
    images_per_second: float = 0.0
    eta: str = ""
    text: str = ""
    validation: Mapping[str, float] = field(default_factory=dict)


class Clock:
    """Speed and time left of a training of `epochs` epochs of `n` images each, `before` of them done by an earlier process."""

    def __init__(self, epochs: int, n: int, before: int = 0) -> None:
        self.epochs, self.n, self.before, self.started = epochs, n, before, time.monotonic()
        self.validation: Mapping[str, float] = {}

    def progress(self, epoch: int, seen: int, loss: float) -> TrainingProgress:
        """Where a training stands after `seen` images of epoch `epoch` (from 0)."""
        passed = max(time.monotonic() - self.started, 1e-9)
        done, work = epoch * self.n + seen, self.epochs * self.n
        speed = (done - self.before * self.n) / passed  # images per second, validation included
        minutes, seconds = divmod(round((work - done) / speed), 60)
        eta = f"{minutes} min {seconds} s left" if minutes else f"{seconds} s left"
        shown = [f"{name.replace('_', ' ')} {value:.4f}" for name, value in self.validation.items()]
        text = ", ".join([f"epoch {epoch + 1}/{self.epochs}", f"loss {loss:.4f}", *shown, f"{speed:.0f} images/s", eta])
        return TrainingProgress(epoch + 1, self.epochs, done / work, loss, speed, eta, text, self.validation)
