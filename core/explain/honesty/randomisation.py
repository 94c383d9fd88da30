"""Weight randomisation: maps that look the same without the training explain the picture, not the model (Adebayo et al., 2018).

They report the rank correlation of signed values and that of absolute ones, and the two can disagree: a method that multiplies
with the picture (Integrated Gradients) keeps its places under any weights while its signs are drawn anew. Here a signed map's
colour says for or against and its strength says where, and a reader looks at both, so a signed method must pass with both. One
without signs has one correlation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from scipy.stats import binom, rankdata

from core.explain.honesty.maker import Maker, untrained
from core.explain.registry import get_method
from core.records import Estimate, Image
from core.statistics.estimates import undefined

ALIKE = 0.5  # rank correlation from which maps count as the same
DRAWS = 4  # times as many re-initialised models as are wanted: about half of them have nothing to say for a class


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Spearman's rank correlation of two maps of one shape, in [−1, 1].

    0 where only one of them is the same everywhere, for then nothing of the other is left; None where both are.
    """
    a, b = (np.asarray(values, dtype=np.float64).ravel() for values in (a, b))
    if a.shape != b.shape:
        raise ValueError(f"both maps must have the same number of values, not {a.size} and {b.size}")
    flat = [bool(np.ptp(values) == 0) for values in (a, b)]
    if any(flat):
        return None if all(flat) else 0.0
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


def median_estimate(values: Sequence[float], reason: str) -> Estimate:
    """The median with the interval between order statistics that covers it with at least 95 % (Conover 1999, 3.2).

    The interval needs six values: below that it is None and said to be.
    """
    method, n = "median, sign-test interval", len(values)
    if n == 0:
        return undefined(0, method, reason)
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    middle = float(np.median(ordered))
    place = int(binom.ppf(0.025, n, 0.5))  # P(fewer than `place` values lie below the median) < 2.5 %
    if place < 1:
        return Estimate(middle, None, None, n, method, "an interval needs at least six images")
    return Estimate(middle, float(ordered[place - 1]), float(ordered[n - place]), n, method)


def randomisation(maker: Maker, images: Sequence[tuple[Image, str]], seeds: int) -> dict[str, Any]:
    """How alike the model's maps of (image, class) and those of re-initialised models are: |rank correlation|.

    Median over `seeds` models of each image, then over images. Its size counts, not its sign: re-initialised models that draw
    the picture, some of them inside out, would otherwise average to nothing. Of signed maps `magnitudes` says the same of
    |values|. `passes` is as `judged` has it.

    A map that is the same everywhere can be compared with none. An image with such a map of the model's own is left out; where
    a re-initialised model gives one, `flat` counts it and another model is drawn, up to `DRAWS` times `seeds` of them.
    """
    rows = [_Row(image, target, own) for image, target in images if np.ptp(own := maker.values(image, target)) > 0]
    drawn = flat = 0
    while (open_rows := [row for row in rows if len(row.values) < seeds]) and drawn < DRAWS * seeds:
        other, drawn = untrained(maker.checkpoint, drawn), drawn + 1
        for row in open_rows:
            theirs = maker.values(row.image, row.target, other)
            if np.ptp(theirs) == 0:
                flat += 1
            else:
                row.values.append(abs(rank_correlation(row.own, theirs) or 0.0))
                row.sizes.append(abs(rank_correlation(np.abs(row.own), np.abs(theirs)) or 0.0))
    whose = "every map of re-initialised models" if rows else "every map"
    alike, large = (_over_images(each, f"{whose} is the same everywhere") for each in
                    ([row.values for row in rows], [row.sizes for row in rows]))  # fmt: skip
    facts = {"correlation": alike, "seeds": seeds, "drawn": drawn, "flat": flat}
    facts |= {"magnitudes": large} if get_method(maker.method).signed else {}
    return {**facts, "passes": judged({name: asdict(facts[name]) for name in correlations(facts)})}


@dataclass
class _Row:
    """One image, its map, and how alike those of re-initialised models are: one value for each that is not flat."""

    image: Image
    target: str
    own: np.ndarray
    values: list[float] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)


def correlations(facts: Mapping[str, Any]) -> list[str]:
    """Which figures of `randomisation` a method is judged by: `correlation`, and for signed maps `magnitudes`."""
    return [name for name in ("correlation", "magnitudes") if facts.get(name)]


def judged(facts: Mapping[str, Any]) -> bool | None:
    """Whether every correlation (as a mapping) lies below `ALIKE`; None where every map is the same everywhere."""
    values = [facts[name]["value"] for name in correlations(facts)]
    return None if None in values else max(values) < ALIKE


def _over_images(found: Sequence[Sequence[float]], reason: str) -> Estimate:
    return median_estimate([float(np.median(each)) for each in found if each], reason)
