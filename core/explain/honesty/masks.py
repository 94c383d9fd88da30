"""Maps against masks: pointing game, energy and IoU of a method, beside controls that know nothing of the model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from core.explain.honesty.maker import Maker, untrained
from core.explain.honesty.material import MaskedCase
from core.preprocess import LUMA, display_values
from core.records import Image
from core.statistics.linearised import patient_codes
from core.statistics.localisation import DEFAULT_THRESHOLD, Overlap, localisation_summary, overlap, stretched
from core.statistics.paired import Difference, linear_difference, mcnemar

MEASURES = ("hit", "energy", "iou")
UNTRAINED = 8  # models of the control: single ones hit anything between 1 % and 76 % on phantoms
LARGEST = 512  # pixels of the longer side on which maps and masks are compared
THRESHOLDS = tuple(k / 20 for k in range(1, 20))  # of the map's maximum
CONTROLS = {
    "centre": "the image centre",
    "brightest": "the brightest spot",
    "untrained": f"the median of {UNTRAINED} untrained models",
}
MapOf = Callable[[MaskedCase], np.ndarray]


def centre_map(shape: tuple[int, int]) -> np.ndarray:
    """A map (H, W) that always points at the middle: a Gaussian with a standard deviation of a fifth of each side."""
    away = [((np.arange(n) + 0.5) / n - 0.5) / 0.2 for n in shape]
    return np.exp(-0.5 * (away[0][:, None] ** 2 + away[1][None, :] ** 2))


def brightness_map(image: Image) -> np.ndarray:
    """The displayed brightness (H, W) in [0, 1], smoothed over a 64th of the longer side: its peak is a spot, not a pixel."""
    shown = display_values(image)
    grey = shown @ LUMA if shown.ndim == 3 else shown
    return gaussian_filter(grey.astype(np.float64), max(grey.shape) / 64)


def against_masks(
    maker: Maker,
    cases: Sequence[MaskedCase],
    tuning: Sequence[MaskedCase] = (),
    thresholds: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """The three measures of the model's maps over `cases`, those of the controls, and the paired difference to each.

    The threshold of the IoU is the best one on `tuning`, chosen for each of them alone; without tuning it is the one that
    `thresholds` (as `tuned_thresholds` gives them) brings from elsewhere, else half of the maximum. A map with nothing above 0
    points nowhere: it is a miss, with energy and IoU 0, and `empty` counts such maps.
    The untrained control is, for each measure, the model with the median of 8 (the better of the middle two).

    Result: {"n", "empty", "tuned", "own": row, "controls": {name: row}, "differences": {name: {measure: Difference}}}, where a
    row is {"hit", "energy", "iou": Estimate, "threshold": share of the maximum}.
    """
    patients, known = [case.patient_id for case in cases], dict(thresholds or {})
    own, threshold = _overlaps(lambda c: maker.values(c.image, c.target), cases, tuning, known.get("own"))
    rivals = {
        "centre": _overlaps(lambda c: centre_map(c.mask.shape), cases, tuning, known.get("centre")),
        "brightest": _overlaps(lambda c: brightness_map(c.image), cases, tuning, known.get("brightest")),
    }
    others = [_untrained(maker, seed, cases, tuning, known.get("untrained")) for seed in range(UNTRAINED)]
    found: dict[str, Any] = {
        "n": len(cases), "empty": sum(o.hit is None for o in own), "tuned": len(tuning),
        "own": _row(own, threshold, patients), "controls": {}, "differences": {},
    }  # fmt: skip
    for name in CONTROLS:
        if name == "untrained":
            chosen = {measure: _median(others, measure) for measure in MEASURES}
        else:
            chosen = dict.fromkeys(MEASURES, rivals[name])
        rows = {measure: _row(*chosen[measure], patients) for measure in MEASURES}
        row = {measure: rows[measure][measure] for measure in MEASURES}
        found["controls"][name] = {**row, "threshold": chosen["iou"][1]}
        found["differences"][name] = {
            measure: _difference(own, chosen[measure][0], measure, patients) for measure in MEASURES
        }
    return found


def tuned_thresholds(facts: Mapping[str, Any]) -> dict[str, float]:
    """The thresholds of a method and its controls that were chosen on validation masks, of facts as above; none where none were."""
    if not facts.get("tuned"):
        return {}
    return {"own": facts["own"]["threshold"], **{name: row["threshold"] for name, row in facts["controls"].items()}}


def _untrained(
    maker: Maker,
    seed: int,
    cases: Sequence[MaskedCase],
    tuning: Sequence[MaskedCase],
    threshold: float | None,
) -> tuple[list[Overlap], float]:
    other = untrained(maker.checkpoint, 1000 + seed)
    return _overlaps(lambda c: maker.values(c.image, c.target, other), cases, tuning, threshold)


def _overlaps(
    map_of: MapOf, cases: Sequence[MaskedCase], tuning: Sequence[MaskedCase], threshold: float | None
) -> tuple[list[Overlap], float]:
    """Every case's overlap at the threshold that is best on `tuning`, else at the given one, and that threshold."""
    if tuning or threshold is None:
        threshold = best_threshold([_pair(map_of(case), case.mask) for case in tuning])
    return [overlap(*_pair(map_of(case), case.mask), threshold) for case in cases], threshold


