"""Bootstrap over cases and readers at once, for figures made of sums over readings.

Readings of one case resemble each other, and so do those of one reader: cases and readers are drawn independently, and a reading
counts as often as its case times its reader was drawn; where patients have several cases, patients are drawn with all of theirs
(pigeonhole bootstrap: Owen, Ann Appl Stat 2007;1:386; for reader studies Beiden, Wagner & Campbell, Acad Radiol 2000;7:341). With
one reader only cases are drawn. It is rather wide than narrow, but for studies of two to four readers, whose variety no
resampling can show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from core.records import Estimate, Refused
from core.statistics.estimates import undefined
from core.statistics.linearised import count_patients, patient_codes
from core.statistics.proportions import wilson_limits

_CHUNK = 1_000_000  # weights of cases held at a time
_FEWEST = 0.5  # share of the draws on which a figure must be defined for an interval

_SHARES = ((0.0, 1.0), (-1.0, 1.0))  # bounds of a share, and of a difference of two

Totals = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class CrossedTotals:
    """Sums over readings by name: `observed` (1,), and `draws` (B,) of the resampled study. `sources` says what was drawn.

    `patients` (N,) are codes of the cases' patients, None where each has one case.
    """

    observed: Totals
    draws: Totals
    sources: str
    patients: np.ndarray | None = None

    def units(self, cases: np.ndarray) -> int:
        """How many independent units, patients or else cases, stand behind some cases (N,) of booleans."""
        return int(cases.sum()) if self.patients is None else len(np.unique(self.patients[cases]))


def draw_weights(
    strata: np.ndarray, readers: int, replicates: int, seed: int, patients: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """How often each case (b, N) and each reader (b, R) is drawn, in batches; cases are drawn within their stratum (N,).

    With codes of `patients` (N,), 0 … K − 1, these are drawn, each within the highest stratum of its cases.
    """
    if patients is not None:
        of_patient = np.zeros(int(patients.max()) + 1, dtype=np.int64)
        np.maximum.at(of_patient, patients, strata)
        for drawn, people in draw_weights(of_patient, readers, replicates, seed):
            yield drawn[:, patients], people
        return
    rng, n = np.random.default_rng(seed), len(strata)
    members = [np.flatnonzero(strata == k) for k in np.unique(strata)]
    step = max(1, min(replicates, _CHUNK // max(1, n)))
    for start in range(0, replicates, step):
        b = min(step, replicates - start)
        cases = np.zeros((b, n))
        for own in members:
            cases[:, own] = rng.multinomial(len(own), np.full(len(own), 1 / len(own)), size=b)
        drawn = (
            rng.multinomial(readers, np.full(readers, 1 / readers), size=b) if readers > 1 else np.ones((b, readers))
        )
        yield cases, drawn.astype(np.float64)


def crossed_totals(
    cells: Mapping[str, np.ndarray],
    strata: np.ndarray,
    *,
    patients: np.ndarray | None = None,
    replicates: int = 2000,
    seed: int = 0,
) -> CrossedTotals:
    """Sums of each of `cells`, (N, R) of what a reading adds (0 where there is none), over the study and over its draws.

    `patients` (N,) of any kind name the patient of each case, where some have several.
    """
    codes = patient_codes(patients, len(strata))
    names = tuple(cells)
    n, r = cells[names[0]].shape
    stacked = np.stack([cells[name] for name in names], axis=1).reshape(n, -1).astype(np.float64)  # (N, M · R)
    found = []
    for cases, readers in draw_weights(strata, r, replicates, seed, codes):
        by_reader = (cases @ stacked).reshape(len(cases), len(names), r)
        found.append(np.einsum("bmr,br->bm", by_reader, readers))
    draws = np.concatenate(found)
    sources = f"{drawn_cases(n, codes)} and {r} readers" if r > 1 else f"{drawn_cases(n, codes)} of one reader"
    return CrossedTotals(
        {name: np.array([float(cells[name].sum())]) for name in names},
        {name: draws[:, i] for i, name in enumerate(names)},
        f"bootstrap of {replicates} over {sources}",
        codes,
    )


def patients_of_cases(table: pd.DataFrame) -> np.ndarray | None:
    """The patient (N,) of each case of a table of readings, in the order in which cases first occur; None without that column.

    Raises `Refused` for a case with two patients, or with none.
    """
    if "patient" not in table.columns:
        return None
    own = table.groupby("case", sort=False)["patient"].agg(["nunique", "first"])
    if (own["nunique"] != 1).any():
        raise Refused(f"Case {own.index[own['nunique'] != 1][0]} has no patient, or two of them.")
    return own["first"].astype(str).to_numpy(object)


def drawn_cases(n: int, patients: np.ndarray | None) -> str:
    """What is drawn, in words."""
    return f"{n} cases" if patients is None else f"{count_patients(patients)} patients with {n} cases"


def crossed_estimate(
    totals: CrossedTotals,
    figure: Callable[[Totals], np.ndarray],
    *,
    n: int,
    units: int,
    reason: str,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Estimate:
    """`figure` of the totals (elementwise, NaN where undefined) with the percentile interval of its draws, cut to `bounds`.

    `n` readings of `units` different cases (or patients, see `CrossedTotals.units`) stand behind it. Where the draws of a share,
    or of a difference of two, have no spread, its limits are those of a share of `units` cases: resampling what all agree on
    would claim certainty. Undefined for `reason` where n is 0, and where most draws are.
    """
    method = totals.sources
    with np.errstate(invalid="ignore", divide="ignore"):
        value, draws = float(figure(totals.observed)[0]), np.asarray(figure(totals.draws))
    if n == 0 or not np.isfinite(value):
        return undefined(n, method, reason)
    draws = draws[np.isfinite(draws)]
    if units < 2 or len(draws) < _FEWEST * len(next(iter(totals.draws.values()))):
        return undefined(n, method, "an interval needs more cases")
    low, high = (float(q) for q in np.percentile(draws, [2.5, 97.5]))
    if high - low < 1e-12:
        if bounds not in _SHARES:
            return Estimate(value, None, None, n, method, "the draws have no spread")
        low, high = _without_spread(value, units, bounds)
        method = f"{method}; no spread, so Wilson over {units} cases"
    return Estimate(value, max(bounds[0], min(low, value)), min(bounds[1], max(high, value)), n, method)


def ratio(over: str, under: str) -> Callable[[Totals], np.ndarray]:
    """The figure `over` / `under`."""
    return lambda totals: totals[over] / np.where(totals[under] > 0, totals[under], np.nan)


def _without_spread(value: float, units: int, bounds: tuple[float, float]) -> tuple[float, float]:
    """Wilson's limits of a share; of a difference, the widest that a share of as many cases could have."""
    if bounds == _SHARES[0]:
        return wilson_limits(value * units, units)
    half = 1 - wilson_limits(units, units)[0]
    return value - half, value + half
