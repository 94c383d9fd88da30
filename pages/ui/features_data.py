"""What the features page measures and keeps: numbers by content hash, regions of the reader, the store's known classes."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import streamlit as st

from core import settings
from core.features import FAMILIES, FeatureVector, extract
from core.features.extraction import version_of
from core.reading import read_upload
from core.records import Image, Refused, Review, Study
from db import drafts, references, reviews, studies
from db import engine as store
from db.studies import WorklistQuery
from db.users import User
from pages.ui import identity, jobs
from pages.ui.jobs import Job

MATCHES = 50
_KEPT = 20_000  # vectors, some 50 MB


@dataclass
class _Kept:
    vectors: OrderedDict[str, FeatureVector]
    lock: Lock


@dataclass(frozen=True)
class Cohort:
    """Features of many cases whose class is known: `values` (n, features), `labels` (n,), `hashes` of their images."""

    source: str
    names: tuple[str, ...]
    values: np.ndarray
    labels: np.ndarray
    hashes: np.ndarray


@st.cache_resource(show_spinner=False)
def _kept() -> _Kept:
    return _Kept(OrderedDict(), Lock())


@st.cache_resource(max_entries=8, show_spinner=False)
def _cohorts() -> dict[tuple[str, ...], Cohort]:
    return {}


def measured(image: Image, family: str, region: Mapping[str, Any] | None = None) -> FeatureVector:
    """The features of one family; measured once for each picture, window and region, whoever asks."""
    kept = _kept()
    parts = (image.content_hash, image.window, family, FAMILIES[family].version, region and region["points"])
    key = hashlib.sha256(repr(parts).encode()).hexdigest()
    with kept.lock:
        if key in kept.vectors:
            kept.vectors.move_to_end(key)
            return kept.vectors[key]
    vector = extract(image, [family], region)
    with kept.lock:
        kept.vectors[key] = vector
        while len(kept.vectors) > _KEPT:
            kept.vectors.popitem(last=False)
    return vector


@st.cache_resource(max_entries=2, ttl=600, show_spinner=False)
def file_study(file_id: str, name: str, _data: bytes) -> tuple[Study, int]:
    """The first study of an uploaded file and how many there are; kept for a while, so that a rerun decodes nothing.

    `file_id` is new with every upload and known to its session only. Raises `StudyRejected`.
    """
    found = read_upload(name, _data, secret=settings.installation_secret())
    return found[0], len(found)


def search(words: str, user: User) -> dict[str, str]:
    """Study id -> name of the first 50 studies whose name or patient holds these words."""
    with store.read() as session:
        rows = studies.list_worklist(session, WorklistQuery(user.name, search=words, sort="name", limit=MATCHES))
    rows = rows[rows["status"] != "held"]
    return dict(zip(rows["id"], rows["name"], strict=True))


def regions_of(study_id: str, image: int, user: User) -> list[Mapping[str, Any]]:
    """Rectangles that this person drew in that image, in the draft or in saved readings; each once."""
    with store.read() as session:
        draft = drafts.get_draft(session, study_id, user.name) or {}
        saved = [reviews.latest_review(session, study_id, user.name, phase) for phase in ("aided", "unaided")]
    drawn = [*draft.get("regions", ()), *(r for review in saved if isinstance(review, Review) for r in review.regions)]
    return list({str(r["points"]): r for r in drawn if r.get("kind") == "rect" and r.get("image") == image}.values())


def store_cohort(user: User, task: str, family: str) -> Cohort | None:
    """The store's studies of that task with a reference standard, first image of each; None while they are being measured.

    Leads only. Raises `Refused` when there is none.
    """
    identity.require_lead(user)
    with store.read() as session:
        known = references.list_references(session, task)
    if not known:
        raise Refused("No study of this task in the store states its reference standard.")
    digest = hashlib.sha256(repr(known).encode()).hexdigest()
    key = ("features", task, version_of([FAMILIES[family]]), digest)
    if key not in _cohorts():
        jobs.start(key, lambda job: _measure(job, known, family))
        found = jobs.fetch(key)
        if found is None:
            return None
        _cohorts()[key] = found
        while len(_cohorts()) > 16:
            _cohorts().pop(next(iter(_cohorts())))
    return _cohorts()[key]


def _measure(job: Job, known: list[tuple[str, str, str]], family: str) -> Cohort:
    vectors, labels, hashes = [], [], []
    for done, (study_id, label, pixel_hash) in enumerate(known, start=1):
        with store.read() as session:
            summary = studies.get_study_summary(session, study_id)
        try:
            vectors.append(measured(studies.load_image(summary.images[0]), family))
            labels.append(label)
            hashes.append(pixel_hash)
        except Refused:  # too small to measure: it has no place in the plot
            pass
        job.report(done, len(known), "Measuring studies")
    if not vectors:
        raise Refused("No study of this task is large enough to be measured.")
    return Cohort(
        "this store", vectors[0].names, np.array([v.values for v in vectors]), np.array(labels), np.array(hashes)
    )


def table_cohort(user: User, name: str, data: bytes, family: str) -> Cohort:
    """A feature table that `python -m core features` wrote, its rows with a reference standard. Leads only.

    Raises `Refused` for a table of other families or versions, or without any reference standard.
    """
    from core.features.table import read_table  # pyarrow is slow to import, and only leads come here

    identity.require_lead(user)
    table = read_table(name, data)
    table = table[table["reference_standard"] != ""]
    wanted = version_of([FAMILIES[family]])
    names = tuple(column for column in table if column.startswith(f"{family}."))
    if table.empty:
        raise Refused(f"{name} states no reference standard; write it with --task from folders named like the classes.")
    if not names or not table["version"].str.split(", ").map(lambda versions: wanted in versions).all():
        raise Refused(f"{name} does not hold {wanted}; write it again with this program.")
    return Cohort(
        name, names, table[list(names)].to_numpy(float), table["reference_standard"].to_numpy(str),
        table["image_hash"].to_numpy(str),
    )  # fmt: skip
