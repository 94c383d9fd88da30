"""Grad-CAM together with the prediction, in one forward pass."""

from __future__ import annotations

import torch
from torch import nn


def predict_with_gradcam(
    module: nn.Module, layer_name: str, x: torch.Tensor, class_index: int | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (N, C) and Grad-CAM maps (N, h, w) of a batch x (N, channels, H, W), on its device, detached.

    The map is ReLU(sum over channels k of mean(d score / d A_k) · A_k), A being the output of the module `layer_name`
    and score the logit of `class_index`, or of each image's own highest logit when that is None (Selvaraju et al., 2017,
    eq. 1–2). Values are raw, ≥ 0, in logits per cell area; (h, w) is the layer's grid.

    The gradient is taken from the score to the layer and never to the input, so everything before the layer runs without
    a graph. `module` is in eval mode; its parameters need no gradient. Raises `AttributeError` when it has no such layer.
    """
    kept: list[torch.Tensor] = []

    def start_graph_here(_module: nn.Module, _inputs: tuple, output: torch.Tensor) -> torch.Tensor:
        kept.append(output.detach().requires_grad_())
        torch.set_grad_enabled(True)  # from here on; the surrounding no_grad puts it back
        return kept[-1].clone()  # an in-place operation that follows must not change what we keep

    with torch.no_grad(), module.get_submodule(layer_name).register_forward_hook(start_graph_here):
        logits = module(x)  # (N, C)
        classes = logits.argmax(dim=1) if class_index is None else torch.full((len(x),), class_index, device=x.device)
        scores = logits.gather(1, classes[:, None])
        (gradient,) = torch.autograd.grad(scores.sum(), kept[-1])  # (N, K, h, w)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    maps = (weights * kept[-1].detach()).sum(dim=1).relu()  # (N, h, w)
    return logits.detach(), maps
