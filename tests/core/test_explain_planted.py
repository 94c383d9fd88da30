"""Planted evidence: every architecture wired by hand to see one bright patch, and the peak of each cheap method lies on it.

Methods that run a network many times are held to the same on the small network, and in test_explain on one that a single spot
moves; where methods are blind by their nature, a network of a few numbers shows it.

The patch leaves out the middle eighth of the picture: a residual network's strided kernels see half a cell to the left and above.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from core.architectures import ARCHITECTURES, get_architecture
from core.checkpoint import Checkpoint
from core.explain import METHODS, Request, explain
from core.explain.case import Case
from core.explain.gradcam import grad_cam, hirescam, layer_pass
from core.explain.gradients import smoothgrad
from core.explain.occlusion import occlusion
from core.preprocess import Preprocessing
from core.records import Image, Refused
from core.tasks import get_task
from tests.core.test_explain import grey

TASK = get_task("breast-mri")
EDGES = {
    "small-cnn": 64,
    "r4-cnn-a": 28,
    "r4-cnn-b": 28,
    "r4-cnn-c": 28,
    "vgg16": 64,
}  # the others: 128, a map of 4 × 4
CHEAP = [name for name, method in METHODS.items() if not method.slow and not method.folds]
DEAR = [name for name in METHODS if name not in CHEAP]
FEWER = {"lime": {"samples": 200, "segments": 25}, "shapley": {"permutations": 6}, "smoothgrad": {"samples": 10}}
CORNERS = [(vertical, horizontal) for vertical in (0, 1) for horizontal in (0, 1)]
SHAPES = [(64, 64), (64, 112), (120, 70)]


@cache
def wired(architecture: str) -> Checkpoint:
    """The architecture with its first channel carrying brightness to the end, all else 0; malignant is their mean.

    Each kernel has one tap in its middle, branches beside a shortcut give 0, a first channel's norm is neutral. Where dense
    layers follow the map, they add up its cells.
    """
    known = get_architecture(architecture)
    edge = EDGES.get(architecture, 128)
    with torch.device("meta"):
        shapes = known.build(len(TASK.classes)).state_dict()
    state, first = {}, True
    for name, like in shapes.items():
        value = torch.zeros(like.shape, dtype=like.dtype)
        if name.endswith("running_var"):
            value += 1
        elif like.ndim == 4:
            _tap(value, first, branch=bool(re.search(r"(layer\d\.\d+\.conv(2|3)|blocks\.\d+\.conv3)\.", name)))
            first = False
        elif like.ndim == 1 and name.endswith("weight"):
            value[0] = 1
        elif like.ndim == 2:
            _dense(value, known.build, name)
        state[name] = value
    last = [name for name, value in state.items() if value.ndim == 2][-1]
    head = state[last]
    head.zero_()
    head[-1, 0] = 1.0
    if len(head) == 2:
        head[0, 0] = -1.0
    spec = known.preprocessing(edge)
    return Checkpoint(architecture, TASK.name, TASK.classes, spec, state, version="planted")


def _tap(kernel: torch.Tensor, first: bool, *, branch: bool) -> None:
    """One tap of an odd kernel, 2 × 2 of an even one; the first one takes the mean of the input's channels."""
    if branch and kernel.shape[-1] in (1, 3) and kernel.shape[0] == kernel.shape[1]:
        return  # the second 3 × 3 of a basic block
    if branch and kernel.shape[0] > kernel.shape[1]:
        return  # the last 1 × 1 of a bottleneck
    edge = kernel.shape[-1]
    middle = slice((edge - 1) // 2, edge // 2 + 1)
    taps = (1 if edge % 2 else 4) * (kernel.shape[1] if first else 1)
    kernel[0, : kernel.shape[1] if first else 1, middle, middle] = 1 / taps


def _dense(matrix: torch.Tensor, build: object, name: str) -> None:
    """The first dense layer behind a flattened map adds up the first channel's cells; others pass the first number on."""
    cells = {25088: 49, 6272: 49, 5408: 169}.get(matrix.shape[1], 1)
    matrix[0, :cells] = 1 / cells


def planted(shape: tuple[int, int], corner: tuple[int, int], seed: int) -> tuple[Image, slice, slice]:
    """Dim noise with a bright patch that fills 7 / 16 of each side in one corner, and where it is."""
    pixels = np.random.default_rng(seed).integers(0, 90, shape, dtype=np.uint8)
    rows, columns = (
        slice(size - 7 * size // 16, size) if far else slice(0, 7 * size // 16)
        for far, size in zip(corner, shape, strict=True)
    )
    pixels[rows, columns] = 250
    return grey(pixels), rows, columns


def hits(checkpoint: Checkpoint, method: str, shape: tuple[int, int], corner: tuple[int, int], seed: int = 0) -> bool:
    """Whether the centre of the map's strongest cell lies in the patch."""
    image, rows, columns = planted(shape, corner, seed)
    request = Request(method, "malignant", seed, FEWER.get(method, {}))
    values = explain(checkpoint, image, request).values
    peaks = np.argwhere(values == values.max())
    inside = [
        rows.start <= (r + 0.5) * shape[0] / values.shape[0] <= rows.stop
        and columns.start <= (c + 0.5) * shape[1] / values.shape[1] <= columns.stop
        for r, c in peaks
    ]
    return bool(values.max() > 0 and np.mean(inside) >= 0.5)


def cannot(architecture: str, method: str) -> bool:
    """Guided Grad-CAM needs ReLUs, and R4's first network has sigmoids: it is refused, see test_explain."""
    return method == "guided-gradcam" and architecture == "r4-cnn-a"


@pytest.mark.parametrize("method", CHEAP)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_peak_lies_on_the_evidence_in_every_architecture(architecture, method):
    """Cheap methods in all four corners, others in one, of pictures of other proportions than the input's."""
    checkpoint = wired(architecture)
    if cannot(architecture, method):
        with pytest.raises(Refused, match="ReLU"):
            hits(checkpoint, method, SHAPES[0], CORNERS[0])
        return
    number = list(METHODS).index(method) + list(ARCHITECTURES).index(architecture)
    heavy = architecture in ("vgg16", "resnet50", "resnet50v2")
    corners = CORNERS[number % 4 :][:1] if heavy else CORNERS
    for i, corner in enumerate(corners):
        assert hits(checkpoint, method, SHAPES[(number + i) % 3], corner, seed=i), (corner, SHAPES[(number + i) % 3])


@pytest.mark.parametrize("method", CHEAP)
def test_ninety_nine_of_a_hundred_peaks_lie_on_the_evidence(method):
    """A hundred pictures, every corner and proportion, on the lightest architecture."""
    found = [hits(wired("small-cnn"), method, SHAPES[i % 3], CORNERS[i % 4], seed=i) for i in range(100)]
    assert np.mean(found) >= 0.99


@pytest.mark.parametrize("method", DEAR)
def test_the_peak_of_dear_methods_lies_on_the_evidence(method):
    """Every corner, in pictures of three proportions, by the method's defaults or with fewer samples; small-cnn."""
    for i in range(4):
        assert hits(wired("small-cnn"), method, SHAPES[i % 3], CORNERS[i], seed=i), (CORNERS[i], SHAPES[i % 3])


def test_a_network_whose_input_is_not_square_points_as_well():
    """An input of 48 × 80 pixels."""
    known = wired("small-cnn")
    wide = replace(known, preprocessing=Preprocessing((48, 80), 1, known.preprocessing.mean, known.preprocessing.std))
    for method in CHEAP:
        assert all(hits(wide, method, (64, 112), corner) for corner in CORNERS), method


def test_gradcam_is_blind_where_weights_cancel_and_hirescam_is_not():
    """One channel that the head adds up in the left half and takes off in the right half: its mean gradient is 0.

    So Grad-CAM is zero everywhere, whatever the picture shows: no fault of ours but of the method (Draelos & Carin, 2020), which
    is why it may fail on networks without average pooling. HiResCAM takes each cell's own gradient and finds the left half.
    """
    head = nn.Linear(16, 2, bias=False)
    with torch.no_grad():
        head.weight.zero_()
        head.weight[1] = torch.tensor([[1.0, 1, -1, -1]] * 4).flatten()
    net = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.Flatten(), head).eval().requires_grad_(False)
    net[0].weight.fill_(1.0)
    seen = layer_pass(net, "0", torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(0)), 1)
    assert float(grad_cam(seen).max()) == pytest.approx(0, abs=1e-7)
    assert (hirescam(seen)[0, :, :2] > 0).all()
    assert (hirescam(seen)[0, :, 2:] == 0).all()


