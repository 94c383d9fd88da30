"""What stands beside one map: does the score follow it, and does it stay when the picture moves a little?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from core.explain.honesty.faithfulness import Scorer, stability
from core.explain.honesty.maker import Maker
from core.records import Heatmap, Image

STABLE = 0.7  # rank correlation from which a map counts as the same
_BETTER = {True: "better", False: "not better", None: "undecided"}  # than random orders


def check_map(maker: Maker, image: Image, heatmap: Heatmap) -> dict[str, Any]:
    """JSON-safe facts of one map: areas of its curves, of 8 random orders and the centre order, and its stability.

    The score is the class probability; a part is replaced by the image's mean colour. Raises `Cancelled` when stopped.
    """

    def check() -> None:
        maker.check()
        if maker.give_way:
            maker.give_way()

    scorer = Scorer(maker.checkpoint, image, heatmap.target_class, maker.device, check)
    found = scorer.of_map(heatmap.values)
    facts: dict[str, Any] = {"own": asdict(found.own), "centre": asdict(found.centre)}
    facts["random"] = [asdict(area) for area in found.random]
    facts["better"] = {curve: found.better(curve) for curve in ("deletion", "insertion")}
    facts["beaten"] = {curve: found.beaten(curve) for curve in ("deletion", "insertion")}
    alike = stability(maker, image, heatmap.target_class, heatmap.values)
    return facts | {"stability": alike}


def badges(facts: Mapping[str, Any]) -> list[tuple[str, bool | None]]:
    """Short texts with whether they are good news: True, False, or None for undecided."""
    shown = [
        (f"{curve.capitalize()}: {_BETTER[facts['better'][curve]]}", facts["better"][curve])
        for curve in ("deletion", "insertion")
    ]
    stable = bool(np.median(facts["stability"]) >= STABLE)
    return [*shown, ("Stable" if stable else "Not stable", stable)]


def numbers(facts: Mapping[str, Any]) -> list[dict[str, str]]:
    """The areas behind the badges, as rows: the map, random orders, the image centre."""
    rows = []
    for curve, good in (("deletion", "smaller"), ("insertion", "larger")):
        random = [area[curve] for area in facts["random"]]
        rows.append(
            {
                "area under": f"{curve.capitalize()} ({good} is better)",
                "this map": f"{facts['own'][curve]:.3f}",
                f"{len(random)} random orders": f"{np.mean(random):.3f} ({min(random):.3f} to {max(random):.3f})",
                "it beats": f"{facts['beaten'][curve]} of {len(random)}",
                "image centre": f"{facts['centre'][curve]:.3f}",
            }
        )
    return rows
