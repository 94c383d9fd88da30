"""ImageNet weights from a local file: nothing is downloaded."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from core.records import Refused


def load_pretrained(net: nn.Module, path: Path) -> None:
    """Copy a torchvision state dict into `net`, all but the final linear layer, which keeps its random start.

    Raises `Refused` in one sentence: no such file, not loadable with `weights_only=True`, or weights of another network.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise Refused(f"There is no weights file {path.name}.") from None
    except Exception as e:  # the safe unpickler answers foreign bytes with almost any error
        raise Refused(f"{path.name} is not a weights file that can be loaded safely ({type(e).__name__}).") from e
    head = [name for name, module in net.named_modules() if isinstance(module, nn.Linear)][-1]
    head_keys = {f"{head}.weight", f"{head}.bias"}
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise Refused(f"{path.name} is not a plain state dict of tensors.")
    body = {k: v for k, v in state.items() if k not in head_keys}
    if not all(bool(torch.isfinite(v).all()) for v in body.values() if v.is_floating_point()):
        raise Refused(f"{path.name} holds NaN or infinity.")
    try:
        result = net.load_state_dict(body, strict=False)
    except RuntimeError as e:
        raise Refused(f"{path.name} holds weights of another network: the shapes differ.") from e
    if result.unexpected_keys or set(result.missing_keys) != head_keys:
        raise Refused(f"{path.name} holds weights of another network: the layers differ.")
