"""Explanations: equal to Captum and to sums done on paper, pointing at planted evidence, leaving nothing behind."""

from __future__ import annotations

import gc
import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam, Occlusion
from PIL import Image as PILImage
from torch import nn

from core.architectures import ARCHITECTURES, get_architecture
from core.checkpoint import Checkpoint
from core.explain import (
    METHODS,
    Cancelled,
    Request,
    display_scale,
    explain,
    load_heatmap,
    overlay_png,
    predict_with_gradcam,
    save_heatmap,
)
from core.explain.case import PATIENCE, Case, Watch
from core.explain.fit import unfit
from core.explain.gradients import integrated_gradients
from core.explain.occlusion import nearness, occlusion, window_corners
from core.explain.overlay import caption
from core.explain.superpixels import lime, superpixels
from core.preprocess import Preprocessing, preprocess
from core.records import Heatmap, Image, Refused, full_range_window
from core.tasks import get_task

TASK = get_task("breast-mri")
# Few forwards, so that every architecture can take every method; None of these numbers matters to what is asserted.
QUICK = {
    "gradcam": {},
    "integrated-gradients": {"steps": 2},
    "occlusion": {"window": 16, "stride": 16},
    "lime": {"samples": 8, "segments": 4},
    "score-cam": {"channels": 3},
    "smoothgrad": {"samples": 4},
    "feature-ablation": {"segments": 4},
    "shapley": {"segments": 4, "permutations": 2},
}
QUICK |= {name: {} for name in METHODS if name not in QUICK}


@dataclass(frozen=True)
class Watched(Checkpoint):
    """A checkpoint that remembers the modules it built, so that a test can look at their hooks."""

    built: list[nn.Module] = field(default_factory=list)

    def module(self, device: str = "cpu") -> nn.Module:
        """As `Checkpoint.module`, remembered."""
        self.built.append(super().module(device))
        return self.built[-1]


