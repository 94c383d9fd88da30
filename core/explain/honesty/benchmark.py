"""All that is measured of a model's methods, part by part, as JSON-safe facts: for the terminal, the store and the page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from core.checkpoint import Checkpoint
from core.explain.honesty.faithfulness import (
    BATCH,
    Faithfulness,
    Rivals,
    Scorer,
    mean_area,
    quick_module,
    stability,
)
from core.explain.honesty.maker import Maker, pause
from core.explain.honesty.masks import UNTRAINED, against_masks
from core.explain.honesty.material import MaskedCase, Material
from core.explain.honesty.randomisation import median_estimate, randomisation
from core.explain.honesty.reference import reference
from core.explain.registry import get_method
from core.predict import batched_probabilities
from core.preprocess import preprocess_batch
from core.records import Image, Refused
from core.statistics.discrimination import predicted_class
from core.statistics.paired import linear_difference
from core.statistics.proportions import wilson
from core.tasks import get_task
from core.versions import library_versions

FORMAT = 1
PARTS = ("randomisation", "reference", "faithfulness", "stability", "masks")
REVIEWERS = "reviewers"  # as `masks`, against the regions that reviewers drew
Images = Sequence[tuple[Image, str]]  # with the class whose map is made
Report = Callable[[int, int, str], None]  # maps made, maps to make, what is being done


@dataclass(frozen=True)
class Effort:
    """How many images each part looks at, at most, and how many re-initialised models the randomisation takes."""

    images: Mapping[str, int]
    seeds: int

    @classmethod
    def of(cls, method: str, limit: int | None = None) -> Effort:
        """The usual effort for a method, smaller where a map takes seconds, and never above `limit` images."""
        slow = get_method(method).slow
        most = dict(zip(PARTS, (6, 40, 10, 6, 24) if slow else (12, 200, 24, 12, 100), strict=True))
        return cls({part: min(n, limit) if limit else n for part, n in most.items()}, 2 if slow else 3)


@dataclass
class Job:
    """A model, what it is measured on, and who watches. `report` counts maps; the other two are as in `Maker`."""

    checkpoint: Checkpoint
    material: Material
    device: str = "cpu"
    limit: int | None = None
    report: Report = lambda done, total, text: None
    cancelled: Callable[[], bool] | None = None
    give_way: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        if self.material.task != self.checkpoint.task:
            raise Refused(
                f"The dataset is for {get_task(self.material.task).title.lower()}, and the model reads "
                f"{get_task(self.checkpoint.task).title.lower()}."
            )
        self._images: Images | None = None
        self._rivals: dict[tuple[str, str], Rivals] = {}
        self._module: nn.Module | None = None

    def images(self, count: int) -> Images:
        """The first validation images, each with the class that the model predicts: what a reviewer would be shown."""
        if self._images is None:
            given = self.material.images
            if not given:
                raise Refused(f"{self.material.name} has no validation pictures to measure maps on.")
            rows = np.concatenate([self._probabilities(given[i : i + BATCH]) for i in range(0, len(given), BATCH)])
            point = self.checkpoint.operating_point
            positive = get_task(self.checkpoint.task).positive_index
            called = predicted_class(rows, positive, point.threshold if point else None)
            self._images = [(image, self.checkpoint.classes[i]) for image, i in zip(given, called, strict=True)]
        return self._images[:count]

    def _probabilities(self, images: Sequence[Image]) -> np.ndarray:
        self.check()
        return batched_probabilities(self.module(images[0]), self._seen(images), self.device)

    def check(self) -> None:
        """Let more urgent work go first; raise `Cancelled` when nobody wants the result any more."""
        pause(self.give_way, self.cancelled)

    def module(self, like: Image) -> nn.Module:
        """The model's network, made faster for pictures like this one."""
        if self._module is None:
            self._module = quick_module(self.checkpoint, self.device, self._seen([like]).to(self.device))
        return self._module

    def _seen(self, images: Sequence[Image]) -> torch.Tensor:
        return preprocess_batch(images, self.checkpoint.preprocessing)  # (N, C, H, W)

    def faithful(self, maker: Maker, image: Image, target: str) -> Faithfulness:
        """Faithfulness of the method's map; the orders beside it are made once for all methods."""
        values, key = maker.values(image, target), (f"{image.content_hash}|{image.window}", target)
        scorer = Scorer(
            self.checkpoint, image, target, self.device, self.check, self._rivals.get(key), self.module(image)
        )
        found = scorer.of_map(values)
        self._rivals[key] = found.rivals
        return found


