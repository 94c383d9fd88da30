"""What if cases were read otherwise? Ways of reading worked out from stored readings that were made independently.

A strategy needs one, two or three different readers of a case; its outcome is averaged over all ways to pick them from those who
read the case, in closed form. Screening practice behind the strategies: Taylor-Phillips & Stinton, Br J Radiol 2020;93
(double reading); Dembrower et al., Lancet Digit Health 2023;5:e703 (model as second reader); Leibig et al., Lancet Digit Health
2022;4:e507 (triage).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from core.records import Estimate, Refused
from core.statistics.crossed_resampling import (
    CrossedTotals,
    Totals,
    crossed_estimate,
    draw_weights,
    drawn_cases,
    patients_of_cases,
)
from core.statistics.linearised import patient_codes

COLUMNS = ("case", "reader", "truth", "recalled")
Arbitration = Literal["third reader", "consensus"]
STRATEGIES: dict[str, str] = {
    "single": "one reader decides",
    "double": "two readers; where they differ, arbitration decides",
    "model_second": "one reader and the model; where they differ, arbitration decides",
    "triage": "the model rules cases out below a score; one reader decides on the rest",
}
FIGURES: dict[str, str] = {
    "recall_rate": "share of cases recalled",
    "sensitivity": "share of positive cases recalled",
    "specificity": "share of negative cases not recalled",
    "found_per_1000": "positive cases recalled per 1,000 cases",
    "ppv": "share of recalled cases that are positive",
    "reads_per_1000": "readings by people per 1,000 cases, arbitration counting as one",
}
_DRAWN_READERS = 4  # with fewer, most draws would lack a third reader


@dataclass(frozen=True)
class Scenario:
    """Where the strategies are imagined: `prevalence` of positive cases (0–1), the model's score at which it recalls
    (`model_threshold`) and below which it rules out (`rule_out`), and who settles disagreements: a third reader of the case, or
    consensus, for which stands the majority of all who read it (a tie recalls).
    """

    prevalence: float
    model_threshold: float | None = None
    rule_out: float | None = None
    arbitration: Arbitration = "third reader"

    def __post_init__(self) -> None:
        if not 0 < self.prevalence < 1:
            raise Refused(f"The prevalence must lie between 0 and 1, not {self.prevalence:g}.")
        if self.arbitration not in ("third reader", "consensus"):
            raise ValueError(f"arbitration must be third reader or consensus, not {self.arbitration!r}")


@dataclass(frozen=True)
class Strategy:
    """One of `STRATEGIES`: its `figures` by the names of `FIGURES`, and `changes`, each less that of single reading."""

    name: str
    figures: Mapping[str, Estimate]
    changes: Mapping[str, Estimate]


@dataclass(frozen=True, eq=False)
class _Readings:
    """`recalled` and `read` (N, R) in {0, 1}, `truth` (N,) in {0, 1}, the model's `scores` (N,) or None.

    `patients` (N,) are codes of the cases' patients, None where each has one case.
    """

    recalled: np.ndarray
    read: np.ndarray
    truth: np.ndarray
    scores: np.ndarray | None
    patients: np.ndarray | None


def what_if(
    readings: pd.DataFrame, scenario: Scenario, *, replicates: int = 2000, seed: int = 0
) -> dict[str, Strategy]:
    """Every strategy that the readings and the scenario allow, by name.

    One row per reader and case: case, reader, truth and recalled (0 or 1 or booleans), and score, the model's, where strategies
    with the model are wanted. Intervals: seeded percentile bootstrap over cases (within the truth), or over patients where the
    column patient says that some have several, and, from four readers on, readers; the prevalence is taken as given. n are the
    cases behind a figure. Raises `Refused` for missing columns or cells, values that are not 0 or 1, a reader who read a case
    twice, cases of one truth only.
    """
    data = _readings(readings)
    names = [name for name in STRATEGIES if _possible(name, data, scenario)]
    found: dict[str, list[np.ndarray]] = {}
    drawn = data.read.shape[1] >= _DRAWN_READERS
    everybody = (np.ones((1, len(data.truth))), np.ones((1, data.read.shape[1])))
    for part, (cases, readers) in enumerate(
        (everybody, *draw_weights(data.truth, data.read.shape[1], replicates, seed, data.patients))
    ):
        weights = readers if drawn or part == 0 else np.ones_like(readers)
        outcomes = _outcomes(names, data, scenario, weights)
        for name, (recall, reads) in outcomes.items():
            for key, values in _class_means(recall, reads, cases, data.truth).items():
                found.setdefault(f"{name}.{key}", []).append(values)
    n, r = data.read.shape
    sources = f"bootstrap of {replicates} over {drawn_cases(n, data.patients)}" + (
        f" and {r} readers" if drawn else f", {r} readers as they are"
    )
    totals = CrossedTotals(
        {key: parts[0] for key, parts in found.items()},
        {key: np.concatenate(parts[1:]) for key, parts in found.items()},
        sources,
        data.patients,
    )
    return {name: _strategy(name, totals, scenario, data.truth) for name in names}


def _readings(table: pd.DataFrame) -> _Readings:
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise Refused(f"Reading strategies need the columns {', '.join(COLUMNS)}; {', '.join(missing)} is missing.")
    wanted = [*COLUMNS, *(["score"] if "score" in table.columns else [])]
    if table.empty or table[wanted].isna().any(axis=None):
        raise Refused("There are no readings." if table.empty else "A reading has an empty cell.")
    if table.duplicated(["case", "reader"]).any():
        raise Refused("A reader read a case twice; strategies need one reading of each.")
    numbers = table[wanted[2:]].apply(pd.to_numeric, errors="coerce").astype(np.float64)
    if not numbers[["truth", "recalled"]].isin([0, 1]).all(axis=None) or not np.isfinite(numbers).all(axis=None):
        raise Refused("truth and recalled must be 0 or 1, and scores finite numbers.")
    cases, readers = (pd.Categorical(table[name], categories=pd.unique(table[name])) for name in ("case", "reader"))
    recalled = np.zeros((len(cases.categories), len(readers.categories)))
    read = recalled.copy()
    recalled[cases.codes, readers.codes] = numbers["recalled"]
    read[cases.codes, readers.codes] = 1
    per_case = {}
    for name in numbers.columns.drop("recalled"):
        per_case[name] = np.zeros(len(recalled))
        per_case[name][cases.codes] = numbers[name]
        if (per_case[name][cases.codes] != numbers[name].to_numpy()).any():
            raise Refused(f"A case has two different values of {name}.")
    truth = per_case["truth"].astype(np.int64)
    if len(np.unique(truth)) < 2:
        raise Refused("Positive and negative cases are needed.")
    return _Readings(recalled, read, truth, per_case.get("score"), patient_codes(patients_of_cases(table), len(truth)))


def _possible(name: str, data: _Readings, scenario: Scenario) -> bool:
    """Whether every needed part is there: enough readers of some case of each truth, scores, thresholds."""
    settled = 1 if scenario.arbitration == "third reader" else 0
    needed = {"single": 1, "double": 2 + settled, "model_second": 1 + settled, "triage": 1}[name]
    most = [data.read[data.truth == k].sum(axis=1).max() for k in (0, 1)]
    part = {"model_second": scenario.model_threshold, "triage": scenario.rule_out}
    return min(most) >= needed and (name not in part or (data.scores is not None and part[name] is not None))


def _outcomes(
    names: list[str], data: _Readings, scenario: Scenario, weights: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Probability of recall and number of readings (B, N) of each strategy, for weights (B, R) of the readers; NaN where too few
    of a case's readers were drawn.

    With sums of weights of those who recall (x) and those who do not (y), sums over different readers need only first, second
    and third powers: over a ≠ b of v_a v_b it is (Σv)² − Σv².
    """
    x, y = ([weights**k @ side.T for k in (1, 2, 3)] for side in (data.recalled, data.read - data.recalled))
    t = [a + b for a, b in zip(x, y, strict=True)]
    third = scenario.arbitration == "third reader"
    with np.errstate(invalid="ignore", divide="ignore"):
        single = np.where(t[0] > 0, x[0] / t[0], np.nan)
        majority = (x[0] >= y[0]).astype(np.float64)
        found = {"single": (single, np.where(t[0] > 0, 1.0, np.nan))}
        if "double" in names:
            found["double"] = _double_by_third(x, y, t) if third else _double_by_majority(x, y, t, majority)
        if "model_second" in names:
            model = data.scores >= scenario.model_threshold
            if third:
                pairs = _positive(t[0] ** 2 - t[1])
                recall = np.where(model, 1 - (y[0] ** 2 - y[1]) / pairs, (x[0] ** 2 - x[1]) / pairs)
            else:
                recall = np.where(model, single + (1 - single) * majority, single * majority)
            found["model_second"] = (
                recall,
                np.where(np.isnan(recall), np.nan, 1 + np.where(model, 1 - single, single)),
            )
        if "triage" in names:
            out = data.scores < scenario.rule_out
            found["triage"] = (np.where(out, 0.0, single), np.where(out, 0.0, found["single"][1]))
    return found