def hooks(module: nn.Module) -> int:
    """How many hooks a network carries."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(part, kind)) for part in module.modules() for kind in kinds)


@cache
def random_state(architecture: str) -> dict[str, torch.Tensor]:
    """Weights of a plausible size for each layer; drawn once and repeated, since VGG16's own start takes seconds."""
    generator = torch.Generator().manual_seed(7)
    noise = torch.randn(2**16 + 1, generator=generator)
    with torch.device("meta"):
        shapes = get_architecture(architecture).build(len(TASK.classes)).state_dict()
    state = {}
    for name, like in shapes.items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(0)
        elif like.ndim == 1:
            state[name] = (
                torch.ones(like.shape) if name.endswith(("weight", "running_var")) else torch.zeros(like.shape)
            )
        else:
            values = noise.repeat(like.numel() // len(noise) + 1)[: like.numel()].reshape(like.shape)
            state[name] = values * (2 / like[0].numel()) ** 0.5
    return state


def random_checkpoint(architecture: str, edge: int | None = None) -> Watched:
    """A checkpoint with random weights at the smallest input that the architecture takes, or at `edge`."""
    known = get_architecture(architecture)
    spec = known.preprocessing(edge or known.smallest)
    return Watched(architecture, TASK.name, TASK.classes, spec, random_state(architecture), version="v")


@cache
def bright_spot_checkpoint() -> Checkpoint:
    """A small-cnn that passes on brightness above mid-grey: each cell of its last map is that of its 8 × 8 pixels.

    Only the first channels and the middle of their kernels count; the logit of malignant is the mean of the cells.
    """
    state = {name: torch.zeros_like(value) for name, value in random_state("small-cnn").items()}
    for name, value in state.items():
        if name.endswith("running_var"):
            value += 1
        elif name.startswith("features") and value.ndim == 4:
            edge = value.shape[-1]
            middle = slice((edge - 1) // 2, edge // 2 + 1)  # one tap of an odd kernel, 2 × 2 of an even one
            value[0, 0, middle, middle] = 1 if edge % 2 else 1 / 4
        elif name.startswith("features") and name.endswith("weight"):
            value[0] = 1  # batch norm of the first channel
    state["fc.weight"][:, 0] = torch.tensor([-1.0, 1.0])
    return replace(random_checkpoint("small-cnn", 64), state=state)


def grey(pixels: np.ndarray) -> Image:
    """A grey image shown over its full range."""
    return Image(pixels, window=full_range_window(pixels))


def noise_image(height: int = 40, width: int = 56) -> Image:
    """An image without any structure."""
    return grey(np.random.default_rng(3).integers(0, 256, (height, width), dtype=np.uint8))


def linear_case(weights: torch.Tensor, x: torch.Tensor | None = None, **more: object) -> Case:
    """A model on paper: score 1 is the sum of weights · pixels, score 0 its negative; black and mean brightness are known."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(weights.numel(), 2, bias=False)).requires_grad_(False)
    net[1].weight = nn.Parameter(torch.stack([-weights.flatten(), weights.flatten()]), requires_grad=False)
    x = torch.ones(1, 1, *weights.shape) if x is None else x
    return Case(net, x, 1, (0.0,), (1.0,), **more)


ARANGE = torch.arange(16.0).reshape(4, 4)
QUADRANTS = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]])
QUADRANT_SUMS = torch.tensor([10.0, 18.0, 42.0, 50.0])  # of ARANGE, by hand


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_method_explains_every_architecture(architecture: str, method: str, copies: list[nn.Module]) -> None:
    """Each pair gives a finite map of the promised shape and provenance, and leaves hooks and weights as they were.

    Or it is refused with the reason; which are is said in `test_explain_planted`.
    """
    checkpoint = random_checkpoint(architecture)
    before = {name: (value, value._version) for name, value in checkpoint.state.items()}
    image = noise_image()
    request = Request(method, "malignant", parameters=QUICK[method])
    if why := unfit(METHODS[method], checkpoint):
        with pytest.raises(Refused, match=why):
            explain(checkpoint, image, request)
        return
    heatmap = explain(checkpoint, image, request)
    height, width = checkpoint.preprocessing.size
    grids = {"small-cnn": (2, 2), "resnet18": (1, 1), "resnet50": (1, 1), "resnet50v2": (1, 1), "vgg16": (2, 2)}
    grids |= {"r4-cnn-a": (7, 7), "r4-cnn-b": (26, 26), "r4-cnn-c": (7, 7)}
    assert heatmap.values.shape == (grids[architecture] if METHODS[method].on_layer else (height, width))
    assert heatmap.signed == METHODS[method].signed
    assert heatmap.signed or heatmap.values.min() >= 0
    assert (heatmap.target_class, heatmap.model_version, heatmap.image_hash) == ("malignant", "v", image.content_hash)
    known = get_architecture(architecture)
    assert heatmap.layer == (known.heatmap_layer if METHODS[method].needs == "layer" else "input")
    assert (
        heatmap.versions["torch"] == torch.__version__.split("+")[0] or heatmap.versions["torch"] == torch.__version__
    )
    assert json.loads(json.dumps(heatmap.parameters))["preprocessing"]["channels"] == known.channels
    assert {hooks(module) for module in (*checkpoint.built, *copies)} == {0}
    assert copies
    assert not any(module.training for built in (*checkpoint.built, *copies) for module in built.modules())
    assert all(value is checkpoint.state[n] and value._version == v for n, (value, v) in before.items())


@pytest.mark.parametrize("method", METHODS)
def test_a_cancelled_explanation_stops_and_leaves_no_hooks(method: str, copies: list[nn.Module]) -> None:
    """`cancelled` ends every method before the model sees the next batch, without hooks left on the module."""
    checkpoint = random_checkpoint("small-cnn", 32)
    shares: list[float] = []
    several = method == "guided-gradcam" or not METHODS[method].on_layer or METHODS[method].slow
    with pytest.raises(Cancelled):
        explain(
            checkpoint, noise_image(), Request(method, "malignant"),
            watch=Watch(shares.append, lambda: len(shares) >= several),
        )  # fmt: skip
    assert len(shares) == several
    assert {hooks(module) for module in (*checkpoint.built, *copies)} == {0}
    assert copies


@pytest.mark.parametrize(("method", "parameters"), QUICK.items())
def test_progress_rises_to_one(method: str, parameters: dict[str, int]) -> None:
    """The share done never falls and ends at exactly 1."""
    shares: list[float] = []
    small = {**parameters, "batch": 2, "steps": 8} if method == "integrated-gradients" else parameters
    small = {**small, "batch": 1} if METHODS[method].slow else small
    explain(
        random_checkpoint("small-cnn", 32),
        noise_image(),
        Request(method, "benign", parameters=small),
        watch=Watch(shares.append),
    )
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert shares[0] <= 0.5 or METHODS[method].on_layer


def test_gradcam_removes_its_hook_when_the_head_fails() -> None:
    """An exception after the hooked layer leaves the module without hooks and autograd as it was."""
    module = random_checkpoint("small-cnn").module()
    module.fc = nn.Linear(5, 2)
    with pytest.raises(RuntimeError):
        predict_with_gradcam(module, "features", torch.zeros(1, 1, 16, 16), 1)
    assert hooks(module) == 0
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(("architecture", "edge"), [("small-cnn", 32), ("resnet18", 64), ("vgg16", 64)])
def test_gradcam_equals_captum(architecture: str, edge: int) -> None:
    """Logits and maps of a batch equal a plain forward and Captum's LayerGradCam, also behind VGG16's in-place ReLU."""
    known = get_architecture(architecture)
    module = random_checkpoint(architecture).module()
    x = torch.randn(2, known.channels, edge, edge, generator=torch.Generator().manual_seed(1))
    brightest = []
    for class_index in (0, 1):
        logits, maps = predict_with_gradcam(module, known.heatmap_layer, x, class_index)
        layer = module.get_submodule(known.heatmap_layer)
        theirs = LayerGradCam(module, layer).attribute(x.clone().requires_grad_(), class_index, relu_attributions=True)
        size = max(1e-6, float(theirs.detach().max()))
        assert torch.allclose(maps / size, theirs[:, 0].detach() / size, atol=1e-5)
        with torch.no_grad():
            assert torch.allclose(logits, module(x), atol=1e-5)
        brightest.append(float(maps.max()))
    assert max(brightest) > 0  # or nothing was compared


def test_gradcam_is_right_before_an_in_place_relu() -> None:
    """On VGG16's last convolution, whose output the next module overwrites, the maps still equal Captum's."""
    module = random_checkpoint("vgg16").module()
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    layer = module.features[28]
    for class_index in (0, 1):
        theirs = LayerGradCam(module, layer).attribute(x.clone().requires_grad_(), class_index)[:, 0].detach()
        _, maps = predict_with_gradcam(module, "features.28", x, class_index)
        size = float(theirs.abs().max())
        assert torch.allclose(maps / size, theirs.relu() / size, atol=1e-5)


def test_gradcam_without_a_class_explains_each_images_own_prediction() -> None:
    """With `class_index` None each map is the one of that image's highest logit."""
    module = random_checkpoint("resnet18").module()
    x = torch.randn(6, 3, 64, 64, generator=torch.Generator().manual_seed(3)) * torch.arange(1, 7)[:, None, None, None]
    logits, maps = predict_with_gradcam(module, "layer4", x, None)
    for one, row, expected in zip(x, logits, maps, strict=True):
        _, alone = predict_with_gradcam(module, "layer4", one[None], int(row.argmax()))
        assert torch.allclose(alone[0], expected, rtol=1e-4, atol=1e-4 * float(expected.max()))


def test_gradcam_of_the_bright_spot_model_on_paper() -> None:
    """One fully white 8 × 8 block gives its cell 1 / 64 (the mean's weight) and every other cell 0."""
    pixels = np.zeros((64, 64), np.uint8)
    pixels[16:24, 40:48] = 255
    heatmap = explain(bright_spot_checkpoint(), grey(pixels), Request("gradcam", "malignant"))
    expected = np.zeros((8, 8))
    expected[2, 5] = 1 / 64
    assert np.allclose(heatmap.values, expected, atol=1e-6)  # batch norm's ε takes 2e-5 of it
    against = explain(bright_spot_checkpoint(), grey(pixels), Request("gradcam", "benign"))
    assert against.values.max() == 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(64, 64), (96, 160), (150, 70)])
