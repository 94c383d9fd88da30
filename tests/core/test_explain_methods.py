"""The class-activation family against its formulas, folded networks against plain ones, superpixel methods against Captum."""

from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from captum.attr import (
    FeatureAblation,
    GuidedBackprop,
    IntegratedGradients,
    LayerAttribution,
    LayerGradCam,
    ShapleyValues,
)
from sklearn.linear_model import Ridge
from torch import nn

from core.architectures import ARCHITECTURES, get_architecture
from core.combine import Ensemble, Tempered, Viewed
from core.explain import METHODS, Request, Watch, explain, fold, predict_with_gradcam
from core.explain.case import Case
from core.explain.fit import unfit
from core.explain.fold import fast_module, fold_batch_norms
from core.explain.gradcam import LayerPass, grad_cam_plus_plus, hirescam, layer_pass, layercam
from core.explain.gradients import guided_gradcam, guided_relus, integrated_gradients, smoothgrad
from core.explain.score_cam import score_cam
from core.explain.superpixels import feature_ablation, lime, shapley_sampling, weighted_ridge
from core.records import Refused
from core.tasks import TASKS
from tests.core.test_explain import ARANGE, QUADRANTS, QUICK, Watched, hooks, linear_case, noise_image, random_state


def noise(*shape: int, seed: int = 1) -> torch.Tensor:
    """Normal noise that is the same every time."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def small_net(bend: bool = False) -> nn.Sequential:
    """Convolution, batch norm, ReLU, average pooling, linear; with `bend` a hidden layer, so that no closed form holds."""
    head = [nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)] if bend else [nn.Linear(4, 2)]
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), *head)
    for i, value in enumerate(net.state_dict().values()):
        if value.is_floating_point():
            value.copy_(noise(*value.shape, seed=i).abs() + 0.2 if value.ndim == 1 else noise(*value.shape, seed=i))
    return net.eval().requires_grad_(False)


def by_autograd(net: nn.Sequential, x: torch.Tensor, class_index: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Activations and gradients of layer 2 the long way round: everything with a graph."""
    kept = net[:3](x).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(net[3:](kept)[:, class_index].sum(), kept)
    return kept.detach(), gradient


@pytest.mark.parametrize("bend", [False, True])
@pytest.mark.parametrize("class_index", [0, 1])
def test_a_layer_pass_has_the_gradients_of_autograd(bend: bool, class_index: int) -> None:
    """With and without the closed form, logits, activations and gradients are those of a plain pass."""
    net, x = small_net(bend), noise(3, 1, 8, 10)
    seen = layer_pass(net, "2", x, class_index)
    activations, gradient = by_autograd(net, x, class_index)
    assert (seen.head is None) == bend
    assert torch.allclose(seen.logits, net(x), atol=1e-6)
    assert torch.equal(seen.activations, activations)
    assert torch.allclose(seen.gradient, gradient, atol=1e-6)


@pytest.mark.parametrize("name", ["small-cnn", "resnet18", "resnet50"])
def test_the_closed_form_is_found_and_equals_captum(name: str) -> None:
    """Average pooling and one linear layer are recognised from the pass itself; maps equal Captum's to 1e-5."""
    known = get_architecture(name)
    checkpoint = checkpoint_of(name, "blood-cells", edge=64)
    module, x = checkpoint.module(), noise(2, known.channels, 64, 64)
    for class_index in (0, 5):
        seen = layer_pass(module, known.heatmap_layer, x, class_index)
        assert seen.head is not None
        layer = module.get_submodule(known.heatmap_layer)
        theirs = LayerGradCam(module, layer).attribute(x.clone().requires_grad_(), class_index, relu_attributions=True)
        _, maps = predict_with_gradcam(module, known.heatmap_layer, x, class_index)
        size = float(theirs.detach().max()) or 1.0
        assert torch.allclose(maps / size, theirs[:, 0].detach() / size, atol=1e-5)


def test_vgg16_and_layers_before_a_clipping_take_the_backward_pass() -> None:
    """A head with hidden layers, and a layer whose negative values are clipped on the way, have no closed form."""
    checkpoint = checkpoint_of("vgg16", "breast-mri")
    assert layer_pass(checkpoint.module(), "features.29", noise(1, 3, 32, 32), 1).head is None
    assert layer_pass(small_net(), "1", noise(1, 1, 8, 8), 1).head is None


