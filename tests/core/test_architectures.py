"""Every architecture of the registry builds, computes, can be saved and has the layer it names."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.architectures import ARCHITECTURES, get_architecture
from core.architectures.libraries import OneSigmoid
from core.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from core.explain import METHODS, Request, explain, predict_with_gradcam
from core.explain.fit import unfit
from core.recipes import Recipe
from core.records import Image, Refused, full_range_window
from core.tasks import TASKS
from core.training import TrainingJob, train
from tests.core.bars import write_bars_npz


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_every_architecture_computes_and_survives_a_checkpoint(name, tmp_path):
    """At its smallest size each gives finite logits (2, 8); saved and loaded it gives the same, and its maps are non-negative."""
    architecture = get_architecture(name)
    task = TASKS["blood-cells"]
    torch.manual_seed(0)
    net = architecture.build(len(task.classes)).eval()
    spec = architecture.preprocessing(architecture.smallest)
    x = torch.randn(2, spec.channels, *spec.size)
    with torch.no_grad():
        logits = net(x)
    assert logits.shape == (2, 8)
    assert torch.isfinite(logits).all()

    save_checkpoint(Checkpoint(name, task.name, task.classes, spec, net.state_dict()), tmp_path / "c.pt")
    loaded = load_checkpoint(tmp_path / "c.pt").module()
    maps = []
    with loaded.get_submodule(architecture.heatmap_layer).register_forward_hook(lambda *a: maps.append(a[2])):
        assert loaded(x).equal(logits)
    assert maps[0].ndim == 4  # (N, K, h, w)
    assert maps[0].shape[0] == 2
    assert maps[0].min() >= 0  # after the activation
    again, heat = predict_with_gradcam(loaded, architecture.heatmap_layer, x, 0)
    torch.testing.assert_close(again, logits)
    assert heat.shape == (2, *maps[0].shape[2:])


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_every_architecture_learns_from_a_batch_at_its_smallest_size(name):
    """In training mode a batch of two gives every parameter a finite gradient: batch normalisation has enough values."""
    if name in ("vgg16", "resnet50", "resnet50v2"):
        pytest.skip("134 and 24 million gradients; resnet18 has the same layers")
    architecture = get_architecture(name)
    spec = architecture.preprocessing(architecture.smallest)
    net = architecture.build(2).train()
    loss = torch.nn.functional.cross_entropy(net(torch.randn(2, spec.channels, *spec.size)), torch.tensor([0, 1]))
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_outputs_follow_the_number_of_classes(name):
    """Two classes give two outputs; built on the meta device, so that no memory is filled."""
    architecture = get_architecture(name)
    with torch.device("meta"):
        net = architecture.build(2)
        x = torch.empty(1, architecture.channels, architecture.size, architecture.size)
        assert net.eval()(x).shape == (1, 2)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_a_size_below_the_smallest_is_refused(name):
    """One pixel less than `smallest` is refused with the number; the default is the architecture's own size."""
    architecture = get_architecture(name)
    assert architecture.preprocessing().size == (architecture.size, architecture.size)
    with pytest.raises(Refused, match=f"at least {architecture.smallest} pixels"):
        architecture.preprocessing(architecture.smallest - 1)


def test_known_sizes_of_the_networks():
    """Parameter counts with two outputs, from the published layer tables: 11.18 M, 23.51 M, 134.27 M."""
    counts = {}
    for name in ("resnet18", "resnet50", "vgg16"):
        with torch.device("meta"):
            counts[name] = sum(p.numel() for p in get_architecture(name).build(2).parameters())
    # ImageNet versions minus their 1000-class layer, plus a two-class one.
    assert counts["resnet18"] == 11_689_512 - 513 * 1000 + 513 * 2
    assert counts["resnet50"] == 25_557_032 - 2049 * 1000 + 2049 * 2
    assert counts["vgg16"] == 138_357_544 - 4097 * 1000 + 4097 * 2


def test_an_unknown_architecture_names_the_known_ones():
    """The refusal lists what there is."""
    with pytest.raises(Refused, match="small-cnn, resnet18, resnet50, vgg16"):
        get_architecture("no-such-net")


# -- Heads of the reference systems ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_every_head_is_there(name):
    """What is said to be the head exists, holds weights, and is not the whole network."""
    architecture = get_architecture(name)
    with torch.device("meta"):
        net = architecture.build(2)
    of_head = sum(p.numel() for module in architecture.head for p in net.get_submodule(module).parameters())
    assert 0 < of_head < sum(p.numel() for p in net.parameters())


def test_resnet50v2_ends_as_reference_system_r5_does():
    """Global average, 2048 → 128 with ReLU, dropout 0.4, one sigmoid; 23.5 million weights before (timm's count)."""
    with torch.device("meta"):
        net = get_architecture("resnet50v2").build(2)
    kinds = [type(module).__name__ for module in net.head]
    assert kinds == ["Sequential", "Linear", "ReLU", "Dropout", "OneSigmoid"]
    assert (net.head[1].in_features, net.head[1].out_features, net.head[3].p) == (2048, 128, 0.4)
    assert sum(p.numel() for p in net.head.parameters()) == 2048 * 128 + 128 + 128 + 1
    body = sum(p.numel() for key, p in net.named_parameters() if not key.startswith("head."))
    assert (
        body == 23_500_352
    )  # Keras's ResNet50V2 without its top has 23,519,360 trainable weights: biases beside batch norms


