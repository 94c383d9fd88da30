"""The list of evaluation runs, page by page, and what people may change about a run: archived or not, tags, notes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from sqlalchemy import ColumnElement, Text, cast, func, or_, select
from sqlalchemy.orm import Session

from core.records import Refused
from db.audit import add_entry
from db.frames import frame
from db.tables import RunMarkRow, RunRow, utc_now

MOST_TAGS, LONGEST_TAG, LONGEST_NOTES = 20, 40, 4000


@dataclass(frozen=True)
class RunQuery:
    """Which runs. Empty strings mean any; `search` looks in model, dataset, tags, notes and the beginning of the id.

    `since` and `until` are days (YYYY-MM-DD, UTC), both included. Archived runs are left out unless `archived`. `ids` are
    whole run ids, any where empty.
    """

    search: str = ""
    task: str = ""
    model_name: str = ""
    model_version: str = ""
    dataset: str = ""
    tag: str = ""
    since: str = ""
    until: str = ""
    archived: bool = False
    ids: tuple[str, ...] = ()
    limit: int = 50
    offset: int = 0

    def __post_init__(self) -> None:
        if self.limit < 0 or self.offset < 0:
            raise ValueError(f"limit and offset must not be negative: {self.limit}, {self.offset}")


@dataclass(frozen=True)
class RunMarks:
    """What people note about a run; the run itself never changes."""

    archived: bool = False
    tags: tuple[str, ...] = ()
    notes: str = ""


def list_runs(session: Session, query: RunQuery | None = None) -> pd.DataFrame:
    """One page of runs, newest first, without reading their predictions.

    Columns: id, created_at, model_name, model_version, task, dataset, split, n (cases), archived, tags, notes, architecture,
    fingerprint (of the dataset), seconds (of the evaluation), parameters (of the network; the last four are NA where the
    run does not say); then, for each metric that any of these runs has, `<metric>`, `<metric>_low`, `<metric>_high` and
    `<metric>_n`, NA where a run lacks it or it is undefined.
    """
    query = query or RunQuery()
    columns = (
        RunRow.id, RunRow.created_at, RunRow.model_name, RunRow.model_version, RunRow.task, RunRow.dataset,
        RunRow.split, RunRow.n, func.coalesce(RunMarkRow.archived, False).label("archived"), RunMarkRow.tags,
        func.coalesce(RunMarkRow.notes, "").label("notes"), RunRow.provenance, RunRow.metrics,
    )  # fmt: skip
    page = select(*columns).outerjoin(RunMarkRow, RunMarkRow.run_id == RunRow.id).where(*_filters(query))
    table = frame(session, page.order_by(RunRow.number.desc()).limit(query.limit).offset(query.offset))
    table["tags"] = pd.Series([tags or [] for tags in table["tags"]], index=table.index, dtype=object)
    facts = _facts(table["provenance"])
    return table.drop(columns=["provenance", "metrics"]).join(facts).join(_metric_columns(table["metrics"]))


def count_runs(session: Session, query: RunQuery | None = None) -> int:
    """How many runs the query finds on all its pages."""
    found = select(func.count()).select_from(RunRow).outerjoin(RunMarkRow, RunMarkRow.run_id == RunRow.id)
    return session.scalar(found.where(*_filters(query or RunQuery()))) or 0


def name_runs(session: Session, limit: int = 200) -> pd.DataFrame:
    """The newest runs that are not archived, for a choice: id, model_name, task, dataset, split, n, created_at."""
    columns = (
        RunRow.id, RunRow.model_name, RunRow.task, RunRow.dataset, RunRow.split, RunRow.n, RunRow.created_at,
    )  # fmt: skip
    newest = select(*columns).outerjoin(RunMarkRow, RunMarkRow.run_id == RunRow.id).where(*_filters(RunQuery()))
    return frame(session, newest.order_by(RunRow.number.desc()).limit(limit))


def resolve(session: Session, beginnings: Sequence[str]) -> list[str]:
    """The run ids that begin so, in the order given, for short links; each once.

    `Refused` where a beginning fits no run or several.
    """
    wanted = list(dict.fromkeys(text.strip() for text in beginnings if text.strip()))
    fits = [RunRow.id.startswith(text, autoescape=True) for text in wanted]
    known = list(session.scalars(select(RunRow.id).where(or_(*fits)))) if fits else []
    found = []
    for text in wanted:
        ids = [text] if text in known else [run_id for run_id in known if run_id.startswith(text)]
        if len(ids) != 1:
            raise Refused(
                f"{'Several evaluation runs begin' if ids else 'There is no evaluation run that begins'} with '{text[:64]}'."
            )
        found += ids
    return list(dict.fromkeys(found))


def run_choices(session: Session) -> dict[str, list[str]]:
    """What the runs can be filtered by, sorted: `task`, `model_name`, `dataset` and `tag`, archived runs included."""
    columns = {"task": RunRow.task, "model_name": RunRow.model_name, "dataset": RunRow.dataset}
    found = {
        name: list(session.scalars(select(column).distinct().order_by(column))) for name, column in columns.items()
    }
    tags = {tag for tags in session.scalars(select(RunMarkRow.tags)) for tag in tags}
    return found | {"tag": sorted(tags)}


def get_marks(session: Session, run_id: str) -> RunMarks:
    """The marks of a run; empty ones where nobody made any."""
    row = session.get(RunMarkRow, run_id)
    return RunMarks() if row is None else RunMarks(row.archived, tuple(row.tags), row.notes)


def set_marks(session: Session, run_id: str, marks: RunMarks, actor: str) -> None:
    """Replace a run's marks and say so in the audit log.

    Tags are trimmed and kept once each. `Refused` when there is no such run, or tags or notes are too many or too long.
    """
    if session.scalar(select(RunRow.number).where(RunRow.id == run_id)) is None:
        raise Refused(f"There is no evaluation run '{run_id}'.")
    tags = list(dict.fromkeys(tag.strip() for tag in marks.tags if tag.strip()))
    if len(tags) > MOST_TAGS or any(len(tag) > LONGEST_TAG for tag in tags):
        raise Refused(f"A run has at most {MOST_TAGS} tags of at most {LONGEST_TAG} characters.")
    if len(marks.notes) > LONGEST_NOTES:
        raise Refused(f"Notes have at most {LONGEST_NOTES} characters.")
    row = session.get(RunMarkRow, run_id)
    if row is None:
        row = RunMarkRow(run_id=run_id)
        session.add(row)
    row.archived, row.tags, row.notes, row.updated_at = marks.archived, tags, marks.notes, utc_now()
    details = {"archived": marks.archived, "tags": tags, "notes": marks.notes}
    add_entry(session, actor, "run.mark", f"run:{run_id}", details)
    session.flush()


def _filters(query: RunQuery) -> list[ColumnElement[bool]]:
    exact = (
        (RunRow.task, query.task), (RunRow.model_name, query.model_name),
        (RunRow.model_version, query.model_version), (RunRow.dataset, query.dataset),
    )  # fmt: skip
    filters: list[ColumnElement[bool]] = [column == value for column, value in exact if value]
    tags = cast(RunMarkRow.tags, Text)
    if not query.archived:
        filters.append(func.coalesce(RunMarkRow.archived, False).is_(False))
    if query.ids:
        filters.append(RunRow.id.in_(query.ids))
    if query.tag:
        filters.append(tags.contains(json.dumps(query.tag, ensure_ascii=False), autoescape=True))
    if query.since:
        filters.append(RunRow.created_at >= query.since)
    if query.until:
        filters.append(func.substr(RunRow.created_at, 1, 10) <= query.until)
    if words := query.search.strip():
        anywhere = (RunRow.model_name, RunRow.dataset, tags, RunMarkRow.notes)
        found = RunRow.id.startswith(words.lower(), autoescape=True)
        for column in anywhere:
            found = found | func.coalesce(column, "").icontains(words, autoescape=True)
        filters.append(found)
    return filters


def _facts(provenances: pd.Series) -> pd.DataFrame:
    """What runs of this program say of themselves; predictions made elsewhere may say nothing."""

    def column(values: list[Any], dtype: str) -> pd.Series:
        return pd.Series(values, index=provenances.index, dtype=dtype)

    return pd.DataFrame(
        {
            "architecture": column([p.get("architecture") for p in provenances], "str"),
            "fingerprint": column([dict(p.get("dataset") or {}).get("fingerprint") for p in provenances], "str"),
            "seconds": column([p.get("seconds") for p in provenances], "Float64"),
            "parameters": column([p.get("parameters") for p in provenances], "Int64"),
        },
        index=provenances.index,
    )


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
