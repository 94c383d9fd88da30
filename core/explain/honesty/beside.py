"""What stands beside one map: does the score follow it, and does it stay when the picture moves a little?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from core.explain.honesty.faithfulness import SURE, Area, Rivals, Scorer, is_flat, stability
from core.explain.honesty.maker import Maker
from core.records import Heatmap, Image

MADE = 2  # part of what a kept check is found by: counted up when a check gives other facts
STABLE = 0.7  # rank correlation from which a map counts as the same
FLAT = "The same everywhere: nothing to check"
_BETTER = {True: "better", False: "not better", None: "undecided"}  # than random orders


def check_map(maker: Maker, image: Image, heatmap: Heatmap, rivals: Rivals | None = None) -> dict[str, Any]:
    """JSON-safe facts of one map: areas of its curves, of random orders and the centre order, p of each curve, and its stability.

    `rivals` are those of `rivals_of` an earlier check of the same model, image and class; without them they are made.
    The score is the class probability; a part is replaced by the image's mean colour. A map that is the same everywhere is
    not checked: {"flat": True}. Raises `Cancelled` when stopped.
    """
    maker.check()
    if is_flat(heatmap.values):
        return {"flat": True}
    scorer = Scorer(maker.checkpoint, image, heatmap.target_class, maker.device, maker.check, rivals)
    found = scorer.of_map(heatmap.values)
    facts: dict[str, Any] = {"flat": False, "own": asdict(found.own), "centre": asdict(found.rivals.centre)}
    facts["random"] = [asdict(area) for area in found.rivals.random]
    for name in ("better", "beaten", "p"):
        facts[name] = {curve: getattr(found, name)(curve) for curve in ("deletion", "insertion")}
    return facts | {"stability": stability(maker, image, heatmap.target_class, heatmap.values)}


def rivals_of(facts: Mapping[str, Any]) -> Rivals | None:
    """The random and centre orders of a check, for other maps of the same model, image and class."""
    if facts["flat"]:
        return None
    return Rivals(tuple(Area(**area) for area in facts["random"]), Area(**facts["centre"]))


def badges(facts: Mapping[str, Any]) -> list[tuple[str, bool | None]]:
    """Short texts with whether they are good news: True, False, or None for undecided; one text for a map without any order."""
    if facts["flat"]:
        return [(FLAT, None)]
    shown = [
        (f"{curve.capitalize()}: {_BETTER[facts['better'][curve]]}", facts["better"][curve])
        for curve in ("deletion", "insertion")
    ]
    alike = [value for value in facts["stability"] if value is not None]
    if not alike:
        return [*shown, ("Stability: undefined", None)]
    stable = bool(np.median(alike) >= STABLE)
    return [*shown, ("Stable" if stable else "Not stable", stable)]


def numbers(facts: Mapping[str, Any]) -> list[dict[str, str]]:
    """The areas behind the badges, as rows: the map, random orders, the image centre; none for a map without any order."""
    rows: list[dict[str, str]] = []
    for curve, good in (("deletion", "smaller"), ("insertion", "larger")) if not facts["flat"] else ():
        random = [area[curve] for area in facts["random"]]
        rows.append(
            {
                "area under": f"{curve.capitalize()} ({good} is better)",
                "this map": f"{facts['own'][curve]:.3f}",
                f"{len(random)} random orders": f"{np.mean(random):.3f} ({min(random):.3f} to {max(random):.3f})",
                "it beats": f"{facts['beaten'][curve]} of {len(random)}, p = {facts['p'][curve]:.2f}",
                "image centre": f"{facts['centre'][curve]:.3f}",
            }
        )
    return rows


def legend(facts: Mapping[str, Any]) -> str:
    """What the badges mean and what stands behind them, in a few sentences."""
    if facts["flat"]:
        return "A map that is the same everywhere puts nothing before anything else: there is nothing to compare."
    alike = ", ".join("–" if value is None else f"{value:.2f}" for value in facts["stability"]).replace("-", "−")
    orders = len(facts["random"])
    return (
        "Deletion takes the strongest parts of the map out first and follows the class probability, insertion puts them "
        "in first; what is out has the picture's mean colour. p = (1 + random orders at least as good) / "
        f"{orders + 1}; better: p ≤ {SURE:.2f}, that is, than all {orders}; not better: more than 0.5. "
        f"Rank correlation with the map of the picture flipped and moved 4 % either way: {alike}; "
        f"stable is a median of {STABLE:.2f} or more."
    )
