"""How many readers and cases a comparison of two modalities needs, from the variance components of an earlier study.

Hillis, Obuchowski & Berbaum, Power estimation for multireader ROC methods: an updated and unified approach, Acad Radiol
2011;18:129. Errors' variances and covariances fall with the number of cases, the readers' components do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import fdtri, ncfdtr
from scipy.stats import ncx2, norm

from core.records import Refused
from core.statistics.mrmc_records import Components, Generalisation

_MOST_CASES = 1_000_000


@dataclass(frozen=True, eq=False)
class PowerGrid:
    """Power (A, B) to find `difference` at level `alpha` with A numbers of `readers` and B numbers of `cases`.

    `cases` are counted as the pilot's: those behind the figure, so positive ones for sensitivity, and with the pilot's mix of
    classes for the AUC. NaN where the readers are too few for the generalisation.
    """

    readers: tuple[int, ...]
    cases: tuple[int, ...]
    power: np.ndarray
    difference: float
    alpha: float
    generalises_to: Generalisation


def power_grid(
    pilot: Components,
    difference: float,
    readers: Sequence[int],
    cases: Sequence[int],
    *,
    generalises_to: Generalisation = "readers and cases",
    alpha: float = 0.05,
) -> PowerGrid:
    """Power of the test of two modalities whose mean figures differ by `difference`, for each number of readers and cases.

    A negative variance component of modality × reader, and Cov2 below Cov3, count as 0. Raises `Refused` for a pilot without
    two modalities and two readers, and for arguments out of range.
    """
    if None in (pilot.modality_reader, pilot.cov1, pilot.cov2, pilot.cov3):
        raise Refused("Planning needs a pilot study with at least two readers and two modalities.")
    if not 0 < abs(difference) < 1 or not 0 < alpha < 1:
        raise Refused("Planning needs a difference between 0 and 1 and a level between 0 and 1.")
    if not len(readers) or not len(cases) or min(readers) < 1 or min(cases) < 4 or max(cases) > _MOST_CASES:
        raise Refused(f"Planning needs at least 1 reader and from 4 to {_MOST_CASES:,} cases.")
    r = np.asarray(readers, dtype=np.float64)[:, None]
    n = np.asarray(cases, dtype=np.float64)[None, :]
    power = _power(pilot, abs(difference), (r, n), generalises_to, alpha)
    return PowerGrid(tuple(readers), tuple(cases), power, difference, alpha, generalises_to)


def cases_needed(
    pilot: Components,
    difference: float,
    readers: Sequence[int],
    *,
    power: float = 0.8,
    generalises_to: Generalisation = "readers and cases",
    alpha: float = 0.05,
) -> dict[int, int | None]:
    """Fewest cases that reach `power` for each number of readers, None where up to a million do not: readers limit it."""
    if not 0 < power < 1:
        raise Refused("The power must lie between 0 and 1.")

    def reached(r: int, sizes: Sequence[int]) -> np.ndarray:
        grid = power_grid(pilot, difference, [r], sizes, generalises_to=generalises_to, alpha=alpha)
        return np.flatnonzero(grid.power[0] >= power)  # NaN is not enough either

    needed: dict[int, int | None] = {}
    coarse = np.unique(np.geomspace(4, _MOST_CASES, 1000).astype(int)).tolist()
    for r in readers:
        # Few readers may lose power again with more cases, as fewer degrees of freedom are left: so a search from below.
        enough = reached(r, coarse)
        if not len(enough):
            needed[r] = None
            continue
        low, high = coarse[max(0, enough[0] - 1)], coarse[enough[0]]
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if len(reached(r, [middle])) else (middle + 1, high)
        needed[r] = high
    return needed


def _power(
    c: Components, d: float, sizes: tuple[np.ndarray, np.ndarray], kind: Generalisation, alpha: float
) -> np.ndarray:
    """Power (A, B) for readers (A, 1) and cases (1, B)."""
    r, n = sizes
    shrink = c.cases / n  # error variances and covariances are inversely proportional to the cases
    interaction, excess = max(c.modality_reader, 0.0), max(c.cov2 - c.cov3, 0.0)
    own = max(c.error - c.cov1, 0.0)
    if kind == "cases":
        centre = r * d * d / 2 / (shrink * (own + (r - 1) * excess))
        return ncx2.sf(norm.isf(alpha / 2) ** 2, 1, centre) + 0 * r
    if kind == "readers":
        # MS(modality × reader) is all the spread there is between readers' differences: interaction and errors together.
        spread = interaction + shrink * max(own - excess, 0.0)
        df = (r - 1) + 0 * n
    else:
        spread = interaction + shrink * (own + (r - 1) * excess)
        mean_square = interaction + shrink * max(own - excess, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            df = (r - 1) * (spread / mean_square) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = r * d * d / 2 / spread
        df = np.minimum(df, 1e9)
        found = 1 - ncfdtr(1, df, centre, fdtri(1, df, 1 - alpha))
    return np.where(np.broadcast_to(r, found.shape) >= 2, found, np.nan)
