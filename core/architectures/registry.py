"""One row per architecture. Heads are those of the reference systems: the last layer replaced by one output per class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torchvision
from torch import nn

from core.architectures.small_cnn import SmallCNN
from core.preprocess import Preprocessing
from core.records import Refused

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF = ((0.5,), (0.5,))


@dataclass(frozen=True)
class Architecture:
    """A network structure.

    `build(n_classes)` gives an untrained module that maps (N, channels, H, W) to logits (N, n_classes).
    `heatmap_layer` is the dotted name of the module whose output (N, K, h, w) class activation maps weight; empty where there
    is none, and no gradient either: then only methods that cover parts of the image can explain it.
    `smallest` is the smallest input edge in pixels that the structure accepts.
    """

    name: str
    build: Callable[[int], nn.Module]
    heatmap_layer: str
    size: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    smallest: int

    def preprocessing(self, size: int | None = None) -> Preprocessing:
        """This architecture's preprocessing at edge length `size` (default its own); raises `Refused` when too small."""
        edge = size or self.size
        if edge < self.smallest:
            raise Refused(f"{self.name} needs images of at least {self.smallest} pixels, not {edge}.")
        return Preprocessing((edge, edge), self.channels, self.mean, self.std)


def _resnet(name: str) -> Callable[[int], nn.Module]:
    def build(n_classes: int) -> nn.Module:
        net = torchvision.models.get_model(name, weights=None)
        net.fc = nn.Linear(net.fc.in_features, n_classes)
        return net

    return build


def _vgg16(n_classes: int) -> nn.Module:
    net = torchvision.models.vgg16(weights=None)  # 25088-4096-4096, ReLU, dropout
    net.classifier[6] = nn.Linear(net.classifier[6].in_features, n_classes)
    return net


def _features_logistic(n_classes: int) -> nn.Module:
    from core.classical import FeaturesLogistic  # scikit-image is slow to import, and networks do not need it

    return FeaturesLogistic(n_classes)


ARCHITECTURES: dict[str, Architecture] = {
    a.name: a
    for a in (
        Architecture("small-cnn", SmallCNN, "features", 64, 1, *_HALF, smallest=16),
        Architecture("resnet18", _resnet("resnet18"), "layer4", 224, 3, *_IMAGENET, smallest=28),
        Architecture("resnet50", _resnet("resnet50"), "layer4", 224, 3, *_IMAGENET, smallest=28),
        # features[29] is the ReLU after the last convolution: maps are taken after it, so no in-place change can follow.
        Architecture("vgg16", _vgg16, "features.29", 224, 3, *_IMAGENET, smallest=32),
    )
}

# Fitted, not trained: no layers, no gradients, no epochs.
CLASSICAL: dict[str, Architecture] = {
    "features-logistic": Architecture("features-logistic", _features_logistic, "", 128, 1, (0.0,), (1.0,), smallest=8)
}


def get_architecture(name: str) -> Architecture:
    """The architecture of that name, a network or a classical model; raises `Refused` naming the known ones."""
    known = ARCHITECTURES | CLASSICAL
    if name not in known:
        raise Refused(f"There is no architecture '{name}'; there are {', '.join(known)}.")
    return known[name]
