"""What the Datasets page shows, made once per dataset and shared by all sessions. Every door asks for a lead.

Reviewers must not learn the reference standard of cases they will read, so the check stands where the data is handed out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from core import settings
from core.checkpoint import load_checkpoint
from core.datasets import explore, lookalikes, pictures
from core.datasets.embedding import Embedding, embed, flat_map, load_embedding, save_embedding
from core.datasets.loading import load_dataset
from core.datasets.profile import Profile, make_profile, profile_folder, read_profile
from core.records import Refused
from core.tasks import get_task
from db import datasets, models
from db import engine as store
from db.datasets import DatasetEntry
from db.users import User
from pages.ui import identity, jobs
from pages.ui.jobs import Job

MOST_MAPPED = 3000  # cases of a map: more are neither told apart by eye nor drawn quickly


@dataclass(frozen=True)
class Opened:
    """A registered dataset and its profile; `key` changes whenever the profile is made anew, and names it in caches."""

    entry: DatasetEntry
    profile: Profile
    key: str
    folder: Path

    @property
    def classes(self) -> tuple[str, ...]:
        """The task's classes, the positive one first where there is one."""
        task = get_task(self.entry.task)
        return tuple(sorted(task.classes, key=lambda name: name != task.positive))


def listed(user: User) -> list[DatasetEntry]:
    """All registered datasets, by name. Raises `Refused` unless the person is a lead."""
    identity.require_lead(user)
    with store.read() as session:
        return datasets.list_datasets(session)


def opened(user: User, entry: DatasetEntry) -> Opened:
    """A dataset ready for looking at. Raises `Refused` unless the person is a lead, or when its profile is missing."""
    identity.require_lead(user)
    folder = profile_folder(entry.fingerprint, entry.task)
    made = folder / "profile.json"
    key = f"{folder}:{made.stat().st_mtime_ns if made.exists() else 0}"
    return Opened(entry, _profile(key, folder), key, folder)


@st.cache_resource(show_spinner=False, max_entries=8)
def _profile(key: str, _folder: Path) -> Profile:
    return read_profile(_folder)


@st.cache_resource(show_spinner="Comparing pictures …", max_entries=16)
def duplicates(key: str, _profile: Profile) -> pd.DataFrame:
    """Pairs of look-alikes, see `lookalikes.duplicates`."""
    return lookalikes.duplicates(_profile.table, _profile.facts, _profile.copies)


@st.cache_resource(show_spinner=False, max_entries=16)
def distributions(key: str, _profile: Profile) -> dict[str, tuple[pd.DataFrame, explore.Summary | None]]:
    """Column -> its distribution and summary, for every column worth one."""
    table = _profile.table
    return {
        name: (explore.distribution(table[name]), explore.summary(table[name])) for name in explore.attributes_of(table)
    }


@st.cache_resource(show_spinner=False, max_entries=64)
def columns(key: str, _profile: Profile) -> list[str]:
    """The columns worth a distribution."""
    return explore.attributes_of(_profile.table)


@st.cache_resource(show_spinner=False, max_entries=32)
def cross_table(key: str, _profile: Profile, column: str, class_name: str) -> pd.DataFrame:
    """See `explore.cross_table`."""
    return explore.cross_table(_profile.table, column, class_name)


@st.cache_resource(show_spinner=False, max_entries=32)
def shift(key: str, _profile: Profile, column: str, statistic: str) -> pd.DataFrame:
    """See `pictures.by_group`."""
    return pictures.by_group(_profile.facts, explore.groups(_profile.table[column]), statistic)


def register(user: User, path: Path, task: str, name: str) -> tuple[str, ...]:
    """Begin to read a dataset and to register it; gives the key of the job. Raises `Refused` unless the person is a lead."""
    identity.require_lead(user)

    def work(job: Job) -> DatasetEntry:
        dataset = load_dataset(path, task, job.report)
        make_profile(dataset, profile_folder(dataset.fingerprint, task), job.report)
        entry = DatasetEntry(name or dataset.name, str(path.resolve()), task, dataset.fingerprint, dataset.counts())
        with store.write() as session:
            datasets.add_dataset(session, entry, actor=user.name)
        return entry

    key = ("register", str(path), task)
    jobs.start(key, work)
    return key


def embedding_file(shown: Opened, version: str) -> Path:
    """Where the features of that dataset by that model are kept."""
    return shown.folder / f"embedding-{version[:16]}.npz"


def embedding_work(shown: Opened, version: str, job: Job) -> None:
    """Run a model over the cases that have pictures (at most 3,000, drawn once) and keep its features."""
    dataset = load_dataset(Path(shown.entry.path), shown.entry.task, job.report)
    if dataset.fingerprint != shown.entry.fingerprint:
        raise Refused(f"{shown.entry.name} has changed since it was registered; register it again.")
    there = [i for i, case in enumerate(dataset.cases) if case.pixel_hash]
    chosen = np.sort(np.random.default_rng(0).choice(there, min(MOST_MAPPED, len(there)), replace=False))
    checkpoint, device = load_checkpoint(models.model_file(version)), settings.device()
    cases = [dataset.cases[i] for i in chosen]
    save_embedding(embed(checkpoint.to(device), cases, device, job.report), embedding_file(shown, version))


@st.cache_resource(show_spinner=False, max_entries=8)
def embedding(path: str, key: str) -> Embedding:
    """A kept embedding."""
    return load_embedding(Path(path))


@st.cache_resource(show_spinner="Drawing the map …", max_entries=8)
def points(path: str, key: str, method: str) -> tuple[np.ndarray, str]:
    """See `embedding.flat_map`."""
    return flat_map(embedding(path, key).features, method)