def measure(job: Job, wanted: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(method, part, facts) for each wanted (method, part), as soon as it is there; raises `Cancelled` where it is stopped.

    A method that the model cannot be explained by gives {"refused": why} instead of figures.
    """
    total, done = sum(_maps(job, method, part) for method, part in wanted), 0
    for method, part in wanted:
        begun, made, end = done, 0, done + _maps(job, method, part)

        def count(begun: int = begun, end: int = end, text: str = f"{get_method(method).title}, {part}") -> None:
            nonlocal made
            made += 1
            job.report(min(begun + made, end), total, text)  # randomisation may draw more models than planned

        maker = Maker(job.checkpoint, method, job.device, count, job.cancelled, job.give_way)
        maker.check()
        try:
            facts = _measured(job, maker, part)
        except Refused as reason:
            facts = {"refused": str(reason)}
        done = end
        yield method, part, plain({**facts, "dataset": job.material.name, "fingerprint": job.material.fingerprint})


def _measured(job: Job, maker: Maker, part: str) -> dict[str, Any]:
    effort = Effort.of(maker.method, job.limit)
    if part == "masks":
        cases, tuning = _masked(job.material.cases, job.material.tuning, effort.images[part])
        if not cases:
            raise Refused(f"{job.material.name} has no lesion masks.")
        return against_masks(maker, cases, tuning)
    images = job.images(effort.images[part])
    if part == "randomisation":
        return randomisation(maker, images, effort.seeds)
    if part == "reference":
        facts = reference(maker, images)
        times = sorted(maker.seconds)
        return facts | {"milliseconds": round(1000 * times[len(times) // 2], 2), "device": job.device}
    if part == "faithfulness":
        return _faithful(job, maker, images)
    rows = [_known(stability(maker, image, target, maker.values(image, target))) for image, target in images]
    middle = [float(np.median(row)) for row in rows if row]
    return {"correlation": median_estimate(middle, "every map is the same everywhere" if rows else "no images")}


def _known(row: Sequence[float | None]) -> list[float]:
    return [value for value in row if value is not None]


def _masked(
    cases: Sequence[MaskedCase], tuning: Sequence[MaskedCase], most: int
) -> tuple[Sequence[MaskedCase], Sequence[MaskedCase]]:
    return cases[:most], tuning[: max(1, most // 2)]


def _faithful(job: Job, maker: Maker, images: Images) -> dict[str, Any]:
    """Mean areas of the map less those of random orders and of the centre order, and how often it beats random."""
    found = [job.faithful(maker, image, target) for image, target in images]
    facts: dict[str, Any] = {}
    for curve, sign in (("deletion", -1), ("insertion", 1)):
        own = np.array([getattr(f.own, curve) for f in found])
        for name, rival in (
            ("random", np.array([getattr(mean_area(f.rivals.random), curve) for f in found])),
            ("centre", np.array([getattr(f.rivals.centre, curve) for f in found])),
        ):
            gap, n = sign * (own - rival), len(own)
            influence = (gap - gap.mean()) / n * np.sqrt(n / max(1, n - 1))
            values = (float(sign * own.mean()), float(sign * rival.mean()))
            facts[f"{curve}_{name}"] = linear_difference(values, influence, None, method="paired difference of areas")
        facts[f"{curve}_beats_random"] = wilson(sum(f.better(curve) is True for f in found), len(found))
    return facts


def _maps(job: Job, method: str, part: str) -> int:
    """How many maps a part will make."""
    effort = Effort.of(method, job.limit)
    n = min(effort.images[part], len(job.material.images))
    if part == "masks":
        return (1 + UNTRAINED) * sum(map(len, _masked(job.material.cases, job.material.tuning, effort.images[part])))
    return {"randomisation": n * (1 + effort.seeds), "stability": 4 * n}.get(part, n)


def plain(value: Any) -> Any:
    """JSON-safe: records become mappings, numbers Python's own."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value.item() if isinstance(value, np.generic) else value


def report_of(job: Job, found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What `explain-benchmark` prints and `python -m db ingest-explanations` stores; `found` is {method: {part: facts}}."""
    return {
        "format": FORMAT,
        "model": job.checkpoint.version,
        "architecture": job.checkpoint.architecture,
        "task": job.checkpoint.task,
        "dataset": {"name": job.material.name, "fingerprint": job.material.fingerprint},
        "methods": found,
        "versions": library_versions(),
    }


def read_report(path: Path) -> dict[str, Any]:
    """A report written by `explain-benchmark`; raises `Refused` in one sentence where it is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        ours = content["format"] == FORMAT and isinstance(content["model"], str)
        parts = [(part, facts) for each in content["methods"].values() for part, facts in each.items()]
    except FileNotFoundError:
        raise Refused(f"There is no file {path.name}.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise Refused(f"{path.name} is not what `explain-benchmark` writes ({type(e).__name__}).") from e
    if not ours or any(part not in PARTS or not isinstance(facts, dict) for part, facts in parts):
        raise Refused(f"{path.name} is not what `explain-benchmark` of this version writes.")
    for method in content["methods"]:
        get_method(method)
    return content