@pytest.mark.parametrize("corner", ["top left", "top right", "bottom left", "bottom right"])
def test_the_peak_lies_on_the_planted_evidence(method: str, shape: tuple[int, int], corner: str) -> None:
    """Whatever corner the evidence is in and whatever the image's proportions, the map's peak is on it."""
    height, width = shape
    rows = slice(0, height // 4) if "top" in corner else slice(height - height // 4, height)
    columns = slice(0, width // 4) if "left" in corner else slice(width - width // 4, width)
    pixels = np.random.default_rng(0).integers(0, 100, shape, dtype=np.uint8)
    pixels[rows, columns] = 250
    quick = {
        "lime": {"samples": 100, "segments": 16},
        "integrated-gradients": {"steps": 4},
        "occlusion": {"window": 16, "stride": 8},
    }.get(method, {})
    values = explain(bright_spot_checkpoint(), grey(pixels), Request(method, "malignant", parameters=quick)).values
    peak = np.unravel_index(values.argmax(), values.shape)
    row, column = ((place + 0.5) * whole / parts for place, whole, parts in zip(peak, shape, values.shape, strict=True))
    assert rows.start <= row <= rows.stop
    assert columns.start <= column <= columns.stop


def test_integrated_gradients_of_a_linear_model_are_weight_times_distance() -> None:
    """For a linear score each pixel gets exactly weight · (pixel − baseline), and the delta is 0."""
    case = linear_case(ARANGE, x=torch.full((1, 1, 4, 4), 3.0))
    values, delta = integrated_gradients(case, steps=3, baseline="black", batch=2)
    assert torch.allclose(values, ARANGE * 3, atol=1e-5)
    assert delta == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("architecture", ["small-cnn", "resnet18"])
def test_integrated_gradients_are_complete(architecture: str) -> None:
    """The values sum to score(image) − score(baseline) + the recorded delta, which is small against that difference."""
    checkpoint = random_checkpoint(architecture, 32)
    image = noise_image()
    x = preprocess(image, checkpoint.preprocessing)[None]
    spec = checkpoint.preprocessing
    black = torch.stack([torch.full(spec.size, -m / s) for m, s in zip(spec.mean, spec.std, strict=True)])[None]
    with torch.no_grad():
        gain = float(checkpoint.module()(x)[0, 1] - checkpoint.module()(black)[0, 1])
    heatmap = explain(checkpoint, image, Request("integrated-gradients", "malignant"))
    delta = heatmap.parameters["convergence_delta"]
    assert float(heatmap.values.sum()) == pytest.approx(gain + delta, abs=1e-3 * max(1, abs(gain)))
    assert abs(delta) < 0.1 * abs(gain)


def test_occlusion_of_a_linear_model_on_paper() -> None:
    """Covering a quarter of a 4 × 4 arange with black costs the sum of its weights: 10, 18, 42 and 50."""
    drops = occlusion(linear_case(ARANGE), window=(2, 2), stride=(2, 2), baseline="black", batch=3)
    assert torch.equal(drops, QUADRANT_SUMS[QUADRANTS])


@pytest.mark.parametrize(
    ("window", "stride"), [((2, 2), (1, 1)), ((3, 2), (2, 1)), ((8, 8), (5, 3)), ((5, 4), (5, 4)), ((6, 7), (6, 7))]
)
@pytest.mark.parametrize("shape", [(16, 16), (13, 18)])
def test_occlusion_equals_captum(
    shape: tuple[int, int], window: tuple[int, int], stride: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all pixels of a window weighed alike, as Captum does, its numbers to 1e-5; also for windows that pass the edge.

    Where windows do not overlap the weights make no difference.
    """
    if stride != window:
        monkeypatch.setattr("core.explain.occlusion.nearness", lambda window: torch.ones(window))
    generator = torch.Generator().manual_seed(5)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    net.load_state_dict({k: torch.randn(v.shape, generator=generator) for k, v in net.state_dict().items()})
    x = torch.randn(1, 3, *shape, generator=generator)
    case = Case(net, x, 1, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    ours = occlusion(case, window=window, stride=stride, baseline="black", batch=7)
    theirs = Occlusion(net).attribute(
        x, (3, *window), strides=(3, *stride), baselines=case.baseline("black").expand_as(x), target=1
    )
    assert torch.allclose(ours, theirs[0, 0].float(), atol=1e-5)


def test_what_one_window_alone_covers_peaks_in_its_middle() -> None:
    """Six pixels in a row, windows of four at 0 and 2, and a score of pixels 1 and 2 together: only the first covers both.

    Weights are 1/2, 1, 1, 1/2. Pixels 0 and 1 have the first window alone: 1; pixel 2 has both, 1 : 1/2, so 2/3; pixel 3 has
    1/2 : 1, so 1/3. The second window leaves pixel 1 uncovered and changes nothing.
    """
    assert nearness((1, 4)).tolist() == [[0.5, 1, 1, 0.5]]
    assert nearness((3, 1)).tolist() == [[0.5], [1], [0.5]]

    class Either(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([torch.zeros(len(x)), x[:, 0, 0, 1:3].amax(dim=1)], dim=1)

    case = Case(Either(), torch.ones(1, 1, 1, 6), 1, (0.0,), (1.0,))
    values = occlusion(case, window=(1, 4), stride=(1, 2), baseline="black", batch=2)
    assert values[0].tolist() == pytest.approx([1, 1, 2 / 3, 1 / 3, 0, 0])


def test_windows_leave_no_pixel_out() -> None:
    """The last window reaches the end, also when the stride does not divide the edge."""
    assert window_corners(4, 2, 2) == [0, 2]
    assert window_corners(5, 2, 2) == [0, 2, 4]
    assert window_corners(3, 8, 4) == [0]


def test_lime_of_a_model_linear_in_its_superpixels_on_paper() -> None:
    """Four superpixels of a linear model get the sums of their weights, and the linear imitation is exact."""
    values, fit = lime(linear_case(ARANGE), feature_mask=QUADRANTS, samples=400, baseline="black", batch=64)
    assert torch.allclose(values, QUADRANT_SUMS[QUADRANTS], rtol=2e-3)
    assert fit.r2 == pytest.approx(1, abs=1e-4)


def test_lime_repeats_with_its_seed_whatever_the_global_one() -> None:
    """The same seed gives the same map after other random numbers were drawn, another seed another; the global state stays."""
    checkpoint, image = random_checkpoint("small-cnn", 32), noise_image()
    quick = {"samples": 40, "segments": 9}
    first = explain(checkpoint, image, Request("lime", "malignant", seed=4, parameters=quick))
    torch.manual_seed(99)
    state = torch.get_rng_state()
    again = explain(checkpoint, image, Request("lime", "malignant", seed=4, parameters=quick))
    other = explain(checkpoint, image, Request("lime", "malignant", seed=5, parameters=quick))
    assert np.array_equal(first.values, again.values)
    assert not np.allclose(first.values, other.values)
    assert torch.equal(state, torch.get_rng_state())
    assert first.parameters["seed"] == 4
    assert len(np.unique(first.values)) <= first.parameters["superpixels"]


def test_superpixels_follow_an_edge_and_have_no_gaps() -> None:
    """No superpixel crosses a sharp edge between black and white, and their numbers run from 0."""
    x = torch.zeros(1, 1, 40, 40)
    x[..., 23:] = 1
    labels = superpixels(linear_case(torch.zeros(40, 40), x=x), 12)
    assert set(labels[:, :23].unique().tolist()).isdisjoint(labels[:, 23:].unique().tolist())
    assert labels.unique().tolist() == list(range(int(labels.max()) + 1))


@pytest.mark.parametrize("edge", [64, 224])
def test_superpixels_survive_speckle(edge: int) -> None:
    """On pure speckle, as in ultrasound, about as many superpixels remain as were asked for."""
    speckle = torch.from_numpy(np.random.default_rng(1).rayleigh(0.3, (edge, edge))).float().clamp(0, 1)
    labels = superpixels(linear_case(torch.zeros(1, 1), x=speckle[None, None]), 50)
    assert 40 <= int(labels.max()) + 1 <= 60


def test_baselines_are_black_or_the_images_mean() -> None:
    """Black is brightness 0 in normalised space, mean is the image's own; any other word is refused."""
    spec = Preprocessing((2, 2), 3, (0.5, 0.4, 0.3), (0.5, 0.2, 0.1))
    x = torch.arange(12.0).reshape(1, 3, 2, 2)
    case = Case(nn.Identity(), x, 0, spec.mean, spec.std)
    assert case.baseline("black").flatten().tolist() == pytest.approx([-1, -2, -3])
    assert case.baseline("mean").flatten().tolist() == pytest.approx([1.5, 5.5, 9.5])
    with pytest.raises(Refused, match="black or mean"):
        case.baseline("white")


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        (Request("rainbow", "malignant"), "rainbow"),
        (Request("gradcam", "cat"), "cat"),
        (Request("gradcam", "malignant", parameters={"layer": "fc"}), "layer"),
        (Request("occlusion", "malignant", parameters={"window": 0}), "window"),
        (Request("occlusion", "malignant", parameters={"window": [4, 4, 4]}), "window"),
        (Request("occlusion", "malignant", parameters={"stride": "4"}), "stride"),
        (Request("occlusion", "malignant", parameters={"window": 4, "stride": 6}), "left out"),
        (Request("lime", "malignant", parameters={"samples": 2.5}), "samples"),
        (Request("integrated-gradients", "malignant", parameters={"baseline": "white"}), "baseline"),
    ],
)
def test_requests_that_make_no_sense_are_refused(request_: Request, word: str) -> None:
    """Unknown methods, classes and parameters, and numbers out of range, are refused in a sentence that names them."""
    with pytest.raises(Refused, match=word):
        explain(random_checkpoint("small-cnn"), noise_image(), request_)


def test_scores_that_are_not_finite_are_refused() -> None:
    """A model that answers NaN gets no heatmap."""
    broken = random_checkpoint("small-cnn")
    state = {**broken.state, "fc.bias": torch.full((2,), float("nan"))}
    with pytest.raises(Refused, match="not finite"):
        explain(replace(broken, state=state), noise_image(), Request("occlusion", "malignant"))


def test_every_method_tells_the_reader_that_it_draws_no_outline() -> None:
    """The sentence for the reader carries the caveat, and the registry's keys are the methods' names."""
    assert len(METHODS) == 12
    for name, method in METHODS.items():
        assert method.name == name
        assert "not a lesion outline" in method.what
        assert method.what.endswith(".")


def test_two_methods_at_once_give_the_same_as_alone() -> None:
    """Threads that share one checkpoint get the maps that each method gives alone, several times over."""
    checkpoint, image = random_checkpoint("small-cnn", 32), noise_image()
    requests = [Request(m, c, parameters=QUICK[m]) for m in METHODS for c in TASK.classes]
    alone = [explain(checkpoint, image, request).values for request in requests]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda r: explain(checkpoint, image, r).values, requests * 4))
    for i, values in enumerate(together):
        assert np.allclose(values, alone[i % len(alone)], atol=1e-6)