def test_the_textbook_hook_is_wrong_before_an_in_place_relu_and_ours_is_right() -> None:
    """Kept outputs are overwritten by the ReLU that follows: the textbook map is not Captum's, ours is."""
    module = checkpoint_of("vgg16", "breast-mri").module().requires_grad_(True)
    layer, x, kept = module.features[28], noise(1, 3, 64, 64), {}
    with layer.register_forward_hook(lambda _m, _i, out: kept.update(activation=out)):
        logits = module(x)
    kept["activation"].retain_grad()  # now the ReLU's output, not the convolution's
    logits[0, 1].backward()
    gradient = kept["activation"].grad
    textbook = (gradient.mean(dim=(2, 3), keepdim=True) * kept["activation"]).sum(dim=1).relu().detach()
    module.requires_grad_(False)
    theirs = LayerGradCam(module, layer).attribute(x.clone().requires_grad_(), 1, relu_attributions=True)[:, 0].detach()
    _, ours = predict_with_gradcam(module, "features.28", x, 1)
    scaled = [m / m.max().clamp(min=1e-12) for m in (textbook, ours, theirs)]
    assert float((scaled[0] - scaled[2]).abs().max()) > 0.1
    assert float((scaled[1] - scaled[2]).abs().max()) < 1e-5


def paper_pass() -> LayerPass:
    """Two maps of two cells: A = [[1, 3], [2, 0]], gradients [[1, −1], [2, 4]]."""
    activations = torch.tensor([[[[1.0, 3.0]], [[2.0, 0.0]]]])
    gradient = torch.tensor([[[[1.0, -1.0]], [[2.0, 4.0]]]])
    return LayerPass(torch.zeros(1, 2), activations, gradient, None)


def test_the_family_on_paper() -> None:
    """HiResCAM 1·1 + 2·2 = 5 and −3 → 0; LayerCAM 5 and 0; Grad-CAM++ by its equation, summed by hand."""
    assert hirescam(paper_pass()).tolist() == [[[5.0, 0.0]]]
    assert layercam(paper_pass()).tolist() == [[[5.0, 0.0]]]
    # Map 1 (sum 4): α = 1² / (2·1² + 4·1³) = 1/6, the falling cell counts nothing: weight 1/6.
    # Map 2 (sum 2): α = 4 / (8 + 2·8) = 1/6 and 16 / (32 + 2·64) = 1/10: weight 2/6 + 4/10 = 11/15.
    expected = [1 / 6 + 2 * 11 / 15, 3 / 6]
    assert grad_cam_plus_plus(paper_pass())[0, 0].tolist() == pytest.approx(expected)


def test_gradcam_plus_plus_keeps_its_weights_where_a_layer_is_negative() -> None:
    """A sum of −1.999 with a gradient of 1 once gave 1 / 0.001; now the positive part counts: 1 / (2 + 0.001)."""
    activations = torch.tensor([[[[0.001, -2.0]]]])
    values = grad_cam_plus_plus(LayerPass(torch.zeros(1, 2), activations, torch.tensor([[[[1.0, 0.0]]]]), None))
    assert values[0, 0].tolist() == pytest.approx([0.001 / 2.001, 0.0])


def checkpoint_of(architecture: str, task: str, edge: int | None = None) -> Watched:
    """A checkpoint of that task with random weights: those of the two-class one, its last layer repeated for more classes."""
    known, state = get_architecture(architecture), dict(random_state(architecture))
    classes = TASKS[task].classes
    with torch.device("meta"):
        shapes = known.build(len(classes)).state_dict()
    for name, like in shapes.items():
        if state[name].shape != like.shape:
            state[name] = noise(*like.shape) * 0.1
    return Watched(architecture, task, classes, known.preprocessing(edge or known.smallest), state, version="v")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("task", TASKS)
