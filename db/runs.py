"""Evaluation runs: facts and metrics as columns, all predictions of a run as one Parquet blob, its case details as another."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.records import CaseDetails, Estimate, EvaluationRun, OperatingPoint, Refused
from db.tables import ImageRow, RunCasesRow, RunRow


@dataclass(frozen=True)
class RunScores:
    """Labels (N,) int64 and probabilities (N, C) float64 of a run; `cases` is equal for runs of the same cases in order.

    `threshold` is that of the stored operating point, or None.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    cases: str
    threshold: float | None


def add_run(session: Session, run: EvaluationRun, details: CaseDetails | None = None) -> bool:
    """Keep a run and what is known of its cases; False when one of that id was there already (then nothing changes).

    Probabilities are kept as float64, bit for bit: a threshold that equals a case's probability still divides the same way.
    `ValueError` when lengths disagree, a label is no index into the classes, or a probability or metric is not finite.
    """
    _check(run)
    if session.scalar(select(RunRow.number).where(RunRow.id == run.id)) is not None:
        return False
    session.add(
        RunRow(
            id=run.id,
            model_version=run.model_version,
            model_name=run.model_name,
            task=run.task,
            dataset=run.dataset,
            split=run.split,
            n=len(run.case_ids),
            classes=list(run.classes),
            operating_point=None if run.operating_point is None else asdict(run.operating_point),
            metrics={name: asdict(estimate) for name, estimate in run.metrics.items()},
            history=[_without_nan(epoch) for epoch in run.history],
            provenance=dict(run.provenance),
            predictions=_to_parquet(run),
        )
    )
    session.flush()
    if details and (details.attributes or details.pixel_hashes):
        session.add(RunCasesRow(run_id=run.id, details=_details_parquet(details, len(run.case_ids))))
        session.flush()
    return True


def get_run(session: Session, run_id: str) -> EvaluationRun:
    """The run with all its predictions; `Refused` when there is none of that id."""
    row = session.scalar(select(RunRow).where(RunRow.id == run_id))
    if row is None:
        raise Refused(f"There is no evaluation run '{run_id}'.")
    table = pq.read_table(io.BytesIO(row.predictions))
    count = len(row.classes)
    return EvaluationRun(
        id=row.id,
        model_version=row.model_version,
        model_name=row.model_name,
        task=row.task,
        classes=tuple(row.classes),
        dataset=row.dataset,
        split=row.split,
        case_ids=tuple(table["case_id"].to_pylist()),
        patient_ids=tuple(table["patient_id"].to_pylist()),
        labels=table["label"].to_numpy().astype(np.int64),  # (N,)
        probabilities=np.column_stack([table[f"p{i}"].to_numpy() for i in range(count)]),  # (N, C)
        operating_point=None if row.operating_point is None else OperatingPoint(**row.operating_point),
        metrics={name: Estimate(**values) for name, values in row.metrics.items()},
        history=tuple(_with_nan(epoch) for epoch in row.history),
        provenance=row.provenance,
    )


def get_scores(session: Session, run_id: str) -> RunScores:
    """A run's labels and probabilities without the texts of its cases: a third of the time of `get_run`.

    `Refused` when there is no run of that id.
    """
    row = session.execute(select(RunRow.predictions, RunRow.operating_point).where(RunRow.id == run_id)).one_or_none()
    if row is None:
        raise Refused(f"There is no evaluation run '{run_id}'.")
    file = pq.ParquetFile(io.BytesIO(row.predictions))
    table = file.read(columns=[name for name in file.schema_arrow.names if name != "patient_id"])
    count = len(table.column_names) - 2
    digest = hashlib.sha256()
    for text in table["case_id"].combine_chunks().cast(pa.large_string()).buffers()[1:]:
        digest.update(text or b"")
    return RunScores(
        labels=table["label"].to_numpy().astype(np.int64),
        probabilities=np.column_stack([table[f"p{i}"].to_numpy() for i in range(count)]),
        cases=digest.hexdigest(),
        threshold=row.operating_point["threshold"] if row.operating_point else None,
    )


