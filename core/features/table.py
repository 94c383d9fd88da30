"""Files -> one table of features: read and measured in several processes, rows in the order of the files."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from core.features.extraction import ALL, FeatureVector, extract, get_families
from core.files import write_json, write_text
from core.reading import files_below, read_paths
from core.records import Refused, StudyRejected
from core.tasks import get_task

FACTS = ("file", "image", "image_hash", "patient_id", "reference_standard")
Progress = Callable[[int, int, str], None]  # (done, total, name of the file)


@dataclass(frozen=True)
class Row:
    """The features of one image of a file; `image` counts from 1, `reference_standard` is empty where none is known."""

    file: str
    image: int
    image_hash: str
    patient_id: str
    reference_standard: str
    features: FeatureVector


@dataclass(frozen=True)
class Measured:
    """What files became: `rows` in their order, and for each refused file (or member of a ZIP) its name and the reason."""

    rows: tuple[Row, ...]
    refused: tuple[tuple[str, str], ...]


def measure_files(
    paths: Sequence[Path],
    families: Sequence[str] = ALL,
    *,
    task: str = "",
    workers: int | None = None,
    progress: Progress | None = None,
) -> Measured:
    """Read files and folders and measure every image.

    With a `task`, a folder on the way that is named like one of its classes gives the reference standard, where the file
    itself states none. `workers` processes share the files (default: one for each core). Raises `Refused` for an unknown
    family or task, for nothing to read, or when a worker dies; a file that cannot be read is in `refused` instead.
    """
    get_families(families)
    if workers is not None and workers < 1:
        raise Refused(f"At least one worker is needed, not {workers}.")
    if task:
        get_task(task)
    files = [file for path in paths for file in files_below(path)]
    if not files:
        raise Refused("There is no file to measure.")
    rows: list[Row] = []
    refused: list[tuple[str, str]] = []
    measure = partial(_measure_file, families=tuple(families), task=task)
    for done, (file, found) in enumerate(zip(files, _in_order(measure, files, workers), strict=True), start=1):
        rows += found.rows
        refused += found.refused
        if progress:
            progress(done, len(files), file.name)
    return Measured(tuple(rows), tuple(refused))


def _in_order(measure: Callable[[Path], Measured], files: list[Path], workers: int | None) -> Iterator[Measured]:
    count = min(workers or len(os.sched_getaffinity(0)), len(files))
    if count == 1:
        yield from map(measure, files)
        return
    # A server that has imported this module once forks the workers: imports are paid once, and no thread is ever forked.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(count, mp_context=context) as pool:
        try:
            yield from pool.map(measure, files, chunksize=max(1, min(16, len(files) // (4 * count))))
        except BrokenProcessPool as e:
            raise Refused("A worker process died, probably for lack of memory; run again with --workers 1.") from e
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _measure_file(path: Path, families: tuple[str, ...], task: str) -> Measured:
    rows: list[Row] = []
    refused: list[tuple[str, str]] = []
    for outcome in read_paths([path], task=task):
        name = str(path) if outcome.name == path.name else f"{path} › {outcome.name}"
        if outcome.rejected:
            refused.append((name, str(outcome.rejected)))
        try:
            for study in outcome.studies:
                label = study.reference_standard or _class_in(path, task)
                for image in study.images:
                    vector = extract(image, families)
                    rows.append(Row(name, len(rows) + 1, image.content_hash, study.patient_id, label, vector))
        except (Refused, StudyRejected) as problem:
            refused.append((name, str(problem)))
    return Measured(tuple(rows), tuple(refused))


def _class_in(path: Path, task: str) -> str:
    """The class of the task that a folder above the file is named after, the nearest one; empty when there is none."""
    if not task:
        return ""
    known = get_task(task)
    for folder in reversed(path.parts[:-1]):
        try:
            return known.classes[known.class_index(folder)]
        except Refused:
            continue
    return ""


def as_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """One line per image: file, image, image_hash, patient_id, reference_standard, version, then every feature (float64)."""
    facts = [{name: getattr(row, name) for name in FACTS} | {"version": row.features.version} for row in rows]
    features = pd.DataFrame([row.features.values for row in rows], columns=list(rows[0].features.names))
    return pd.concat([pd.DataFrame(facts), features], axis=1)


def write_table(rows: Sequence[Row], path: Path, kind: str) -> None:
    """Write `rows` (at least one) as `json`, `csv` or `parquet`, all or nothing; undefined is null or empty.

    JSON holds units and version once; Parquet has each column's unit in its field's metadata.
    """
    units = dict(zip(rows[0].features.names, rows[0].features.units, strict=True))
    if kind == "json":
        facts = [{name: getattr(row, name) for name in FACTS} | {"features": row.features.as_dict()} for row in rows]
        write_json(path, {"version": rows[0].features.version, "units": units, "images": facts})
    elif kind == "csv":
        write_text(path, as_frame(rows).to_csv(index=False))
    else:
        table = pa.Table.from_pandas(as_frame(rows), preserve_index=False)
        fields = [f.with_metadata({"unit": units[f.name]}) if f.name in units else f for f in table.schema]
        draft = path.with_name(path.name + ".part")
        pq.write_table(table.cast(pa.schema(fields, metadata=table.schema.metadata)), draft, compression="zstd")
        os.replace(draft, path)


def read_table(name: str, data: bytes) -> pd.DataFrame:
    """A table that `write_table` wrote, from its bytes, as `as_frame` gives it; the ending of `name` says which kind.

    Raises `Refused` in one sentence for anything else.
    """
    try:
        table = _parsed(name.rsplit(".", 1)[-1].lower(), data)
        texts = [c for c in ("file", "image_hash", "patient_id", "reference_standard", "version") if c in table]
        numbers = [c for c in table if c not in (*FACTS, "version")]
        table = table.astype(dict.fromkeys(numbers, "float64"))
        table[texts] = table[texts].fillna("").astype(str)
    except (ValueError, KeyError, TypeError, AttributeError, OSError, pa.ArrowException) as e:
        raise Refused(f"{name} is not a feature table that can be read ({type(e).__name__}).") from e
    missing = [column for column in (*FACTS, "version") if column not in table]
    if missing or table.empty:
        raise Refused(
            f"{name} has no {f'column {missing[0]}' if missing else 'rows'}; write it with `python -m core features`."
        )
    return table


def _parsed(kind: str, data: bytes) -> pd.DataFrame:
    if kind == "json":
        content: dict[str, Any] = json.loads(data)
        flat = [{n: r[n] for n in FACTS} | {"version": content["version"]} | r["features"] for r in content["images"]]
        return pd.DataFrame(flat)
    if kind == "csv":
        return pd.read_csv(io.BytesIO(data), dtype={"patient_id": str, "reference_standard": str})
    return pq.read_table(pa.BufferReader(data)).to_pandas()
