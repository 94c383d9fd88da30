"""Runs as the dashboards need them, kept by run id: a run never changes, so nothing here can be out of date."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import streamlit as st

from core import settings
from core.records import Estimate, EvaluationRun, Refused
from core.statistics.clustered import clustered_metrics
from core.statistics.discrimination import RocCurve, auc, metrics_from_matrix, predicted_class, roc_curve, thin
from core.statistics.linearised import patient_codes
from core.statistics.precision_recall import PrCurve, average_precision, pr_curve, thin_pr
from core.tasks import TASKS, Task
from core.thumbnails import Thumbnails
from db import engine as store
from db import runs, thumbnails

OPENED = 24  # runs kept with all their texts: about 20 MB each at 100,000 cases


@dataclass(frozen=True, eq=False)
class RunData:
    """A run and what follows from it, each worked out at its first use. Shared by all sessions: never write into it."""

    run: EvaluationRun
    key: str  # of what is kept about it: address of its store and run id

    @property
    def task(self) -> Task:
        """The run's task."""
        return TASKS[self.run.task]

    @property
    def binary(self) -> bool:
        """True where a threshold on one class's probability makes the decision."""
        return len(self.run.classes) == 2 and self.task.positive_index is not None

    @property
    def positive(self) -> int:
        """Index of the positive class of a binary run."""
        index = self.task.positive_index
        assert index is not None
        return index

    @property
    def stored_threshold(self) -> float | None:
        """The threshold of the stored operating point of a binary run, or None."""
        return self.run.operating_point.threshold if self.binary and self.run.operating_point else None

    @cached_property
    def labels01(self) -> np.ndarray:
        """(N,) in {0, 1}: whether the case is positive."""
        return (self.run.labels == self.positive).astype(np.int64)

    @cached_property
    def scores(self) -> np.ndarray:
        """(N,): probability of the positive class."""
        return np.ascontiguousarray(self.run.probabilities[:, self.positive])

    @cached_property
    def patients(self) -> np.ndarray | None:
        """(N,) whole numbers, one per patient, or None where each patient has one case only."""
        codes, names = pd.factorize(pd.Series(self.run.patient_ids))
        return None if len(names) == len(codes) else patient_codes(codes, len(codes))

    @cached_property
    def roc(self) -> RocCurve:
        """The ROC curve as it is drawn."""
        return thin(roc_curve(self.labels01, self.scores), 400)

    @cached_property
    def pr(self) -> PrCurve:
        """The precision–recall curve as it is drawn."""
        return thin_pr(pr_curve(self.labels01, self.scores), 400)

    @cached_property
    def class_curves(self) -> dict[str, tuple[RocCurve, Estimate]]:
        """Of each class against the rest: the ROC curve as it is drawn, and its AUC."""
        found = {}
        for place, name in enumerate(self.run.classes):
            labels, scores = (self.run.labels == place).astype(np.int64), self.run.probabilities[:, place]
            area = self.run.metrics.get(f"auc_{name}") or auc(labels, scores, patients=self.patients)
            found[name] = (thin(roc_curve(labels, scores), 150), area)
        return found

    @cached_property
    def average_precision(self) -> Estimate:
        """Area under it."""
        stored = self.run.metrics.get("average_precision")
        return stored or average_precision(self.labels01, self.scores, patients=self.patients)

    @cached_property
    def _sorted(self) -> tuple[np.ndarray, np.ndarray]:
        return np.sort(self.scores[self.labels01 == 0]), np.sort(self.scores[self.labels01 == 1])

    def matrix(self, threshold: float | None) -> np.ndarray:
        """Confusion matrix (C, C) at the threshold (binary, by two look-ups), or of the most probable classes."""
        if self.binary and threshold is not None:
            negative, positive = self._sorted
            tn, fn = (int(np.searchsorted(own, threshold, "left")) for own in (negative, positive))
            matrix = np.array([[tn, len(negative) - tn], [fn, len(positive) - fn]])
            return matrix if self.positive == 1 else matrix[::-1, ::-1]
        return self._most_probable_matrix

    @cached_property
    def _most_probable_matrix(self) -> np.ndarray:
        c = len(self.run.classes)
        return np.bincount(self.run.labels * c + self.predicted(None), minlength=c * c).reshape(c, c)

    def predicted(self, threshold: float | None) -> np.ndarray:
        """(N,): the class that the model calls each case at this threshold."""
        return predicted_class(self.run.probabilities, self.task.positive_index, threshold)

    def metrics_at(self, threshold: float | None) -> dict[str, Estimate]:
        """The stored metrics; at another threshold than the stored one, those that depend on it are worked out anew."""
        metrics = dict(self.run.metrics)
        if self.binary and threshold is not None and threshold != self.stored_threshold:
            metrics |= self._metrics_anew(threshold)
        return metrics

    def _metrics_anew(self, threshold: float) -> dict[str, Estimate]:
        if self.patients is not None:
            return clustered_metrics(self.labels01, (self.scores >= threshold).astype(np.int64), self.patients)
        matrix = self.matrix(threshold)
        return metrics_from_matrix(matrix if self.positive == 1 else matrix[::-1, ::-1])

    def confidence(self, threshold: float | None) -> np.ndarray:
        """(N,): probability of the class that each case is called."""
        return self.run.probabilities[np.arange(len(self.run.labels)), self.predicted(threshold)]


@st.cache_resource(max_entries=OPENED, show_spinner=False)
def _load(url: str, run_id: str) -> RunData:
    with store.read() as session:
        return RunData(runs.get_run(session, run_id), f"{url}|{run_id}")


def load(run_id: str) -> RunData:
    """The run of that id; `Refused` where there is none."""
    return _load(settings.database_url(), run_id)


@st.cache_resource(max_entries=OPENED, show_spinner=False)
def _attributes(url: str, run_id: str) -> pd.DataFrame:
    with store.read() as session:
        return runs.get_attributes(session, run_id)


def attributes(run_id: str) -> pd.DataFrame:
    """The attributes of a run's cases, one column each; shared, so never write into it."""
    return _attributes(settings.database_url(), run_id)


@st.cache_resource(max_entries=OPENED, show_spinner=False)
def _pixel_hashes(url: str, run_id: str) -> pd.Series:
    with store.read() as session:
        return runs.get_pixel_hashes(session, run_id)


def study_links(run_id: str, places: np.ndarray) -> dict[int, str]:
    """Place -> id of the study in the store that holds this case's picture, for those that are there (asked afresh)."""
    hashes = _pixel_hashes(settings.database_url(), run_id)
    if not len(hashes):
        return {}
    wanted = {int(place): hashes.iloc[int(place)] for place in places}
    with store.read() as session:
        found = runs.find_studies(session, list(wanted.values()))
    return {place: found[pixel_hash] for place, pixel_hash in wanted.items() if pixel_hash in found}


@st.cache_resource(max_entries=64, show_spinner=False)
def _thumbnails(path: str) -> Thumbnails:
    return Thumbnails(thumbnails.thumbnail_file(path))


def pictures(run: EvaluationRun) -> Thumbnails | None:
    """The run's thumbnails, or None where it came without any."""
    digest = run.provenance.get("thumbnails_sha256")
    try:
        return _thumbnails(str(digest)) if digest and thumbnails.thumbnail_file(str(digest)).exists() else None
    except (ValueError, Refused):
        return None
