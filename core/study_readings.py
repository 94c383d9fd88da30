"""The readings of one reader study as the tables that statistics take, whoever read, here or elsewhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from core.reader_records import Protocol
from core.records import BIRADS, Estimate, Refused
from core.statistics.agreement_table import Ratings, ratings_table
from core.statistics.discrimination import auc
from core.statistics.estimates import mean_estimate, undefined
from core.statistics.linearised import clustered_proportion
from core.study_cuts import CLASS, Cut, called
from core.tasks import Task, get_task

Origin = Literal["study", "simulated", "imported"]
Reference = Literal["dataset", "adjudicated"]
What = Literal["label", "birads", "likelihood"]
PHASES = ("unaided", "aided")
LIKELIHOODS = tuple(str(k) for k in range(101))

COLUMNS = (
    "case", "reader", "phase", "repeat", "label", "likelihood", "confidence", "birads", "seconds", "truth", "adjudicated",
    "predicted", "score", "regions", "comment", "created_at", "withdrawn", "protocol", "seen_before", "patient",
)  # fmt: skip
KEY = ["case", "reader", "phase", "repeat"]
_NUMBERS = ("likelihood", "confidence", "seconds", "score")
_MARKS = ("withdrawn", "seen_before")  # true or false
_LATER = {
    "repeat": 0,
    "withdrawn": False,
    "protocol": "",
    "seen_before": False,
    "patient": "",
}  # columns that came later, with what they are where nothing is said


@dataclass(frozen=True)
class Asked:
    """What a study's record asks for, read or not: its cases, the readers who stayed, and those who were withdrawn."""

    cases: tuple[str, ...]
    readers: tuple[str, ...]
    withdrawn: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class StudyReadings:
    """A reader study that is over: one row of `rows` per reader, case, phase and repeat, with the columns `COLUMNS`.

    `truth` is the dataset's reference standard and `adjudicated` the adjudicators', both classes of the task or empty;
    `predicted` and `score` (probability of the positive class, 0–1) are the model's of the case, as this reader saw them where they
    did; `patient` is a code that cases of one patient share, empty where it is not known; `likelihood` and `confidence` are 0–100,
    `seconds` ≥ 0; missing numbers are NaN, missing texts empty. `regions` is JSON. `repeat` is 1 where a reader read a case a
    second time in the same phase, else 0; `withdrawn` says that the reader was taken out of the study, whose readings count only
    `with_withdrawn`. `protocol` is the study's, the same in all rows, empty where a file from elsewhere does not say it.
    `seen_before` says that the reader had seen a model's result of the case before, outside the study. `pseudonyms` (reader ->
    name) are what files that leave call the readers.
    """

    name: str
    task: str
    rows: pd.DataFrame
    origin: Origin = "study"
    with_withdrawn: bool = False
    asked: Asked | None = None  # None where there is no record, but a file of readings
    pseudonyms: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def readings(self) -> pd.DataFrame:
        """What all statistics are made of: the first reading of each case, without withdrawn readers unless they are wanted."""
        return self._counted[self._counted["repeat"] == 0].reset_index(drop=True)

    @cached_property
    def repeats(self) -> pd.DataFrame:
        """Second readings of the readers who count: for agreement of readers with themselves, and for nothing else."""
        return self._counted[self._counted["repeat"] == 1].reset_index(drop=True)

    @property
    def _counted(self) -> pd.DataFrame:
        return self.rows if self.with_withdrawn else self.rows[~self.rows["withdrawn"]]

    @property
    def withdrawn(self) -> tuple[str, ...]:
        """Readers who were taken out of the study after they had read something."""
        return tuple(sorted(self.rows.loc[self.rows["withdrawn"], "reader"].unique()))

    @property
    def readers(self) -> tuple[str, ...]:
        """Names of the readers, by the alphabet."""
        return tuple(sorted(self.readings["reader"].unique()))

    @property
    def cases_asked(self) -> tuple[str, ...]:
        """The cases of the study; of a study without a record those that were read."""
        return self.asked.cases if self.asked else tuple(sorted(self.readings["case"].unique()))

    @property
    def readers_asked(self) -> tuple[str, ...]:
        """The readers who count, whether they read anything or not; of a study without a record those who did."""
        if self.asked is None:
            return self.readers
        return tuple(sorted(self.asked.readers + self.asked.withdrawn * self.with_withdrawn))

    @property
    def phases_asked(self) -> tuple[str, ...]:
        """The phases of the study's protocol; of a study without a record those in which anything was read."""
        if self.asked is None:
            return self.phases
        return ("aided",) if self.protocol == "aided" else PHASES

    @property
    def phases(self) -> tuple[str, ...]:
        """The phases in which anything was read, unaided first."""
        return tuple(phase for phase in PHASES if (self.readings["phase"] == phase).any())

    @cached_property
    def patients(self) -> Mapping[str, str]:
        """Case -> its patient; a case of which none is known is a patient of its own."""
        first = self.rows.drop_duplicates("case")
        return {case: patient or f"case {case}" for case, patient in zip(first["case"], first["patient"], strict=True)}

    def patients_of(self, rows: pd.DataFrame) -> np.ndarray:
        """The patient (N,) of each row with a case."""
        return rows["case"].map(self.patients).to_numpy(object)

    @property
    def protocol(self) -> Protocol | Literal[""]:
        """How the study was read, empty where that is not known."""
        said = self.rows["protocol"].unique()
        return said[0] if len(said) == 1 else ""

    @property
    def positive(self) -> str:
        """The positive class; `Refused` for a task without one."""
        found = get_task(self.task).positive
        if found is None:
            raise Refused("This task has no positive class, so there is no sensitivity, specificity or AUC.")
        return found

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the readings that count, by which results of them can be kept."""
        return content_hash(self._counted, self.task)


def content_hash(rows: pd.DataFrame, task: str) -> str:
    """SHA-256 (hex) of what readings say, whatever order their rows came in."""
    told = [name for name in COLUMNS if name not in _LATER or (rows[name] != _LATER[name]).any()]
    text = rows.sort_values(KEY, kind="stable")[told].to_csv(index=False)
    return hashlib.sha256(f"{task}\n{text}".encode()).hexdigest()


def stored_readings(table: pd.DataFrame, task: Task) -> pd.DataFrame:
    """`COLUMNS` of a table as `db.study_results.result_readings` gives it: probabilities become the positive class's score."""
    rows = table.rename(columns={"study_id": "case", "reference_standard": "truth"})
    score = [_score(cell, task.positive) for cell in rows["probabilities"]]
    regions = [json.dumps(list(cell or [])) for cell in rows["regions"]]
    return normalised(rows.assign(score=score, regions=regions))