def test_two_hundred_gradcams_leave_nothing_behind() -> None:
    """Neither hooks on a shared module nor tensors known to the collector grow."""
    module = random_checkpoint("small-cnn").module()
    x = torch.randn(1, 1, 16, 16)

    def tensors() -> int:
        gc.collect()
        return sum(type(thing) is torch.Tensor for thing in gc.get_objects())

    predict_with_gradcam(module, "features", x, 1)
    before = tensors()
    for _ in range(200):
        predict_with_gradcam(module, "features", x, 1)
    assert tensors() <= before
    assert hooks(module) == 0


def a_heatmap(values: np.ndarray | None = None, signed: bool = False) -> Heatmap:
    """A 2 × 3 heatmap with every field filled."""
    return Heatmap(
        values=np.array([[0, 1, 2], [3, 4, 5]], np.float32) / 100 if values is None else values.astype(np.float32),
        method="occlusion" if signed else "gradcam",
        target_class="malignant",
        layer="features",
        model_version="abc",
        image_hash="def",
        signed=signed,
        parameters={"seed": 3, "window": [2, 2], "nested": {"delta": 1e-7}},
        versions={"torch": "2"},
    )


def test_a_heatmap_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    """Values to the bit and every field survive the file; nothing else is left in the folder."""
    path = tmp_path / "map.npz"
    heatmap = explain(random_checkpoint("small-cnn"), noise_image(), Request("occlusion", "malignant"))
    for saved in (a_heatmap(), heatmap):  # the second replaces the first
        save_heatmap(saved, path)
        loaded = load_heatmap(path)
        assert np.array_equal(loaded.values, saved.values)
        assert loaded.values.dtype == np.float32
        for name in ("method", "target_class", "layer", "model_version", "image_hash", "signed"):
            assert getattr(loaded, name) == getattr(saved, name)
        assert json.dumps(loaded.parameters) == json.dumps(saved.parameters)
        assert loaded.versions == saved.versions
        with np.load(path) as file:
            assert json.loads(str(file["metadata"]))["notice"] == "Research use, not for diagnosis"
    assert [file.name for file in tmp_path.iterdir()] == ["map.npz"]


