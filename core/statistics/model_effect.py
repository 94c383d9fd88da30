"""What seeing the model does to readers: from readings of the same cases without the model and then with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from core.records import Estimate, Refused
from core.statistics.crossed_resampling import (
    CrossedTotals,
    Totals,
    crossed_estimate,
    crossed_totals,
    patients_of_cases,
    ratio,
)

COLUMNS = ("case", "reader", "truth", "model", "unaided", "aided")
_SECONDS = ("seconds_unaided", "seconds_aided")
_LIKELIHOODS = ("likelihood_unaided", "likelihood_aided")

# Each share: of which readings, and which of them count. Over- and under-reliance are 1 − relative self-reliance and 1 − relative
# AI reliance of Schemmer et al., Appropriate reliance on AI advice, IUI 2023.
SHARES: dict[str, str] = {
    "changed": "readings whose class changed when the model was shown",
    "switched_to_right_model": "of readings that first differed from a right model: went over to it",
    "switched_to_wrong_model": "of readings that first differed from a wrong model: went over to it",
    "over_reliance": "of readings that were first right while the model was wrong: took the model's class",
    "under_reliance": "of readings that were first wrong while the model was right: stayed wrong",
}
# Each group of readings in which unaided and aided readings are compared for being right.
GROUPS: dict[str, str] = {
    "accuracy": "all readings",
    "sensitivity": "positive cases",
    "specificity": "negative cases",
    "sensitivity_missed": "positive cases that the model missed",
    "sensitivity_found": "positive cases that the model found",
    "specificity_false_alarms": "negative cases that the model called positive",
    "specificity_cleared": "negative cases that the model called negative",
}


@dataclass(frozen=True)
class BeforeAfter:
    """One figure without and with the model, and aided − unaided on the same readings."""

    unaided: Estimate
    aided: Estimate
    change: Estimate


@dataclass(frozen=True)
class ModelEffect:
    """`shares` by the names of `SHARES`; `groups` by those of `GROUPS`; time and likelihood where they were recorded, else None.

    `seconds` are means per reading (its change is negative where time is saved), `time_saved` the share of the unaided time:
    both compare readings that each stand alone, made in two sessions. Where the model is shown after the unaided reading in one
    sitting, the aided seconds come on top, and `seconds_total` is the mean of both together.
    `likelihood_gain` is how many points (of 100) the likelihood moved towards the truth. n counts readings.
    """

    readers: tuple[str, ...]
    cases: int
    shares: Mapping[str, Estimate]
    groups: Mapping[str, BeforeAfter]
    seconds: BeforeAfter | None
    time_saved: Estimate | None
    seconds_total: Estimate | None
    likelihood_gain: Estimate | None


def model_effect(readings: pd.DataFrame, positive: str, *, replicates: int = 2000, seed: int = 0) -> ModelEffect:
    """The effect of the model, from one row per reader and case with the columns `COLUMNS`: classes as text.

    `positive` is the class that sensitivity is of. Columns seconds_unaided and seconds_aided, likelihood_unaided and
    likelihood_aided (0–100, of the positive class) may be there; readings without them do not count for time and likelihood.
    Intervals: seeded percentile bootstrap over cases (within the truth) and readers, see `crossed_resampling`; over patients
    where the column patient says that some have several cases. Raises `Refused` for missing columns or cells, a reader with two
    readings of a case, and a case with two truths. `model` is what this reader was shown: it may differ between the readers of a
    case.
    """
    table = _checked(readings)
    cases, readers = (pd.Categorical(table[name], categories=pd.unique(table[name])) for name in ("case", "reader"))
    shape = (len(cases.categories), len(readers.categories))
    cells = {}
    for name, values in _columns(table, positive).items():
        cells[name] = np.zeros(shape)
        cells[name][cases.codes, readers.codes] = values
    strata = np.zeros(shape[0], dtype=np.int64)
    strata[cases.codes] = table["truth"] == positive
    totals = crossed_totals(cells, strata, patients=patients_of_cases(table), replicates=replicates, seed=seed)
    timed, likely = (set(names) <= set(table.columns) for names in (_SECONDS, _LIKELIHOODS))
    return ModelEffect(
        tuple(readers.categories),
        shape[0],
        {name: _share(totals, cells, name) for name in SHARES},
        {name: _before_after(totals, cells, name) for name in GROUPS},
        _before_after(totals, cells, "seconds", np.inf) if timed else None,
        _estimate(totals, cells["seconds"], _saved, (-np.inf, 1.0)) if timed else None,
        _estimate(totals, cells["seconds"], _together, (0.0, np.inf)) if timed else None,
        _estimate(totals, cells["likelihood"], ratio("likelihood.gain", "likelihood"), (-100.0, 100.0))
        if likely
        else None,
    )


def effect_by_reader(
    readings: pd.DataFrame, positive: str, *, replicates: int = 2000, seed: int = 0
) -> dict[str, ModelEffect]:
    """`model_effect` of each reader alone, with intervals over cases only."""
    table = _checked(readings)
    return {
        str(reader): model_effect(own, positive, replicates=replicates, seed=seed)
        for reader, own in table.groupby("reader", sort=False)
    }


def _checked(readings: pd.DataFrame) -> pd.DataFrame:
    missing = [name for name in COLUMNS if name not in readings.columns]
    if missing:
        raise Refused(
            f"The effect of the model needs the columns {', '.join(COLUMNS)}; {', '.join(missing)} is missing."
        )
    if readings.empty:
        raise Refused("There are no readings.")
    if readings[list(COLUMNS)].isna().any(axis=None):
        raise Refused(f"Every reading needs all of {', '.join(COLUMNS)}; one has an empty cell.")
    table = readings.assign(**{name: readings[name].astype(str) for name in COLUMNS})
    twice = table.duplicated(["case", "reader"])
    if twice.any():
        row = table[twice].iloc[0]
        raise Refused(f"Reader {row['reader']} has two readings of case {row['case']}; the effect needs one.")
    several = table.groupby("case")["truth"].nunique() > 1
    if several.any():
        raise Refused(f"Case {several.idxmax()} has two different values of truth.")
    return table


def _columns(table: pd.DataFrame, positive: str) -> dict[str, np.ndarray]:
    """What each reading adds to each sum: a group's name counts its readings, `.unaided` and `.aided` those that are right."""
    truth, model, unaided, aided = (table[name].to_numpy() for name in COLUMNS[2:])
    right, differs = model == truth, unaided != model
    found = {
        "changed": (np.ones(len(table), dtype=bool), unaided != aided),
        "switched_to_right_model": (differs & right, aided == model),
        "switched_to_wrong_model": (differs & ~right, aided == model),
        "over_reliance": ((unaided == truth) & ~right, aided == model),
        "under_reliance": ((unaided != truth) & right, aided != truth),
    }
    columns = {}
    for name, (own, hits) in found.items():
        columns |= {name: own, f"{name}.hits": own & hits}
    cancer, alarm = truth == positive, model == positive
    groups = (np.ones(len(table), dtype=bool), cancer, ~cancer, cancer & ~alarm, cancer & alarm, ~cancer & alarm,
              ~cancer & ~alarm)  # fmt: skip
    for name, own in zip(GROUPS, groups, strict=True):
        for_right = [truth == said if name == "accuracy" else cancer == (said == positive) for said in (unaided, aided)]
        columns |= {name: own, f"{name}.unaided": own & for_right[0], f"{name}.aided": own & for_right[1]}
    if set(_SECONDS) <= set(table.columns):
        pair = _numbers(table, _SECONDS, (0.0, np.inf))
        there = np.isfinite(pair).all(axis=1)
        columns["seconds"] = there
        columns |= {f"seconds.{phase}": np.where(there, pair[:, i], 0) for i, phase in enumerate(("unaided", "aided"))}
    if set(_LIKELIHOODS) <= set(table.columns):
        pair = _numbers(table, _LIKELIHOODS, (0.0, 100.0))
        there = np.isfinite(pair).all(axis=1)
        gain = (pair[:, 1] - pair[:, 0]) * np.where(cancer, 1, -1)
        columns |= {"likelihood": there, "likelihood.gain": np.where(there, gain, 0)}
    return columns


