"""The one table of explanation methods: what each is called, needs, shows and does.

Limits that planted evidence showed, see `benchmarks/planted.py`; each is the method's own. `core.explain.fit` keeps methods from
networks that they cannot point in:

- Covering one part at a time (Occlusion, feature ablation) shows nothing where the rest of the evidence suffices: behind max
  pooling (VGG16), or in a score that is saturated, the whole of it must be covered at once. So Occlusion's window is never smaller
  than a cell of the last feature map (32 pixels of the input in ResNets and VGG16), and feature ablation is not made behind four
  max poolings. LIME and Shapley values cover many parts together.
- Gradients (SmoothGrad, class-activation maps) vanish where a sigmoid or the score is saturated: a pale map is no weak reason.
  SmoothGrad is not made for networks of sigmoids, nor behind four max poolings, which pass on one pixel's gradient of each cell.
- Grad-CAM averages gradients over the cells, so that weights of both signs cancel where dense layers follow (`HiResCAM` does not).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch

from core.explain import gradcam, gradients, score_cam
from core.explain import superpixels as covering
from core.explain.case import Case
from core.explain.occlusion import occlusion
from core.explain.parts import Findings, over_parts
from core.records import Refused

Parameters = dict[str, Any]
Size = tuple[int, int]


@dataclass(frozen=True)
class Method:
    """An explanation method: `signed` where negative values speak against the class, `slow` where it takes many forwards.

    `needs` says what it asks of a model: a feature `layer`, `gradients` to the pixels, or only `scores`, which any model has.
    `what` is one sentence for the reader: what the map shows and what it does not. `defaults` gives the parameters for an
    input of (height, width) that the network sees in cells of (rows, columns) pixels; `run` works on a case, a layer and the
    parameters. `additive` where the values of a map add up to (a part of) the class score, so that a share of it means
    something. `folds` where the network runs so often that making it faster first pays.
    """

    name: str
    title: str
    needs: Literal["layer", "gradients", "scores"]
    signed: bool
    slow: bool
    what: str
    defaults: Callable[[Size, Size], Parameters]
    run: Callable[[Case, str, Parameters], Findings]
    additive: bool = False

    @property
    def folds(self) -> bool:
        """Whether the network is made faster first (`fold.fast_module`)."""
        return self.slow or self.name == "integrated-gradients"

    @property
    def on_layer(self) -> bool:
        """Whether the values lie on the layer's own grid."""
        return self.needs == "layer" and self.name != "guided-gradcam"


def get_method(name: str) -> Method:
    """The method of that name; raises `Refused` naming the known ones."""
    if name not in METHODS:
        raise Refused(f"There is no explanation method '{name}'; there are {', '.join(METHODS)}.")
    return METHODS[name]


def _activation_map(formula: Callable[[gradcam.LayerPass], torch.Tensor], case: Case, layer: str) -> Findings:
    case.watch.check()
    seen = gradcam.layer_pass(case.module, layer, case.x, case.class_index)
    case.watch.advance(1)
    # What the map adds up to is a share of the score only where the score is a sum over the layer's cells.
    found: Parameters = {
        "closed_form": seen.head is not None,
        "class_score": float(seen.logits[0, case.class_index]),
    }
    return formula(seen)[0], found


def _cam(formula: Callable[[gradcam.LayerPass], torch.Tensor]) -> Callable[[Case, str, Parameters], Findings]:
    return lambda case, layer, parameters: over_parts(partial(_activation_map, formula), case, layer)


def _guided(case: Case, layer: str, parameters: Parameters) -> Findings:
    def one(case: Case, layer: str) -> Findings:
        case.watch.total = 2
        coarse, found = _activation_map(gradcam.grad_cam, case, layer)
        return gradients.guided_gradcam(case, coarse), found

    return over_parts(one, case, layer)


def _score_cam(case: Case, layer: str, parameters: Parameters) -> Findings:
    def one(case: Case, layer: str) -> Findings:
        values, used = score_cam.score_cam(case, layer, **parameters)
        return values, {"channels_used": used, "class_score": float(case.score())}  # of the pass that gave the maps

    return over_parts(one, case, layer)


def _integrated_gradients(case: Case, layer: str, parameters: Parameters) -> Findings:
    values, delta = gradients.integrated_gradients(case, **parameters)
    return values, {"rule": "midpoint", "convergence_delta": delta}


def _smoothgrad(case: Case, layer: str, parameters: Parameters) -> Findings:
    return gradients.smoothgrad(case, **parameters), {"antithetic": True}


def _occlusion(case: Case, layer: str, parameters: Parameters) -> Findings:
    window, stride = parameters["window"], parameters["stride"]
    if any(s > w for s, w in zip(stride, window, strict=True)):
        raise Refused("Occlusion's stride must not be larger than its window, or pixels would be left out.")
    return occlusion(case, **parameters), {"window_weights": "pyramid, most in the middle"}


def _lime(case: Case, layer: str, parameters: Parameters) -> Findings:
    mask = covering.superpixels(case, parameters["segments"])
    rest = {name: parameters[name] for name in ("samples", "baseline", "batch")}
    values, fit = covering.lime(case, feature_mask=mask, **rest)
    known = bool((abs(fit.high) < float("inf")).all())  # JSON has no infinity
    found: Parameters = {"superpixels": int(mask.max()) + 1, "r2": fit.r2, "coefficients": fit.coefficients.tolist()}
    found |= {"low": fit.low.tolist() if known else None, "high": fit.high.tolist() if known else None}
    extras = {"kernel_width": covering.KERNEL_WIDTH, "ridge": covering.RIDGE, "antithetic": True}
    return values, {**found, **extras, "segmentation": "slic"}