def test_one_sigmoid_is_two_classes_in_the_tasks_order():
    """Softmax of its two logits gives class 1 the sigmoid of the one output, and cross-entropy is the binary one."""
    torch.manual_seed(0)
    layer, x, y = OneSigmoid(5), torch.randn(7, 5), torch.tensor([0, 1, 1, 0, 1, 0, 0])
    s = x @ layer.weight[0] + layer.bias
    torch.testing.assert_close(torch.softmax(layer(x), dim=1)[:, 1], torch.sigmoid(s))
    binary = torch.nn.functional.binary_cross_entropy_with_logits(s, y.float())
    torch.testing.assert_close(torch.nn.functional.cross_entropy(layer(x), y), binary)


def test_the_novel_networks_have_the_layers_r4_describes():
    """A: three convolutions, batch norms and five sigmoids, dense 786 and 512; B: dense 100; C: three dense, momentum 0.1."""

    def layers(name, kind):
        return [m for m in get_architecture(name).build(8).modules() if isinstance(m, kind)]

    nn = torch.nn
    assert len(layers("r4-cnn-a", nn.Conv2d)) == len(layers("r4-cnn-a", nn.BatchNorm2d)) == 3
    assert len(layers("r4-cnn-a", nn.Sigmoid)) == 5
    assert [m.out_features for m in layers("r4-cnn-a", nn.Linear)] == [786, 512, 8]
    assert len(layers("r4-cnn-b", nn.Conv2d)) == 1
    assert [m.kernel_size for m in layers("r4-cnn-b", nn.MaxPool2d)] == [2]
    assert [m.out_features for m in layers("r4-cnn-b", nn.Linear)] == [100, 8]
    assert len(layers("r4-cnn-c", nn.Conv2d)) == 3
    assert len(layers("r4-cnn-c", nn.Linear)) == 4
    norms = layers("r4-cnn-c", nn.BatchNorm1d)
    assert [round(1 - m.momentum, 6) for m in norms] == [0.1] * 3  # Keras counts what is kept, PyTorch what is replaced


# -- Networks of torchvision and timm ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "layer", "head"),
    [
        ("resnet34", "layer4", "fc"),
        ("squeezenet1_1", "features", "classifier.1"),
        ("regnet_y_400mf", "trunk_output", "fc"),  # its constructor computes, so it cannot be built without memory
        ("timm.resnet34", "layer4", "fc"),
        ("resnetblur50", "layer4", "fc"),  # has constants that its state does not hold
    ],
)
def test_any_convolutional_network_of_the_libraries_works(name, layer, head, tmp_path):
    """Its last map and head are found; it computes, learns, survives a checkpoint and can be explained by Grad-CAM."""
    architecture = get_architecture(name)
    assert (architecture.heatmap_layer, architecture.head) == (layer, (head,))
    task, spec = TASKS["breast-histopathology"], architecture.preprocessing(64)
    torch.manual_seed(0)
    net, x = architecture.build(2), torch.randn(2, 3, 64, 64)
    torch.nn.functional.cross_entropy(net.train()(x), torch.tensor([0, 1])).backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())
    logits = net.eval()(x)
    save_checkpoint(Checkpoint(name, task.name, task.classes, spec, net.state_dict()), tmp_path / "c.pt")
    loaded = load_checkpoint(tmp_path / "c.pt").module()
    again, heat = predict_with_gradcam(loaded, architecture.heatmap_layer, x, 1)
    torch.testing.assert_close(again, logits)
    assert heat.shape[1] == heat.shape[2] > 1


@pytest.mark.parametrize(("name", "head"), [("vit_b_16", ("heads.head",)), ("mixer_s32_224", ("head",))])
def test_a_network_without_a_feature_map_has_no_layer_for_heatmaps(name, head):
    """Transformers and mixers keep tokens, not a grid: they have a head to train, and no layer."""
    known = get_architecture(name)
    assert (known.heatmap_layer, known.head) == ("", head)


def test_a_transformer_trains_predicts_and_is_explained_by_covering(tmp_path):
    """From pictures to a checkpoint and an Occlusion map; methods that need a map of features say why they are not made."""
    data = write_bars_npz(tmp_path / "bars.npz", train=17, val=8, test=0)
    name, recipe = "vit_tiny_patch16_224", Recipe(name="r", epochs=1, batch_size=17)
    path = train(TrainingJob(data, "breast-ultrasound", name, recipe, tmp_path / "r", device="cpu"))
    checkpoint = load_checkpoint(path)
    assert unfit(METHODS["gradcam"], checkpoint) == f"it needs a map of features, and {name} has none"
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    image = Image(pixels, window=full_range_window(pixels))
    heat = explain(checkpoint, image, Request("occlusion", "malignant", 0, {"window": 112, "stride": 112}))
    assert heat.values.shape == (224, 224)
    assert np.isfinite(heat.values).all()


def test_a_tag_names_the_weights_whose_input_is_meant():
    """timm's names with a tag are known: the same network, and the input size that those weights were made for."""
    assert get_architecture("resnet10t.c3_in1k").size == 176
    assert get_architecture("resnet10t.c3_in1k").heatmap_layer == get_architecture("resnet10t").heatmap_layer