def _numbers(table: pd.DataFrame, names: tuple[str, str], bounds: tuple[float, float]) -> np.ndarray:
    """Two columns (rows, 2), NaN where empty; raises `Refused` outside the bounds."""
    try:
        pair = table[list(names)].astype(np.float64).to_numpy()
    except ValueError:
        raise Refused(f"The columns {names[0]} and {names[1]} need numbers.") from None
    if (pair < bounds[0]).any() or (pair > bounds[1]).any():
        raise Refused(f"The columns {names[0]} and {names[1]} must lie in {bounds[0]:g} … {bounds[1]:g}.")
    return pair


def _share(totals: CrossedTotals, cells: Mapping[str, np.ndarray], name: str) -> Estimate:
    return _estimate(totals, cells[name], ratio(f"{name}.hits", name), (0.0, 1.0))


def _before_after(totals: CrossedTotals, cells: Mapping[str, np.ndarray], name: str, most: float = 1.0) -> BeforeAfter:
    unaided, aided = (
        _estimate(totals, cells[name], ratio(f"{name}.{phase}", name), (0.0, most)) for phase in ("unaided", "aided")
    )

    def change(t: Totals) -> np.ndarray:
        return ratio(f"{name}.aided", name)(t) - ratio(f"{name}.unaided", name)(t)

    return BeforeAfter(unaided, aided, _estimate(totals, cells[name], change, (-most, most)))


def _saved(totals: Totals) -> np.ndarray:
    """Share of the unaided time that aided reading saves."""
    return 1 - ratio("seconds.aided", "seconds.unaided")(totals)


def _together(totals: Totals) -> np.ndarray:
    """Mean seconds of both readings of a case."""
    return ratio("seconds.unaided", "seconds")(totals) + ratio("seconds.aided", "seconds")(totals)


def _estimate(
    totals: CrossedTotals, readings: np.ndarray, figure: Callable[[Totals], np.ndarray], bounds: tuple[float, float]
) -> Estimate:
    """A figure of the `readings` (N, R) that belong to it."""
    n, units = int(readings.sum()), totals.units(np.any(readings > 0, axis=1))
    return crossed_estimate(totals, figure, n=n, units=units, reason="no such readings", bounds=bounds)
