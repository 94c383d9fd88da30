"""What an explanation costs beside its method: networks made faster once, scores asked for once."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from core.checkpoint import load_checkpoint
from core.explain import Request, explain, fold
from core.explain.fold import KEPT, fast_module, plain_module
from core.records import Image, full_range_window
from core.training import TrainingJob, train
from tests.core.bars import QUICK as QUICK_RECIPE
from tests.core.bars import TASK, bar_images
from tests.core.test_explain import QUICK, hooks, noise_image, random_checkpoint

X = torch.zeros(1, 1, 32, 32)


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    fold._made.clear()
    yield
    fold._made.clear()


def test_a_network_is_folded_once_and_each_caller_has_modules_of_its_own() -> None:
    """The weights are shared, hooks and changed layers are not, and the next caller sees nothing of them."""
    checkpoint = random_checkpoint("small-cnn", 32)
    one = fast_module(checkpoint, "cpu", X, "features")
    built = len(checkpoint.built)
    one.fc.register_forward_hook(lambda *_: None)
    one.set_submodule("dropout", nn.Softmax(dim=1))
    two = fast_module(checkpoint, "cpu", X, "features")
    assert len(checkpoint.built) == built
    assert not any(part is other for part in one.modules() for other in two.modules())
    shared = [a.data_ptr() == b.data_ptr() for a, b in zip(one.parameters(), two.parameters(), strict=True)]
    assert all(shared)
    assert hooks(two) == 0
    assert isinstance(two.dropout, nn.Dropout)
    assert not any(part.training for part in two.modules())


def test_a_plain_network_is_built_once_over_the_checkpoints_own_weights() -> None:
    """A second caller's modules are new, its weights are the first one's and the checkpoint's."""
    checkpoint = random_checkpoint("small-cnn", 32)
    one, two = (plain_module(checkpoint, "cpu") for _ in range(2))
    assert len(checkpoint.built) == 1
    assert one.fc is not two.fc
    assert one.fc.weight is two.fc.weight
    assert one.fc.weight.data_ptr() == checkpoint.state["fc.weight"].data_ptr()
    assert not any(weight.requires_grad for weight in two.parameters())


def test_other_weights_shapes_and_layers_are_other_networks() -> None:
    """A version says nothing while a checkpoint is unsaved: what counts is the checkpoint itself."""
    checkpoint = random_checkpoint("small-cnn", 32)
    doubled = {name: value * 2 if name == "fc.weight" else value for name, value in checkpoint.state.items()}
    other = replace(checkpoint, state=doubled)
    weights = [fast_module(c, "cpu", X, "features").fc.weight for c in (checkpoint, other)]
    assert torch.equal(2 * weights[0], weights[1])
    for x, keep in ((X, "features"), (torch.zeros(1, 1, 40, 40), "features"), (X, "features.9")):
        fast_module(checkpoint, "cpu", x, keep)
    assert len(fold._made) == 4
    assert any(isinstance(part, nn.BatchNorm2d) for part in plain_module(checkpoint, "cpu").modules())
    assert not any(isinstance(part, nn.BatchNorm2d) for part in fast_module(checkpoint, "cpu", X, "features").modules())


def test_folded_networks_go_with_their_checkpoint() -> None:
    """No more than `KEPT` stay, and none whose checkpoint nobody has any more."""
    known = [random_checkpoint("small-cnn", 32) for _ in range(KEPT + 1)]
    for checkpoint in known:
        fast_module(checkpoint, "cpu", X, "features")
    assert len(fold._made) == KEPT
    del checkpoint, known
    gc.collect()
    assert not fold._made


def test_threads_that_ask_at_once_get_the_same_map() -> None:
    """Sixteen explanations of one model from eight threads: the first ones fold, all agree, and its weights stay."""
    checkpoint, image = random_checkpoint("small-cnn", 32), noise_image()
    before = {name: value.clone() for name, value in checkpoint.state.items()}
    request = Request("occlusion", "malignant", parameters=QUICK["occlusion"])
    with ThreadPoolExecutor(8) as pool:
        maps = list(pool.map(lambda _: explain(checkpoint, image, request).values, range(16)))
    assert all(np.allclose(values, maps[0], atol=1e-6) for values in maps)
    assert all(torch.equal(checkpoint.state[name], value) for name, value in before.items())


def test_the_preview_of_score_cam_ranks_as_all_channels_do(tmp_path: Path) -> None:
    """On a trained network: the median rank correlation (Spearman) of the default's map with that of all 96 is 0.95 or more."""
    splits = {
        name: bar_images(n, seed, 64) for seed, (name, n) in enumerate({"train": 96, "val": 32, "test": 9}.items())
    }
    arrays = {f"{name}_images": images for name, (images, _) in splits.items()}
    np.savez(
        tmp_path / "bars.npz", **arrays, **{f"{name}_labels": labels[:, None] for name, (_, labels) in splits.items()}
    )
    train(TrainingJob(tmp_path / "bars.npz", TASK, "small-cnn", QUICK_RECIPE, tmp_path / "run", size=64, device="cpu"))
    checkpoint = load_checkpoint(tmp_path / "run" / "checkpoint.pt")
    ranks = []
    for pixels in splits["test"][0]:
        image = Image(pixels, window=full_range_window(pixels))
        maps = [
            explain(checkpoint, image, Request("score-cam", "malignant", parameters=more)).values.ravel()
            for more in ({}, {"channels": 96})
        ]
        ranks.append(spearmanr(*maps).statistic)
    assert np.median(ranks) >= 0.95


@pytest.mark.parametrize(
    ("method", "images"),
    [
        ("gradcam", 1),
        ("guided-gradcam", 2),
        ("score-cam", 1 + 3),
        ("integrated-gradients", 2 + 2),
        ("smoothgrad", 4 + 1),
        ("occlusion", 4 + 1),
        ("lime", 8 + 1),
        ("feature-ablation", 4 + 1),
        ("shapley", 2 + 2 * 3),
    ],
)
def test_the_network_sees_no_image_twice(method: str, images: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the second map on: what the method needs, and the image itself once, for the class score."""
    checkpoint, seen = random_checkpoint("small-cnn", 32), []
    request = Request(method, "malignant", parameters=QUICK[method])
    first = explain(checkpoint, noise_image(), request)
    original = nn.Linear.forward

    def counts(self: nn.Linear, x: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return original(self, x)

    monkeypatch.setattr(nn.Linear, "forward", counts)
    again = explain(checkpoint, noise_image(), request)
    assert sum(seen) == images
    assert np.allclose(again.values, first.values, atol=1e-6)
    assert again.parameters["class_score"] == pytest.approx(first.parameters["class_score"], abs=1e-6)
