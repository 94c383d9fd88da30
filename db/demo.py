"""The demo: made on the spot from simulated patients, never shipped. An entry point's helper: it may compose core and db."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from core import settings
from core.checkpoint import Checkpoint, load_checkpoint, model_record
from core.datasets import Dataset, load_dataset
from core.datasets.phantom import write_phantoms
from core.datasets.profile import make_profile, profile_folder
from core.evaluation import evaluate
from core.explain.honesty import benchmark
from core.explain.honesty.material import Material, material_of
from core.progress import Bar
from core.reading import read_upload
from core.records import Study
from core.runs import read_case_details, read_run
from core.tasks import get_task
from core.training import TrainingJob, train
from db import datasets, heatmap_measures, models, runs, studies, thumbnails
from db import engine as store
from db.demo_study import add_demo_study, lesion_box

TASK = "breast-mri"
EXPLAINED = (
    "gradcam",
    "guided-gradcam",
)  # methods whose maps are measured here; the page measures the others on request
_EXPLAINED_ON = 16  # images of each part, but for the colours: seconds, not minutes
COLOURED = (
    "hirescam",
    "gradcam++",
    "layercam",
    "score-cam",
    "integrated-gradients",
    "smoothgrad",
    "feature-ablation",
)  # of these full colour alone is measured; Occlusion, LIME and Shapley values would take more than all of them together
_COLOURED_ON = 24


@dataclass(frozen=True)
class DemoModel:
    """One of the demo's models: what it is called, its architecture and its input edge in pixels."""

    name: str
    architecture: str
    size: int


@dataclass(frozen=True)
class DemoPlan:
    """How much the demo makes: patients per split, how many test patients fill the worklist, and the models to train."""

    train: int = 1600
    val: int = 300
    test: int = 300
    worklist: int = 40
    models: tuple[DemoModel, ...] = (
        DemoModel("Small CNN, 48 px", "small-cnn", 48),
        DemoModel("Small CNN, 96 px", "small-cnn", 96),  # the better one is activated last: reviewers get it first
    )
    recipe: str = "demo"
    seed: int = 2


def is_empty() -> bool:
    """True where the store holds neither studies nor models nor runs."""
    with store.read() as session:
        return not (studies.count_studies(session) or models.list_models(session) or runs.count_runs(session))


def make_demo(plan: DemoPlan) -> dict[str, Any]:
    """Phantoms, models, runs and a worklist; all go into the store at the end, so a stopped demo leaves it empty.

    Then simulated readers read the worklist, as a closed reader study. Returns the number of studies, the ids of the runs and
    of the reader study.
    """
    folder = settings.home() / "demo"
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier attempt that was stopped
    bar = Bar()
    patients = {"train": plan.train, "val": plan.val, "test": plan.test}

    def step(start: float, share: float, text: str) -> Callable[[float, str], None]:
        return lambda fraction, detail: bar(
            start + share * min(fraction, 0.999), f"{text}: {detail}" if detail else text
        )

    phantoms = step(0.0, 0.2, "Simulated patients")
    write_phantoms(
        folder / "phantoms", patients=patients, seed=plan.seed,
        progress=lambda done, total: phantoms(done / total, f"{done} of {total}"),
    )  # fmt: skip
    reading = step(0.2, 0.05, "Simulated patients")
    dataset = load_dataset(
        folder / "phantoms", TASK, lambda done, total, text: reading(done / total, f"{text} {done} of {total}")
    )
    share = 0.7 / len(plan.models)
    for number, model in enumerate(plan.models):
        _train_and_score(
            plan, model, dataset, _run_folder(folder, model), step(0.25 + number * share, share, model.name)
        )
    make_profile(
        dataset,
        profile_folder(dataset.fingerprint, TASK),
        lambda done, total, text: bar(0.95 + 0.01 * done / total, text),
    )
    stored, version, cases, boxes = _store(plan, folder, dataset)
    if {study.reference_standard for study in cases} == set(get_task(TASK).classes):
        simulated = step(0.96, 0.01, "Simulated readers")
        stored["reader_study"] = add_demo_study(version, cases, boxes, plan.seed, simulated)
    _explain(plan, folder, dataset, lambda fraction, text: bar(0.97 + 0.02 * fraction, f"Heatmaps: {text}"))
    bar(1.0, "Demo ready")
    return stored


