"""Reader studies as one table that leaves and enters the program: CSV or Parquet, one row per reading, pseudonyms only."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from core.reader_records import PROTOCOLS
from core.records import BIRADS, Refused
from core.statistics.imrmc import write_imrmc
from core.study_cuts import CutKind, called
from core.study_readings import COLUMNS, KEY, PHASES, StudyReadings, normalised
from core.tasks import Task, get_task

NOTICE = "Research use, not for diagnosis"
NEEDED = ("case", "reader", "phase", "label", "truth")
MOST_ROWS = 1_000_000
LONGEST_NAME = 200  # of a case or reader: a content hash has 64 characters
_RANGES = {"repeat": (0, 1), "likelihood": (0, 100), "confidence": (0, 100), "seconds": (0, 1e7), "score": (0, 1)}
_PER_CASE = ("truth", "adjudicated", "patient")
_SHOWN = (
    "predicted",
    "score",
)  # one of a case for each reader: between two readers the model may have run on another device


def export_table(study: StudyReadings, names: Mapping[str, str], *, comments: bool = False) -> pd.DataFrame:
    """`COLUMNS` of every reading, second ones and withdrawn readers' too, with readers renamed by `names`, and the columns task,
    simulated and notice.

    Comments are free text that may name people: they are empty unless asked for.
    """
    rows = study.rows[list(COLUMNS)].copy()
    rows["reader"] = [names[reader] for reader in rows["reader"]]
    if not comments:
        rows["comment"] = ""
    rows = rows.sort_values(["reader", "case", "phase", "repeat"], kind="stable").reset_index(drop=True)
    return rows.assign(task=study.task, simulated=study.origin == "simulated", notice=NOTICE)


@dataclass(frozen=True)
class ImrmcFile:
    """`.imrmc` text of `readings` readings by `readers` readers, all that have a reference standard and a `rating`: likelihood,
    or class where nobody gave a likelihood. `readings_left_out` have none of these, `readers_left_out` not a single one.
    """

    text: str
    rating: CutKind
    readings: int
    readers: int
    readings_left_out: int
    readers_left_out: tuple[str, ...]


def imrmc_rating(study: StudyReadings) -> CutKind:
    """What `imrmc_file` writes: likelihoods where anybody gave one, else classes as 1 (positive) and 0."""
    return "likelihood" if study.readings["likelihood"].notna().any() else "class"


def imrmc_file(study: StudyReadings, names: Mapping[str, str]) -> ImrmcFile:
    """A study as `.imrmc` text, gaps and all, first readings only, with readers renamed by `names`; modalities are the phases.

    `Refused` where no reading has a reference standard and a rating, and as `write_imrmc`.
    """
    rows, rating = study.readings, imrmc_rating(study)
    rated = rows.assign(rating=rows["likelihood"] if rating == "likelihood" else called(rows, study.positive))
    known = rated[(rated["truth"] != "") & rated["rating"].notna()]
    if known.empty:
        raise Refused(f"No reading has a reference standard and a {rating}.")
    table = pd.DataFrame({
        "reader": known["reader"].map(names), "modality": known["phase"], "case": known["case"],
        "truth": (known["truth"] == study.positive).astype(int), "rating": known["rating"],
    })  # fmt: skip
    scale = "Likelihoods of 0 to 100." if rating == "likelihood" else f"Classes: 1 is {study.positive}, 0 any other."
    kind = " Simulated readers." if study.origin == "simulated" else ""
    text = write_imrmc(
        table.sort_values(["modality", "reader", "case"], ascending=[False, True, True], kind="stable"),
        f"{study.name}. {NOTICE}. {scale}{kind}",
    )
    left = tuple(sorted(set(rows["reader"]) - set(known["reader"])))
    return ImrmcFile(text, rating, len(known), known["reader"].nunique(), len(rows) - len(known), left)


def read_study(data: bytes, name: str, task_name: str) -> tuple[pd.DataFrame, bool]:
    """(`COLUMNS` of a study run elsewhere, whether the file says that it is simulated), from CSV or Parquet as `export_table`'s.

    Columns `NEEDED`, the others where they are there. Raises `Refused` in one sentence, with the row's number where it can:
    missing columns, unknown classes or phases, numbers out of range, a reading that stands twice, a second reading without
    a first, a case with two truths or two model results, cells that are no text or number.
    """
    task = get_task(task_name)
    table = _parsed(data, name)
    table.columns = [str(column).strip().lower() for column in table.columns]
    missing = [column for column in NEEDED if column not in table.columns]
    if missing:
        there = ", ".join(table.columns[:8]) + (" …" if len(table.columns) > 8 else "")
        raise Refused(f"{name} needs the columns {', '.join(NEEDED)}; it lacks {', '.join(missing)} (it has {there}).")
    if table.columns.duplicated().any():
        raise Refused(f"{name} has the column {table.columns[table.columns.duplicated()][0]} twice.")
    if not len(table):
        raise Refused(f"{name} holds no readings: there is a header and nothing beneath.")
    if len(table) > MOST_ROWS:
        raise Refused(f"{name} holds {len(table):,} rows; an import has {MOST_ROWS:,} at most.")
    if "task" in table.columns and (set(table["task"].dropna().astype(str)) - {task.name}):
        raise Refused(f"{name} holds readings of {table['task'].dropna().iloc[0]}, not of {task.name}.")
    simulated = "simulated" in table.columns and table["simulated"].astype(str).str.strip().str.lower().eq("true").any()
    _check_numbers(table, name)
    rows = _checked_texts(normalised(table), task, name)
    _check_keys(rows, name)
    return rows, bool(simulated)


def _parsed(data: bytes, name: str) -> pd.DataFrame:
    if not data.strip():
        raise Refused(f"{name} is empty.")
    try:
        if data[:4] == b"PAR1":
            return pd.read_parquet(io.BytesIO(data))
        text = data.decode("utf-8-sig")
        return pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False, na_values=[""])
    except (UnicodeDecodeError, ValueError, OSError) as e:  # pandas' own errors are ValueErrors, Arrow's are either
        raise Refused(f"{name} is neither a CSV file with a header nor Parquet.") from e


def _check_numbers(table: pd.DataFrame, name: str) -> None:
    for column, (low, high) in _RANGES.items():
        if column not in table.columns:
            continue
        given = table[column]
        values = pd.to_numeric(given, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        there = given.notna().to_numpy()
        wrong = there & ~((values >= low) & (values <= high))
        if column == "repeat":
            wrong |= there & (values % 1 != 0)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise Refused(
                f"{name}, row {row + 2}: {column} must be a number from {low} to {high:g}, not '{given.iloc[row]}'."
            )


def _checked_texts(rows: pd.DataFrame, task: Task, name: str) -> pd.DataFrame:
    """Classes in the task's own spelling, phases and BI-RADS as they are called here, regions as JSON."""
    for column in ("case", "reader"):
        rows[column] = rows[column].str.strip()
        _refuse(rows[column] == "", name, f"the {column} is empty")
        unfit = [not text.isprintable() or len(text) > LONGEST_NAME for text in rows[column]]
        _refuse(pd.Series(unfit), name, f"the {column} must be of 1 to {LONGEST_NAME} printable characters")
    rows["patient"] = rows["patient"].str.strip()
    unfit = [bool(text) and (not text.isprintable() or len(text) > LONGEST_NAME) for text in rows["patient"]]
    _refuse(pd.Series(unfit), name, f"the patient must be of at most {LONGEST_NAME} printable characters")
    rows["phase"] = rows["phase"].str.strip().str.lower()
    _refuse(~rows["phase"].isin(PHASES), name, f"the phase must be {' or '.join(PHASES)}")
    for column, optional in (("label", False), ("truth", True), ("adjudicated", True), ("predicted", True)):
        spelt = {text: _class_of(text, task) for text in rows[column].unique()}
        classes = rows[column].map(spelt)
        bad = classes.isna() | ((classes == "") & (not optional))
        _refuse(bad, name, f"{column} must be one of {', '.join(task.classes)}")
        rows[column] = classes
    rows["birads"] = rows["birads"].str.strip().str.upper()
    _refuse(~rows["birads"].isin(["", *BIRADS]), name, f"birads must be one of {', '.join(BIRADS)}")
    rows["protocol"] = rows["protocol"].str.strip().str.lower()
    _refuse(~rows["protocol"].isin(["", *PROTOCOLS]), name, f"protocol must be one of {', '.join(PROTOCOLS)}")
    _refuse(rows["protocol"] != rows["protocol"].iloc[0], name, "all rows of a study have the same protocol")
    rows["regions"] = [text or "[]" for text in rows["regions"]]
    _refuse(~rows["regions"].map(_is_list), name, "regions must be a JSON list")
    return rows


