"""The training loop's inside: one network, one epoch at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from core.augment import augment_batch
from core.distributed import World
from core.optimisation import class_weights, kernel_penalty, learn_only, make_ema, make_optimizer
from core.predict import arranged, batched_probabilities
from core.preprocess import Preprocessing
from core.recipes import Recipe
from core.records import Refused
from core.runs import PROBABILITY_DECIMALS
from core.statistics.discrimination import auc
from core.tasks import Task

_REPORT_EVERY = 10  # steps between looks at the loss on a GPU: each look waits for the device


@dataclass(frozen=True)
class Setup:
    """Everything that stays the same during a training; x (N, C, H, W) float32 and y (N,) int64 lie on the CPU.

    `head` names the network's modules that learn while the rest is frozen.
    """

    recipe: Recipe
    task: Task
    spec: Preprocessing
    device: str
    seed: int
    x_train: torch.Tensor
    y_train: torch.Tensor
    x_val: torch.Tensor
    y_val: torch.Tensor
    head: tuple[str, ...] = ()


class Trainer:
    """A network in training, alone or as one of several processes that share every batch among them.

    All processes draw the same order of images and the same augmentation, and each computes its part of every batch.
    """

    def __init__(self, net: nn.Module, setup: Setup, world: World | None = None) -> None:
        self.setup, self.world = setup, world or World()
        if setup.recipe.batch_size < 2 * self.world.size:
            raise Refused(
                f"Batches of {setup.recipe.batch_size} are too small for {self.world.size} processes, each of which needs two "
                "images of every batch; start fewer or make batches larger."
            )
        self.on_gpu = torch.device(setup.device).type == "cuda"
        net = net.to(setup.device, memory_format=torch.channels_last)
        if self.on_gpu and self.world.size > 1:
            net = nn.SyncBatchNorm.convert_sync_batchnorm(net)
        self.net = net
        self.images = _near(setup.x_train, setup.device)
        self.optimizer = make_optimizer(net, setup.recipe)
        self.class_weights = class_weights(setup.recipe, setup.y_train, setup.task)
        self.ema = make_ema(net, setup.recipe.ema)
        self.precision = _precision(setup.recipe, setup.device)
        self.scaler = torch.amp.GradScaler("cuda", enabled=self.precision == torch.float16)
        self.generator = torch.Generator().manual_seed(setup.seed)  # order of images, and their augmentation
        self.still: list[nn.Module] = []  # normalisation layers of the frozen part: they keep their statistics
        self.phase: bool | None = None  # whether all but the head is frozen; None before the first epoch

    def run_epoch(self, epoch: int, on_batch: Callable[[int, float], None]) -> dict[str, float]:
        """Once over the training images; `on_batch(images seen, mean loss so far)` after every step, on a GPU every tenth."""
        self._begin(epoch)
        seen, total, right = 0, 0.0, 0.0  # sums of loss and of correct answers over this process's images
        for step, index in enumerate(self._batches(), start=1):
            one_total, one_right = self._step(index)
            # Numbers on a CPU; on a GPU tensors, since asking for a number waits for the device.
            total = total + (one_total.double() if self.on_gpu else one_total.item())
            right = right + (one_right.double() if self.on_gpu else one_right.item())
            seen += len(index)
            if not self.on_gpu or step % _REPORT_EVERY == 0:
                loss = float(total) * self.world.size / seen
                if not np.isfinite(loss) and self.world.size == 1:  # several must stop together, or one waits for ever
                    break
                on_batch(seen, loss)
        sums = torch.tensor([float(total), float(right)], dtype=torch.float64, device=self.setup.device)
        loss, correct = (self.world.sum(sums) / seen).tolist()
        # One pass over the weights: a sum with a NaN or an infinity in it is none but those.
        if not np.isfinite(loss) or not all(math.isfinite(w.sum()) for w in self.net.state_dict().values()):
            raise self._diverged(epoch)
        if self.on_gpu:
            on_batch(seen, loss)
        return {
            "epoch": epoch + 1, "lr": self.setup.recipe.learning_rate(epoch), "train_loss": loss, "train_accuracy": correct,
        }  # fmt: skip

    def validate(self, epoch: int) -> tuple[np.ndarray, dict[str, float]]:
        """Validation probabilities (N, classes), rounded as they are stored, with their loss, accuracy and AUC."""
        s, mine = self.setup, self.world.share()
        p = np.zeros((len(s.y_val), len(s.task.classes)))
        try:
            self.world.agree(self._kept())
            if len(s.x_val[mine]):
                with arranged(self._kept().eval()) as net:
                    p[mine] = batched_probabilities(net, s.x_val[mine], s.device)
        except Refused:  # weights still finite, outputs no longer
            p[mine] = np.nan
        if self.world.size > 1:
            p = self.world.sum(torch.from_numpy(p).to(s.device)).cpu().numpy()
        if not np.isfinite(p).all():
            raise self._diverged(epoch)
        p, y = np.round(p, PROBABILITY_DECIMALS), s.y_val.numpy()
        of_label = np.maximum(p[np.arange(len(y)), y], 10.0**-PROBABILITY_DECIMALS)
        scores = {"val_loss": float(-np.log(of_label).mean()), "val_accuracy": float((p.argmax(axis=1) == y).mean())}
        return p, {**scores, **_val_auc(p, y, s.task)}

    def weights(self) -> dict[str, torch.Tensor]:
        """A copy on the CPU of the weights that validation looks at: the network's, or their running mean."""
        return {name: w.detach().cpu().contiguous().clone() for name, w in self._kept().state_dict().items()}

    def state(self) -> dict[str, Any]:
        """Everything that the next epoch depends on, for `torch.save`; every process must call it."""
        own = [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if self.on_gpu else [])]
        random = [
            self.world.gather(state.to(self.setup.device)) for state in own
        ]  # dropout's, different in each process
        return {
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "ema": self.ema.state_dict() if self.ema else {},
            "generator": self.generator.get_state(),
            "random": [[part.cpu() for part in parts] for parts in random],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from `state`; a process that was not there then keeps its own random numbers."""
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if self.ema:
            self.ema.load_state_dict(state["ema"])
        self.generator.set_state(state["generator"])
        if self.world.rank < len(state["random"][0]):
            torch.set_rng_state(state["random"][0][self.world.rank])
            if self.on_gpu and len(state["random"]) > 1:
                torch.cuda.set_rng_state(state["random"][1][self.world.rank])

    def _begin(self, epoch: int) -> None:
        """Set the epoch's learning rate, and freeze or free layers where a phase begins."""
        recipe = self.setup.recipe
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate(epoch)
        if self.phase != recipe.frozen(epoch):
            self.phase = recipe.frozen(epoch)
            learning = (
                self.setup.head if self.phase else (*self.setup.head, *recipe.unfreeze) if recipe.unfreeze else ()
            )
            self.still = learn_only(self.net, learning)
            self.model = self.world.wrap(self.net)  # it must know which weights have gradients
        self.model.train()
        for module in self.still:
            module.eval()

    def _step(self, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One step on the batch of images `index` (B,); sums of cross-entropy and correct answers over this process's share."""
        s, recipe = self.setup, self.setup.recipe
        mine = index[self.world.share()]
        x, y = self.images[mine].to(s.device), s.y_train[mine].to(s.device)  # (b, C, H, W), (b,)
        x = augment_batch(x, recipe.augment, s.spec, self.generator, (len(index), self.world.share()))
        with nullcontext() if self.precision == torch.float32 else torch.autocast("cuda", self.precision):
            logits = self.model(_channels_last(x)).float()  # (b, classes)
        # Divided by the number of images, not by their weights: else a batch without a rare class would weigh as much as one
        # with it. By that of the whole batch, so that the mean of all processes' gradients is the batch's.
        w = None if self.class_weights is None else self.class_weights.to(s.device)
        total = F.cross_entropy(logits, y, w, label_smoothing=recipe.label_smoothing, reduction="sum")
        loss = total * (self.world.size / len(index))
        plain = F.cross_entropy(logits.detach(), y, reduction="sum")  # as validation has it, so that the curves compare
        if recipe.kernel_l2:
            loss = loss + recipe.kernel_l2 * kernel_penalty(self.net)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.ema:
            self.ema.update_parameters(self.net)
        right = (logits.detach().argmax(dim=1) == y).sum()
        return plain, right

    def _kept(self) -> nn.Module:
        return self.ema.module if self.ema else self.net

    def _diverged(self, epoch: int) -> Refused:
        kept = "; the best epoch before is kept in best.pt" if epoch else ""
        return Refused(
            f"Training stopped in epoch {epoch + 1}: the loss is no longer a number; "
            f"choose a learning rate below {self.setup.recipe.learning_rate(epoch):g}{kept}."
        )

    def _batches(self) -> Iterator[torch.Tensor]:
        """Indices of the training images in random order, a batch at a time, the same in every process.

        Drawn with equal chance for every class where the recipe oversamples. Batches differ by one image at most: a short last
        one would spoil the running statistics of batch normalisation just before validation looks at them.
        """
        y = self.setup.y_train
        if self.setup.recipe.oversample:
            chance = 1 / torch.bincount(y)[y].double()  # (N,)
            order = torch.multinomial(chance, len(y), replacement=True, generator=self.generator)
        else:
            order = torch.randperm(len(y), generator=self.generator)
        yield from order.tensor_split(math.ceil(len(order) / self.setup.recipe.batch_size))


def _near(x: torch.Tensor, device: str) -> torch.Tensor:
    """Images on the GPU where they take less than 0.4 of its free memory: fetching them from the CPU is slower than a network."""
    if torch.device(device).type == "cuda" and x.nbytes < 0.4 * torch.cuda.mem_get_info(device)[0]:
        return x.to(device)
    return x


def _channels_last(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _precision(recipe: Recipe, device: str) -> torch.dtype:
    """What the forward pass computes in: on a GPU as the recipe says, on a CPU always float32."""
    if torch.device(device).type == "cpu":
        return torch.float32
    return {"fp32": torch.float32, "fp16": torch.float16}.get(recipe.precision, torch.bfloat16)


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