def test_a_failed_save_keeps_the_old_file(tmp_path: Path) -> None:
    """Parameters that are not JSON-safe raise, and the file that was there stays whole."""
    path = tmp_path / "map.npz"
    save_heatmap(a_heatmap(), path)
    for unsafe in (float("nan"), 1j):
        with pytest.raises((TypeError, ValueError)):
            save_heatmap(replace(a_heatmap(), parameters={"x": unsafe}), path)
    assert load_heatmap(path).parameters["seed"] == 3
    assert [file.name for file in tmp_path.iterdir()] == ["map.npz"]


def test_a_damaged_heatmap_file_is_refused_or_harmless(tmp_path: Path) -> None:
    """200 seeded mutations and truncations: each is refused, or the map is exactly the one that was saved."""
    path, hurt = tmp_path / "map.npz", tmp_path / "hurt.npz"
    save_heatmap(a_heatmap(), path)
    whole = path.read_bytes()
    rng = np.random.default_rng(11)
    refused = 0
    for i in range(200):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), rng.integers(1, 4)):
            data[place] ^= int(rng.integers(1, 256))
        hurt.write_bytes(data[: rng.integers(0, len(data))] if i % 4 == 0 else data)
        try:
            loaded = load_heatmap(hurt)
        except Refused:
            refused += 1
        else:
            assert np.array_equal(loaded.values, a_heatmap().values)
            assert loaded.parameters == a_heatmap().parameters
    assert refused > 100


