"""Copies scored as mixtures behind the first convolution: the same map, or the network is run as it is."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from core.combine import Tempered
from core.explain import mixtures
from core.explain.score_cam import score_cam
from tests.core.test_explain import hooks, random_checkpoint
from tests.core.test_explain_crops import Corner, case_of


class Twice(nn.Module):
    """A network that looks at its pixels a second time, past its first convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.layer = nn.Conv2d(3, 8, 7, 2, 3), nn.Conv2d(8, 96, 3, 2, 1)
        self.head = nn.Linear(96 + 3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        seen = self.layer(self.conv(x).relu()).mean(dim=(2, 3))
        return self.head(torch.cat([seen, x.mean(dim=(2, 3))], dim=1))


def maps_both_ways(module: nn.Module, layer: str, shape: Corner, patch: pytest.MonkeyPatch) -> tuple[bool, float]:
    """(whether copies were mixed, the largest difference from the map of plain copies in units of its maximum)."""
    used = []
    forward = mixtures.Mixtures.forward
    patch.setattr(mixtures.Mixtures, "forward", lambda self, rows: used.append(len(rows)) or forward(self, rows))
    how = {"channels": 300, "baseline": "mean", "batch": 16}
    ours, count = score_cam(case_of(module, 3, shape), layer, **how)
    mixed = len(used) > 1  # once to compare
    patch.setattr(mixtures, "WORTH", 0)
    plain, expected = score_cam(case_of(module, 3, shape), layer, **how)
    assert count == expected > 0
    assert not hooks(module)
    return mixed, float((ours - plain).abs().max() / plain.max())


@pytest.mark.parametrize("shape", [(96, 96), (70, 123)])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_mixtures_give_the_map_of_plain_copies(
    shape: Corner, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For square and other shapes, calibrated or not."""
    module = random_checkpoint("resnet18").module()
    module.conv1 = nn.Conv2d(3, 64, 7, 2, 3)  # with a bias, as behind a folded batch norm
    module = module if temperature == 1 else Tempered(module, temperature)
    mixed, difference = maps_both_ways(module, "layer4", shape, monkeypatch)
    assert mixed
    assert difference < 1e-4


def test_a_network_that_sees_its_pixels_twice_is_run_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its logits behind the mixtures are not its own, or it fails on them."""
    torch.manual_seed(0)
    mixed, difference = maps_both_ways(Twice(), "layer", (16, 16), monkeypatch)
    assert not mixed
    assert difference == 0