class _Strongest(nn.Module):
    """Logits (N, 2): 0, and the brightest pixel, as max pooling over everything gives it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.zeros(len(x)), x.amax(dim=(1, 2, 3))], dim=1)


class _Saturated(nn.Module):
    """Logits (N, 2): 0, and a steep sigmoid of the mean, which is 1 to the last digit for any bright picture."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.zeros(len(x)), torch.sigmoid(400 * x.mean(dim=(1, 2, 3)))], dim=1)


def patch_case(net: nn.Module) -> Case:
    """A black picture of 16 × 16 with a white patch of 8 × 8 top left, in a network of one channel."""
    x = torch.zeros(1, 1, 16, 16)
    x[..., :8, :8] = 1.0
    return Case(net, x, 1, (0.0,), (1.0,))


def test_occlusion_is_blind_while_part_of_the_evidence_remains():
    """One white pixel is enough for a maximum: windows of half the patch change nothing, one of all of it takes 1 away."""
    small = occlusion(patch_case(_Strongest()), window=(4, 4), stride=(2, 2), baseline="black", batch=16)
    assert float(small.abs().max()) == 0
    whole = occlusion(patch_case(_Strongest()), window=(8, 8), stride=(8, 8), baseline="black", batch=16)
    assert (whole[:8, :8] == 1).all()
    assert float(whole.sum()) == 64


def test_smoothgrad_is_blind_where_the_score_is_saturated_and_occlusion_is_not():
    """A sigmoid at 1 has no gradient, noise or not; covering the patch takes it to a half."""
    flat = smoothgrad(patch_case(_Saturated()), samples=8, noise_percent=15, batch=8)
    assert float(flat.max()) < 1e-6
    drop = occlusion(patch_case(_Saturated()), window=(8, 8), stride=(8, 8), baseline="black", batch=16)
    assert float(drop.max()) == pytest.approx(0.5)
