"""Methods that take gradients with respect to pixels: Integrated Gradients, SmoothGrad and guided backpropagation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from core.explain.case import Case
from core.records import Refused


def integrated_gradients(case: Case, *, steps: int, baseline: str, batch: int) -> tuple[torch.Tensor, float]:
    """Attribution (H, W), summed over channels, signed, in logits, and its convergence delta.

    Midpoint rule over the straight path from the baseline colour to the image (Sundararajan et al., 2017). The values sum
    to score(image) − score(baseline) + delta; a delta far from 0 asks for more steps. Equal to Captum's.
    """
    case.watch.total = steps + 2
    nothing = case.baseline(baseline).expand_as(case.x)
    way = case.x - nothing
    gain = float(case.score()) - float(case.scores(nothing.contiguous())[0])
    shares = ((torch.arange(steps, device=case.x.device) + 0.5) / steps)[:, None, None, None]
    values = way[0] * _summed_gradient(case, (nothing + share * way for share in shares.split(batch))) / steps
    return values.sum(dim=0), float(values.double().sum()) - gain


def smoothgrad(case: Case, *, samples: int, noise_percent: int, batch: int) -> torch.Tensor:
    """|mean gradient of the score over noisy copies| (H, W), summed over channels, ≥ 0, in logits per unit of input.

    Gaussian noise with a standard deviation of `noise_percent` of the image's range (Smilkov et al., 2017), in pairs of
    opposites. Captum's NoiseTunnel draws from the global random state, which other threads share.
    """
    case.watch.total = samples
    generator = torch.Generator().manual_seed(case.seed)
    spread = float(case.x.max() - case.x.min()) * noise_percent / 100

    def noisy() -> Iterator[torch.Tensor]:
        for start in range(0, samples, batch):
            count = min(batch, samples - start)
            half = torch.randn((count + 1) // 2, *case.x.shape[1:], generator=generator).to(case.x.device) * spread
            yield case.x + torch.cat([half, -half])[:count]

    return (_summed_gradient(case, noisy()) / samples).abs().sum(dim=0)


def _summed_gradient(case: Case, batches: Iterable[torch.Tensor]) -> torch.Tensor:
    """Σ d score / d x (C, H, W) over all images of some batches x (N, C, H, W).

    Convolution is linear: what comes back to the network's first one is summed over the images and goes through it once, not
    once per image, a seventh of a ResNet18's work. A hook cuts its output off from the pixels; whatever else reads them has its
    gradient from them as usual.
    """
    stem = next((part for part in case.module.modules() if isinstance(part, nn.Conv2d)), nn.Identity())
    x, cuts, total, at_stem = case.x, [], torch.zeros_like(case.x), None

    def cut_off(_module: nn.Module, inputs: tuple, output: torch.Tensor) -> torch.Tensor:
        if inputs[0] is not x:
            return output
        cuts.append(output.detach().requires_grad_())
        return cuts[-1].clone()  # an in-place operation may follow

    with stem.register_forward_hook(cut_off):
        for batch in batches:
            x = batch.requires_grad_()
            cuts.clear()
            with torch.enable_grad():
                score = case.forward(x)[:, case.class_index].sum()
            direct, *back = torch.autograd.grad(score, [x, *cuts], allow_unused=True)
            total += 0 if direct is None else direct.sum(dim=0)
            for part in (row for gradient in back for row in gradient.split(1)):  # sum(dim=0) is slow in channels last
                at_stem = part.clone() if at_stem is None else at_stem.add_(part)  # (1, K, h, w)
    if at_stem is not None:
        x = case.x.clone().requires_grad_()
        with torch.enable_grad():
            total += torch.autograd.grad(stem(x), x, at_stem)[0]
    return total[0]


def guided_gradcam(case: Case, coarse: torch.Tensor) -> torch.Tensor:
    """Guided backpropagation (Springenberg et al., 2015) times the Grad-CAM map `coarse` (h, w), bilinear: (H, W), signed.

    Raises `Refused` for a network with a ReLU or ReLU6 that is no module, since its gradients cannot be guided.
    """
    with guided_relus(case.module):
        guided = _guided_gradient(case, case.x.clone().requires_grad_())[0].sum(dim=0)  # (H, W)
    size = tuple(case.x.shape[2:])
    stretched = torch.nn.functional.interpolate(coarse[None, None], size=size, mode="bilinear", align_corners=False)
    return guided * stretched[0, 0]


def _guided_gradient(case: Case, x: torch.Tensor) -> torch.Tensor:
    """d score / d x (1, C, H, W) for an x that requires a gradient, while every ReLU is guided."""
    with torch.enable_grad():
        score = case.forward(x)[:, case.class_index].sum()
        if _UNGUIDED & {node.name() for node in _graph(score)}:
            raise Refused(
                "Guided Grad-CAM needs ReLUs that are layers, and this network has one that is a mere function."
            )
        (gradient,) = torch.autograd.grad(score, x)
    return gradient


_UNGUIDED = {"ReluBackward0", "HardtanhBackward0"}  # what ReLUs and ReLU6 leave in a graph


def _graph(score: torch.Tensor) -> set[Any]:
    """Every operation that a score was made by, seen from its graph."""
    seen, waiting = set(), [score.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [before for before, _ in node.next_functions]
    return seen


class _GuidedReLU(torch.autograd.Function):
    """ReLU, up to a top, whose gradient passes only where it is positive and the input within the bounds."""

    @staticmethod
    def forward(context: Any, x: torch.Tensor, top: float) -> torch.Tensor:
        context.save_for_backward((x > 0) & (x < top))
        return x.clamp(0, top)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (within,) = context.saved_tensors
        return gradient.clamp(min=0) * within, None


class _Guided(nn.Module):
    def __init__(self, top: float) -> None:
        super().__init__()
        self.top = top

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _GuidedReLU.apply(x, self.top)


@contextmanager
def guided_relus(module: nn.Module) -> Iterator[None]:
    """Every `nn.ReLU` and `nn.ReLU6` of a module guided while the `with` lasts.

    Captum's guided backpropagation puts backward hooks on them, which cannot stand before an in-place ReLU that is used twice.
    """
    parts = module.named_modules(remove_duplicate=False)
    found = [(name, part) for name, part in parts if type(part) in (nn.ReLU, nn.ReLU6)]
    if not found:
        raise Refused("Guided Grad-CAM needs a network with ReLU layers, and this one has none.")
    try:
        for name, part in found:
            module.set_submodule(name, _Guided(6.0 if type(part) is nn.ReLU6 else float("inf")))
        yield
    finally:
        for name, part in found:
            module.set_submodule(name, part)