def normalised(table: pd.DataFrame) -> pd.DataFrame:
    """`COLUMNS` in order: numbers as float64 with NaN, repeat as int64, `_MARKS` as bool, all else as text without missing
    values; absent columns are empty, or what they are where nothing is said.
    """
    found = {}
    for name in COLUMNS:
        given = table[name] if name in table.columns else pd.Series([None] * len(table), dtype=object)
        if name == "repeat":
            found[name] = pd.to_numeric(given, errors="coerce").fillna(0).astype(np.int64).to_numpy()
        elif name in _MARKS:
            found[name] = np.array([str(v).strip().lower() in ("true", "1", "yes") for v in given], dtype=bool)
        elif name in _NUMBERS:
            found[name] = pd.to_numeric(given, errors="coerce").astype(np.float64).to_numpy()
        else:
            found[name] = np.array(["" if pd.isna(v) else str(v) for v in given], dtype=object)
    return pd.DataFrame(found)


def with_reference(study: StudyReadings, kind: Reference) -> StudyReadings:
    """The study measured against the dataset's reference standard, or against the adjudicated one where a case has it."""
    if kind == "dataset":
        return study
    rows = study.rows
    decided = rows["adjudicated"] != ""
    return replace(study, rows=rows.assign(truth=rows["adjudicated"].where(decided, rows["truth"])))


