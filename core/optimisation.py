"""What a recipe says of learning, as PyTorch objects: optimiser, class weights, frozen layers, running means, penalties."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from core.recipes import Recipe
from core.records import Refused
from core.tasks import Task


def make_optimizer(net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser over all weights; those without a gradient stay as they are."""
    # Fused: one pass over the weights, a quarter of the time of a step on ResNet18's weights.
    common: dict[str, Any] = {"lr": recipe.lr, "weight_decay": recipe.weight_decay, "fused": True}
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(net.parameters(), momentum=recipe.momentum, **common)
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[recipe.optimizer](net.parameters(), **common)


def class_weights(recipe: Recipe, y: torch.Tensor, task: Task) -> torch.Tensor | None:
    """(classes,) float32 in the task's order, on the CPU; None for equal weights.

    "balanced" is N / (classes · n of the class), as scikit-learn has it. Raises `Refused` where weights given by name are not
    those of the task's classes.
    """
    given = recipe.class_weights
    if given == "none":
        return None
    if given == "balanced":
        counts = torch.bincount(y, minlength=len(task.classes))  # (classes,)
        return (len(y) / (len(counts) * counts)).float()
    assert not isinstance(given, str)  # a recipe is checked when it is made
    by_index = {task.class_index(name): float(weight) for name, weight in given.items()}
    if len(by_index) != len(task.classes) or len(given) != len(task.classes):
        raise Refused(f"class_weights must give every class of {task.name} one weight: {', '.join(task.classes)}.")
    return torch.tensor([by_index[i] for i in range(len(task.classes))])


def learn_only(net: nn.Module, learning: Sequence[str]) -> list[nn.Module]:
    """Let only the modules of these names learn, all where none is named; the normalisation layers among the others.

    Those keep the statistics they have. Raises `Refused` naming the layer that the network does not have.
    """

    def learns(name: str) -> bool:
        return not learning or any(f"{name}.".startswith(f"{module}.") for module in learning)

    modules = dict(net.named_modules())
    for name in learning:
        if name not in modules:
            top = ", ".join(name for name, _ in net.named_children())
            raise Refused(f"The network has no layer '{name}' to unfreeze; it has {top}.")
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(learns(name))
        if not learns(name):
            parameter.grad = None
    return [m for name, m in modules.items() if not learns(name) and getattr(m, "running_mean", None) is not None]


def make_ema(net: nn.Module, decay: float) -> AveragedModel | None:
    """A running mean of weights and batch statistics, `decay` of the old and the rest of the new at every step; None at 0."""
    if not decay:
        return None
    return AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


def kernel_penalty(net: nn.Module) -> torch.Tensor:
    """Sum of the squared weights of all convolutions' kernels, biases not counted (Keras's `kernel_regularizer`)."""
    kernels = [module.weight for module in net.modules() if isinstance(module, nn.Conv2d)]
    return torch.stack([kernel.square().sum() for kernel in kernels]).sum()
