"""Methods that take gradients with respect to pixels: Integrated Gradients, SmoothGrad and guided backpropagation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from core.explain.case import Case
from core.records import Refused


def integrated_gradients(case: Case, *, steps: int, baseline: str, batch: int) -> tuple[torch.Tensor, float]:
    """Attribution (H, W), summed over channels, signed, in logits, and its convergence delta.

    Midpoint rule over the straight path from the baseline colour to the image (Sundararajan et al., 2017). The values sum
    to score(image) − score(baseline) + delta; a delta far from 0 asks for more steps.
    """
    from captum.attr import IntegratedGradients  # slow to import

    case.watch.total = steps + 2  # Captum scores both ends of the path for the delta
    values, delta = IntegratedGradients(case.forward).attribute(
        case.x,
        baselines=case.baseline(baseline).expand_as(case.x),
        target=case.class_index,
        n_steps=steps,
        method="riemann_middle",
        internal_batch_size=batch,
        return_convergence_delta=True,
    )
    return values[0].detach().sum(dim=0), float(delta)


def smoothgrad(case: Case, *, samples: int, noise_percent: int, batch: int) -> torch.Tensor:
    """|mean gradient of the score over noisy copies| (H, W), summed over channels, ≥ 0, in logits per unit of input.

    Gaussian noise with a standard deviation of `noise_percent` of the image's range (Smilkov et al., 2017), in pairs of
    opposites. Captum's NoiseTunnel draws from the global random state, which other threads share.
    """
    case.watch.total = samples
    generator = torch.Generator().manual_seed(case.seed)
    spread = float(case.x.max() - case.x.min()) * noise_percent / 100
    total = torch.zeros_like(case.x[0])
    for start in range(0, samples, batch):
        count = min(batch, samples - start)
        half = torch.randn((count + 1) // 2, *case.x.shape[1:], generator=generator).to(case.x.device) * spread
        noisy = (case.x + torch.cat([half, -half])[:count]).requires_grad_()
        total += _gradient(case, noisy).sum(dim=0)
    return (total / samples).abs().sum(dim=0)


def guided_gradcam(case: Case, coarse: torch.Tensor) -> torch.Tensor:
    """Guided backpropagation (Springenberg et al., 2015) times the Grad-CAM map `coarse` (h, w), bilinear: (H, W), signed.

    Raises `Refused` for a network whose ReLUs are not modules, since its gradients cannot be guided.
    """
    with guided_relus(case.module):
        guided = _gradient(case, case.x.clone().requires_grad_())[0].sum(dim=0)  # (H, W)
    size = tuple(case.x.shape[2:])
    stretched = torch.nn.functional.interpolate(coarse[None, None], size=size, mode="bilinear", align_corners=False)
    return guided * stretched[0, 0]


def _gradient(case: Case, x: torch.Tensor) -> torch.Tensor:
    """d score / d x for a batch x (N, C, H, W) that requires a gradient."""
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(case.forward(x)[:, case.class_index].sum(), x)
    return gradient


class _GuidedReLU(torch.autograd.Function):
    """ReLU whose gradient passes only where both the input and the gradient are positive."""

    @staticmethod
    def forward(context: Any, x: torch.Tensor) -> torch.Tensor:
        context.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:
        (x,) = context.saved_tensors
        return gradient.clamp(min=0) * (x > 0)


class _Guided(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _GuidedReLU.apply(x)


@contextmanager
def guided_relus(module: nn.Module) -> Iterator[None]:
    """Every `nn.ReLU` of a module guided while the `with` lasts.

    Captum's guided backpropagation puts backward hooks on them, which cannot stand before an in-place ReLU that is used twice.
    """
    found = [(n, part) for n, part in module.named_modules(remove_duplicate=False) if type(part) is nn.ReLU]
    if not found:
        raise Refused("Guided Grad-CAM needs a network with ReLU layers, and this one has none.")
    try:
        for name, _ in found:
            module.set_submodule(name, _Guided())
        yield
    finally:
        for name, part in found:
            module.set_submodule(name, part)