def test_every_method_explains_every_task(task: str, method: str, copies: list[nn.Module]) -> None:
    """Every class list, with two classes or eight, for a class that is not the last, with provenance of score and maximum."""
    checkpoint = checkpoint_of("small-cnn", task, 32)
    heatmap = explain(checkpoint, noise_image(), Request(method, TASKS[task].classes[0], 3, QUICK[method]))
    assert np.isfinite(heatmap.values).all()
    assert heatmap.target_class == TASKS[task].classes[0]
    assert heatmap.parameters["maximum"] == pytest.approx(float(np.abs(heatmap.values).max()))
    assert math.isfinite(heatmap.parameters["class_score"])
    told = METHODS[method].additive and heatmap.parameters["class_score"] > 0
    assert (heatmap.parameters["share"] is not None) == told
    assert {hooks(module) for module in (*checkpoint.built, *copies)} == {0}
    assert copies


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_by_every_method_for_every_task(
    architecture: str, task: str, copies: list[nn.Module]
) -> None:
    """The whole registry at the smallest input: finite maps of the right size that name method and class; no hook stays."""
    checkpoint = checkpoint_of(architecture, task)
    target, image = TASKS[task].classes[-1], noise_image()
    able = [method for method in METHODS.values() if not unfit(method, checkpoint)]
    for method in able:
        heatmap = explain(checkpoint, image, Request(method.name, target, parameters=QUICK[method.name]))
        size = checkpoint.preprocessing.size
        assert np.isfinite(heatmap.values).all(), method.name
        assert heatmap.values.ndim == 2
        assert method.on_layer or heatmap.values.shape == size
        assert (heatmap.method, heatmap.target_class) == (method.name, target)
        assert method.signed or heatmap.values.min() >= 0
    assert len(able) >= len(METHODS) - (3 if architecture == "vgg16" else 2)
    assert len(copies) >= len(able)
    assert {hooks(module) for module in (*checkpoint.built, *copies)} == {0}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_hooks_are_gone_after_an_exception_in_the_model(
    architecture: str, method: str, monkeypatch: pytest.MonkeyPatch, copies: list[nn.Module]
) -> None:
    """When a last layer raises, whichever pass that is, no module keeps a hook or a changed ReLU, and the next map is whole."""
    checkpoint = checkpoint_of(architecture, "breast-mri")
    if unfit(METHODS[method], checkpoint):
        return
    request = Request(method, "benign", parameters=QUICK[method])
    before = [type(part) for part in checkpoint.module().modules()]
    calls = itertools.count()
    original = nn.Linear.forward

    def fails(self: nn.Linear, x: torch.Tensor) -> torch.Tensor:
        if next(calls) >= limit:
            raise RuntimeError("the head failed")
        return original(self, x)

    monkeypatch.setattr(nn.Linear, "forward", fails)
    for limit in (0, 1, 3):
        calls = itertools.count()
        try:
            explain(checkpoint, noise_image(), request)
        except RuntimeError:
            assert {hooks(module) for module in (*checkpoint.built, *copies)} == {0}
            assert not any(type(part).__name__ == "_Guided" for module in copies for part in module.modules())
            assert [type(part) for part in fold.plain_module(checkpoint, "cpu").modules()] == before
        else:
            assert limit
    assert torch.is_grad_enabled()


def test_share_of_gradcam_on_paper() -> None:
    """With a bias of zero and only positive evidence, the map adds up to the whole score: share 1."""
    checkpoint = checkpoint_of("small-cnn", "breast-mri", 32)
    state = dict(checkpoint.state)
    state["fc.weight"], state["fc.bias"] = torch.ones(2, 96), torch.zeros(2)
    spec = checkpoint.preprocessing
    positive = Watched("small-cnn", "breast-mri", checkpoint.classes, spec, state, version="v")
    heatmap = explain(positive, noise_image(), Request("gradcam", "benign"))
    assert heatmap.parameters["closed_form"]
    assert heatmap.parameters["share"] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("architecture", ["small-cnn", "resnet18", "resnet50", "vgg16"])
def test_folded_networks_give_the_same_scores(architecture: str) -> None:
    """Every batch norm is folded, logits and the heatmap layer's output stay, and the checkpoint's weights too."""
    known = get_architecture(architecture)
    checkpoint = checkpoint_of(architecture, "breast-mri")
    before = {name: value.clone() for name, value in checkpoint.state.items() if value.numel() < 1e6}
    x = noise(1, known.channels, known.smallest, known.smallest)
    plain, folded = checkpoint.module(), checkpoint.module()
    norms = sum(isinstance(part, nn.BatchNorm2d) for part in plain.modules())
    assert fold_batch_norms(folded, x, known.heatmap_layer) == norms
    size = plain(x).abs().max().clamp(min=1)
    assert float((plain(x) - folded(x)).abs().max() / size) < 1e-5
    assert hooks(folded) == 0
    fast = fast_module(checkpoint, "cpu", x, known.heatmap_layer)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in fast.modules())
    ours, theirs = (layer_pass(m, known.heatmap_layer, x, 1).activations for m in (fast, plain))
    assert torch.allclose(ours, theirs, atol=1e-5 * float(theirs.max()))
    assert all(torch.equal(checkpoint.state[name], value) for name, value in before.items())


