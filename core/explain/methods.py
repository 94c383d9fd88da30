"""The registry of explanation methods, and `explain`, which runs one of them on one image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from core.checkpoint import Checkpoint
from core.explain.captum_methods import KERNEL_WIDTH, RIDGE, integrated_gradients, lime, superpixels
from core.explain.case import Case, Watch, case_of
from core.explain.gradcam import gradcam
from core.explain.occlusion import occlusion
from core.preprocess import preprocess
from core.records import Heatmap, Image, Refused
from core.tasks import get_task
from core.versions import library_versions

Parameters = dict[str, Any]
_BY_COVERING = ("occlusion", "lime")  # these only ask for scores, so any model will do


@dataclass(frozen=True)
class Method:
    """An explanation method: `signed` where negative values speak against the class, `slow` where it takes many forwards.

    `what` is one sentence for the reader: what the map shows and what it does not. `defaults` gives the parameters for an
    input of (height, width); `run` gives raw values (h, w) and what it has to say about them.
    """

    name: str
    title: str
    signed: bool
    slow: bool
    what: str
    defaults: Callable[[int, int], Parameters]
    run: Callable[[Case, str, Parameters], tuple[torch.Tensor, Parameters]]


@dataclass(frozen=True)
class Request:
    """What to explain: a method's name, a class of the task, a seed (LIME), and parameters that differ from the defaults."""

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
    progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Heatmap:
    """The attribution of the target class's logit to the parts of one image.

    Values are raw, float32, at the method's own resolution: the heatmap layer's grid for Grad-CAM, the input's resolution
    for the others (Integrated Gradients summed over channels, Occlusion averaged over the windows that cover a pixel, LIME
    painted per superpixel). `parameters` records everything needed to repeat it.

    `progress` is called with the share done, 0–1; `cancelled` is asked before each batch. Raises `Cancelled`, or `Refused`
    for an unknown method, class or parameter and for a model whose scores are not finite.

    Safe to call from several threads with one checkpoint: each call builds its own module over the shared weights, so its
    hooks are its own, and no global random state is read or set.
    """
    method = get_method(request.method)
    class_index = get_task(checkpoint.task).class_index(request.target_class)
    spec = checkpoint.preprocessing
    parameters = _merged(method, spec.size, request.parameters)
    layer = checkpoint.heatmap_layer
    if not layer and method.name not in _BY_COVERING:
        raise Refused(
            f"{method.title} needs a network; {checkpoint.architecture} can be explained by Occlusion or LIME."
        )
    watch = Watch(progress, cancelled)
    x = preprocess(image, spec)[None].to(device)  # (1, C, H, W)
    case = case_of(checkpoint.module(device), x, class_index, spec, seed=request.seed, watch=watch)
    values, findings = method.run(case, layer, parameters)
    if not bool(torch.isfinite(values).all()):
        raise Refused("The model's scores for this image are not finite, so they cannot be explained.")
    return Heatmap(
        values=values.float().cpu().numpy(),
        method=method.name,
        target_class=checkpoint.classes[class_index],
        layer=layer if method.name == "gradcam" else "input",
        model_version=checkpoint.version,
        image_hash=image.content_hash,
        signed=method.signed,
        parameters={
            **parameters,
            "score": "log of the mean probability" if checkpoint.averages else "logit",
            **findings,
            "seed": request.seed,
            "device": device,
            "image_window": asdict(image.window) if image.window else None,
            "preprocessing": spec.as_dict(),
        },
        versions=library_versions(),
    )


def get_method(name: str) -> Method:
    """The method of that name; raises `Refused` naming the known ones."""
    if name not in METHODS:
        raise Refused(f"There is no explanation method '{name}'; there are {', '.join(METHODS)}.")
    return METHODS[name]


def _merged(method: Method, size: tuple[int, int], given: Mapping[str, Any]) -> Parameters:
    """The method's defaults with what was given; every number must be a whole one of at least 1."""
    parameters = method.defaults(*size)
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


def _gradcam(case: Case, layer: str, parameters: Parameters) -> tuple[torch.Tensor, Parameters]:
    case.watch.check()
    values, combined = gradcam(case.module, layer, case.x, case.class_index)
    case.watch.advance(1)
    return values[0], {"score": "logit", "map": combined} if combined else {}


def _integrated_gradients(case: Case, layer: str, parameters: Parameters) -> tuple[torch.Tensor, Parameters]:
    values, delta = integrated_gradients(case, **parameters)
    return values, {"rule": "midpoint", "convergence_delta": delta}


def _occlusion(case: Case, layer: str, parameters: Parameters) -> tuple[torch.Tensor, Parameters]:
    window, stride = parameters["window"], parameters["stride"]
    if any(s > w for s, w in zip(stride, window, strict=True)):
        raise Refused("Occlusion's stride must not be larger than its window, or pixels would be left out.")
    return occlusion(case, **parameters), {}


def _lime(case: Case, layer: str, parameters: Parameters) -> tuple[torch.Tensor, Parameters]:
    mask = superpixels(case, parameters["segments"])
    rest = {name: parameters[name] for name in ("samples", "baseline", "batch")}
    values, r2 = lime(case, feature_mask=mask, **rest)
    found = {"superpixels": int(mask.max()) + 1, "r2": r2}
    return values, {**found, "kernel_width": KERNEL_WIDTH, "ridge": RIDGE, "segmentation": "slic"}


def _occlusion_defaults(height: int, width: int) -> Parameters:
    window = [max(1, height // 8), max(1, width // 8)]
    return {"window": window, "stride": [max(1, w // 2) for w in window], "baseline": "mean", "batch": 32}


def _lime_defaults(height: int, width: int) -> Parameters:
    samples = 800 if max(height, width) <= 128 else 400  # what a CPU does in about half a second or ten seconds
    return {"samples": samples, "segments": 50, "baseline": "mean", "batch": 32}


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            "gradcam", "Grad-CAM", False, False,
            "Where the network's last feature maps raise this class's score, on a coarse grid; not a lesion outline, and "
            "evidence against the class is not shown.",
            lambda height, width: {}, _gradcam,
        ),
        Method(
            "integrated-gradients", "Integrated Gradients", True, False,
            "How much each pixel adds to or takes from this class's score compared with a black image; fine-grained and "
            "noisy, not a lesion outline.",
            lambda height, width: {"steps": 24, "baseline": "black", "batch": 8}, _integrated_gradients,
        ),
        Method(
            "occlusion", "Occlusion", True, True,
            "How far this class's score drops when a square window is covered with the image's mean; not a lesion outline, "
            "and no finer than the window.",
            _occlusion_defaults, _occlusion,
        ),
        Method(
            "lime", "LIME", True, True,
            "How much each superpixel adds to or takes from this class's score in a linear imitation of the model fitted on "
            "randomly covered copies; its edges are the superpixels', not a lesion outline.",
            _lime_defaults, _lime,
        ),
    )
}  # fmt: skip