def test_files_that_are_no_heatmaps_are_refused(tmp_path: Path) -> None:
    """A missing file, text, a bare array, an object array, other keys and a newer format are all refused."""
    path = tmp_path / "map.npz"
    with pytest.raises(Refused, match="no heatmap file"):
        load_heatmap(path)
    facts = json.dumps({"format": 99})
    for write in (
        lambda: path.write_text("hello"),
        lambda: path.write_bytes(b""),
        lambda: np.save(path.open("wb"), np.zeros(3)),
        lambda: np.savez(path, values=np.array([{}], dtype=object), metadata=np.array("{}")),
        lambda: np.savez(path, other=np.zeros(3)),
        lambda: np.savez(path, values=np.zeros((2, 2), np.float32), metadata=np.array(facts)),
        lambda: np.savez(path, values=np.zeros((2, 2), np.float32), metadata=np.array("[]")),
    ):
        write()
        with pytest.raises(Refused, match="damaged"):
            load_heatmap(path)


def opened(png: bytes) -> np.ndarray:
    """A PNG's pixels (H, W, 3)."""
    with PILImage.open(io.BytesIO(png)) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")
        return np.asarray(picture)


@pytest.mark.parametrize("shape", [(300, 400), (80, 500, 3), (28, 28)])
def test_an_overlay_is_the_image_with_a_caption_strip(shape: tuple[int, ...]) -> None:
    """The image keeps its size and place, text stands on the strip beneath, and small images get a ground wide enough for it."""
    pixels = np.full(shape, 90, np.uint8)
    image = grey(pixels) if len(shape) == 2 else Image(pixels)
    drawn = opened(overlay_png(image, a_heatmap(np.zeros((2, 3)))))
    height, width = shape[:2]
    assert drawn.shape[1] == max(width, 240)
    assert height + 12 <= drawn.shape[0] <= height + 120
    assert (drawn[:height, :width] == 90).all()  # no evidence: the image as it is
    assert (drawn[height:] > 200).sum() > 300
    assert (drawn[height:, :2] == 0).all()
    assert (drawn[height:, -2:] == 0).all()  # no letter is cut off