def _run_folder(folder: Path, model: DemoModel) -> Path:
    return folder / "runs" / f"{model.architecture}-{model.size}"


def _train_and_score(
    plan: DemoPlan, model: DemoModel, dataset: Dataset, out: Path, report: Callable[[float, str], None]
) -> None:
    job = TrainingJob(
        data=dataset,
        task=TASK,
        architecture=model.architecture,
        recipe=plan.recipe,
        out=out,
        seed=plan.seed,
        size=model.size,
    )
    checkpoint = train(job, progress=lambda p: report(0.95 * p.fraction, p.text))
    report(0.95, "scoring held-out patients")
    evaluate(checkpoint, dataset, "test", out / "test")


def _explain(plan: DemoPlan, folder: Path, dataset: Dataset, report: Callable[[float, str], None]) -> None:
    """Measure heatmaps of the models, so that the page about them has something to show."""
    material = material_of(dataset, folder / "phantoms", 200)
    for model in plan.models:
        checkpoint = load_checkpoint(_run_folder(folder, model) / "checkpoint.pt")
        found = [*_measured(checkpoint, material, product(EXPLAINED, ("reference",)), None, report)]
        found += _measured(checkpoint, material, product(COLOURED, ("reference",)), _COLOURED_ON, report)
        found += _measured(checkpoint, material, product(EXPLAINED, ("randomisation", "masks")), _EXPLAINED_ON, report)
        with store.write() as session:
            for method, part, facts in found:
                heatmap_measures.put_measure(session, checkpoint.version, method, part, facts, actor="demo")


def _measured(
    checkpoint: Checkpoint,
    material: Material,
    wanted: Iterable[tuple[str, str]],
    limit: int | None,
    report: Callable[[float, str], None],
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    job = benchmark.Job(
        checkpoint, material, limit=limit, report=lambda done, total, text: report(done / max(total, 1), text)
    )
    return benchmark.measure(job, list(wanted))


def _store(
    plan: DemoPlan, folder: Path, dataset: Dataset
) -> tuple[dict[str, Any], str, list[Study], dict[str, list[float]]]:
    """What was stored, the version of the model that reviewers get, the worklist's studies and their lesions' boxes."""
    files = sorted((folder / "phantoms" / "images" / "test").rglob("*.dcm"))
    random.Random(plan.seed).shuffle(files)  # by name the classes would follow each other
    secret, run_ids = settings.installation_secret(), []
    cases: list[Study] = []
    boxes: dict[str, list[float]] = {}
    entry = datasets.DatasetEntry(
        "Simulated breast MRI", str(folder / "phantoms"), TASK, dataset.fingerprint, dataset.counts()
    )
    with store.write() as session:
        datasets.add_dataset(session, entry, actor="demo")
        for file in files[: plan.worklist]:
            for study in read_upload(file.name, file.read_bytes(), task=TASK, secret=secret, trusted=True):
                known = replace(study, reference_standard=file.parts[-3])  # …/<class>/<patient>/<file>
                studies.add_study(session, known)
                cases.append(known)
                if (box := lesion_box(file)) is not None:
                    boxes[known.id] = box
        for model in plan.models:
            out = _run_folder(folder, model)
            record = model_record(load_checkpoint(out / "checkpoint.pt"), model.name)
            models.store_model_file(out / "checkpoint.pt", record.version)
            models.add_model(session, record)
            models.set_model_status(session, record.version, "active", "demo")
            run = replace(read_run(out / "test"), model_name=model.name)
            thumbnails.put_thumbnails(out / "test" / "thumbnails.zip", run.provenance["thumbnails_sha256"])
            runs.add_run(session, run, read_case_details(out / "test"))
            run_ids.append(run.id)
    facts = {"studies": min(plan.worklist, len(files)), "runs": run_ids, "folder": str(folder)}
    return facts, record.version, cases, boxes