def get_attributes(session: Session, run_id: str) -> pd.DataFrame:
    """The attributes of a run's cases (site, density, view …), one categorical column each, one row per case in order.

    Empty texts are missing. No columns where the run came without any.
    """
    table = _details(session, run_id)
    if table is None:
        return pd.DataFrame()
    names = [name for name in table.column_names if name.startswith(_ATTRIBUTE)]
    columns = table.select(names).rename_columns([name.removeprefix(_ATTRIBUTE) for name in names]).to_pandas()
    return columns.apply(lambda column: column.cat.remove_categories([""]) if "" in column.cat.categories else column)


def get_pixel_hashes(session: Session, run_id: str) -> pd.Series:
    """The `Image.content_hash` of each case of a run, in order, empty where unknown; no rows where it came without any."""
    table = _details(session, run_id)
    if table is None or _PIXELS not in table.column_names:
        return pd.Series([], dtype=str)
    return table[_PIXELS].to_pandas()


def find_studies(session: Session, pixel_hashes: Sequence[str]) -> dict[str, str]:
    """Pixel hash -> id of a study in the store that holds this very picture, for those that are there."""
    wanted = [pixel_hash for pixel_hash in pixel_hashes if pixel_hash]
    rows = session.execute(
        select(ImageRow.pixel_hash, func.min(ImageRow.study_id))
        .where(ImageRow.pixel_hash.in_(wanted))
        .group_by(ImageRow.pixel_hash)
    )
    return {pixel_hash: study_id for pixel_hash, study_id in rows}


def count_runs(session: Session) -> int:
    """How many runs there are, archived ones too."""
    return session.scalar(select(func.count()).select_from(RunRow)) or 0


def _details(session: Session, run_id: str) -> pa.Table | None:
    blob = session.scalar(select(RunCasesRow.details).where(RunCasesRow.run_id == run_id))
    return None if blob is None else pq.read_table(io.BytesIO(blob))


_ATTRIBUTE, _PIXELS = "a:", "pixel_hash"  # an attribute may itself be called pixel_hash


def _details_parquet(details: CaseDetails, n: int) -> bytes:
    columns = {_ATTRIBUTE + name: values for name, values in details.attributes.items()}
    if details.pixel_hashes:
        columns[_PIXELS] = details.pixel_hashes
    if any(len(values) != n for values in columns.values()):
        raise ValueError(f"case details of a run of {n} cases need {n} values each")
    arrays = {name: pa.array(values, pa.string()) for name, values in columns.items()}
    arrays = {name: a if name == _PIXELS else a.dictionary_encode() for name, a in arrays.items()}
    target = io.BytesIO()
    pq.write_table(pa.table(arrays), target, compression="zstd")
    return target.getvalue()


def _to_parquet(run: EvaluationRun) -> bytes:
    floats = {f"p{i}": run.probabilities[:, i].astype(np.float64) for i in range(len(run.classes))}
    columns = {"case_id": pa.array(run.case_ids, pa.string()), "patient_id": pa.array(run.patient_ids, pa.string())}
    table = pa.table({**columns, "label": np.asarray(run.labels, dtype=np.int32), **floats})
    target = io.BytesIO()
    pq.write_table(
        table,
        target,
        compression="zstd",
        use_dictionary=["patient_id", "label"],
        use_byte_stream_split=list(floats),  # alike bytes side by side: zstd then finds them
    )
    return target.getvalue()


def _check(run: EvaluationRun) -> None:
    n, count = len(run.case_ids), len(run.classes)
    if run.labels.shape != (n,) or len(run.patient_ids) != n or run.probabilities.shape != (n, count):
        raise ValueError(
            f"a run of {n} cases and {count} classes needs as many patients, labels and rows of probabilities, "
            f"not {len(run.patient_ids)}, {run.labels.shape} and {run.probabilities.shape}"
        )
    if not np.isfinite(run.probabilities).all():
        raise ValueError("a run's probabilities must be finite")
    if n and not (run.labels.min() >= 0 and run.labels.max() < count):
        raise ValueError(f"a run's labels must lie in 0–{count - 1}")
    for name, estimate in run.metrics.items():
        numbers = (estimate.value, estimate.low, estimate.high)
        if not all(number is None or math.isfinite(number) for number in numbers):
            raise ValueError(f"the metric {name} must be finite, or None where it is undefined")


def _without_nan(epoch: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no NaN; what is not finite becomes null."""
    return {name: float(value) if math.isfinite(value) else None for name, value in epoch.items()}


def _with_nan(epoch: Mapping[str, float | None]) -> dict[str, float]:
    return {name: math.nan if value is None else value for name, value in epoch.items()}
