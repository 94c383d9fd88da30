"""A checkpoint says what it is, and one that says something else is refused and never executed."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace

import pytest
import torch

from core.architectures import get_architecture
from core.checkpoint import FORMAT, Checkpoint, file_version, load_checkpoint, save_checkpoint
from core.records import OperatingPoint, Refused

TASK = "breast-ultrasound"


def _checkpoint(**changes):
    architecture = get_architecture("small-cnn")
    torch.manual_seed(0)
    made = Checkpoint(
        "small-cnn", TASK, ("malignant", "benign"), architecture.preprocessing(32), architecture.build(2).state_dict(),
        operating_point=OperatingPoint("youden", 0.25, "val (n = 8)"),
        history=({"epoch": 1, "val_auc": 0.5},), provenance={"seed": 3, "versions": {"torch": "x"}},
    )  # fmt: skip
    return replace(made, **changes)


@pytest.fixture
def content(tmp_path):
    """What a good checkpoint file holds, to be changed and written again."""
    save_checkpoint(_checkpoint(), tmp_path / "good.pt")
    return torch.load(tmp_path / "good.pt", weights_only=True)


def _refusal(tmp_path, content):
    torch.save(content, tmp_path / "bad.pt")
    with pytest.raises(Refused) as refusal:
        load_checkpoint(tmp_path / "bad.pt")
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path):
    """Every field and every weight survives the file; the version is the file's SHA-256."""
    version = save_checkpoint(_checkpoint(), tmp_path / "c.pt")
    loaded = load_checkpoint(tmp_path / "c.pt")
    assert version == loaded.version == hashlib.sha256((tmp_path / "c.pt").read_bytes()).hexdigest()
    assert version == file_version(tmp_path / "c.pt")
    saved = _checkpoint()
    for name in ("architecture", "task", "classes", "preprocessing", "operating_point", "history", "provenance"):
        assert getattr(loaded, name) == getattr(saved, name), name
    assert set(loaded.state) == set(saved.state)
    assert all(loaded.state[k].equal(saved.state[k]) for k in saved.state)


def test_a_save_leaves_one_file_or_the_old_one(tmp_path):
    """A save replaces the file whole, and one that is refused leaves the earlier file as it was."""
    path = tmp_path / "c.pt"
    save_checkpoint(_checkpoint(), path)
    before = path.read_bytes()
    with pytest.raises(Refused):
        save_checkpoint(_checkpoint(classes=("benign", "malignant")), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["c.pt"]


def test_a_module_computes_with_the_checkpoints_weights_and_does_not_change_them():
    """Two modules share the checkpoint's memory, are frozen and in eval mode, and give the trained network's logits."""
    checkpoint = _checkpoint()
    net = get_architecture("small-cnn").build(2)
    net.load_state_dict(checkpoint.state)
    x = torch.rand(3, 1, 32, 32)
    first, second = checkpoint.module(), checkpoint.module()
    with torch.no_grad():
        assert first(x).equal(net.eval()(x))
    assert first.fc.weight.data_ptr() == second.fc.weight.data_ptr() == checkpoint.state["fc.weight"].data_ptr()
    assert not any(p.requires_grad for p in first.parameters())
    assert not any(m.training for m in first.modules())


# -- Refusals ----------------------------------------------------------------------------------------------------------


def test_permuted_classes_are_refused(tmp_path, content):
    """A file whose outputs mean the classes in another order cannot be used."""
    assert "not those of breast-ultrasound in its order" in _refusal(
        tmp_path, content | {"classes": ["benign", "malignant"]}
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path, content, value):
    """One NaN or infinity in one layer is enough; the layer is named."""
    layer = next(name for name in content["state"] if name.endswith("running_var"))
    content["state"][layer][5] = value
    assert f"{layer} holds NaN or infinity" in _refusal(tmp_path, content)


def test_weights_of_other_shapes_types_or_layers_are_refused(tmp_path, content):
    """A layer of another shape or dtype, one too few, one too many, or one that is no tensor is refused."""
    state = content["state"]
    fewer = {k: v for k, v in state.items() if k != "fc.bias"}
    for changed, words in (
        (state | {"fc.weight": torch.zeros(3, 96)}, "fc.weight has another shape"),
        (state | {"fc.weight": state["fc.weight"].double()}, "fc.weight is torch.float64"),
        (state | {"fc.weight": [1.0]}, "fc.weight has another shape"),
        (state | {"more": torch.zeros(1)}, "other layers"),
        (fewer, "other layers"),
    ):
        assert words in _refusal(tmp_path, content | {"state": changed})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": FORMAT + 1}, "not a TumorTrace checkpoint"),
        ({"architecture": "resnet9000"}, "no architecture 'resnet9000'"),
        ({"task": "skin"}, "no task 'skin'"),
        ({"classes": None}, "damaged"),
        ({"preprocessing": {"size": [32, 32]}}, "damaged"),
        ({"preprocessing": {"size": [32, 32], "channels": 3, "mean": [0] * 3, "std": [1] * 3}}, "3 channels"),
        ({"operating_point": {"cut": 0.5}}, "damaged"),
    ],
)
def test_a_file_that_describes_something_else_is_refused(tmp_path, content, change, words):
    """Unknown formats, names and parameters are refused, saying which."""
    assert words in _refusal(tmp_path, content | change)


def test_a_file_without_its_description_is_refused(tmp_path, content):
    """A bare state dict, a list, and a checkpoint with a part missing are refused."""
    assert "not a TumorTrace checkpoint" in _refusal(tmp_path, content["state"])
    assert "not a TumorTrace checkpoint" in _refusal(tmp_path, [1, 2, 3])
    assert "damaged" in _refusal(tmp_path, {k: v for k, v in content.items() if k != "provenance"})


@pytest.mark.parametrize("text", ["", "# notes", "hello", "\x00\x01", "these are not weights"])
def test_a_file_that_is_no_torch_file_is_refused(tmp_path, text):
    """Text of any kind and an empty file are refused by name."""
    (tmp_path / "text.pt").write_text(text)
    with pytest.raises(Refused, match=r"text\.pt is not a checkpoint"):
        load_checkpoint(tmp_path / "text.pt")


def test_a_missing_file_is_refused(tmp_path):
    """A checkpoint that is not there is refused by name."""
    with pytest.raises(Refused, match=r"no checkpoint file missing\.pt"):
        load_checkpoint(tmp_path / "missing.pt")


def test_a_truncated_file_is_refused(tmp_path):
    """Half a checkpoint, as a broken copy leaves it, is refused."""
    save_checkpoint(_checkpoint(), tmp_path / "c.pt")
    whole = (tmp_path / "c.pt").read_bytes()
    (tmp_path / "half.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Refused, match=r"half\.pt is not a checkpoint"):
        load_checkpoint(tmp_path / "half.pt")


class _Trap:
    """An object whose unpickling would make a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_code_in_a_checkpoint_is_refused_and_not_executed(tmp_path, content):
    """A pickled call, alone or hidden among good content, is refused, and what it would do does not happen."""
    sprung = tmp_path / "sprung"
    for bad in (_Trap(sprung), content | {"provenance": {"note": _Trap(sprung)}}):
        assert "cannot be loaded safely" in _refusal(tmp_path, bad).replace("is not a checkpoint that can", "cannot")
    assert not sprung.exists()


def test_a_pickled_network_is_refused(tmp_path):
    """A whole module saved with torch.save is code, not weights."""
    assert "loaded safely" in _refusal(tmp_path, get_architecture("small-cnn").build(2))
