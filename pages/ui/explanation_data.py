"""What the Explanations page shows and starts: measurements of a model's heatmaps. Every door asks for a lead."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.datasets import load_dataset
from core.explain import Cancelled
from core.explain.honesty import benchmark
from core.explain.honesty.masks import tuned_thresholds
from core.explain.honesty.material import MaskedCase, Material, material_of
from core.records import Model, Refused
from core.statistics.localisation import region_mask
from core.tasks import get_task
from db import datasets, heatmap_measures, models
from db import engine as store
from db.datasets import DatasetEntry
from db.heatmap_measures import MarkedStudy, Parts
from db.users import User
from pages.ui import identity, jobs, resources
from pages.ui.jobs import Job

MOST_IMAGES = 200  # of a dataset's split that are looked at
MOST_REGIONS = 60  # marked pictures
POINT = 0.05  # of the picture's longer side: how near a map must come to a marked point
Measures = dict[str, Parts]


def registered(user: User) -> list[Model]:
    """All models that are not withdrawn, the active ones first. Raises `Refused` unless the person is a lead."""
    identity.require_lead(user)
    with store.read() as session:
        known = [m for m in models.list_models(session) if m.status != "withdrawn"]
    return sorted(known, key=lambda m: (m.status != "active", m.task, m.name))


def datasets_of(user: User, task: str) -> list[DatasetEntry]:
    """Registered datasets of a task. Raises `Refused` unless the person is a lead."""
    identity.require_lead(user)
    with store.read() as session:
        return [entry for entry in datasets.list_datasets(session) if entry.task == task]


def measures_of(version: str) -> Measures:
    """Everything measured of a model: method -> part -> facts."""
    with store.read() as session:
        return heatmap_measures.get_measures(session, version)


def marked(user: User, task: str) -> list[MarkedStudy]:
    """Studies in which reviewers drew regions. Raises `Refused` unless the person is a lead."""
    identity.require_lead(user)
    with store.read() as session:
        return heatmap_measures.list_regions(session, task, limit=MOST_REGIONS)


def fingerprint(regions: Sequence[MarkedStudy]) -> str:
    """SHA-256 (hex) of what was marked, by which it is known whether a measurement is of these regions."""
    text = json.dumps([(r.study_id, r.label, [dict(region) for region in r.regions]) for r in regions], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def missing(
    measures: Measures, methods: Sequence[str], entry: DatasetEntry | None, regions: Sequence[MarkedStudy]
) -> list[tuple[str, str]]:
    """(method, part) that was not yet measured on this dataset, or against other regions or thresholds than there are now."""
    now = fingerprint(regions)

    def is_there(method: str, part: str) -> bool:
        facts: Mapping[str, Any] = measures.get(method, {}).get(part, {})
        if part == benchmark.REVIEWERS:
            return facts.get("regions") == now and facts.get("thresholds", {}) == thresholds_of(measures, method)
        return bool(facts) and entry is not None and facts.get("fingerprint") == entry.fingerprint

    parts = list(benchmark.PARTS) if entry else []
    parts += [benchmark.REVIEWERS] if regions else []
    return [(method, part) for method in methods for part in parts if not is_there(method, part)]


def thresholds_of(measures: Measures, method: str) -> dict[str, float]:
    """The IoU's thresholds that were chosen on lesion masks for a method and its controls; none where none were."""
    return tuned_thresholds(measures.get(method, {}).get("masks", {}))


def key_of(version: str) -> tuple[str, ...]:
    """The key of a model's measuring job."""
    return "explanations", version


def begin(user: User, model: Model, entry: DatasetEntry | None, methods: Sequence[str]) -> None:
    """Begin to measure what is missing. What is done is stored part by part, so that a stop keeps it."""
    identity.require_lead(user)
    regions = marked(user, model.task)
    wanted = missing(measures_of(model.version), methods, entry, regions)

    def work(job: Job) -> str:
        try:
            stored = _measure(job, user, model, entry, wanted, regions)
        except Cancelled:
            return "Stopped. What was measured is stored; the rest can be measured any time."
        return f"Measured {stored} part(s)."

    jobs.start(key_of(model.version), work, kind="explanations")


def _measure(
    job: Job,
    user: User,
    model: Model,
    entry: DatasetEntry | None,
    wanted: Sequence[tuple[str, str]],
    regions: Sequence[MarkedStudy],
) -> int:
    engine = resources.engine()

    def report(done: int, total: int, text: str) -> None:
        job.report(done, total, text)
        if job.stop.is_set():
            raise Cancelled("The measurement was stopped.")

    def run(material: Material, parts: Sequence[tuple[str, str]], more: Mapping[str, Mapping[str, Any]]) -> int:
        task = benchmark.Job(
            engine.checkpoint(model.version), material, engine.device, None, report, job.stop.is_set, engine.give_way,
            {method: facts["thresholds"] for method, facts in more.items()},
        )  # fmt: skip
        stored = 0
        for method, part, facts in benchmark.measure(task, parts):
            name, extra = (benchmark.REVIEWERS, more[method]) if more else (part, {})
            with store.write() as session:
                heatmap_measures.put_measure(session, model.version, method, name, {**facts, **extra}, actor=user.name)
            stored += 1
        return stored

    done = 0
    own = [(method, part) for method, part in wanted if part != benchmark.REVIEWERS]
    if own and entry:
        dataset = load_dataset(Path(entry.path), entry.task, report)
        if dataset.fingerprint != entry.fingerprint:
            raise Refused(f"{entry.name} has changed since it was registered; register it again.")
        done += run(material_of(dataset, Path(entry.path), MOST_IMAGES), own, {})
    theirs = [(method, "masks") for method, part in wanted if part == benchmark.REVIEWERS]
    if theirs:
        known, cases = measures_of(model.version), marked_cases(regions, model.task)
        more = {
            method: {
                "marked": len(regions), "regions": fingerprint(regions), "thresholds": thresholds_of(known, method),
                "tuned_on": known.get(method, {}).get("masks", {}).get("dataset", ""),
            }
            for method, _ in theirs
        }  # fmt: skip
        done += run(Material("reviewers' regions", "", model.task, (), cases), theirs, more)
    return done


def marked_cases(regions: Sequence[MarkedStudy], task: str) -> tuple[MaskedCase, ...]:
    """One case for each picture that a reviewer marked; several reviewers of a study are one patient to the intervals."""
    found = []
    for study in regions:
        if study.label not in get_task(task).classes:
            continue
        try:
            images = resources.study_pixels(study.study_id).images
        except Refused:  # gone, or held meanwhile
            continue
        for i in sorted({int(region.get("image", 0)) for region in study.regions}):
            if i < len(images):
                shape = images[i].pixels.shape[:2]
                mask = region_mask(study.regions, shape, i, radius=POINT * max(shape))
                if mask.any():
                    found.append(MaskedCase(images[i], mask, study.label, study.study_id))
    return tuple(found)
