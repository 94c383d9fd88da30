"""Reader studies as `.imrmc` text, the input format of the iMRMC program, written and read.

After free text and the sizes N0, N1, NR and NM, the line `BEGIN DATA:`, then `readerID,caseID,modalityID,score` without spaces;
the truth of a case is a row of the reader −1 (iMRMC user manual, Study Raw Data).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from core.records import Refused
from core.statistics.mrmc_data import COLUMNS

_BEGIN = "BEGIN DATA:"
_TRUTH_READER = "-1"


def write_imrmc(readings: pd.DataFrame, title: str = "Reader study") -> str:
    """Text of readings with the columns reader, modality, case, truth (0 or 1) and rating (a number), one row per reading.

    The study need not be fully crossed. Raises `Refused` for missing columns, names that the format cannot hold (commas, line
    breaks, surrounding spaces, a reader called -1), ratings that are no finite numbers, and cases with two truths.
    """
    missing = [name for name in COLUMNS if name not in readings.columns]
    if missing:
        raise Refused(f"Reader studies need the columns {', '.join(COLUMNS)}; {', '.join(missing)} is missing.")
    rows = readings[list(COLUMNS)].reset_index(drop=True)
    names = {name: rows[name].astype(str) for name in ("reader", "case", "modality")}
    for kind, texts in names.items():
        _refuse_names(kind, texts.unique())
    ratings = pd.to_numeric(rows["rating"], errors="coerce").to_numpy(np.float64)
    if not np.isfinite(ratings).all():
        raise Refused("Every rating must be a finite number to be written as .imrmc.")
    truths = rows.assign(case=names["case"]).groupby("case", sort=False)["truth"].agg(["nunique", "first"])
    if not set(truths["first"]) <= {0, 1} or (truths["nunique"] != 1).any():
        raise Refused("Every case needs one truth, 0 or 1, to be written as .imrmc.")
    negatives = int((truths["first"] == 0).sum())
    sizes = (("N0", negatives), ("N1", len(truths) - negatives))
    sizes += (("NR", names["reader"].nunique()), ("NM", names["modality"].nunique()))
    lines = [" ".join(title.split()), *(f"{name}: {count}" for name, count in sizes), _BEGIN]
    lines += [f"{_TRUTH_READER},{case},0,{int(truth)}" for case, truth in truths["first"].items()]
    cells = zip(names["reader"], names["case"], names["modality"], ratings, strict=True)
    lines += [f"{reader},{case},{modality},{_number(rating)}" for reader, case, modality, rating in cells]
    return "\n".join(lines) + "\n"


def read_imrmc(text: str) -> pd.DataFrame:
    """The readings in `.imrmc` text, as `write_imrmc` takes them: names as text, truth as int, rating as float.

    Raises `Refused` with the line's number for rows that are not four fields, scores that are no numbers, and cases whose truth
    is missing, given twice or not 0 or 1. The sizes in the head are not trusted, only the rows.
    """
    truths: dict[str, int] = {}
    readings = []
    for number, (reader, case, modality, score) in _rows(text):
        value = _score(score, number)
        if reader != _TRUTH_READER:
            readings.append((reader, modality, case, value))
        elif case in truths or value not in (0, 1):
            raise Refused(f"Line {number}: the truth of case {case} is given twice, or is neither 0 nor 1.")
        else:
            truths[case] = int(value)
    if not readings:
        raise Refused("The .imrmc text holds no readings.")
    unknown = next((case for _, _, case, _ in readings if case not in truths), None)
    if unknown is not None:
        raise Refused(f"Case {unknown} has no truth: a row of the reader -1 is missing.")
    return pd.DataFrame([(r, m, c, truths[c], value) for r, m, c, value in readings], columns=list(COLUMNS))


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of every row after the head."""
    begun = False
    for number, line in enumerate(text.splitlines(), start=1):
        if not begun:
            begun = line.strip() == _BEGIN
        elif line.strip():
            fields = [field.strip() for field in line.split(",")]
            if len(fields) != 4 or not all(fields):
                raise Refused(f"Line {number} is not readerID,caseID,modalityID,score.")
            yield number, fields
    if not begun:
        raise Refused(f"The text has no line '{_BEGIN}', so it is not .imrmc.")


def _score(text: str, number: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise Refused(f"Line {number}: the score '{text}' is not a number.")
    return value


def _number(value: float) -> str:
    """The shortest text that reads back as the same number."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def _refuse_names(kind: str, names: Iterable[str]) -> None:
    for name in names:
        if not name.strip() or name != name.strip() or any(c in name for c in ",\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029"):
            raise Refused(
                f"The {kind} '{name}' cannot be written as .imrmc: it is empty or has commas or outer spaces."
            )
        if kind == "reader" and name == _TRUTH_READER:
            raise Refused("A reader cannot be called -1 in .imrmc: that name stands for the truth.")
