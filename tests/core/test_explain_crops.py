"""Covered copies scored by crops: the same logits wherever the window lies, or the network is run as it is."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from core.combine import Tempered, Viewed
from core.explain import Watch
from core.explain.case import Case
from core.explain.crops import Crops, crops_for
from core.explain.occlusion import occlusion
from tests.core.test_explain import hooks, random_checkpoint

Corner = tuple[int, int]


def case_of(module: nn.Module, channels: int, shape: Corner, **more: object) -> Case:
    """Noise of that shape in front of a network."""
    x = torch.randn(1, channels, *shape, generator=torch.Generator().manual_seed(2))
    return Case(module.eval().requires_grad_(False), x, 1, (0.5,) * channels, (0.5,) * channels, **more)


def covered(x: torch.Tensor, corners: list[Corner], window: Corner) -> torch.Tensor:
    """Copies, each with a bright window."""
    copies = x.repeat(len(corners), 1, 1, 1)
    for copy, (r, c) in zip(copies, corners, strict=True):
        copy[:, r : r + window[0], c : c + window[1]] = 5
    return copies


def made_for(case: Case, window: Corner) -> Crops | None:
    """What occlusion would be given."""
    middle = [(0, 0), tuple(edge // 2 for edge in case.x.shape[2:])]
    return crops_for(case, window, middle, covered(case.x, middle, window))


@pytest.mark.parametrize(
    ("architecture", "shape", "window"),
    [
        ("small-cnn", (64, 64), (8, 8)),
        ("small-cnn", (61, 75), (7, 10)),
        ("resnet18", (160, 160), (16, 16)),
        ("resnet18", (171, 158), (9, 14)),
        ("vgg16", (96, 96), (8, 8)),
        ("resnet50v2", (160, 160), (16, 16)),
        ("r4-cnn-a", (28, 28), (3, 3)),
    ],
)
def test_crops_give_the_networks_own_logits(architecture: str, shape: Corner, window: Corner) -> None:
    """At corners, edges, the middle and odd places, and for windows that pass the end; from a crop of half the image at most."""
    module = random_checkpoint(architecture).module()
    case = case_of(module, 1 if architecture == "small-cnn" else 3, shape)
    made = made_for(case, window)
    assert made is not None
    assert made.axes[0].crop * made.axes[1].crop <= shape[0] * shape[1] / 2
    places = [
        [0, 1, edge // 2 - 3, edge - w - 1, edge - w, edge - w + 2] for edge, w in zip(shape, window, strict=True)
    ]
    corners = list(itertools.product(*places))
    copies = covered(case.x, corners, window)
    expected = torch.cat([module(part) for part in copies.split(9)])
    found = torch.cat([made(part, corners[i * 9 : i * 9 + 9]) for i, part in enumerate(copies.split(9))])
    size = float(expected.abs().max().clamp(min=1))
    assert float((expected - expected[0]).abs().max()) > 1e-3 * size  # or nothing was compared
    assert torch.allclose(found, expected, atol=1e-5 * size)
    assert hooks(module) == hooks(made) == 0


def plain_head(channels: int) -> list[nn.Module]:
    """Average pooling and a linear layer."""
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 2)]


class Backwards(nn.Module):
    """A chain whose modules stand in another order than they run."""

    def __init__(self) -> None:
        super().__init__()
        self.second, self.first = nn.Conv2d(4, 4, 3), nn.Conv2d(1, 4, 3)
        self.head = nn.Sequential(*plain_head(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, 2)."""
        return self.head(self.second(self.first(x)))


class Squeeze(nn.Module):
    """A block that scales by the mean over the whole map, without a module that says so."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (N, 4, h, w)."""
        y = self.conv(x)
        return y * y.mean(dim=(2, 3), keepdim=True)


@pytest.mark.parametrize(
    "net",
    [
        Backwards(),
        nn.Sequential(Squeeze(), *plain_head(4)),
        nn.Sequential(nn.InstanceNorm2d(1), nn.Conv2d(1, 4, 3), *plain_head(4)),
        nn.Sequential(nn.Conv2d(1, 4, 3, padding="same"), *plain_head(4)),
        Viewed(nn.Sequential(nn.Conv2d(1, 4, 3), *plain_head(4)), ["plain", "hflip"]),
        nn.Sequential(nn.Flatten(), nn.Linear(40 * 40, 2)),
    ],
)
def test_networks_that_are_no_chain_are_run_as_they_are(net: nn.Module) -> None:
    """Another order, a look at the whole map, or members side by side: nothing is guessed."""
    assert made_for(case_of(net, 1, (40, 40)), (4, 4)) is None


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_occlusion_is_the_same_by_crops(temperature: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Map, progress to exactly 1 and the questions between layers; a temperature is no obstacle."""
    net = random_checkpoint("small-cnn").module()
    maps, shares, asked = [], [], []
    for how in ("crops", "whole"):
        if how == "whole":
            monkeypatch.setattr("core.explain.occlusion.crops_for", lambda *_: None)
        shares.clear()
        asked.clear()
        watch = Watch(shares.append, give_way=lambda: asked.append(1))
        case = case_of(Tempered(net, temperature), 1, (64, 64), watch=watch)
        maps.append(occlusion(case, window=(8, 8), stride=(8, 8), baseline="mean", batch=16))
        assert shares == sorted(shares)
        assert shares[-1] == 1.0
        assert len(asked) >= 4 * 6
        assert hooks(case.module) == 0
    assert float(maps[0].abs().max()) > 0
    assert torch.allclose(maps[0], maps[1], atol=1e-5)