def model_scores(study: StudyReadings, cases: tuple[str, ...]) -> np.ndarray:
    """The model's scores (N,) of these cases; `Refused` where one has none."""
    per_case = study.readings.dropna(subset=["score"]).drop_duplicates("case").set_index("case")["score"]
    scores = per_case.reindex(list(cases)).to_numpy(np.float64)
    if not np.isfinite(scores).all():
        raise Refused(f"The model has no stored result for {int((~np.isfinite(scores)).sum())} of {len(cases)} cases.")
    return scores


def model_threshold(study: StudyReadings) -> float | None:
    """The lowest score that the model called positive: its operating point as far as this study's cases tell."""
    known = study.readings.dropna(subset=["score"])
    scores = known.loc[known["predicted"] == study.positive, "score"]
    return None if scores.empty else float(scores.min())


def effect_table(study: StudyReadings) -> pd.DataFrame:
    """One row per reader and case with readings in both phases, a truth and a model result, as `model_effect` takes them."""
    rows = study.readings[(study.readings["truth"] != "") & (study.readings["predicted"] != "")]
    keys = ["case", "reader"]
    halves = []
    for phase in PHASES:
        half = rows[rows["phase"] == phase].set_index(keys)[["label", "seconds", "likelihood", "truth", "predicted"]]
        halves.append(half.add_suffix(f"_{phase}"))
    both = halves[0].join(halves[1], how="inner").reset_index()
    if both.empty:
        raise Refused("No case was read both without and with the model by one reader, with its result known.")
    both = both.rename(columns={
        "truth_unaided": "truth", "predicted_unaided": "model", "label_unaided": "unaided", "label_aided": "aided",
    })  # fmt: skip
    return both.drop(columns=["truth_aided", "predicted_aided"]).assign(patient=study.patients_of(both))


def strategy_table(study: StudyReadings, phase: str, cut: Cut = CLASS) -> pd.DataFrame:
    """Readings of one phase as `what_if` takes them, recalled where they are positive by `cut`; those that it says nothing of are
    left out. `score` is there where the model has a result of every case.
    """
    rows = study.readings[(study.readings["phase"] == phase) & (study.readings["truth"] != "")]
    rows = rows.assign(recalled=called(rows, study.positive, cut)).dropna(subset=["recalled"])
    score = (
        rows.dropna(subset=["score"]).drop_duplicates("case").set_index("case")["score"]
    )  # one of a case, as `model_scores`
    table = pd.DataFrame({
        "case": rows["case"], "reader": rows["reader"], "truth": (rows["truth"] == study.positive).astype(int),
        "recalled": rows["recalled"].astype(int), "score": rows["case"].map(score), "patient": study.patients_of(rows),
    })  # fmt: skip
    return table if np.isfinite(table["score"]).all() else table.drop(columns="score")


def ratings_of(study: StudyReadings, phase: str, what: What = "label") -> Ratings:
    """Classes, BI-RADS categories or likelihoods of one phase, as agreement statistics take them; `Refused` without any.

    The categories are all there could be, whatever occurs: coefficients that count them are the same as in daily work.
    """
    rows = study.readings[study.readings["phase"] == phase]
    given = rows[what].where(rows[what].notna() & (rows[what] != ""), None)
    order = {"label": get_task(study.task).classes, "birads": BIRADS}.get(what) or _likelihoods(rows["likelihood"])
    return ratings_table(rows.drop(columns=what).assign(rating=given), order)


def _likelihoods(given: pd.Series) -> tuple[str, ...]:
    """`LIKELIHOODS`, and between them the fractions that imported studies may hold."""
    fractions = {repr(float(v)) for v in given.dropna().unique() if v != int(v)}
    return tuple(sorted((*LIKELIHOODS, *fractions), key=float)) if fractions else LIKELIHOODS