def _double_by_third(x: list[np.ndarray], y: list[np.ndarray], t: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Over all orders of three different readers: two read, the third decides where they differ."""
    triples = _positive(t[0] ** 3 - 3 * t[0] * t[1] + 2 * t[2])
    both = t[0] * (x[0] ** 2 - x[1]) - 2 * (x[0] * x[1] - x[2])
    differ = 2 * (t[0] * x[0] * y[0] - x[1] * y[0] - x[0] * y[1])
    settled = 2 * (x[0] ** 2 - x[1]) * y[0]  # of the two who differ one recalls, and so does the third
    return (both + settled) / triples, 2 + differ / triples


def _double_by_majority(
    x: list[np.ndarray], y: list[np.ndarray], t: list[np.ndarray], majority: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Over all pairs of different readers: where they differ, the majority of all the case's readers decides."""
    pairs = _positive(t[0] ** 2 - t[1])
    differ = 2 * x[0] * y[0] / pairs
    return (x[0] ** 2 - x[1]) / pairs + differ * majority, 2 + differ


def _positive(values: np.ndarray) -> np.ndarray:
    """The values, NaN where they are 0 (but for rounding): too few readers."""
    return np.where(values > 1e-9, values, np.nan)


def _class_means(recall: np.ndarray, reads: np.ndarray, cases: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """Mean recall and readings (B,) of the positive (1) and negative (0) cases, over those on which they are defined."""
    known = ~np.isnan(recall)
    found = {}
    for k in (0, 1):
        weights = cases * known * (truth == k)
        with np.errstate(invalid="ignore", divide="ignore"):
            for name, values in (("recall", recall), ("reads", reads)):
                found[f"{name}{k}"] = np.sum(weights * np.where(known, values, 0), axis=1) / weights.sum(axis=1)
    return found


def _figure(name: str, figure: str, totals: Totals, prevalence: float) -> np.ndarray:
    """One of `FIGURES` (B,) of one strategy at a prevalence."""
    parts = {key: (totals[f"{name}.{key}0"], totals[f"{name}.{key}1"]) for key in ("recall", "reads")}
    rate, reads = ((1 - prevalence) * parts[key][0] + prevalence * parts[key][1] for key in ("recall", "reads"))
    if figure == "ppv":
        return prevalence * parts["recall"][1] / np.where(rate > 0, rate, np.nan)
    found = {"recall_rate": rate, "sensitivity": parts["recall"][1], "specificity": 1 - parts["recall"][0]}
    return found[figure] if figure in found else 1000 * reads


def _strategy(name: str, totals: CrossedTotals, scenario: Scenario, truth: np.ndarray) -> Strategy:
    behind = {"sensitivity": truth == 1, "specificity": truth == 0}
    figures, changes = {}, {}
    for figure in FIGURES:
        if figure == "found_per_1000":
            scale = 1000 * scenario.prevalence
            for known in (figures, changes):
                if "sensitivity" in known:
                    known[figure] = _scaled(known["sensitivity"], scale)
            continue
        cases = behind.get(figure, np.ones(len(truth), dtype=bool))
        reads = figure == "reads_per_1000"
        own = {
            "n": int(cases.sum()),
            "units": totals.units(cases),
            "reason": "no case is recalled" if figure == "ppv" else "too few readers",
        }
        figures[figure] = crossed_estimate(
            totals, lambda t, f=figure: _figure(name, f, t, scenario.prevalence),
            **own, bounds=(0.0, np.inf) if reads else (0.0, 1.0),
        )  # fmt: skip
        if name != "single":
            changes[figure] = crossed_estimate(
                totals,
                lambda t, f=figure: _figure(name, f, t, scenario.prevalence) - _figure("single", f, t, scenario.prevalence),
                **own, bounds=(-np.inf, np.inf) if reads else (-1.0, 1.0),
            )  # fmt: skip
    if name == "single":
        figures["reads_per_1000"] = Estimate(
            1000.0, 1000.0, 1000.0, len(truth), "one reading of each case, by definition"
        )
    return Strategy(name, figures, changes)


def _scaled(estimate: Estimate, scale: float) -> Estimate:
    if estimate.value is None or estimate.low is None:
        return estimate
    value, low, high = (x * scale for x in (estimate.value, estimate.low, estimate.high))
    return Estimate(value, low, high, estimate.n, estimate.method)
