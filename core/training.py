"""Recipe + dataset -> run folder with `checkpoint.pt`, `config.json` and `history.csv`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from core import settings
from core.architectures import CLASSICAL, get_architecture
from core.checkpoint import Checkpoint, save_checkpoint
from core.datasets import Dataset, as_dataset, tensors
from core.datasets.dataset import base_name
from core.files import write_json, write_text
from core.pretrained import load_pretrained
from core.recipes import Recipe, load_recipe
from core.records import OperatingPoint, Refused
from core.statistics.discrimination import youden_threshold
from core.tasks import Task, get_task
from core.trainer import Setup, Trainer, check_classes
from core.versions import library_versions

COLUMNS = ("epoch", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_auc", "seconds")


@dataclass(frozen=True)
class TrainingJob:
    """What to train. `data` is a path, or a dataset already read; `recipe` is a `Recipe` or its name.

    `epochs` and `size` overrule the recipe; `weights` is a local ImageNet file.
    """

    data: Path | Dataset
    task: str
    architecture: str
    recipe: Recipe | str
    out: Path
    epochs: int | None = None
    seed: int = 0
    weights: Path | None = None
    device: str | None = None
    size: int | None = None

    def resolved(self) -> Recipe:
        """The recipe with this job's own epochs and size in it."""
        recipe = self.recipe if isinstance(self.recipe, Recipe) else load_recipe(self.recipe)
        return replace(recipe, epochs=self.epochs or recipe.epochs, size=self.size or recipe.size)


@dataclass(frozen=True)
class TrainingProgress:
    """Where a training stands: `epoch` of `epochs` (from 1; 0 while data is read), `fraction` of all epochs, in 0–1.

    `loss` is the mean training loss of this epoch so far; `eta` and `text` are for people.
    """

    epoch: int
    epochs: int
    fraction: float
    loss: float | None = None
    images_per_second: float = 0.0
    eta: str = ""
    text: str = ""


Report = Callable[[TrainingProgress], None]


History = list[dict[str, float]]  # one row per epoch


@dataclass(frozen=True)
class _Best:
    """The best epoch so far, its weights and its validation probabilities (N, classes)."""

    epoch: int
    score: float
    state: Mapping[str, torch.Tensor]
    probabilities: np.ndarray


Save = Callable[[str, _Best, History], None]  # (file name, what to save, history so far)


def train(job: TrainingJob, progress: Report | None = None) -> Path:
    """Train a network and write the run folder; returns the path of `checkpoint.pt`, which holds the best epoch's weights.

    Until training ends they lie in `best.pt`. On a CPU the same job gives the same weights. Raises `Refused` in one sentence:
    unusable data, recipe or weights, a folder that holds a checkpoint, a loss that is no number, too little memory.
    """
    report = progress or (lambda _: None)
    recipe, task, architecture = job.resolved(), get_task(job.task), get_architecture(job.architecture)
    if (job.out / "checkpoint.pt").exists():
        raise Refused(f"{base_name(job.out)} already holds a checkpoint; choose another folder or remove it.")
    spec = architecture.preprocessing(recipe.size or None)
    device = job.device or settings.device()

    def reading(done: int, total: int, text: str) -> None:
        report(TrainingProgress(0, recipe.epochs, 0.0, text=f"{text} {done}/{total}"))

    dataset = as_dataset(job.data, job.task, reading)
    if job.architecture in CLASSICAL:
        from core.classical import train_logistic  # scikit-learn and scikit-image are slow to import

        return train_logistic(job, dataset, spec, reading)
    data = (*tensors(dataset, "train", spec, reading), *tensors(dataset, "val", spec, reading))
    setup = Setup(recipe, task, spec, device, job.seed, *data)
    check_classes(setup)
    config = _config(job, setup, dataset)
    job.out.mkdir(parents=True, exist_ok=True)
    write_json(job.out / "config.json", config)

    def save(name: str, best: _Best, history: History) -> None:
        checkpoint = Checkpoint(
            job.architecture, job.task, task.classes, spec, best.state,
            operating_point=operating_point(task, setup.y_val.numpy(), best.probabilities),
            history=tuple(history), provenance=config,
        )  # fmt: skip
        save_checkpoint(checkpoint, job.out / name)

    cuda = [] if device == "cpu" else [torch.cuda.current_device()]
    with torch.random.fork_rng(devices=cuda):  # the caller's random numbers stay as they were
        torch.manual_seed(job.seed)
        net = architecture.build(len(task.classes))
        if job.weights:
            load_pretrained(net, job.weights, architecture.head)
        try:
            best, history = _fit(Trainer(net, setup), job.out / "history.csv", save, report)
        except torch.OutOfMemoryError as e:
            raise Refused(
                f"The device has too little memory for batches of {recipe.batch_size}; make them smaller."
            ) from e
    save("checkpoint.pt", best, history)
    (job.out / "best.pt").unlink(missing_ok=True)
    return job.out / "checkpoint.pt"


