"""Networks of torchvision and timm by their own names, and the heads that reference systems put on them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torchvision
from torch import nn

from core.records import Refused

TIMM_PREFIX = "timm."  # asks for timm's network where torchvision has one of the same name


class OneSigmoid(nn.Linear):
    """One output s read as two classes: logits (−s/2, s/2), whose softmax gives class 1 the probability sigmoid(s).

    So cross-entropy is the binary one, s speaks for the class with label 1, and the class order stays that of the task.
    """

    def __init__(self, in_features: int) -> None:
        super().__init__(in_features, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, 2) of features (N, in_features)."""
        s = super().forward(x)  # (N, 1)
        return torch.cat([-s / 2, s / 2], dim=1)


def resnet50v2(n_classes: int) -> nn.Module:
    """ResNet50 with pre-activation and reference system R5's head: global average, dense 128 with ReLU, dropout 0.4, one sigmoid.

    For more than two classes one output each instead of the sigmoid.
    """
    import timm  # 2–4 s to import, and most models need none of it

    net = timm.create_model("resnetv2_50", pretrained=False, num_classes=0)
    last = OneSigmoid(128) if n_classes == 2 else nn.Linear(128, n_classes)
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net.head = nn.Sequential(pool, nn.Linear(net.num_features, 128), nn.ReLU(), nn.Dropout(0.4), last)
    return net


def builder(name: str) -> tuple[Callable[[int], nn.Module], dict[str, Any]]:
    """How to build that network of torchvision or timm, untrained, and its published input: `size`, `mean`, `std`.

    torchvision comes first where both know a name; "timm.NAME" asks for timm's, and a tag as in "resnet10t.c3_in1k" for the
    input of those weights. Nothing is downloaded.
    Raises `KeyError` where neither knows the name.
    """
    if name in torchvision.models.list_models(module=torchvision.models):
        # Auxiliary outputs would make two of thirty families return several tensors in training.
        extra = {"aux_logits": False, "init_weights": True} if name in ("googlenet", "inception_v3") else {}

        def from_torchvision(n_classes: int) -> nn.Module:
            return torchvision.models.get_model(name, weights=None, num_classes=n_classes, **extra)

        size = 299 if name == "inception_v3" else 224
        return from_torchvision, {"size": size, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    import timm

    plain = name.removeprefix(TIMM_PREFIX)
    if plain not in timm.list_models() and plain not in timm.list_pretrained():
        raise KeyError(name)
    known = timm.get_pretrained_cfg(plain)  # a table inside the package

    def from_timm(n_classes: int) -> nn.Module:
        return timm.create_model(plain, pretrained=False, num_classes=n_classes)

    return from_timm, {"size": known.input_size[1], "mean": tuple(known.mean), "std": tuple(known.std)}


def skeleton(build: Callable[[int], nn.Module], n_classes: int) -> nn.Module:
    """A network without memory for its weights (device "meta"), or with, where its constructor computes with numbers."""
    try:
        with torch.device("meta"):
            return build(n_classes)
    except (NotImplementedError, RuntimeError):
        return build(n_classes)


@cache
def last_map_and_head(name: str) -> tuple[str, tuple[str, ...]]:
    """Dotted names of the module with the last convolutional feature map, and of those whose shape follows the classes.

    Found by a forward pass without memory (device "meta") at the published size. A feature map is an output (N, K, h, w) with
    h = w > 1 that nothing but pooling, normalisation and dense layers follow; "" where there is none, as in transformers, whose
    tokens have no such grid. Raises `Refused` for a network without a head.
    """
    build, facts = builder(name)
    net, other = skeleton(build, 2).eval(), skeleton(build, 3).state_dict()
    x = torch.empty(1, 3, facts["size"], facts["size"], device="meta")
    shapes = {key: weights.shape for key, weights in net.state_dict().items()}
    head = dict.fromkeys(key.rpartition(".")[0] for key, shape in shapes.items() if other[key].shape != shape)
    seen = _outputs(net.to("meta"), x, name)
    seen = seen[: next((i for i, (called, _) in enumerate(seen) if called in head), len(seen))]
    grids = [i for i, (_, shape) in enumerate(seen) if len(shape) == 4 and shape[2] == shape[3] > 1]
    tokens = [i for i, (_, shape) in enumerate(seen) if _is_tokens(shape)]
    if not head:
        raise Refused(f"{name} has no layer whose outputs are classes; choose another network.")
    if not grids or (tokens and tokens[-1] > grids[-1]):
        return "", tuple(head)
    return seen[grids[-1]][0], tuple(head)


def _outputs(net: nn.Module, x: torch.Tensor, name: str) -> list[tuple[str, tuple[int, ...]]]:
    """Name and output shape of every module below `net` in the order in which they finish."""
    seen: list[tuple[str, tuple[int, ...]]] = []
    pooling = (nn.AdaptiveAvgPool2d, nn.AvgPool2d, nn.MaxPool2d, nn.Dropout, nn.Identity)

    def hook(called: str) -> Callable[..., None]:
        def note(module: nn.Module, _inputs: tuple, output: Any) -> None:
            if isinstance(output, torch.Tensor) and not isinstance(module, pooling):
                seen.append((called, tuple(output.shape)))

        return note

    handles = [module.register_forward_hook(hook(called)) for called, module in net.named_modules() if called]
    try:
        with torch.no_grad():
            net(x)
    except (RuntimeError, NotImplementedError, AssertionError, ValueError, TypeError) as e:
        raise Refused(f"{name} cannot be looked into without running it ({type(e).__name__}); choose another.") from e
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _is_tokens(shape: tuple[int, ...]) -> bool:
    """(N, T, C), or (N, h, w, C): places in a row, or with the channels last."""
    return (len(shape) == 3 and shape[1] > 1) or (len(shape) == 4 and shape[2] != shape[3] and shape[1] > 1)