def test_overlay_colours_are_the_promised_mixture() -> None:
    """At full scale half of the colour is the table's end, at zero it is the image; the threshold and the scale count."""
    image = grey(np.full((40, 300), 100, np.uint8))
    values = np.repeat(np.array([[0.0, 1.0]]), 2, axis=0)
    end = np.array([0xFD, 0xE7, 0x25])
    drawn = opened(overlay_png(image, a_heatmap(values)))
    assert np.abs(drawn[20, 299] - (50 + end / 2)).max() <= 1
    assert (drawn[20, 0] == 100).all()
    half = opened(overlay_png(image, a_heatmap(values), scale=2.0, threshold=0.51))
    assert (half[:40, :300] == 100).all()  # all below the threshold at that scale
    clear = opened(overlay_png(image, a_heatmap(values), opacity=0))
    assert (clear[:40, :300] == 100).all()


def test_signed_overlays_tell_for_from_against() -> None:
    """Evidence for the class turns orange, evidence against it blue."""
    image = grey(np.full((40, 300), 100, np.uint8))
    drawn = opened(overlay_png(image, a_heatmap(np.array([[-1.0, 1.0]]), signed=True), opacity=1)).astype(int)
    assert drawn[20, 0, 2] > drawn[20, 0, 0] + 50
    assert drawn[20, 299, 0] > drawn[20, 299, 2] + 50


