"""One row per architecture. Heads are those of the reference systems: the last layer replaced by one output per class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torchvision
from torch import nn

from core.architectures.libraries import builder, last_map_and_head, resnet50v2
from core.architectures.novel import NovelCNNA, NovelCNNB, NovelCNNC
from core.architectures.small_cnn import SmallCNN
from core.preprocess import Preprocessing
from core.records import Refused

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF = ((0.5,), (0.5,))
_HALF_RGB = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True)
class Architecture:
    """A network structure.

    `build(n_classes)` gives an untrained module that maps (N, channels, H, W) to logits (N, n_classes).
    `heatmap_layer` is the dotted name of the module whose output (N, K, h, w) class activation maps weight; empty where there
    is none, as in transformers and classical models: then only methods that cover parts of the image explain it.
    `smallest` is the smallest input edge in pixels that the structure accepts. `head` names the modules that are made for a
    task: they start at random where weights are given, and learn alone while the rest is frozen.
    """

    name: str
    build: Callable[[int], nn.Module]
    heatmap_layer: str
    size: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    smallest: int
    head: tuple[str, ...] = ("fc",)

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
        Architecture("vgg16", _vgg16, "features.29", 224, 3, *_IMAGENET, smallest=32, head=("classifier.6",)),
        # `norm` ends in the ReLU after the last block: pre-activation networks have none at the blocks' own ends.
        Architecture("resnet50v2", resnet50v2, "norm", 224, 3, *_HALF_RGB, smallest=32, head=("head",)),
        Architecture("r4-cnn-a", NovelCNNA, "features", 28, 3, *_HALF_RGB, smallest=28),
        Architecture("r4-cnn-b", NovelCNNB, "features", 28, 3, *_HALF_RGB, smallest=28),
        Architecture("r4-cnn-c", NovelCNNC, "features", 28, 1, *_HALF, smallest=28),
    )
}

# Fitted, not trained: no layers, no gradients, no epochs.
CLASSICAL: dict[str, Architecture] = {
    "features-logistic": Architecture("features-logistic", _features_logistic, "", 128, 1, (0.0,), (1.0,), smallest=8)
}


def get_architecture(name: str) -> Architecture:
    """The architecture of that name: ours, a classical model, or any network of torchvision or timm.

    "timm.NAME" asks for timm's where both libraries have the name. Raises `Refused` naming ours where nobody knows the name.
    """
    known = ARCHITECTURES | CLASSICAL
    return known[name] if name in known else _of_libraries(name)


@cache
def _of_libraries(name: str) -> Architecture:
    try:
        build, facts = builder(name)
    except KeyError:
        ours = ", ".join(ARCHITECTURES | CLASSICAL)
        raise Refused(
            f"There is no architecture '{name}'; there are {ours}, and the networks of torchvision and timm."
        ) from None
    layer, head = last_map_and_head(name)
    return Architecture(name, build, layer, facts["size"], 3, facts["mean"], facts["std"], smallest=32, head=head)
