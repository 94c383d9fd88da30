"""Recipe + dataset -> run folder with `checkpoint.pt`, `config.json` and `history.csv`."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from core import settings
from core.architectures import CLASSICAL, Architecture, get_architecture
from core.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from core.datasets import Dataset, as_dataset, tensors, without_leaks
from core.datasets.dataset import Progress, base_name
from core.distributed import World, world
from core.files import write_json, write_text
from core.predict import out_of_memory
from core.preprocess import Preprocessing
from core.pretrained import load_pretrained
from core.recipes import Recipe, load_recipe
from core.records import OperatingPoint, Refused
from core.statistics.discrimination import youden_threshold
from core.tasks import Task, get_task
from core.trainer import Setup, Trainer, check_classes
from core.training_progress import Clock, TrainingProgress
from core.training_state import STATE, read_state, write_state
from core.versions import library_versions

COLUMNS = ("epoch", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_auc", "seconds")


@dataclass(frozen=True)
class TrainingJob:
    """What to train. `data` is a path, or a dataset already read; `recipe` is a `Recipe` or its name.

    `architecture` may be empty where the recipe names one. `epochs` and `size` overrule the recipe; `weights` is a local
    ImageNet file. `drop_leaks` trains without the pictures and patients that also stand in validation or test.
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
    drop_leaks: bool = False

    def resolved(self) -> Recipe:
        """The recipe with this job's own epochs and size in it; fewer epochs shorten a frozen phase in proportion."""
        recipe = self.recipe if isinstance(self.recipe, Recipe) else load_recipe(self.recipe)
        epochs, frozen = self.epochs or recipe.epochs, recipe.frozen_epochs
        if 0 < frozen < recipe.epochs:
            frozen = min(frozen, max(1, frozen * epochs // recipe.epochs))
        return replace(recipe, epochs=epochs, frozen_epochs=frozen, size=self.size or recipe.size)


Report = Callable[[TrainingProgress], None]
History = list[dict[str, float]]  # one row per epoch


def train(job: TrainingJob, progress: Report | None = None) -> Path:
    """Train a network and write the run folder; returns the path of `checkpoint.pt`, which holds the best epoch's weights.

    Until training ends they lie in `best.pt`, and `state.pt` holds what `resume` needs. On a CPU the same job gives the same
    weights. Started by `torchrun`, all processes must call it; they share every batch, and the first one writes.
    Raises `Refused` in one sentence: unusable data, recipe or weights, a folder that holds a checkpoint, a loss that is no
    number, too little memory.
    """
    if (job.out / "checkpoint.pt").exists():
        raise Refused(f"{base_name(job.out)} already holds a checkpoint; choose another folder or remove it.")
    return _train(job, progress or (lambda _: None), {})


def resume(out: Path, data: Dataset | None = None, progress: Report | None = None) -> Path:
    """Go on with a training that was killed, to the same result as if it had not been; returns the path of `checkpoint.pt`.

    `data` is needed where the training was given a dataset, not a path. Raises `Refused`: nothing to resume, other data than
    before, and all that `train` refuses.
    """
    if (out / "checkpoint.pt").exists():
        if not (out / STATE).exists():
            raise Refused(f"The training in {base_name(out)} is finished; there is nothing to resume.")
        return _tidied(out)  # killed between its last two steps
    state = read_state(out)
    facts = {**state["job"], "recipe": Recipe.from_dict(state["job"]["recipe"]), "out": out}
    facts["weights"] = Path(facts["weights"]) if facts["weights"] else None
    if data is None and not facts["data"]:
        raise Refused(f"The training in {base_name(out)} began with a dataset from memory; give it again to resume.")
    return _train(TrainingJob(**{**facts, "data": data or Path(facts["data"])}), progress or (lambda _: None), state)


def _train(job: TrainingJob, report: Report, state: Mapping[str, Any]) -> Path:
    recipe = job.resolved()
    job = replace(job, architecture=job.architecture or recipe.architecture)
    if not job.architecture:
        raise Refused(f"The recipe {recipe.name} is for any architecture; say which.")
    architecture = get_architecture(job.architecture)
    with world(job.device or settings.device()) as (processes, device):
        if not processes.writes:
            report = _silent

        def reading(done: int, total: int, text: str) -> None:
            report(TrainingProgress(0, recipe.epochs, 0.0, text=f"{text} {done}/{total}"))

        dataset, dropped = as_dataset(job.data, job.task, reading), ()
        if job.drop_leaks:
            dataset, dropped = without_leaks(dataset)
        if job.architecture in CLASSICAL:
            from core.classical import train_logistic  # scikit-learn and scikit-image are slow to import

            return train_logistic(job, dataset, architecture.preprocessing(recipe.size or None), reading)
        setup = _setup(job, dataset, device, reading)
        run = _Run(job, setup, processes, _config(job, setup, dataset) | {"left_out": list(dropped)})
        run.start(state)
        cuda = [] if device == "cpu" else [torch.cuda.current_device()]
        with torch.random.fork_rng(devices=cuda):  # the caller's random numbers stay as they were
            trainer = _trainer(job, setup, architecture, processes)
            if state.get("trainer"):
                trainer.load_state(state["trainer"])
            try:
                with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
                    run.fit(trainer, report)
            except RuntimeError as e:
                if not out_of_memory(e):
                    raise
                raise Refused(
                    f"The device has too little memory for batches of {recipe.batch_size}; make them smaller."
                ) from e
        return run.finish()


def _silent(_: TrainingProgress) -> None:
    pass


def _setup(job: TrainingJob, dataset: Dataset, device: str, reading: Progress) -> Setup:
    """The data as tensors, and everything else that stays the same; raises `Refused` where it cannot be trained with."""
    recipe, task, architecture = job.resolved(), get_task(job.task), get_architecture(job.architecture)
    spec = _normalised(architecture.preprocessing(recipe.size or None), recipe, dataset, reading)
    data = (*tensors(dataset, "train", spec, reading), *tensors(dataset, "val", spec, reading))
    setup = Setup(recipe, task, spec, device, job.seed, *data, head=architecture.head)
    check_classes(setup)
    return setup


def _normalised(spec: Preprocessing, recipe: Recipe, dataset: Dataset, reading: Progress) -> Preprocessing:
    """The architecture's preprocessing with the mean and standard deviation that the recipe asks for."""
    plain = replace(spec, mean=(0.0,) * spec.channels, std=(1.0,) * spec.channels)
    if recipe.normalise == "unit":
        return plain
    if recipe.normalise == "half":
        return replace(spec, mean=(0.5,) * spec.channels, std=(0.5,) * spec.channels)
    if recipe.normalise == "dataset":
        x, _ = tensors(dataset, "train", plain, reading)
        variance, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)  # (C,), over all pixels of all training images
        return replace(spec, mean=tuple(mean.tolist()), std=tuple(variance.sqrt().clamp(min=1e-6).tolist()))
    return spec


def _trainer(job: TrainingJob, setup: Setup, architecture: Architecture, processes: World) -> Trainer:
    """A network with its first weights; the random numbers that follow differ from process to process."""
    torch.manual_seed(job.seed)
    net = architecture.build(len(setup.task.classes))
    _check_size(net, setup.spec, architecture.name)
    if job.weights:
        load_pretrained(net, job.weights, architecture.head)
    if processes.rank:
        torch.manual_seed(job.seed + processes.rank)
    return Trainer(net, setup, processes)


def _check_size(net: nn.Module, spec: Preprocessing, name: str) -> None:
    """Raises `Refused` where the network cannot take images of that size: some libraries' networks have one size only."""
    training = net.training
    try:
        with torch.no_grad():
            net.eval()(torch.zeros(1, spec.channels, *spec.size))
    except (RuntimeError, AssertionError, ValueError) as e:
        raise Refused(f"{name} does not take images of {spec.size[0]} × {spec.size[1]} pixels; choose a size.") from e
    finally:
        net.train(training)


class _Run:
    """A run folder being written: after every epoch it holds what a killed training needs to go on."""

    def __init__(self, job: TrainingJob, setup: Setup, processes: World, config: dict[str, Any]) -> None:
        self.job, self.setup, self.world, self.config = job, setup, processes, config
        self.recipe, self.out = setup.recipe, job.out
        self.history: History = []
        self.best: Checkpoint | None = None  # of the best epoch, which is the last of its history

    def start(self, state: Mapping[str, Any]) -> None:
        """Begin the folder, or take up what `state` says of it; raises `Refused` where the data has changed since."""
        if not state:
            if self.world.writes:
                self.out.mkdir(parents=True, exist_ok=True)
                (self.out / "best.pt").unlink(missing_ok=True)
                write_json(self.out / "config.json", self.config)
            self._save_state(None)
            return
        before = json.loads((self.out / "config.json").read_text(encoding="utf-8"))
        if before["fingerprint"] != self.config["fingerprint"]:
            raise Refused("The dataset has changed since this training began; start again in another folder.")
        self.config = before
        self.history = [dict(row) for row in state["history"]]
        if (self.out / "best.pt").exists():
            self.best = load_checkpoint(self.out / "best.pt")

    def fit(self, trainer: Trainer, report: Report) -> None:
        """Epochs until the recipe's last one, or until `patience` epochs in a row were no better than the best."""
        clock = Clock(self.recipe.epochs, len(self.setup.y_train), len(self.history))
        while not self._over():
            epoch, began = len(self.history), time.monotonic()
            row = trainer.run_epoch(epoch, lambda seen, loss, epoch=epoch: report(clock.progress(epoch, seen, loss)))
            probabilities, scores = trainer.validate(epoch)
            clock.validation = scores
            self.history.append(row | {**scores, "seconds": round(time.monotonic() - began, 3)})
            if self.best is None or _score(self.recipe, self.history[-1]) > _score(self.recipe, self.best.history[-1]):
                self._keep(trainer, probabilities)
            self._save_state(trainer)
            if self.world.writes:
                self._write_history()

    def finish(self) -> Path:
        """Write `checkpoint.pt` and remove what only an unfinished training needs."""
        path = self.out / "checkpoint.pt"
        assert self.best is not None  # a recipe has at least one epoch
        if self.world.writes:
            save_checkpoint(replace(self.best, history=tuple(self.history)), path)
            self._write_history()  # a training killed between its state and its table lacks the last row
            _tidied(self.out)
        return path

    def _write_history(self) -> None:
        write_text(self.out / "history.csv", pd.DataFrame(self.history, columns=list(COLUMNS)).to_csv(index=False))

    def _over(self) -> bool:
        """All epochs done, or out of patience; a frozen phase that another one follows is never cut short."""
        recipe, done = self.recipe, len(self.history)
        if done >= recipe.epochs or self.best is None:
            return done >= recipe.epochs
        since = max(len(self.best.history), recipe.frozen_epochs)
        return done - since >= recipe.patience

    def _keep(self, trainer: Trainer, probabilities: np.ndarray) -> None:
        """Remember the last epoch as the best; a training that is killed leaves it in `best.pt`."""
        task = self.setup.task
        self.best = Checkpoint(
            self.job.architecture, task.name, task.classes, self.setup.spec, trainer.weights(),
            operating_point=operating_point(task, self.setup.y_val.numpy(), probabilities),
            history=tuple(self.history), provenance=self.config,
        )  # fmt: skip
        if self.world.writes:
            save_checkpoint(self.best, self.out / "best.pt")

    def _save_state(self, trainer: Trainer | None) -> None:
        job = self.job
        facts = {
            "data": "" if isinstance(job.data, Dataset) else str(job.data.resolve()),
            "weights": str(job.weights.resolve()) if job.weights else "",
            "recipe": self.recipe.as_dict(),
            **{name: getattr(job, name) for name in ("task", "architecture", "seed", "device", "drop_leaks")},
        }
        state = {"job": facts, "history": self.history, "trainer": trainer.state() if trainer else None}
        if self.world.writes:
            write_state(self.out, state)


def _tidied(out: Path) -> Path:
    """Remove what only an unfinished training needs; gives the checkpoint's path."""
    for name in ("best.pt", STATE):
        (out / name).unlink(missing_ok=True)
    return out / "checkpoint.pt"


def _score(recipe: Recipe, row: Mapping[str, float]) -> float:
    """What the best epoch has most of."""
    return -row["val_loss"] if recipe.monitor == "val_loss" else row[recipe.monitor]


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
        "weights_sha256": hashlib.sha256(job.weights.read_bytes()).hexdigest() if job.weights else None,
        "preprocessing": setup.spec.as_dict(),
        "dataset": dataset.name,
        "fingerprint": dataset.fingerprint,
        "counts": dataset.counts(),
        "leaks": list(dataset.leaks),
        "versions": dict(library_versions()),
        "device": setup.device,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
