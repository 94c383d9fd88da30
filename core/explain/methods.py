"""`explain`: one method on one image, with everything needed to repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from core.checkpoint import Checkpoint
from core.explain.case import Watch, case_of
from core.explain.fit import cell, unfit
from core.explain.fold import fast_module, plain_module
from core.explain.registry import METHODS, Method, Parameters, get_method
from core.preprocess import preprocess
from core.records import Heatmap, Image, Refused
from core.tasks import get_task
from core.versions import library_versions


@dataclass(frozen=True)
class Request:
    """What to explain: a method's name, a class of the task, a seed (for methods that draw), and parameters that differ."""

    method: str
    target_class: str
    seed: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)


def explain(
    checkpoint: Checkpoint,
    image: Image,
    request: Request,
    *,
    device: str = "cpu",
    watch: Watch | None = None,
) -> Heatmap:
    """The attribution of the target class's logit to the parts of one image.

    Values are raw, float32, at the method's own resolution: the heatmap layer's grid for the class-activation family, the
    input's resolution for the others (Integrated Gradients summed over channels, Occlusion averaged over the windows that
    cover a pixel, near ones more, LIME, ablation and Shapley values painted per superpixel). `parameters` records everything
    needed to repeat it.

    `watch` reports progress, is asked before each batch whether to stop or to let others go first, and is used once. Raises
    `Cancelled`, or `Refused` for an unknown method, class or parameter, a method that does not suit the network, and a model
    whose scores are not finite.

    Safe to call from several threads with one checkpoint: each call gets its own module over the shared weights, so its
    hooks are its own, and no global random state is read or set.
    """
    method = get_method(request.method)
    class_index = get_task(checkpoint.task).class_index(request.target_class)
    spec = checkpoint.preprocessing
    layer = _layer(checkpoint, method)
    parameters = _merged(method, checkpoint, request.parameters)
    x = preprocess(image, spec)[None].to(device)  # (1, C, H, W)
    module = _module(checkpoint, method, device, x, layer)
    case = case_of(module, x, class_index, spec, seed=request.seed, watch=watch or Watch())
    values, findings = method.run(case, layer, parameters)
    if not bool(torch.isfinite(values).all()):
        raise Refused("The model's scores for this image are not finite, so they cannot be explained.")
    score = findings.pop("class_score", None)
    facts = {"seed": request.seed, "device": device, "class_score": float(case.score()) if score is None else score}
    return heatmap_record(checkpoint, image, request, values, {**parameters, **findings, **facts})


def _layer(checkpoint: Checkpoint, method: Method) -> str:
    layer = checkpoint.heatmap_layer
    if not layer and method.needs != "scores":
        able = [m.title for m in METHODS.values() if m.needs == "scores"]
        how = f"{', '.join(able[:-1])} or {able[-1]}"
        raise Refused(f"{method.title} needs a network; {checkpoint.architecture} can be explained by {how}.")
    if why := unfit(method, checkpoint):
        raise Refused(f"{method.title} does not explain this model: {why}.")
    return layer


def defaults(method: Method, checkpoint: Checkpoint) -> Parameters:
    """The method's own parameters for a model."""
    return method.defaults(checkpoint.preprocessing.size, cell(checkpoint))


def _module(checkpoint: Checkpoint, method: Method, device: str, x: torch.Tensor, layer: str) -> nn.Module:
    """A network for this call alone; made faster first where it will run often, with the same scores."""
    if layer and method.folds:
        return fast_module(checkpoint, device, x, layer)
    return plain_module(checkpoint, device)


def heatmap_record(
    checkpoint: Checkpoint, image: Image, request: Request, values: torch.Tensor, facts: Parameters
) -> Heatmap:
    """The `Heatmap` of raw values (h, w) with its provenance; `facts` hold at least `class_score`, the logit of the class.

    `share` is the sum of the values over the class score: for Grad-CAM and HiResCAM in front of average pooling and one linear
    layer (the rest is the layer's bias and what speaks against the class), and for Integrated Gradients. It is None for
    methods whose values do not add up to a score, and for scores that are not above 0.
    """
    method, values, score = get_method(request.method), values.detach().float().cpu(), facts["class_score"]
    additive = method.additive and facts.get("closed_form", "map" not in facts) and score > 0
    return Heatmap(
        values=values.numpy(),
        method=method.name,
        target_class=checkpoint.classes[get_task(checkpoint.task).class_index(request.target_class)],
        layer=checkpoint.heatmap_layer if method.needs == "layer" else "input",
        model_version=checkpoint.version,
        image_hash=image.content_hash,
        signed=method.signed,
        parameters={
            "score": "log of the mean probability" if checkpoint.averages else "logit",
            **facts,
            "maximum": float(values.abs().max()),
            "share": float(values.sum()) / score if additive else None,
            "image_window": image.window.facts() if image.window else None,
            "preprocessing": checkpoint.preprocessing.as_dict(),
        },
        versions=library_versions(),
    )


def _merged(method: Method, checkpoint: Checkpoint, given: Mapping[str, Any]) -> Parameters:
    """The method's defaults with what was given; every number must be a whole one of at least 1."""
    parameters = defaults(method, checkpoint)
    for name, value in given.items():
        if name not in parameters:
            known = ", ".join(parameters) or "none"
            raise Refused(f"{method.title} has no parameter '{name}'; its parameters are: {known}.")
        pair = isinstance(parameters[name], list)
        parameters[name] = [value, value] if pair and isinstance(value, int) else value
        numbers = parameters[name] if pair else [parameters[name]]
        wrong = not isinstance(numbers, list | tuple) or (pair and len(numbers) != 2)
        if name != "baseline" and (wrong or any(type(v) is not int or v < 1 for v in numbers)):
            raise Refused(
                f"{method.title}'s {name} must be {'one or two whole numbers' if pair else 'a whole number'} from 1."
            )
    return parameters