def best_threshold(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """The share of the maximum with the largest mean IoU over (map, mask) pairs, the lowest of equals; 0.5 without pairs."""
    if not pairs:
        return DEFAULT_THRESHOLD
    means = np.zeros(len(THRESHOLDS))
    for values, mask in pairs:
        top = values.max()
        if top <= 0:
            continue
        reached = values[None] >= top * np.array(THRESHOLDS)[:, None, None]
        means += (reached & mask).sum(axis=(1, 2)) / (reached | mask).sum(axis=(1, 2))
    return THRESHOLDS[int(means.argmax())]


def _pair(values: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Map and mask on one grid, that of the image or a coarser one."""
    step = math.ceil(max(mask.shape) / LARGEST)
    small = mask[step // 2 :: step, step // 2 :: step]
    mask = small if small.any() else mask
    return stretched(values, mask.shape), mask  # type: ignore[arg-type]


def _row(found: Sequence[Overlap], threshold: float, patients: Sequence[str]) -> dict[str, Any]:
    counted = [replace(o, hit=bool(o.hit), energy=o.energy or 0.0, iou=o.iou or 0.0) for o in found]
    summary = localisation_summary(counted, patients)
    return {**{measure: summary[measure] for measure in MEASURES}, "threshold": threshold}


def _values(found: Sequence[Overlap], measure: str) -> np.ndarray:
    return np.array([float(getattr(o, measure) or 0.0) for o in found])


def _median(others: Sequence[tuple[list[Overlap], float]], measure: str) -> tuple[list[Overlap], float]:
    ranked = sorted(others, key=lambda other: _values(other[0], measure).mean() if other[0] else 0.0)
    return ranked[len(ranked) // 2]


def _difference(own: Sequence[Overlap], rival: Sequence[Overlap], measure: str, patients: Sequence[str]) -> Difference:
    """own − rival on the same cases: Newcombe's paired interval for hits, else Student's or normal, over patients."""
    a, b = _values(own, measure), _values(rival, measure)
    codes, n = patient_codes(np.asarray(patients), len(a)), len(a)
    if measure == "hit" and codes is None:
        return mcnemar(a > 0.5, b > 0.5)
    gap = a - b
    influence = (gap - gap.mean()) / n * math.sqrt(n / (n - 1)) if n > 1 else gap
    values = (float(a.mean()), float(b.mean())) if n else (0.0, 0.0)
    return linear_difference(values, influence, codes, method="paired difference")


def better(difference: Mapping[str, Any]) -> bool | None:
    """True where the interval of a difference (as a mapping) lies above 0, False where it lies below, None where it holds 0."""
    low, high = difference.get("low"), difference.get("high")
    if low is None or high is None:
        return None
    return True if low > 0 else False if high < 0 else None