@pytest.mark.parametrize(
    "around",
    [
        lambda net: net,
        lambda net: Tempered(net, 2.0),
        lambda net: Tempered(Viewed(net, ["plain", "hflip"]), 2.0),
        lambda net: Ensemble([net, Tempered(small_net(bend=True), 3.0)], ["0", "0"]),
    ],
)
def test_a_layer_that_is_looked_at_is_not_folded_wherever_it_stands(around) -> None:
    """A convolution whose output the heatmap shows keeps it, inside a temperature, views or members too; others are folded."""
    net = around(small_net()).eval()
    keep = "mean of 2 members' 0" if isinstance(net, Ensemble) else "0"
    norms = sum(isinstance(part, nn.BatchNorm2d) for part in net.modules())
    assert fold_batch_norms(net, noise(1, 1, 8, 8), keep) == 0
    assert fold_batch_norms(around(small_net()).eval(), noise(1, 1, 8, 8), "") == (0 if norms == 2 else norms)


def test_what_cannot_be_folded_stays() -> None:
    """A convolution that is read twice would change the scores: the network is then used as it is."""

    class Forked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)
            self.b.running_mean += 3
            self.fc = nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.a(x)
            return self.fc((self.b(y) + y).mean(dim=(2, 3)))

    class Stub(Watched):
        def module(self, device: str = "cpu") -> nn.Module:
            return copy.deepcopy(net)

    net, x = Forked().eval().requires_grad_(False), noise(1, 1, 8, 8)
    known = checkpoint_of("small-cnn", "breast-mri")
    stub = Stub(**{name: getattr(known, name) for name in known.__dataclass_fields__})
    assert any(isinstance(part, nn.BatchNorm2d) for part in fast_module(stub, "cpu", x, "a").modules())
    assert any(isinstance(part, nn.BatchNorm2d) for part in fast_module(stub, "cpu", x, "").modules())


def bent_case(**more: object) -> Case:
    """A case whose score has interactions between the quadrants of a 4 × 4 picture."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.ReLU(), nn.Linear(5, 2)).eval().requires_grad_(False)
    net.load_state_dict({k: noise(*v.shape, seed=i) for i, (k, v) in enumerate(net.state_dict().items())})
    return Case(net, ARANGE[None, None] / 8, 1, (0.0,), (1.0,), **more)


def test_feature_ablation_equals_captum() -> None:
    """Superpixel by superpixel, to the bit of a batch."""
    case = bent_case()
    ours = feature_ablation(case, feature_mask=QUADRANTS, baseline="black", batch=3)
    theirs = FeatureAblation(case.module).attribute(case.x, target=1, feature_mask=QUADRANTS[None, None])
    assert torch.allclose(ours, theirs[0, 0], atol=1e-6)


def test_shapley_sampling_nears_the_exact_values_and_always_adds_up() -> None:
    """Against Captum's exact values over all 24 orders; any number of orders adds up to the whole gain."""
    case = bent_case()
    exact = ShapleyValues(case.module).attribute(case.x, target=1, feature_mask=QUADRANTS[None, None])[0, 0]
    ours = shapley_sampling(case, feature_mask=QUADRANTS, permutations=2000, baseline="black", batch=500)
    assert torch.allclose(ours, exact, atol=0.05 * float(exact.abs().max()))
    gain = float(case.module(case.x)[0, 1] - case.module(torch.zeros_like(case.x))[0, 1])
    for permutations in (1, 2, 5):
        few = shapley_sampling(case, feature_mask=QUADRANTS, permutations=permutations, baseline="black", batch=4)
        assert float(few[::2, ::2].sum()) == pytest.approx(gain, abs=1e-4)


def test_a_single_superpixel_gets_everything() -> None:
    """One superpixel: ablation and Shapley value are score(image) − score(covered)."""
    case, one = linear_case(ARANGE), torch.zeros(4, 4, dtype=torch.int64)
    assert float(shapley_sampling(case, feature_mask=one, permutations=2, baseline="black", batch=4)[0, 0]) == 120
    assert float(feature_ablation(case, feature_mask=one, baseline="black", batch=4)[0, 0]) == 120


