"""Evaluation runs: facts and metrics as columns, all predictions of a run as one Parquet blob."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from core.records import Estimate, EvaluationRun, OperatingPoint, Refused
from db.frames import frame
from db.tables import RunRow


def add_run(session: Session, run: EvaluationRun) -> bool:
    """Keep a run; False when one of that id was there already (then nothing changes).

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


def list_runs(
    session: Session, task: str = "", model_version: str = "", *, limit: int = 50, offset: int = 0
) -> pd.DataFrame:
    """One page of runs, newest first, without reading their predictions.

    Columns: id, created_at, model_name, model_version, task, dataset, split, n (cases); then, for each metric that any of
    these runs has, `<metric>`, `<metric>_low`, `<metric>_high` and `<metric>_n`, NA where a run lacks it or it is undefined.
    """
    columns = (
        RunRow.id, RunRow.created_at, RunRow.model_name, RunRow.model_version, RunRow.task, RunRow.dataset,
        RunRow.split, RunRow.n, RunRow.metrics,
    )  # fmt: skip
    query = select(*columns).where(*_filters(task, model_version)).order_by(RunRow.number.desc())
    table = frame(session, query.limit(limit).offset(offset))
    return table.drop(columns="metrics").join(_metric_columns(table["metrics"]))


def count_runs(session: Session, task: str = "", model_version: str = "") -> int:
    """How many runs there are on all pages."""
    return session.scalar(select(func.count()).select_from(RunRow).where(*_filters(task, model_version))) or 0


def _filters(task: str, model_version: str) -> list[ColumnElement[bool]]:
    wanted = ((RunRow.task, task), (RunRow.model_version, model_version))
    return [column == value for column, value in wanted if value]


def _metric_columns(metrics: pd.Series) -> pd.DataFrame:
    names = dict.fromkeys(name for run in metrics for name in run)  # in the order in which they were computed
    columns: dict[str, pd.Series] = {}
    for name in names:
        estimates = [run.get(name, {}) for run in metrics]
        for part, suffix, dtype in _PARTS:
            values = [estimate.get(part) for estimate in estimates]
            columns[name + suffix] = pd.Series(values, index=metrics.index, dtype=dtype)
    return pd.DataFrame(columns, index=metrics.index)


_PARTS = (("value", "", "Float64"), ("low", "_low", "Float64"), ("high", "_high", "Float64"), ("n", "_n", "Int64"))


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
