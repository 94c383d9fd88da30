"""Grad-CAM together with the prediction, in one forward pass; and its mean over the parts of a combined model."""

from __future__ import annotations

import torch
from torch import nn

from core.combine import Ensemble, Reading, Tempered, Viewed, seen
from core.records import Refused


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


def gradcam(module: nn.Module, layer_name: str, x: torch.Tensor, class_index: int) -> tuple[torch.Tensor, str]:
    """Grad-CAM maps (N, h, w) of one class for images x (N, C, H, W), and how they were put together (empty: one network).

    A combined model has no layer of its own. Its map is the mean of the maps that each part (member, view turned back) makes
    of its own logit; a temperature divides it. Raises `Refused` where the members' grids differ: there is no mean of those.
    """
    if isinstance(module, Tempered):
        maps, combined = gradcam(module.net, layer_name, x, class_index)
        return maps / module.temperature, combined
    if isinstance(module, Reading):
        return gradcam(module.net, layer_name, module.read(x), class_index)
    if isinstance(module, Viewed):
        parts = [gradcam(module.net, layer_name, seen(x, view), class_index) for view in module.views]
        turned = [seen(maps[:, None], view)[:, 0] for (maps, _), view in zip(parts, module.views, strict=True)]
        of = f" of {parts[0][1]}" if parts[0][1] else ""
        return torch.stack(turned).mean(dim=0), f"mean over the views {', '.join(module.views)}{of}"
    if isinstance(module, Ensemble):
        members = zip(module.members, module.layers, strict=True)
        maps = [gradcam(member, layer, x, class_index)[0] for member, layer in members]
        grids = sorted({tuple(m.shape[1:]) for m in maps})
        if len(grids) > 1:
            shown = " and ".join(f"{h} × {w}" for h, w in grids)
            raise Refused(
                f"The members' Grad-CAM maps have different grids ({shown}), so there is no mean of them; explain one member by "
                "itself, or the ensemble by Occlusion or LIME."
            )
        return torch.stack(maps).mean(dim=0), f"mean over the {len(maps)} members, each for its own logit"
    return predict_with_gradcam(module, layer_name, x, class_index)[1], ""