def test_the_ridge_of_lime_equals_scikit_learn() -> None:
    """Coefficients and weighted R² are those of sklearn's Ridge with the same weights."""
    rng = np.random.default_rng(0)
    half = rng.integers(0, 2, (60, 7))
    kept = np.stack([half, 1 - half], axis=1).reshape(-1, 7).astype(float)
    scores = kept @ rng.normal(size=7) + rng.normal(size=120)
    fit = weighted_ridge(kept, scores)
    weights = np.exp(-((1 - np.sqrt(kept.mean(axis=1))) ** 2) / 0.25**2)
    theirs = Ridge(alpha=0.01).fit(kept, scores, sample_weight=weights)
    assert np.allclose(fit.coefficients, theirs.coef_, atol=1e-9)
    assert fit.r2 == pytest.approx(theirs.score(kept, scores, sample_weight=weights))


def test_intervals_of_lime_cover_what_many_samples_would_give() -> None:
    """Over 100 seeds, the 95 % intervals hold the value of 40,000 samples in 90–99 % of 400 chances."""
    many, _ = lime(bent_case(seed=999), feature_mask=QUADRANTS, samples=40000, baseline="black", batch=5000)
    truth = many[::2, ::2].flatten().numpy()
    held = []
    for seed in range(100):
        _, fit = lime(bent_case(seed=seed), feature_mask=QUADRANTS, samples=120, baseline="black", batch=120)
        held += list((fit.low <= truth) & (truth <= fit.high))
    assert 0.90 <= np.mean(held) <= 0.99


def test_intervals_without_enough_samples_have_no_bound() -> None:
    """Eight samples for four superpixels leave nothing to tell the spread by: the file says null, not a number."""
    fit = weighted_ridge(np.array([[1, 0, 0, 1], [0, 1, 1, 0]] * 2, float), np.arange(4.0))
    assert np.isinf(fit.high).all()
    heatmap = explain(
        checkpoint_of("small-cnn", "breast-mri", 32), noise_image(), Request("lime", "benign", 0, QUICK["lime"])
    )
    assert heatmap.parameters["high"] is None
    assert len(heatmap.parameters["coefficients"]) == heatmap.parameters["superpixels"]


def test_smoothgrad_of_a_linear_model_is_the_size_of_its_weights() -> None:
    """The gradient is the same everywhere, so noise changes nothing; the seed decides the noise, not the global state."""
    values = smoothgrad(linear_case(ARANGE - 8), samples=5, noise_percent=15, batch=2)
    assert torch.allclose(values, (ARANGE - 8).abs(), atol=1e-6)
    cases = [bent_case(seed=s) for s in (1, 1, 2)]
    state = torch.get_rng_state()
    first, again, other = (smoothgrad(case, samples=4, noise_percent=90, batch=4) for case in cases)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


class ReadTwice(nn.Module):
    """Pixels that reach the score through the first convolution, through another one and by themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = small_net(), small_net(bend=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, 2)."""
        return self.first(x) + self.second(x) + self.first(x.flip(3)) + x.square().mean(dim=(1, 2, 3))[:, None]


@pytest.mark.parametrize(
    "net", [small_net(), small_net(bend=True), ReadTwice(), Viewed(small_net(), ["plain", "hflip"])]
)
def test_integrated_gradients_equal_captum(net: nn.Module) -> None:
    """Whether the first convolution alone reads the pixels or not, with batches of unequal size."""
    x = noise(1, 1, 12, 12)
    black = torch.full_like(x, -1)
    expected, delta = IntegratedGradients(net).attribute(
        x, black, target=1, n_steps=10, method="riemann_middle", return_convergence_delta=True
    )
    case = Case(net, x, 1, (0.5,), (0.5,))
    values, ours = integrated_gradients(case, steps=10, baseline="black", batch=4)
    assert torch.allclose(values, expected[0].detach().sum(dim=0), atol=1e-6)
    assert ours == pytest.approx(float(delta), abs=1e-5)
    assert hooks(net) == 0


