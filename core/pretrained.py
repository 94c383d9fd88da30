"""ImageNet weights from a local file: nothing is downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from core.records import Refused


def load_pretrained(net: nn.Module, path: Path, head: tuple[str, ...]) -> None:
    """Copy a state dict of torchvision or timm (.pth, .safetensors) into `net`, all but the modules `head`.

    Those keep their random start. Raises `Refused` in one sentence: no such file, not loadable with `weights_only=True`, or
    weights of another network.
    """
    state = _read(path)
    if not isinstance(state, Mapping) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise Refused(f"{path.name} is not a plain state dict of tensors.")
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
