"""The training loop's inside: one network, one epoch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from core.augment import augment_batch
from core.predict import batched_probabilities
from core.preprocess import Preprocessing
from core.recipes import Recipe
from core.records import Refused
from core.runs import PROBABILITY_DECIMALS
from core.statistics.discrimination import auc
from core.tasks import Task


@dataclass(frozen=True)
class Setup:
    """Everything that stays the same during a training; x (N, C, H, W) float32 and y (N,) int64 lie on the CPU."""

    recipe: Recipe
    task: Task
    spec: Preprocessing
    device: str
    seed: int
    x_train: torch.Tensor
    y_train: torch.Tensor
    x_val: torch.Tensor
    y_val: torch.Tensor


class Trainer:
    """A network in training."""

    def __init__(self, net: nn.Module, setup: Setup) -> None:
        self.setup = setup
        self.net = net.to(setup.device, memory_format=torch.channels_last)
        self.optimizer = _optimizer(net, setup.recipe)
        self.class_weights = _class_weights(setup)
        self.generator = torch.Generator().manual_seed(setup.seed)  # order of images, and their augmentation

    def run_epoch(self, epoch: int, on_batch: Callable[[int, float], None]) -> dict[str, float]:
        """Once over the training images; `on_batch(images seen, mean loss so far)` after every step."""
        recipe, device = self.setup.recipe, self.setup.device
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate(epoch)
        self.net.train()
        seen, correct, total = 0, 0, 0.0
        for index in self._batches():
            x, y = self.setup.x_train[index].to(device), self.setup.y_train[index].to(device)  # (B, C, H, W), (B,)
            x = augment_batch(x, recipe.augment, self.setup.spec, self.generator)
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=device != "cpu"):
                logits = self.net(x.contiguous(memory_format=torch.channels_last))  # (B, classes)
            loss = F.cross_entropy(logits.float(), y, self.class_weights, label_smoothing=recipe.label_smoothing)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            seen += len(y)
            total += loss.item() * len(y)
            correct += int((logits.argmax(dim=1) == y).sum())
            if not np.isfinite(total):
                break
            on_batch(seen, total / seen)
        if not all(bool(torch.isfinite(w).all()) for w in (torch.tensor(total), *self.net.state_dict().values())):
            raise self._diverged(epoch)
        return {
            "epoch": epoch + 1, "lr": recipe.learning_rate(epoch), "train_loss": total / seen, "train_accuracy": correct / seen,
        }  # fmt: skip

    def validate(self, epoch: int) -> tuple[np.ndarray, dict[str, float]]:
        """Validation probabilities (N, classes), rounded as they are stored, with their loss, accuracy and AUC."""
        s = self.setup
        try:
            p = batched_probabilities(self.net.eval(), s.x_val, s.device)
        except Refused as e:  # weights still finite, outputs no longer
            raise self._diverged(epoch) from e
        p, y = np.round(p, PROBABILITY_DECIMALS), s.y_val.numpy()
        of_label = np.maximum(p[np.arange(len(y)), y], 10.0**-PROBABILITY_DECIMALS)
        scores = {"val_loss": float(-np.log(of_label).mean()), "val_accuracy": float((p.argmax(axis=1) == y).mean())}
        return p, {**scores, **_val_auc(p, y, s.task)}

    def weights(self) -> dict[str, torch.Tensor]:
        """A copy of the network's weights on the CPU."""
        return {name: w.detach().cpu().contiguous().clone() for name, w in self.net.state_dict().items()}

    def _diverged(self, epoch: int) -> Refused:
        return Refused(
            f"Training stopped in epoch {epoch + 1}: the loss is no longer a number; "
            f"choose a learning rate below {self.setup.recipe.lr:g}."
        )

    def _batches(self) -> Iterator[torch.Tensor]:
        """Indices of the training images in random order, a batch at a time.

        A last batch of one image is left out: batch normalisation cannot take a mean over it.
        """
        order = torch.randperm(len(self.setup.y_train), generator=self.generator)
        batches = order.split(self.setup.recipe.batch_size)
        yield from batches[:-1] if len(batches) > 1 and len(batches[-1]) == 1 else batches


def _optimizer(net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    # Fused: one pass over the weights, a quarter of the time of a step on ResNet18's weights.
    common: dict[str, Any] = {"lr": recipe.lr, "weight_decay": recipe.weight_decay, "fused": True}
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(net.parameters(), momentum=recipe.momentum, **common)
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[recipe.optimizer](net.parameters(), **common)


def _class_weights(setup: Setup) -> torch.Tensor | None:
    """(classes,) float32: N / (classes · n of the class), as scikit-learn's "balanced" does; None for equal weights."""
    if setup.recipe.class_weights == "none":
        return None
    counts = torch.bincount(setup.y_train, minlength=len(setup.task.classes))  # (classes,)
    return (len(setup.y_train) / (len(counts) * counts)).to(setup.device, torch.float32)


def _val_auc(p: np.ndarray, y: np.ndarray, task: Task) -> dict[str, float]:
    """AUC of the positive class, or the mean over classes (one against the rest); nothing where it is undefined."""
    positive = task.positive_index
    columns = range(len(task.classes)) if positive is None else [positive]
    values = [auc((y == c).astype(int), p[:, c]).value for c in columns if 0 < (y == c).sum() < len(y)]
    return {"val_auc": float(np.mean(values))} if values else {}


def check_classes(setup: Setup) -> None:
    """Raises `Refused` when a class has no training image, or when `val_auc` is watched and validation has one class."""
    counts = torch.bincount(setup.y_train, minlength=len(setup.task.classes))
    for name, n in zip(setup.task.classes, counts.tolist(), strict=True):
        if n == 0:
            raise Refused(f"The training split has no image of class {name}, so it cannot be learnt.")
    if setup.recipe.monitor == "val_auc" and len(setup.y_val.unique()) < 2:
        raise Refused("The validation split has one class only, so val_auc is undefined; choose monitor = val_loss.")
