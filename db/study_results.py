"""Results of closed reader studies: all readings with the model's results beside, one reader's own, pseudonyms for exports."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.reader_records import ReaderStudy
from core.records import Refused
from db.adjudication import adjudicated_references
from db.exposures import readings_seen_before
from db.frames import frame
from db.reader_studies import get_reader_study, list_cases, study_readings
from db.reader_turns import held_back
from db.readers import list_readers, list_withdrawals
from db.reading_order import drawn_number
from db.tables import AdjudicationRow, PredictionRow, StudyRow

_CHUNK = 500  # ids in one query: databases limit the parameters of a statement


def result_readings(session: Session, number: int) -> pd.DataFrame:
    """The newest readings of a closed reader study with the model's results and the adjudicators' decisions.

    Columns of `study_readings`, and predicted and probabilities (class -> 0–1, None where the model made no prediction) as this
    reader saw them with the case; where none was shown to them, as the study's other readers saw them last, else the newest;
    adjudicated (a class, or empty), patient (see `patient_codes`), protocol, and seen_before (whether the reader had seen a
    model's result of the case before, elsewhere). `Refused` until the study is closed.
    """
    table = study_readings(session, number)
    study = get_reader_study(session, number)
    assert study is not None
    said = _results_beside(session, table, study.model_version)
    decided, patients = adjudicated_references(session, study.task), patient_codes(session, study)
    return table.assign(
        predicted=[predicted for predicted, _ in said],
        probabilities=[probabilities for _, probabilities in said],
        adjudicated=[decided.get(case, "") for case in table["study_id"]],
        patient=[patients.get(case, "") for case in table["study_id"]],
        protocol=study.protocol,
        seen_before=table["id"].isin(readings_seen_before(session, number)),
    )


def patient_codes(session: Session, study: ReaderStudy) -> dict[str, str]:
    """Case -> P001, P002, … by lot from the study's seed: cases of one patient share a code. Cases without a patient have none."""
    cases, found = list_cases(session, study.id), {}
    for start in range(0, len(cases), _CHUNK):
        query = select(StudyRow.id, StudyRow.patient_id).where(StudyRow.id.in_(cases[start : start + _CHUNK]))
        found |= {case: patient for case, patient in session.execute(query) if patient}
    drawn = sorted(set(found.values()), key=lambda patient: drawn_number(study.seed, "patient", study.id, patient))
    codes = {patient: f"P{place:03d}" for place, patient in enumerate(drawn, start=1)}
    return {case: codes[patient] for case, patient in found.items()}


def panel_readings(session: Session, number: int, reader: str) -> pd.DataFrame:
    """`result_readings` for the eyes of one of its readers: all others are "panel 1", "panel 2", … in an order drawn by lot.

    Comments, regions and times of saving of the others are left out, withdrawn readers altogether, and cases that this person
    reads in a study that still runs, whose answers would be given away. `Refused` for anybody who does not read the study, or
    was withdrawn from it, and until it is closed.
    """
    gone = {withdrawal.reader for withdrawal in list_withdrawals(session, number)}
    if reader not in list_readers(session, number).keys() - gone:
        raise Refused("You are not a reader of this study, so it has no page of yours.")
    table = result_readings(session, number)
    table = table[~table["withdrawn"].astype(bool)]
    hidden = set(session.scalars(held_back(reader)))
    table = table[~table["study_id"].isin(hidden)].reset_index(drop=True)
    others = sorted(set(table["reader"]) - {reader}, key=lambda name: drawn_number(number, "panel", reader, name))
    names = {name: f"panel {place}" for place, name in enumerate(others, start=1)}
    mine = table["reader"] == reader
    return table.assign(
        reader=[reader if name == reader else names[name] for name in table["reader"]],
        comment=table["comment"].where(mine, ""),
        created_at=table["created_at"].where(mine, ""),
        regions=[cell if own else [] for cell, own in zip(table["regions"], mine, strict=True)],
    )


def pseudonyms(session: Session, number: int) -> dict[str, str]:
    """Reader -> R01, R02, … by lot from the study's seed: the same at every export, and in no order that anybody knows."""
    study = get_reader_study(session, number)
    if study is None:
        raise Refused("This reader study is not in the store.")
    drawn = sorted(list_readers(session, number), key=lambda name: drawn_number(study.seed, "pseudonym", number, name))
    return {name: f"R{place:02d}" for place, name in enumerate(drawn, start=1)}


def _results_beside(session: Session, table: pd.DataFrame, version: str) -> list[tuple[str, dict[str, float] | None]]:
    """(predicted class, probabilities) of the model for each row of `study_readings`; ("", None) where there is no result."""
    made = _predictions(session, list(table["study_id"].unique()), version)
    newest = {study: number for number, (study, _, _) in made.items()}
    keys = list(zip(table["study_id"], table["reader"], table["repeat"], strict=True))
    shown: dict[Any, int] = {}  # by reader, and by case alone: there the last one stands
    for (case, *of), number in zip(keys, table["prediction_id"], strict=True):
        if not pd.isna(number):
            shown |= {(case, *of): int(number), case: int(number)}
    wanted = [shown.get(key, shown.get(key[0], newest.get(key[0]))) for key in keys]
    return [made[number][1:] if number in made else ("", None) for number in wanted]


def _predictions(session: Session, cases: list[str], version: str) -> dict[int, tuple[str, str, dict[str, float]]]:
    """Id -> (study id, predicted class, probabilities) of all that the model said of these cases, oldest first."""
    found: dict[int, tuple[str, str, dict[str, float]]] = {}
    columns = (PredictionRow.id, PredictionRow.study_id, PredictionRow.predicted, PredictionRow.probabilities)
    for start in range(0, len(cases), _CHUNK):
        own = PredictionRow.study_id.in_(cases[start : start + _CHUNK])
        query = select(*columns).where(own, PredictionRow.model_version == version).order_by(PredictionRow.id)
        found |= {number: (study, label, values) for number, study, label, values in session.execute(query)}
    return found


def newest_decision(session: Session) -> int:
    """Id of the newest adjudication, 0 where there is none: what is kept of results is out of date once it changes."""
    return session.scalar(select(func.max(AdjudicationRow.id))) or 0


def case_facts(session: Session, number: int) -> pd.DataFrame:
    """The cases of a reader study in the lead's order: study_id, name, modality, facts (JSON of what the source states)."""
    columns = (StudyRow.id.label("study_id"), StudyRow.name, StudyRow.modality, StudyRow.facts)
    cases = list_cases(session, number)
    parts: list[Any] = []
    for start in range(0, len(cases), _CHUNK):
        parts.append(frame(session, select(*columns).where(StudyRow.id.in_(cases[start : start + _CHUNK]))))
    if not parts:
        return pd.DataFrame(columns=["study_id", "name", "modality", "facts"])
    table = pd.concat(parts).set_index("study_id").loc[cases].reset_index()
    return table.rename(columns={"metadata": "facts"}).assign(
        facts=lambda t: [json.dumps(cell or {}, sort_keys=True) for cell in t["facts"]]
    )