def _check_keys(rows: pd.DataFrame, name: str) -> None:
    twice = "this reader's reading of this case and phase stands twice; a second reading is marked by 1 in the column repeat"
    _refuse(rows.duplicated(KEY), name, twice)
    first = rows.loc[rows["repeat"] == 0, KEY[:3]].assign(there=True)
    alone = rows.merge(first, how="left", on=KEY[:3])["there"].isna()
    _refuse(alone, name, "a second reading (repeat 1) without the first one of this reader, case and phase")
    for column in _PER_CASE:
        several = rows.groupby("case")[column].nunique(dropna=False) > 1
        if several.any():
            raise Refused(f"{name}: case {several.idxmax()} has two different values of {column}.")
    for column in _SHOWN:
        several = rows.groupby(["case", "reader", "repeat"])[column].nunique(dropna=False) > 1
        if several.any():
            raise Refused(f"{name}: case {several.idxmax()[0]} has two different values of {column} for one reader.")


def _refuse(wrong: pd.Series, name: str, why: str) -> None:
    if wrong.any():
        raise Refused(f"{name}, row {int(np.flatnonzero(wrong.to_numpy())[0]) + 2}: {why}.")


def _class_of(text: str, task: Task) -> str | None:
    """The task's class, '' for an empty cell, None for anything else."""
    if not text.strip():
        return ""
    try:
        return task.classes[task.class_index(text)]
    except Refused:
        return None


def _is_list(text: str) -> bool:
    try:
        return isinstance(json.loads(text), list)
    except ValueError:
        return False
