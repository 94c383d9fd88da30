"""Every architecture of the registry builds, computes, can be saved and has the layer it names."""

from __future__ import annotations

import pytest
import torch

from core.architectures import ARCHITECTURES, get_architecture
from core.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from core.records import Refused
from core.tasks import TASKS


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


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_every_architecture_learns_from_a_batch_at_its_smallest_size(name):
    """In training mode a batch of two gives every parameter a finite gradient: batch normalisation has enough values."""
    if name in ("vgg16", "resnet50"):
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
        get_architecture("alexnet")
