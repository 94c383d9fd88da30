"""Planted evidence: every architecture wired by hand to see one bright patch, and the peak of each method's map lies on it.

`benchmarks/planted.py` wires the networks and asks many more pictures. Where methods are blind by their nature, a network of a few
numbers shows it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.planted import CORNERS, SHAPES, hits, rows_of, wired
from core.architectures import ARCHITECTURES
from core.explain import METHODS, methods
from core.explain.case import Case
from core.explain.fit import cell, unfit
from core.explain.gradcam import grad_cam, hirescam, layer_pass
from core.explain.gradients import smoothgrad
from core.explain.methods import defaults
from core.explain.occlusion import occlusion
from core.preprocess import Preprocessing
from core.records import Refused

FEWER = {
    "lime": {"samples": 60, "segments": 12}, "shapley": {"permutations": 4}, "smoothgrad": {"samples": 8},
    "integrated-gradients": {"steps": 8}, "score-cam": {"channels": 4},
}  # fmt: skip
HEAVY = ("resnet18", "resnet50", "vgg16", "resnet50v2")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_peak_lies_on_the_evidence_in_every_architecture(architecture, method):
    """In all four corners, by heavy networks in one, of pictures of other proportions; or the pair is refused with its reason."""
    checkpoint = wired(architecture)
    if why := unfit(METHODS[method], checkpoint):
        with pytest.raises(Refused, match=why):
            hits(checkpoint, method, 0)
        return
    number = list(METHODS).index(method) + list(ARCHITECTURES).index(architecture)
    for i in [number] if architecture in HEAVY else range(number, number + 4):
        assert hits(checkpoint, method, i, FEWER.get(method)), (CORNERS[i % 4], SHAPES[i % 3])


@pytest.mark.parametrize("method", METHODS)
def test_ninety_nine_of_a_hundred_peaks_lie_on_the_evidence(method):
    """Every corner and proportion, on the lightest architecture; a hundred pictures of the cheap methods, twenty of others."""
    pictures = 20 if METHODS[method].folds else 100
    assert np.mean([hits(wired("small-cnn"), method, i, FEWER.get(method)) for i in range(pictures)]) >= 0.99


def test_only_known_pairs_are_refused():
    """A method that is refused by a network says why; all others are made."""
    refused = {(m, a) for m in METHODS for a in ARCHITECTURES if unfit(METHODS[m], wired(a))}
    assert refused == {
        ("guided-gradcam", "r4-cnn-a"), ("smoothgrad", "r4-cnn-a"), ("smoothgrad", "vgg16"), ("feature-ablation", "vgg16"),
        ("lime", "vgg16"),
    }  # fmt: skip


def test_why_methods_are_refused(monkeypatch):
    """Asked all the same, SmoothGrad points beside the evidence behind sigmoids and max poolings, the others behind these."""
    monkeypatch.setattr(methods, "unfit", lambda *_: "")
    assert not any(hits(wired("r4-cnn-a"), "smoothgrad", i, FEWER["smoothgrad"]) for i in range(4))
    assert not hits(wired("vgg16"), "smoothgrad", 0, FEWER["smoothgrad"])
    assert not all(hits(wired("vgg16"), "feature-ablation", i, {"segments": 12}) for i in (0, 13))
    assert not all(hits(wired("vgg16"), "lime", i, FEWER["lime"]) for i in (1, 2, 3))


def test_why_superpixels_are_no_smaller_than_a_cell():
    """Behind ResNet18's max pooling 50 superpixels hide nothing in one picture of five; as many as it has cells do."""
    checkpoint = wired("resnet18")
    assert {m: defaults(METHODS[m], checkpoint)["segments"] for m in ("lime", "feature-ablation", "shapley")} == {
        "lime": 4, "feature-ablation": 4, "shapley": 4
    }  # fmt: skip
    assert not hits(checkpoint, "feature-ablation", 3, {"segments": 50})
    assert all(hits(checkpoint, "feature-ablation", i) for i in (3, 7, 15, 19))
    assert defaults(METHODS["lime"], wired("small-cnn"))["segments"] == 50


def test_why_occlusion_covers_a_whole_cell():
    """Behind VGG16's max poolings a window of an eighth shows nothing; the default is a cell of 32 pixels, and points right."""
    checkpoint = wired("vgg16")
    assert cell(checkpoint) == (32, 32)
    assert defaults(METHODS["occlusion"], checkpoint)["window"] == [32, 32]
    assert not hits(checkpoint, "occlusion", 0, {"window": 16, "stride": 16})


def test_a_network_whose_input_is_not_square_points_as_well():
    """An input of 48 × 80 pixels."""
    known = wired("small-cnn")
    wide = replace(known, preprocessing=Preprocessing((48, 80), 1, known.preprocessing.mean, known.preprocessing.std))
    for method in METHODS:
        assert all(hits(wide, method, i, FEWER.get(method)) for i in range(4)), method


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


def test_rows_of_other_methods_stay_as_they_were_written(tmp_path):
    """Measured again is what is named; the rest of the table is read from the document, and from its own section only."""
    document = tmp_path / "benchmarks.md"
    table = "| | small-cnn |\n| --- | --- |\n| Occlusion | 1 of 2 |\n| LIME | 3 of 4 |\n"
    document.write_text(f"## Planted evidence\n\n{table}\n## Other\n\n| Grad-CAM | x |\n")
    kept = rows_of(document, ["occlusion"])
    assert kept["LIME"] == "| LIME | 3 of 4 |"
    assert not {"Occlusion", "Grad-CAM"} & set(kept)
    assert rows_of(document, []) == {}