def test_the_caption_says_what_the_picture_is() -> None:
    """Method, class, grid, raw maximum, what full colour is, and the notice; a map of nothing has no full colour."""
    heatmap = a_heatmap(np.array([[0.0, 0.0123]]))
    assert caption(heatmap) == (
        "Grad-CAM · malignant · 1 × 2 · max 1.23e-2 · full colour is its own maximum · research use, not for diagnosis"
    )
    assert "full colour" not in caption(a_heatmap(np.zeros((1, 2))))
    assert "full colour at 5.00e-1" in caption(heatmap, scale=0.5)
    assert "max ±2.00e0" in caption(a_heatmap(np.array([[-2.0, 1.0]]), signed=True))


def test_the_display_scale_is_the_largest_magnitude() -> None:
    """Per picture, whatever the sign; 0 for an empty map, whose overlay is the bare image."""
    assert display_scale(a_heatmap(np.array([[-2.0, 1.0]]), signed=True)) == 2.0
    assert display_scale(a_heatmap(np.zeros((2, 2)))) == 0.0


@pytest.mark.parametrize("wrong", [{"opacity": 1.1}, {"threshold": -0.1}, {"scale": 0.0}, {"scale": float("inf")}])
def test_overlay_values_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    """Opacity and threshold lie in 0–1, a scale is positive and finite."""
    with pytest.raises(Refused, match="overlay"):
        overlay_png(noise_image(), a_heatmap(), **wrong)


def test_a_watch_never_says_more_than_done() -> None:
    """Shares stop at 1 even when a method counts more images than it announced."""
    shares: list[float] = []
    watch = Watch(shares.append, total=2)
    for _ in range(3):
        watch.advance(1)
    assert shares == [0.5, 1.0, 1.0]


def test_a_batch_is_interrupted_between_its_layers() -> None:
    """More urgent work, and a caller who wants nothing any more, do not wait for a batch to end; no hook remains."""
    asked: list[int] = []
    checkpoint = random_checkpoint("small-cnn", 32)
    layers = [m for m in checkpoint.module().modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    module, x = checkpoint.module(), torch.zeros(1, 1, 32, 32)
    case = Case(module, x, 1, (0.5,), (0.5,), watch=Watch(give_way=lambda: asked.append(1)))
    case.scores(x)
    assert len(asked) == 1 + len(layers)
    stopped = Case(
        module, x, 1, (0.5,), (0.5,), watch=Watch(cancelled=lambda: len(asked) == 2, give_way=lambda: asked.append(1))
    )
    asked.clear()
    with pytest.raises(Cancelled):
        stopped.scores(x)
    assert len(asked) == 2
    assert hooks(module) == 0


def test_a_busy_house_delays_a_batch_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What its layers wait together is no more than the patience for a batch and one wait; the next batch has its own."""
    clock, calls = [0.0], []
    monkeypatch.setattr("core.explain.case.time", SimpleNamespace(monotonic=lambda: clock[0]))

    def busy() -> None:
        calls.append(1)
        clock[0] += 0.75 * PATIENCE

    watch = Watch(give_way=busy)
    for batch in (1, 2):
        for _ in range(10):
            watch.check()
        watch.advance(1)
        assert len(calls) == 2 * batch