def test_smoothgrad_is_the_mean_gradient_of_the_noisy_copies() -> None:
    """Against one gradient per copy, with the same noise drawn again."""
    net, x = small_net(bend=True), noise(1, 1, 12, 12)
    values = smoothgrad(Case(net, x, 1, (0.5,), (0.5,), seed=3), samples=6, noise_percent=20, batch=4)
    generator = torch.Generator().manual_seed(3)
    halves = [torch.randn(n, 1, 12, 12, generator=generator) * (x.max() - x.min()) * 0.2 for n in (2, 1)]
    copies = (x + torch.cat([part for half in halves for part in (half, -half)])).requires_grad_()
    (gradients,) = torch.autograd.grad(net(copies)[:, 1].sum(), copies)
    assert torch.allclose(values, gradients.mean(dim=0).abs().sum(dim=0), atol=1e-6)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_guided_gradcam_is_captums_guided_backprop_times_the_map() -> None:
    """On VGG16, whose ReLUs are used once, to 1e-4 of the largest value; the ReLUs are back afterwards."""
    module = checkpoint_of("vgg16", "breast-mri").module()
    x = noise(1, 3, 32, 32)
    case = Case(module, x, 1, (0.0,) * 3, (1.0,) * 3, watch=Watch())
    coarse = layer_pass(module, "features.29", x, 1).activations[0].sum(dim=0)
    before = [type(part) for part in module.modules()]
    ours = guided_gradcam(case, coarse)
    assert [type(part) for part in module.modules()] == before
    guided = GuidedBackprop(copy.deepcopy(module)).attribute(x.clone().requires_grad_(), target=1)[0].sum(dim=0)
    theirs = guided * LayerAttribution.interpolate(coarse[None, None], (32, 32), "bilinear")[0, 0]
    assert torch.allclose(ours, theirs, atol=1e-4 * float(theirs.abs().max()))


def test_a_network_without_relus_cannot_be_guided() -> None:
    """Nothing is guided in silence."""
    with pytest.raises(Refused, match="ReLU"), guided_relus(nn.Sequential(nn.Linear(2, 2), nn.GELU())):
        pass


def test_a_relu6_is_guided_too() -> None:
    """By hand: it passes a gradient of 2 where its input lies between 0 and 6, and none of −2 anywhere."""
    net = nn.Sequential(nn.Flatten(), nn.ReLU6(), nn.Linear(4, 2, bias=False)).requires_grad_(False)
    net[2].weight.copy_(torch.tensor([[0.0, 0, 0, 0], [2.0, 2, 2, -2]]))
    case = Case(net, torch.tensor([[[[-1.0, 3.0], [7.0, 3.0]]]]), 1, (0.0,), (1.0,))
    assert guided_gradcam(case, torch.ones(1, 1)).tolist() == [[0.0, 2.0], [0.0, 0.0]]
    assert isinstance(net[1], nn.ReLU6)


@pytest.mark.parametrize("function", [torch.relu, nn.functional.relu, nn.functional.relu6])
def test_a_relu_that_is_no_layer_is_not_left_unguided_in_silence(function) -> None:
    """The same network with a function in a ReLU's place is refused, and its layers are back."""

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu, self.fc = nn.ReLU(), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(function(self.relu(x).flatten(1) - 1))

    net = Mixed().requires_grad_(False)
    with pytest.raises(Refused, match="mere function"):
        guided_gradcam(Case(net, noise(1, 1, 2, 2), 1, (0.0,), (1.0,)), torch.ones(1, 1))
    assert type(net.relu) is nn.ReLU
    assert hooks(net) == 0


def test_score_cam_by_the_paper() -> None:
    """Weights are the softmax of the scores of the image times each stretched map, one by one."""
    net, x = small_net(), noise(1, 1, 10, 10)
    case = Case(net, x, 1, (0.0,), (1.0,))
    ours, used = score_cam(case, "2", channels=99, baseline="black", batch=3)
    maps = net[:3](x)[0]
    scores = []
    for one in maps:
        stretched = nn.functional.interpolate(one[None, None], (10, 10), mode="bilinear", align_corners=False)
        low, high = one.min(), one.max()
        scores.append(float(net(x * (stretched - low) / (high - low))[0, 1]))
    weights = torch.softmax(torch.tensor(scores), dim=0)
    assert used == 4
    assert torch.allclose(ours, (weights[:, None, None] * maps).sum(dim=0).relu(), atol=1e-5)


def test_score_cam_takes_the_maps_that_vary_most() -> None:
    """With two of four channels asked for, the flattest weigh nothing; flat maps alone give a map of zeros."""
    net, x = small_net(), noise(1, 1, 10, 10)
    case = Case(net, x, 1, (0.0,), (1.0,))
    _, used = score_cam(case, "2", channels=2, baseline="black", batch=8)
    assert used == 2
    dead = copy.deepcopy(net)
    dead[1].bias -= 1e6
    values, used = score_cam(Case(dead, x, 1, (0.0,), (1.0,)), "2", channels=4, baseline="black", batch=8)
    assert (used, float(values.abs().max())) == (0, 0.0)