def _fit(trainer: Trainer, history_path: Path, save: Save, report: Report) -> tuple[_Best, History]:
    """Epochs until the recipe's last one, or until `patience` epochs in a row were no better than the best."""
    recipe = trainer.setup.recipe
    clock = _Clock(recipe.epochs, len(trainer.setup.y_train))
    history: History = []
    best: _Best | None = None
    for epoch in range(recipe.epochs):
        began = time.monotonic()
        row = trainer.run_epoch(epoch, lambda seen, loss, epoch=epoch: report(clock.progress(epoch, seen, loss)))
        probabilities, scores = trainer.validate(epoch)
        row |= {**scores, "seconds": round(time.monotonic() - began, 3)}
        history.append(row)
        write_text(history_path, pd.DataFrame(history, columns=list(COLUMNS)).to_csv(index=False))
        score = row["val_auc"] if recipe.monitor == "val_auc" else -row["val_loss"]
        if best is None or score > best.score:
            best = _Best(epoch, score, trainer.weights(), probabilities)
            save("best.pt", best, history)  # a training that is killed leaves its best weights
        elif epoch - best.epoch >= recipe.patience:
            break
    assert best is not None  # a recipe has at least one epoch
    return best, history


class _Clock:
    """Speed and time left of a training of `epochs` epochs of `n` images each."""

    def __init__(self, epochs: int, n: int) -> None:
        self.epochs, self.n, self.started = epochs, n, time.monotonic()

    def progress(self, epoch: int, seen: int, loss: float) -> TrainingProgress:
        """Where a training stands after `seen` images of epoch `epoch` (from 0)."""
        passed = max(time.monotonic() - self.started, 1e-9)
        done, work = epoch * self.n + seen, self.epochs * self.n
        speed = done / passed  # images per second, validation included
        minutes, seconds = divmod(round((work - done) / speed), 60)
        eta = f"{minutes} min {seconds} s left" if minutes else f"{seconds} s left"
        text = f"epoch {epoch + 1}/{self.epochs}, loss {loss:.4f}, {speed:.0f} images/s, {eta}"
        return TrainingProgress(epoch + 1, self.epochs, done / work, loss, speed, eta, text)


def operating_point(task: Task, y: np.ndarray, p: np.ndarray) -> OperatingPoint | None:
    """Youden's threshold on validation labels (N,) and probabilities (N, C); None without a positive class or one side only."""
    positive = task.positive_index
    if positive is None or not 0 < (y == positive).sum() < len(y):
        return None
    threshold = youden_threshold((y == positive).astype(int), p[:, positive])
    return OperatingPoint("youden", float(threshold), f"val (n = {len(y)})")


def _config(job: TrainingJob, setup: Setup, dataset: Dataset) -> dict[str, Any]:
    """Everything that made the run, JSON-safe; base names only, since folders may name people or places."""
    return {
        "task": job.task,
        "architecture": job.architecture,
        "recipe": setup.recipe.name,
        "recipe_values": setup.recipe.as_dict(),
        "seed": job.seed,
        "weights": job.weights.name if job.weights else None,
        "preprocessing": setup.spec.as_dict(),
        "dataset": dataset.name,
        "fingerprint": dataset.fingerprint,
        "counts": dataset.counts(),
        "leaks": list(dataset.leaks),
        "versions": dict(library_versions()),
        "device": setup.device,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