def _over_superpixels(method: Callable[..., torch.Tensor]) -> Callable[[Case, str, Parameters], Findings]:
    def run(case: Case, layer: str, parameters: Parameters) -> Findings:
        mask = covering.superpixels(case, parameters["segments"])
        rest = {name: value for name, value in parameters.items() if name != "segments"}
        values = method(case, feature_mask=mask, **rest)
        return values, {"superpixels": int(mask.max()) + 1, "segmentation": "slic"}

    return run


def _no_parameters(size: Size, cell: Size) -> Parameters:
    return {}


def _occlusion_defaults(size: Size, cell: Size) -> Parameters:
    window = [max(1, edge // 8, pixels) for edge, pixels in zip(size, cell, strict=True)]
    return {"window": window, "stride": [max(1, w // 2) for w in window], "baseline": "mean", "batch": 16}


def _segments(most: int, size: Size, cell: Size) -> int:
    """Superpixels no smaller than a cell: behind a max pooling, covering part of what is bright in a cell changes nothing."""
    return max(4, min(most, size[0] * size[1] // (cell[0] * cell[1])))


def _lime_defaults(size: Size, cell: Size) -> Parameters:
    samples = 800 if max(size) <= 128 else 400  # what a CPU does in about half a second or ten seconds
    return {"samples": samples, "segments": _segments(50, size, cell), "baseline": "mean", "batch": 16}


def _ablation_defaults(size: Size, cell: Size) -> Parameters:
    return {"segments": _segments(50, size, cell), "baseline": "mean", "batch": 16}


def _shapley_defaults(size: Size, cell: Size) -> Parameters:
    permutations = 20 if max(size) <= 128 else 8
    return {"permutations": permutations, "segments": _segments(25, size, cell), "baseline": "mean", "batch": 16}


_COARSE = "on a coarse grid; not a lesion outline, and evidence against the class is not shown."

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            "gradcam", "Grad-CAM", "layer", False, False,
            f"Where the network's last feature maps raise this class's score, {_COARSE}",
            _no_parameters, _cam(gradcam.grad_cam), additive=True,
        ),
        Method(
            "hirescam", "HiResCAM", "layer", False, False,
            f"Where the last feature maps times their own gradients raise this class's score, {_COARSE}",
            _no_parameters, _cam(gradcam.hirescam), additive=True,
        ),
        Method(
            "gradcam++", "Grad-CAM++", "layer", False, False,
            f"Where feature maps with rising gradients are active, weighted so that small spots count too, {_COARSE}",
            _no_parameters, _cam(gradcam.grad_cam_plus_plus),
        ),
        Method(
            "layercam", "LayerCAM", "layer", False, False,
            f"Where feature maps are active that raise this class's score at that place, {_COARSE}",
            _no_parameters, _cam(gradcam.layercam),
        ),
        Method(
            "score-cam", "Score-CAM", "layer", False, True,
            f"Where those feature maps are active that keep this class's score when all else is faded to black, {_COARSE}",
            lambda size, cell: {"channels": 56, "baseline": "black", "batch": 16}, _score_cam,
        ),
        Method(
            "guided-gradcam", "Guided Grad-CAM", "layer", True, False,
            "Fine structure inside the Grad-CAM area; much of it is an edge picture that other models would show as well, "
            "and it is not a lesion outline.",
            _no_parameters, _guided,
        ),
        Method(
            "integrated-gradients", "Integrated Gradients", "gradients", True, False,
            "How much each pixel adds to or takes from this class's score compared with a black image; fine-grained and "
            "noisy, not a lesion outline.",
            lambda size, cell: {"steps": 24, "baseline": "black", "batch": 8}, _integrated_gradients, additive=True,
        ),
        Method(
            "smoothgrad", "SmoothGrad", "gradients", False, True,
            "How strongly this class's score reacts to a small change of each pixel, for or against, averaged over noisy "
            "copies; not a lesion outline, and pale where the score no longer reacts because it is already extreme.",
            lambda size, cell: {"samples": 50, "noise_percent": 15, "batch": 8}, _smoothgrad,
        ),
        Method(
            "occlusion", "Occlusion", "scores", True, True,
            "How far this class's score drops when a square window is covered with the image's mean; not a lesion outline, "
            "no finer than the window, and blind where what is left uncovered suffices.",
            _occlusion_defaults, _occlusion,
        ),
        Method(
            "lime", "LIME", "scores", True, True,
            "How much each superpixel adds to or takes from this class's score in a linear imitation of the model fitted on "
            "randomly covered copies; its edges are the superpixels', not a lesion outline.",
            _lime_defaults, _lime,
        ),
        Method(
            "feature-ablation", "Feature ablation", "scores", True, True,
            "How far this class's score drops when one superpixel is covered with the image's mean; its edges are the "
            "superpixels', not a lesion outline, and it is blind where what is left uncovered suffices.",
            _ablation_defaults, _over_superpixels(covering.feature_ablation),
        ),
        Method(
            "shapley", "Shapley values", "scores", True, True,
            "How much each superpixel adds to this class's score on average over the orders in which superpixels appear; its "
            "edges are the superpixels', not a lesion outline.",
            _shapley_defaults, _over_superpixels(covering.shapley_sampling),
        ),
    )
}  # fmt: skip
