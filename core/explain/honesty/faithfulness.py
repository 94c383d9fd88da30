"""Does the score follow the map? Deletion and insertion curves beside random and centre orders; stability of the map itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn

from core.checkpoint import Checkpoint
from core.explain.case import case_of
from core.explain.fold import fast_module
from core.explain.honesty.maker import Maker
from core.explain.honesty.randomisation import rank_correlation
from core.preprocess import preprocess
from core.records import Image
from core.statistics.localisation import stretched
from core.tasks import get_task

STEPS = 12  # pictures of each curve beside its two ends
RANDOM_ORDERS = 19  # all of them beaten is p = 1/20
SURE = 0.05  # the p from which a map is called better
RANDOM_GRID = 8  # cells along each side: random orders remove spots, as maps do, not single pixels
SHIFT = 0.04  # of each side
BATCH = 16


@dataclass(frozen=True)
class Area:
    """Areas under two curves of the class probability, 0–1: parts removed first to last, parts shown first to last."""

    deletion: float
    insertion: float


@dataclass(frozen=True)
class Rivals:
    """The areas of `random` orders and of the order from the centre outwards: of one model, image and class, whatever the map."""

    random: tuple[Area, ...]
    centre: Area


@dataclass(frozen=True)
class Faithfulness:
    """The areas of one map and of its rivals, on the same image and class.

    A good map has a small deletion area and a large insertion area. A part is replaced by the image's mean colour.
    """

    own: Area
    rivals: Rivals

    def beaten(self, curve: str) -> int:
        """How many random orders the map beats in `deletion` or `insertion`; an equal area counts for the order."""
        mine = getattr(self.own, curve)
        sign = -1 if curve == "deletion" else 1
        return sum(sign * mine > sign * getattr(area, curve) for area in self.rivals.random)

    def p(self, curve: str) -> float:
        """How often an order that knows nothing would do as well: (1 + random orders at least as good) / (1 + random orders).

        The p of a randomisation test (Phipson & Smyth, 2010), one-sided.
        """
        total = len(self.rivals.random)
        return (1 + total - self.beaten(curve)) / (1 + total)

    def better(self, curve: str) -> bool | None:
        """True where it is better than random orders at `SURE`, False where most of them are as good, else None: undecided."""
        p = self.p(curve)
        return True if p <= SURE else False if p > 0.5 else None


@dataclass
class Scorer:
    """The curves of one model, image and class.

    The areas of random and centre orders do not depend on the map: they are made at the first one unless `rivals` brings them
    from another time. `module` is the network to run where the caller has one with the same scores; by default it is the
    checkpoint's own made faster (`fold.fast_module`).
    """

    checkpoint: Checkpoint
    image: Image
    target: str
    device: str = "cpu"
    check: Callable[[], None] = lambda: None  # raises when nobody wants the result, waits when others are more urgent
    rivals: Rivals | None = field(default=None, repr=False)
    module: nn.Module | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        x = preprocess(self.image, self.checkpoint.preprocessing)[None].to(self.device)  # (1, C, H, W)
        self.module = self.module or quick_module(self.checkpoint, self.device, x)
        self._class = get_task(self.checkpoint.task).class_index(self.target)
        case = case_of(self.module, x, self._class, self.checkpoint.preprocessing)
        self._x, self._fill = x, case.baseline("mean")
        self._shape = tuple(x.shape[2:])

    def of_map(self, values: np.ndarray) -> Faithfulness:
        """Faithfulness of a map (h, w): its largest values go, or come, first.

        A map that is the same everywhere has no order of its own: it counts as the mean of the random ones.
        """
        if self.rivals is None:
            self.rivals = self._orders()
        own = mean_area(self.rivals.random) if is_flat(values) else self._area(stretched(values, self._shape))
        return Faithfulness(own, self.rivals)

    def _orders(self) -> Rivals:
        rng, (height, width) = np.random.default_rng(0), self._shape
        random = tuple(
            self._area(stretched(rng.random((RANDOM_GRID, RANDOM_GRID)), self._shape)) for _ in range(RANDOM_ORDERS)
        )
        rows, columns = np.ogrid[:height, :width]
        away = ((rows + 0.5) / height - 0.5) ** 2 + ((columns + 0.5) / width - 0.5) ** 2
        return Rivals(random, self._area(-away))

    def _area(self, importance: np.ndarray) -> Area:
        """Areas of the order in which `importance` (H, W) falls; equal values in an order drawn once."""
        count = importance.size
        noise = np.random.default_rng(1).random(count)
        place = np.empty(count, dtype=np.int64)
        place[np.lexsort((noise, -importance.ravel()))] = np.arange(count)
        ranks = torch.from_numpy(place.reshape(importance.shape)).to(self.device)  # 0 is the most important pixel
        gone = [round(count * k / (STEPS + 1)) for k in range(STEPS + 2)]
        removed = [torch.where(ranks < n, self._fill, self._x) for n in gone]
        shown = [torch.where(ranks < n, self._x, self._fill) for n in gone[1:-1]]
        scores = self._probabilities(torch.cat([*removed, *shown]))
        down, up = scores[: STEPS + 2], np.concatenate([scores[STEPS + 1 : STEPS + 2], scores[STEPS + 2 :], scores[:1]])
        return Area(_under(down), _under(up))

    @torch.no_grad()
    def _probabilities(self, x: torch.Tensor) -> np.ndarray:
        done = []
        for part in x.split(BATCH):
            self.check()
            done.append(torch.softmax(self.module(part).double(), dim=1)[:, self._class].cpu())  # type: ignore[misc]
        return torch.cat(done).numpy()


def quick_module(checkpoint: Checkpoint, device: str, x: torch.Tensor) -> nn.Module:
    """The checkpoint's network made faster for pictures like `x` (1, C, H, W), with the same scores; other models as they are."""
    layer = checkpoint.heatmap_layer
    return fast_module(checkpoint, device, x, layer) if layer else checkpoint.module(device)