def repeat_ratings(study: StudyReadings, phase: str, what: What = "label") -> pd.DataFrame:
    """First and second readings of one phase as `agreement_repeats` takes them: case, reader, rating, first ones first."""
    rows = pd.concat([study.readings, study.repeats])
    rows = rows[rows["phase"] == phase]
    given = rows[what].where(rows[what].notna() & (rows[what] != ""), None)
    return rows[["case", "reader"]].assign(rating=given).reset_index(drop=True)


def least_between(study: StudyReadings, phase: str) -> int | None:
    """The fewest other readings of the phase that lay between a reader's two of one case; None where times are not known."""
    rows = pd.concat([study.readings, study.repeats])
    rows = rows[(rows["phase"] == phase) & (rows["created_at"] != "")].sort_values("created_at", kind="stable")
    rows = rows.assign(place=rows.groupby("reader").cumcount())
    places = rows.pivot(index=["reader", "case"], columns="repeat", values="place").reindex(columns=[0, 1]).dropna()
    return None if places.empty else int((places[1] - places[0]).min()) - 1


def model_codes(study: StudyReadings, ratings: Ratings) -> np.ndarray:
    """The model's class (N,) of each case of `ratings` as an index into its categories, −1 where there is no result."""
    per_case = study.readings[study.readings["predicted"] != ""].drop_duplicates("case").set_index("case")["predicted"]
    places = {name: place for place, name in enumerate(ratings.categories)}
    return per_case.reindex(list(ratings.cases)).map(places).fillna(-1).to_numpy(np.int64)


def reader_figures(study: StudyReadings, cut: Cut = CLASS) -> dict[tuple[str, str], Mapping[str, Estimate]]:
    """(reader, phase) -> accuracy, sensitivity, specificity, auc, seconds of that reader's own readings with a reference.

    Accuracy is of the class given, sensitivity and specificity of what is positive by `cut`, AUC of the likelihood; the latter
    three are left out of tasks without a positive class. Wilson and DeLong intervals, over patients where some have several
    cases, and Student's t over cases.
    """
    positive = get_task(study.task).positive
    found = {}
    for reader in study.readers:
        for phase in study.phases:
            own = study.readings[(study.readings["reader"] == reader) & (study.readings["phase"] == phase)]
            found[reader, phase] = _figures(own.assign(patient=study.patients_of(own)), positive, cut)
    return found


def _figures(rows: pd.DataFrame, positive: str | None, cut: Cut) -> dict[str, Estimate]:
    timed = rows["seconds"].dropna().to_numpy()
    rows = rows[rows["truth"] != ""]
    right, patients = (rows["label"] == rows["truth"]).to_numpy(), rows["patient"].to_numpy(str)
    figures = {"accuracy": clustered_proportion(right, patients)}
    if positive is not None:
        figures |= _sensitivity_and_specificity(rows, positive, cut)
        cancer, known = (rows["truth"] == positive).to_numpy(), np.isfinite(rows["likelihood"].to_numpy())
        figures["auc"] = (
            auc(cancer[known].astype(int), rows["likelihood"].to_numpy()[known], patients=patients[known])
            if known.any()
            else undefined(0, "DeLong", "no likelihoods were given")
        )
    figures["seconds"] = mean_estimate(timed, upper=np.inf, method="Student's t")
    return figures


def _sensitivity_and_specificity(rows: pd.DataFrame, positive: str, cut: Cut) -> dict[str, Estimate]:
    """Of the readings of which `cut` says anything."""
    said, cancer = called(rows, positive, cut), (rows["truth"] == positive).to_numpy()
    known, yes, patients = np.isfinite(said), said == 1, rows["patient"].to_numpy(str)
    found = {}
    for name, own, hits in (("sensitivity", cancer & known, yes), ("specificity", ~cancer & known, ~yes)):
        reason = f"no {'positive' if name == 'sensitivity' else 'negative'} cases"
        found[name] = clustered_proportion(hits[own], patients[own], reason=reason)
    return found


def _score(probabilities: Any, positive: str | None) -> float:
    if not isinstance(probabilities, Mapping) or positive not in probabilities:
        return np.nan
    return float(probabilities[positive])
