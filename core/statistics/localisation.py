"""Where heatmaps and regions meet: pointing game, energy inside, overlap at a threshold. NumPy only.

A heatmap's negative values speak against its class, so only what is above 0 counts. Maps and masks have the same shape (H, W);
`stretched` brings a coarse map to its picture's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.records import Estimate, Refused
from core.statistics.estimates import mean_estimate
from core.statistics.linearised import clustered_proportion, mean_with_patients, patient_codes

DEFAULT_THRESHOLD = 0.5  # of the map's maximum


@dataclass(frozen=True)
class Overlap:
    """One map against one mask. None where the map has nothing above 0, or the mask is empty.

    `hit`: the maximum lies inside; `energy`: share of the evidence inside; `iou`: at `threshold` of the maximum; `area`: share of
    the picture that the mask covers, which is what `energy` would be of a map that is the same everywhere.
    """

    hit: bool | None
    energy: float | None
    iou: float | None
    area: float
    threshold: float


def overlap(heatmap: np.ndarray, mask: np.ndarray, threshold: float = DEFAULT_THRESHOLD) -> Overlap:
    """All three figures of one map (H, W) and one mask (H, W)."""
    values, inside = _checked(heatmap, mask)
    return Overlap(
        pointing_game(values, inside), energy_inside(values, inside), iou_at(values, inside, threshold),
        float(inside.mean()), threshold,
    )  # fmt: skip


def pointing_game(heatmap: np.ndarray, mask: np.ndarray, within: float = 0.0) -> bool | None:
    """Whether the map's maximum lies in the mask, or at most `within` pixels from it (Zhang et al., Int J Comput Vis 2018;126).

    Of several equal maxima at least half must. None where the map has nothing above 0 or the mask is empty.
    """
    values, inside = _checked(heatmap, mask)
    top = values.max()
    if top <= 0 or not inside.any():
        return None
    peaks = np.argwhere(values == top)  # (P, 2)
    if within <= 0:
        return bool(inside[tuple(peaks.T)].mean() >= 0.5)
    target = np.argwhere(inside)
    near = [np.min(np.sum((target - peak) ** 2, axis=1)) <= within**2 for peak in peaks]
    return bool(np.mean(near) >= 0.5)


def energy_inside(heatmap: np.ndarray, mask: np.ndarray) -> float | None:
    """Share of the positive evidence that lies in the mask (energy-based pointing game: Wang et al., Score-CAM, CVPRW 2020).

    None where the map has nothing above 0 or the mask is empty.
    """
    values, inside = _checked(heatmap, mask)
    total = float(values.sum())
    return float(values[inside].sum() / total) if total > 0 and inside.any() else None


def iou_at(heatmap: np.ndarray, mask: np.ndarray, threshold: float = DEFAULT_THRESHOLD) -> float | None:
    """Intersection over union of the mask and what reaches `threshold` (0 < t ≤ 1) times the map's maximum.

    None where the map has nothing above 0 or the mask is empty.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"the threshold is a share of the maximum in (0, 1], not {threshold}")
    values, inside = _checked(heatmap, mask)
    top = float(values.max())
    if top <= 0 or not inside.any():
        return None
    return iou(values >= threshold * top, inside)


def iou(a: np.ndarray, b: np.ndarray) -> float | None:
    """Intersection over union of two masks (H, W), such as two readers' regions; None where both are empty."""
    a, b = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    if a.shape != b.shape:
        raise ValueError(f"both masks must have the same shape, not {a.shape} and {b.shape}")
    union = int(np.sum(a | b))
    return float(np.sum(a & b) / union) if union else None


def region_mask(
    regions: Iterable[Mapping[str, Any]], shape: tuple[int, int], image: int = 0, radius: float = 0.0
) -> np.ndarray:
    """Mask (H, W) of the regions of one picture, as `core.records.Review` holds them, in pixels of that picture.

    A rectangle covers every pixel that it touches; a point its own pixel and all whose centres are at most `radius` away. What
    lies outside the picture is cut off. Raises `Refused` for other kinds and wrong points.
    """
    mask = np.zeros(shape, dtype=bool)
    for region in regions:
        if int(region.get("image", 0)) != image:
            continue
        points = np.asarray(region.get("points", ()), dtype=np.float64)
        wanted = {"rect": (2, 2), "point": (1, 2)}.get(str(region.get("kind")))
        if wanted is None or points.shape != wanted or not np.isfinite(points).all():
            raise Refused("A region is a rectangle of two corners or a point, in finite image pixels.")
        if region["kind"] == "rect":
            (left, top), (right, bottom) = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0))
            rows, columns = (_between(*ends) for ends in ((top, bottom, shape[0]), (left, right, shape[1])))
            mask[rows, columns] = True
        else:
            _mark_point(mask, points[0], radius)
    return mask


def stretched(heatmap: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A map (h, w) at the size (H, W) of its picture: bilinear between centres of cells, constant beyond the outer ones.

    For maps no finer than the picture: nothing is averaged.
    """
    values = np.asarray(heatmap, dtype=np.float64)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"a heatmap has shape (h, w), not {values.shape}")
    for axis, size in enumerate(shape):
        given = values.shape[axis]
        places = np.clip((np.arange(size) + 0.5) * given / size - 0.5, 0, given - 1)
        low = np.floor(places).astype(np.int64)
        high = np.minimum(low + 1, given - 1)
        share = np.expand_dims(places - low, 1 - axis)
        values = np.take(values, low, axis) * (1 - share) + np.take(values, high, axis) * share
    return values


def localisation_summary(found: Sequence[Overlap], patients: Sequence[str] | None = None) -> dict[str, Estimate]:
    """Over many maps: share of hits (Wilson), mean energy inside, mean IoU and mean area (Student's t), where they are defined.

    Where some of `patients` (N,) have several maps, intervals are over patients.
    """
    codes = patient_codes(None if patients is None else np.asarray(patients), len(found))
    result = {}
    for name in ("hit", "energy", "iou", "area"):
        each = [getattr(o, name) for o in found]
        known = np.array([value is not None for value in each], dtype=bool)
        values = np.array([value for value in each if value is not None], dtype=np.float64)
        own = np.arange(len(values)) if codes is None else codes[known]
        if name == "hit":
            result[name] = clustered_proportion(values, own, reason="no map with evidence and region")
        elif patient_codes(own, len(own)) is None:
            result[name] = mean_estimate(values, upper=1.0, method="Student's t")
        else:
            result[name] = mean_with_patients(values, own, upper=1.0, method="Student's t")
    return result


def _checked(heatmap: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is above 0, as float64, and the mask as booleans."""
    values, inside = np.asarray(heatmap, dtype=np.float64), np.asarray(mask, dtype=bool)
    if values.ndim != 2 or values.shape != inside.shape or not values.size:
        raise ValueError(f"heatmap and mask must have the same shape (H, W), not {values.shape} and {inside.shape}")
    if not np.isfinite(values).all():
        raise ValueError("a heatmap must be finite")
    return np.maximum(values, 0), inside


def _between(low: float, high: float, size: int) -> slice:
    """Pixels from `low` to `high` that the picture has; at least one where both ends are the same pixel border."""
    return slice(int(np.clip(low, 0, size)), int(np.clip(max(high, low + 1), 0, size)))


def _mark_point(mask: np.ndarray, point: np.ndarray, radius: float) -> None:
    x, y = point
    rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
    mask |= (columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2 <= radius**2
    if 0 <= x < mask.shape[1] and 0 <= y < mask.shape[0]:
        mask[int(y), int(x)] = True
