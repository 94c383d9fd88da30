"""Covered copies of one image scored faster: in a network's first layers only what a window touches changes.

The first layers run on a crop around the window; what changed there is put into their output for the uncovered image, and the
rest of the network runs on that. Same numbers, about a fifth less work for a ResNet18 at 224 pixels, half for a VGG16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn

from core.combine import Tempered
from core.explain.case import Case
from core.explain.fold import TOLERANCE, sharing_copy

Corner = tuple[int, int]
WORTH = 0.5  # of the image: larger crops save too little
_POOLS = (nn.MaxPool2d, nn.AvgPool2d)
_LOCAL = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU, nn.Sigmoid, nn.Identity, nn.Dropout, *_POOLS)


@dataclass(frozen=True)
class _Axis:
    """Along one edge of the image: pixels per cell of a map, and how far a cell sees before and after its own first pixel."""

    edge: int
    window: int
    step: int = 1
    before: int = 0
    after: int = 0

    def seen_by(self, kernel: int, stride: int, padding: int, dilation: int) -> _Axis:
        """Behind one more convolution or pooling."""
        more = max(0, dilation * (kernel - 1) - padding) * self.step
        before = self.before + padding * self.step
        return _Axis(self.edge, self.window, self.step * stride, before, self.after + more)

    @property
    def crop(self) -> int:
        """Pixels of a crop that holds all that the cells see which a window changes, and ends where the image may."""
        needed = self.window + 2 * (self.before + self.after) + self.step - 1
        return self.edge - max(0, self.edge - needed) // self.step * self.step

    def start(self, first: int) -> int:
        """First pixel of the crop for a window that begins at `first`: a cell's own first pixel."""
        wanted = (first - self.after - self.before) // self.step * self.step
        return min(max(0, wanted), self.edge - self.crop)

    def changed(self, first: int, cells: int) -> slice:
        """Which of a map's cells that window changes."""
        end = (first + self.window - 1 + self.before) // self.step + 1
        return slice(max(0, -((self.after - first) // self.step)), min(cells, end))


class Crops(nn.Module):
    """Logits of copies (n, C, H, W) of an image that differ from it inside windows of one size at `corners`."""

    def __init__(self, first: Sequence[nn.Module], rest: nn.Module, axes: tuple[_Axis, _Axis], x: torch.Tensor) -> None:
        super().__init__()
        self.first, self.rest, self.axes = nn.Sequential(*first), rest, axes
        self.uncovered = self.first(x)  # (1, K, h, w)

    def forward(self, copies: torch.Tensor, corners: Sequence[Corner]) -> torch.Tensor:
        """Logits (n, classes)."""
        (tall, wide), (rows, columns) = (axis.crop for axis in self.axes), self.axes
        starts = [(rows.start(r), columns.start(c)) for r, c in corners]
        crops = [copy[:, a : a + tall, b : b + wide] for copy, (a, b) in zip(copies, starts, strict=True)]
        seen = self.first(torch.stack(crops))  # (n, K, h', w')
        maps = self.uncovered.expand(len(copies), -1, -1, -1).clone()  # (n, K, h, w)
        for whole, part, (r, c), (a, b) in zip(maps, seen, corners, starts, strict=True):
            down, across = rows.changed(r, maps.shape[2]), columns.changed(c, maps.shape[3])
            whole[:, down, across] = part[:, _moved(down, a // rows.step), _moved(across, b // columns.step)]
        return self.rest(maps)


def _moved(cells: slice, by: int) -> slice:
    return slice(cells.start - by, cells.stop - by)


def crops_for(case: Case, window: Corner, corners: Sequence[Corner], copies: torch.Tensor) -> Crops | None:
    """A faster way to score the case's image with such windows covered; None where there is none.

    `copies` are tries, covered at `corners`. Which layers come first is
    read off the order of the modules, and whatever a network does beside that shows there.
    """
    rows, columns = (_Axis(edge, width) for edge, width in zip(case.x.shape[2:], window, strict=True))
    first: dict[str, nn.Module] = {}
    for name, part in links(case.module):
        further = _behind(part, (rows, columns))
        if further is None or further[0].crop * further[1].crop > WORTH * rows.edge * columns.edge:
            break
        first[name], (rows, columns) = part, further
    if not any(isinstance(part, nn.Conv2d) for part in first.values()):
        return None
    rest = sharing_copy(case.module)
    for name in first:
        rest.set_submodule(name, nn.Identity())
    return trusted(case, lambda: Crops(list(first.values()), rest, (rows, columns), case.x), copies, copies, corners)


Way = TypeVar("Way", bound=nn.Module)


def trusted(case: Case, make: Callable[[], Way], copies: torch.Tensor, *given: Any) -> Way | None:
    """What `make` builds, if it gives for `given` the network's logits of `copies` (n, C, H, W) to `TOLERANCE`; else None."""
    expected = case.logits(copies)
    try:
        made = make().eval()
        got = case.logits(given[0], made, *given[1:])
    except (RuntimeError, AttributeError, IndexError, TypeError, ValueError):
        return None  # the modules do not stand in the order in which they run
    if got.shape != expected.shape:
        return None
    close = (got - expected).abs().max() <= TOLERANCE * expected.abs().max().clamp(min=1)
    return made if bool(close) else None


def links(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Names and modules in the order in which a plain chain runs."""
    for name, part in module.named_children():
        if isinstance(part, nn.Sequential) or isinstance(module, Tempered):
            yield from links(part, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", part


def _behind(part: nn.Module, axes: tuple[_Axis, _Axis]) -> tuple[_Axis, _Axis] | None:
    """The axes behind a module; None where it may see the whole image, or makes maps smaller in ways of its own."""
    for one in part.modules():
        if not any(one.children()) and not isinstance(one, _LOCAL):
            return None
        if isinstance(one, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            facts = (one.kernel_size, one.stride, one.padding, getattr(one, "dilation", 1))
            if isinstance(one.padding, str) or (one is not part and one.stride not in (1, (1, 1))):
                return None
            both = zip(*((f, f) if isinstance(f, int) else f for f in facts), strict=True)
            axes = tuple(axis.seen_by(*fact) for axis, fact in zip(axes, both, strict=True))
    return axes
