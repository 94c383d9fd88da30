"""The runs of a comparison: which fit together, each one's part, and the differences to the baseline. Kept by run ids."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core import settings
from core.run_comparison import Scored, differences, drawn_roc, places_in, score, why_not_comparable
from core.statistics.discrimination import RocCurve
from core.statistics.paired import Difference
from core.tasks import TASKS, Task
from db import engine as store
from db import run_list, runs
from db.run_list import RunQuery
from pages.ui import run_data
from pages.ui.run_data import RunData

KEPT = 128  # parts: about 1 MB each at 100,000 cases of two classes


@dataclass(frozen=True)
class Compared:
    """Comparable runs, the baseline first: `rows` of the list of runs in the same order as `names` and `parts`.

    `refused` maps the name of a run that does not fit to the reason.
    """

    baseline: RunData
    rows: pd.DataFrame
    names: list[str]
    parts: list[Scored]
    refused: dict[str, str]

    @property
    def task(self) -> Task:
        """Their task."""
        return TASKS[self.baseline.run.task]

    @property
    def ids(self) -> list[str]:
        """Their run ids, the baseline's first."""
        return list(self.rows["id"])

    def curve(self, place: int) -> RocCurve | None:
        """The ROC curve of the run at that place."""
        return _curve(settings.database_url(), self.ids[place])

    def differences(self) -> list[dict[str, Difference]]:
        """Of every run but the baseline, less the baseline."""
        return [_difference(settings.database_url(), self.ids[0], other) for other in self.ids[1:]]


def name_of(row: Any) -> str:
    """A run's name where several runs of one model may stand side by side."""
    return f"{row.model_name} · {row.id[:6]}"


def gather(ids: list[str], baseline: str) -> Compared:
    """The runs of those ids that can be compared with the baseline, which is one of them."""
    with store.read() as session:
        rows = run_list.list_runs(session, RunQuery(ids=tuple(ids), archived=True, limit=len(ids)))
    rows = rows.set_index("id", drop=False).loc[[baseline, *(i for i in ids if i != baseline)]].reset_index(drop=True)
    listed = rows[["task", "split", "dataset", "fingerprint", "n"]].to_dict("records")
    reasons = [why_not_comparable(listed[0], other) for other in listed]
    found = _parts(baseline, [run_id for run_id, reason in zip(rows["id"], reasons, strict=True) if not reason])
    refused, kept, parts = {}, [], []
    for place, (row, reason) in enumerate(zip(rows.itertuples(), reasons, strict=True)):
        part = found.get(row.id)
        if part is None:
            refused[name_of(row)] = reason or "its cases or their reference standards are not the same"
        else:
            kept.append(place)
            parts.append(part)
    rows = rows.iloc[kept].reset_index(drop=True)
    return Compared(run_data.load(baseline), rows, [name_of(row) for row in rows.itertuples()], parts, refused)


@st.cache_resource(show_spinner=False)
def _kept() -> dict[tuple[str, str, str], Scored | None]:
    return {}


def _parts(baseline: str, run_ids: list[str]) -> dict[str, Scored | None]:
    """Each run's part, None where its cases or labels are not the baseline's; what is not kept is made on several threads."""
    # Streamlit's own cache lets one function make one value at a time, whatever the key: hence a table of our own.
    kept, url = _kept(), settings.database_url()
    found = {run_id: kept[url, baseline, run_id] for run_id in run_ids if (url, baseline, run_id) in kept}
    missing = [run_id for run_id in run_ids if run_id not in found]
    if missing:
        cases, task = _cases(url, baseline), run_data.load(baseline).task
        with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
            made = dict(
                zip(missing, pool.map(lambda run_id: _part(baseline, run_id, cases, task), missing), strict=True)
            )
        for run_id, part in made.items():
            kept[url, baseline, run_id] = part
        while len(kept) > KEPT:
            kept.pop(next(iter(kept)), None)
        found |= made
    return found


def _part(baseline: str, run_id: str, cases: tuple[str, np.ndarray], task: Task) -> Scored | None:
    """The run's part with its cases in the baseline's order; `cases` are the digest and the labels of the baseline's."""
    with store.read() as session:
        scores = runs.get_scores(session, run_id)
    own_labels, probabilities = scores.labels, scores.probabilities
    if scores.cases != cases[0]:
        places = places_in(run_data.load(baseline).run.case_ids, run_data.load(run_id).run.case_ids)
        if places is None:
            return None
        own_labels, probabilities = own_labels[places], probabilities[places]
    same = np.array_equal(own_labels, cases[1])
    return score(own_labels, probabilities, task, scores.threshold) if same else None


@st.cache_resource(max_entries=KEPT, show_spinner=False)
def _curve(url: str, run_id: str) -> RocCurve | None:
    with store.read() as session:
        scores = runs.get_scores(session, run_id)
        task = run_list.list_runs(session, RunQuery(ids=(run_id,), archived=True))["task"].iloc[0]
    return drawn_roc(scores.labels, scores.probabilities, TASKS[task])


@st.cache_resource(max_entries=KEPT, show_spinner=False)
def _cases(url: str, run_id: str) -> tuple[str, np.ndarray]:
    with store.read() as session:
        scores = runs.get_scores(session, run_id)
    return scores.cases, scores.labels


@st.cache_resource(max_entries=64 * KEPT, show_spinner=False)
def _difference(url: str, baseline: str, other: str) -> dict[str, Difference]:
    parts = _parts(baseline, [baseline, other])
    base, part = parts[baseline], parts[other]
    assert base is not None
    assert part is not None
    data = run_data.load(baseline)
    return differences(part, base, data.run.labels, data.task, data.patients)