def mean_area(areas: Sequence[Area]) -> Area:
    """The mean of each area."""
    return Area(float(np.mean([area.deletion for area in areas])), float(np.mean([area.insertion for area in areas])))


def is_flat(values: np.ndarray) -> bool:
    """Whether a map is the same everywhere: then it orders nothing, and nothing of it can be checked."""
    return bool(np.ptp(values) == 0)


def _under(curve: np.ndarray) -> float:
    """Area by the trapezium rule over equal steps from 0 to 1."""
    return float(np.mean((curve[1:] + curve[:-1]) / 2))


def stability(maker: Maker, image: Image, target: str, values: np.ndarray) -> list[float | None]:
    """Rank correlations of a map (h, w) with those of the image flipped left to right and moved 4 % either way along the diagonal.

    Each is turned or moved back and compared where both see the image. 1 is perfect, 0 where one of the two is the same
    everywhere; None where both are, for that tells nothing.
    """
    shape = _small(image.pixels.shape[:2])
    own = stretched(values, shape)
    flipped = maker.values(replace(image, pixels=np.ascontiguousarray(image.pixels[:, ::-1])), target)
    found = [rank_correlation(own, stretched(flipped, shape)[:, ::-1])]
    height, width = image.pixels.shape[:2]
    for sign in (1, -1):
        rows, columns = (sign * max(1, round(SHIFT * side)) for side in (height, width))
        there = stretched(maker.values(replace(image, pixels=moved(image.pixels, rows, columns)), target), shape)
        down, right = (round(step * small / side) for step, small, side in
                       zip((rows, columns), shape, (height, width), strict=True))  # fmt: skip
        found.append(rank_correlation(*_common(own, there, down, right)))
    return found


def moved(pixels: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Pixels (H, W) or (H, W, 3) moved down and right (negative: up and left); what is uncovered repeats the edge."""
    height, width = pixels.shape[:2]
    take_rows = np.clip(np.arange(height) - rows, 0, height - 1)
    take_columns = np.clip(np.arange(width) - columns, 0, width - 1)
    return np.ascontiguousarray(pixels[take_rows][:, take_columns])


def _common(own: np.ndarray, there: np.ndarray, down: int, right: int) -> tuple[np.ndarray, np.ndarray]:
    """The parts of a map and of the moved image's map that show the same pixels."""

    def cut(step: int, size: int) -> tuple[slice, slice]:
        return slice(max(0, -step), size - max(0, step)), slice(max(0, step), size - max(0, -step))

    (rows, there_rows), (columns, there_columns) = cut(down, own.shape[0]), cut(right, own.shape[1])
    return own[rows, columns], there[there_rows, there_columns]


def _small(shape: tuple[int, ...]) -> tuple[int, int]:
    """At most 128 pixels along the longer side: ranks of a whole mammogram would take a second each."""
    factor = min(1.0, 128 / max(shape))
    return max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))
