"""The fully crossed part of a reader study, which an MRMC analysis needs: who and what is left out of it, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from core.records import Refused
from core.statistics.mrmc_data import CrossedRatings, crossed_ratings
from core.study_cuts import Cut, called
from core.study_readings import StudyReadings

Rating = Literal["likelihood"] | Cut  # numbers of 0–100, or 1 and 0 by a cut, which `CALLED` parts
_WORDS = {"class": "class", "birads": "BI-RADS category", "likelihood": "likelihood"}


@dataclass(frozen=True, eq=False)
class Crossed:
    """The fully crossed part of a study; `cases_left_out` lack a reading of somebody or a reference standard,
    `readers_left_out` (reader -> why) have no case that could count."""

    ratings: CrossedRatings
    cases_left_out: int
    readers_left_out: Mapping[str, str]


@dataclass(frozen=True)
class Completeness:
    """How many of a study's `cases` stay where all of some readers must have rated them, `positives` of them positive.

    `own`: reader -> cases that this reader rated in every phase; `without`: reader -> cases that would stay without this one,
    where these are more.
    """

    cases: int
    stay: int
    positives: int
    own: Mapping[str, int]
    without: Mapping[str, int]


def crossed(
    study: StudyReadings,
    rating: Rating = "likelihood",
    phases: tuple[str, ...] = (),
    readers: tuple[str, ...] = (),
) -> Crossed:
    """Ratings of the cases that all of `readers` (by default everybody) rated in every phase; modalities are the phases.

    Readers without a single such case are left out, with the reason. Raises `Refused` where no case is left, or all that are
    left have one truth, and says then how many each reader has.
    """
    rows, wanted = _rated(study, rating, phases, readers)
    whole = _whole(study, rows, wanted, readers)
    kept = whole.columns[whole.any()]
    word = _WORDS[_kind(rating)]
    if not len(kept):
        raise Refused(f"No case has a reference standard and a {word} of any reader in every phase.")
    cases = whole.index[whole[kept].all(axis=1)]
    table = rows[rows["reader"].isin(kept) & rows["case"].isin(cases)]
    table = table.sort_values(["case", "reader"], kind="stable")
    table = table.assign(truth=(table["truth"] == study.positive).astype(int), modality=table["phase"])
    _refuse_too_few(table, whole[kept], word)
    left = {name: _why(rows[rows["reader"] == name], wanted, word) for name in whole.columns.difference(kept)}
    return Crossed(crossed_ratings(table, modalities=wanted), len(whole) - len(cases), left)


def completeness(
    study: StudyReadings,
    rating: Rating = "likelihood",
    phases: tuple[str, ...] = (),
    readers: tuple[str, ...] = (),
) -> Completeness:
    """What the choice of `readers` (by default everybody) leaves of the cases in `crossed`, and what each of them costs."""
    everybody = _whole(study, *_rated(study, rating, phases, ()), ())
    chosen = everybody[[name for name in everybody.columns if not readers or name in readers]]
    chosen = chosen[chosen.columns[chosen.any()]]
    missing = (~chosen).sum(axis=1)
    stay = missing == 0 if len(chosen.columns) else missing < 0
    more = (
        {name: int(((missing == 1) & ~chosen[name]).sum()) for name in chosen.columns}
        if len(chosen.columns) > 1
        else {}
    )
    truth = study.readings.drop_duplicates("case").set_index("case")["truth"].reindex(everybody.index)
    return Completeness(
        len(everybody),
        int(stay.sum()),
        int((stay & (truth == study.positive)).sum()),
        {str(name): int(everybody[name].sum()) for name in everybody.columns},
        {str(name): int(stay.sum()) + extra for name, extra in more.items() if extra},
    )


def _rated(
    study: StudyReadings, rating: Rating, phases: tuple[str, ...], readers: tuple[str, ...]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Readings of those phases and readers with the column rating (NaN where not given), and the phases."""
    wanted = phases or study.phases
    rows = study.readings[study.readings["phase"].isin(wanted)]
    if readers:
        rows = rows[rows["reader"].isin(readers)]
    values = rows["likelihood"] if rating == "likelihood" else called(rows, study.positive, rating)
    return rows.assign(rating=values), wanted


def _whole(study: StudyReadings, rows: pd.DataFrame, phases: tuple[str, ...], readers: tuple[str, ...]) -> pd.DataFrame:
    """Whether each reader (columns) rated each case (rows) in every phase, and its truth is known.

    Of all that the study asks for: also of cases and readers without any reading.
    """
    known = rows[(rows["truth"] != "") & np.isfinite(rows["rating"])]
    counts = known.groupby(["case", "reader"]).size().unstack(fill_value=0)
    cases = sorted({*study.cases_asked, *rows["case"]})
    names = sorted(readers or {*study.readers_asked, *rows["reader"]})
    return counts.reindex(index=cases, columns=names, fill_value=0) == len(phases)


def _refuse_too_few(table: pd.DataFrame, whole: pd.DataFrame, word: str) -> None:
    """The true reason: which readers leave too few cases."""
    truths = table.drop_duplicates("case")["truth"]
    if truths.nunique() == 2:
        return
    n, readers = len(truths), len(whole.columns)
    each = ", ".join(f"{name} {count}" for name, count in whole.sum().items())
    whose = "the chosen reader" if readers == 1 else f"all {readers} readers"
    if n:
        found = f"of {len(whole)} cases only {n}, {'positive' if truths.iloc[0] else 'negative'}" + (
            " each" if n > 1 else ""
        )
        found = f"{found}, {'has' if n == 1 else 'have'} a {word} of {whose} in every phase"
    else:
        found = f"none of {len(whole)} cases has a {word} of {whose} in every phase"
    raise Refused(f"Positive and negative cases are needed, but {found}. Choose other readers; complete cases: {each}.")


def _why(own: pd.DataFrame, phases: tuple[str, ...], word: str) -> str:
    """Why a reader has no case that could count."""
    for phase in phases:
        rows = own[own["phase"] == phase]
        if rows.empty:
            return f"read nothing {phase}"
        if not np.isfinite(rows["rating"]).any():
            return f"gave no {word} {phase}"
    if (own["truth"] == "").all():
        return "read no case with a reference standard"
    return f"gave a {word} of no case in every phase"


def _kind(rating: Rating) -> str:
    return "likelihood" if rating == "likelihood" else rating.kind
