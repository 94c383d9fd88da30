"""The class-activation family: Grad-CAM and its relatives, together with the prediction, in one forward pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from core.combine import Tempered


@dataclass(frozen=True)
class LayerPass:
    """One forward pass, looked at in one layer; everything detached.

    `logits` (N, C); `activations` A (N, K, h, w) of the layer; `gradient` dS/dA (N, K, h, w) of each image's class score S.
    `head` (C, K) where S is linear in the mean of A over its cells (global average pooling and one linear layer): then the
    gradient is head[class] / (h·w) in every cell and no backward pass was made. Scores are those after any temperature.
    """

    logits: torch.Tensor
    activations: torch.Tensor
    gradient: torch.Tensor
    head: torch.Tensor | None


Choice = int | None | Callable[[torch.Tensor], torch.Tensor]


def layer_pass(module: nn.Module, layer_name: str, x: torch.Tensor, class_index: Choice) -> LayerPass:
    """Logits of a batch x (N, channels, H, W), and activations and score gradient of the module `layer_name`.

    The score is the logit of `class_index`, or of each image's own highest logit when that is None, or of the class that a
    function of the logits (N, C) gives each image. The gradient is taken from the score to the layer and never to the input,
    so everything before the layer runs without a graph. A temperature around the network divides its scores and with them
    their gradients; `layer_name` is the network's own. `module` is in eval mode; its parameters need no gradient. Raises
    `AttributeError` when it has no such layer.
    """
    if isinstance(module, Tempered):
        temperature = module.temperature
        choice = (lambda z: class_index(z / temperature)) if callable(class_index) else class_index
        seen = layer_pass(module.net, layer_name, x, choice)
        head = None if seen.head is None else seen.head / temperature
        return LayerPass(seen.logits / temperature, seen.activations, seen.gradient / temperature, head)
    with torch.no_grad(), _Watched(module, layer_name) as seen:
        logits = module(x)  # (N, C)
        classes = _classes(logits.detach(), class_index)
        activations = seen.activations.detach()
        head = seen.linear_head(logits)
        if head is None:
            (gradient,) = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), seen.activations)
        else:
            cells = activations.shape[2] * activations.shape[3]
            gradient = (head[classes] / cells)[:, :, None, None].expand_as(activations)
    return LayerPass(logits.detach(), activations, gradient, head)


def _classes(logits: torch.Tensor, choice: Choice) -> torch.Tensor:
    if callable(choice):
        return choice(logits)
    return logits.argmax(dim=1) if choice is None else torch.full((len(logits),), choice, device=logits.device)


class _Watched:
    """Hooks on the layer and on the last linear layer of a network; both are gone when the `with` ends."""

    def __init__(self, module: nn.Module, layer_name: str) -> None:
        self._layer = module.get_submodule(layer_name)
        linear = [m for m in module.modules() if _is_linear(m)]
        self._last = linear[-1] if linear else None
        self._ends: tuple[torch.Tensor, torch.Tensor] | None = None  # what went into and came out of the last layer

    def __enter__(self) -> _Watched:
        self._handles = [self._layer.register_forward_hook(self._start_graph)]
        if self._last is not None and self._last is not self._layer:
            self._handles.append(self._last.register_forward_hook(self._keep_ends))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _start_graph(self, _module: nn.Module, _inputs: tuple, output: torch.Tensor) -> torch.Tensor:
        self.activations = output.detach().requires_grad_()
        torch.set_grad_enabled(True)  # from here on; the surrounding no_grad puts it back
        return self.activations.clone()  # an in-place operation that follows must not change what we keep

    def _keep_ends(self, _module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        self._ends = (inputs[0].detach(), output.detach())

    def linear_head(self, logits: torch.Tensor) -> torch.Tensor | None:
        """Weights (C, K) when this very pass shows that the logits are linear in the layer's mean over its cells, else None.

        Not taken from the architecture's name: the last linear layer's output must be the logits, and its input the mean.
        """
        kept = self.activations.detach()
        if self._ends is None or kept.ndim != 4 or self._ends[1].data_ptr() != logits.data_ptr():
            return None
        entered, mean = self._ends[0].flatten(1), kept.mean(dim=(2, 3))
        if entered.shape != mean.shape or not torch.allclose(entered, mean, rtol=1e-5, atol=1e-6):
            return None
        return self._last.weight.detach().flatten(1)  # type: ignore[union-attr]


def _is_linear(module: nn.Module) -> bool:
    """A linear layer, or a 1 × 1 convolution, which is one where it sees a single cell."""
    pointwise = isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1
    return isinstance(module, nn.Linear) or pointwise


def grad_cam(seen: LayerPass) -> torch.Tensor:
    """Grad-CAM (N, h, w): ReLU(Σ_k mean(dS/dA_k) · A_k), ≥ 0 (Selvaraju et al., 2017, eq. 1–2)."""
    weights = seen.gradient.mean(dim=(2, 3), keepdim=True)  # (N, K, 1, 1)
    return (weights * seen.activations).sum(dim=1).relu()


def hirescam(seen: LayerPass) -> torch.Tensor:
    """HiResCAM (N, h, w): ReLU(Σ_k dS/dA_k ⊙ A_k), gradients not averaged over cells (Draelos & Carin, 2020)."""
    return (seen.gradient * seen.activations).sum(dim=1).relu()


def layercam(seen: LayerPass) -> torch.Tensor:
    """LayerCAM (N, h, w): ReLU(Σ_k ReLU(dS/dA_k) ⊙ A_k), each cell weighted by its own gradient (Jiang et al., 2021)."""
    return (seen.gradient.relu() * seen.activations).sum(dim=1).relu()


def grad_cam_plus_plus(seen: LayerPass) -> torch.Tensor:
    """Grad-CAM++ (N, h, w) (Chattopadhay et al., 2018, eq. 5 and 19 with the exponential score).

    There α = g² / (2 g² + Σ_ab A_ab g³); cancelling g² leaves 1 / (2 + g Σ_ab A_ab), with no small number to keep it finite.
    Only positive gradients count. The paper's layers end in a ReLU; where one has negative values (SiLU, layer norms), they
    are left out of the sum: with them the denominator passes 0, and weights would grow without bound beside it. So it is at
    least 2 everywhere.
    """
    rising = seen.gradient.relu()
    alpha = 1 / (2 + rising * seen.activations.relu().sum(dim=(2, 3), keepdim=True))
    weights = (alpha * rising).sum(dim=(2, 3), keepdim=True)  # (N, K, 1, 1)
    return (weights * seen.activations).sum(dim=1).relu()


def predict_with_gradcam(
    module: nn.Module, layer_name: str, x: torch.Tensor, class_index: int | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (N, C) and raw Grad-CAM maps (N, h, w) of a batch x (N, channels, H, W), from one forward pass; see `layer_pass`."""
    seen = layer_pass(module, layer_name, x, class_index)
    return seen.logits, grad_cam(seen)
