"""Networks for explanations: built once for each model, and made faster for methods that run them hundreds of times."""

from __future__ import annotations

import copy
import itertools
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from core.checkpoint import Checkpoint
from core.combine import Ensemble

TOLERANCE = 1e-5  # of the largest logit, or of 1 where logits are smaller
KEPT = 4  # networks; those made faster have weights of their own, as many megabytes as the checkpoint's

_Key = tuple[
    int, str, tuple[int, ...], str
]  # the checkpoint's address, device, and of faster ones shape of the image, layer
_made: OrderedDict[_Key, tuple[weakref.ref[Checkpoint], nn.Module]] = OrderedDict()
_lock = threading.Lock()  # of `_made`; the networks in it are never run, so they need none


def plain_module(checkpoint: Checkpoint, device: str) -> nn.Module:
    """`checkpoint.module(device)`, the caller's own as well, in a fifth of the time: built once, then copied over its weights."""
    return sharing_copy(_kept(checkpoint, device, (), "", lambda: checkpoint.module(device)))


def fast_module(checkpoint: Checkpoint, device: str, x: torch.Tensor, keep: str) -> nn.Module:
    """The checkpoint's network with batch norms folded into convolutions and channels last, or unchanged.

    Unchanged when its logits for `x` (1, C, H, W) then differ by more than `TOLERANCE`. Outputs of the layer `keep` stay what
    they were. The module is new and the caller's own; the checkpoint's tensors are not touched.
    """
    made = _kept(checkpoint, device, tuple(x.shape), keep, lambda: _folded(checkpoint, device, x, keep))
    return sharing_copy(made)


def _kept(
    checkpoint: Checkpoint, device: str, shape: tuple[int, ...], keep: str, make: Callable[[], nn.Module]
) -> nn.Module:
    """What `make` gives, once: the `KEPT` networks asked for last are kept while their checkpoint is. Not to be run or changed."""
    key = (id(checkpoint), device, shape, keep)
    with _lock:
        whose, made = _made.get(key, (None, None))
        if whose is not None and whose() is checkpoint:
            _made.move_to_end(key)
            return made
    made = make()
    with _lock:
        _made[key] = (weakref.ref(checkpoint, lambda _: _made.pop(key, None)), made)
        while len(_made) > KEPT:
            _made.popitem(last=False)
    return made


def sharing_copy(module: nn.Module) -> nn.Module:
    """The same network over the same weights: modules, and with them hooks, are the copy's own."""
    weights = itertools.chain(module.parameters(), module.buffers())
    return copy.deepcopy(module, {id(weight): weight for weight in weights})


def _folded(checkpoint: Checkpoint, device: str, x: torch.Tensor, keep: str) -> nn.Module:
    plain, folded = checkpoint.module(device), checkpoint.module(device)
    with torch.no_grad():
        fold_batch_norms(folded, x, keep)
        folded.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        expected, got = plain(x), folded(x)
        close = (expected - got).abs().max() <= TOLERANCE * expected.abs().max().clamp(min=1)
    return folded if bool(close) else plain


def fold_batch_norms(module: nn.Module, x: torch.Tensor, keep: str = "") -> int:
    """Fold each batch norm that takes a convolution's output into that convolution, in place; gives how many were folded.

    Which follows which is seen in one forward pass of `x` by hooks on this module alone: tracing would patch
    `nn.Module.__call__` for every thread. A convolution used more than once or read by others changes the scores, which the
    caller checks. Outputs of the layer `keep`, of an ensemble those of its members' layers, stay what they were.
    """
    made: dict[int, tuple[str, torch.Tensor]] = {}  # kept alive, so that no address is used twice
    pairs: list[tuple[str, str]] = []

    def after_convolution(name: str) -> object:
        return lambda _module, _inputs, output: made.__setitem__(id(output), (name, output))

    def before_norm(name: str) -> object:
        def note(_module: nn.Module, inputs: tuple) -> None:
            if id(inputs[0]) in made:
                pairs.append((made[id(inputs[0])][0], name))

        return note

    handles = []
    try:
        for name, part in module.named_modules():
            if isinstance(part, nn.Conv2d):
                handles.append(part.register_forward_hook(after_convolution(name)))
            elif type(part) is nn.BatchNorm2d:
                handles.append(part.register_forward_pre_hook(before_norm(name)))
        module(x)
    finally:
        for handle in handles:
            handle.remove()
    found = list(dict.fromkeys(pairs))  # a network that sees several views runs more than once
    kept = _ends({keep} | {layer for part in module.modules() if isinstance(part, Ensemble) for layer in part.layers})
    once = [p for p in found if not any(map(kept, p)) and all(sum(name in other for other in found) == 1 for name in p)]
    for convolution, norm in once:
        merged = fuse_conv_bn_eval(module.get_submodule(convolution), module.get_submodule(norm))
        module.set_submodule(convolution, merged.requires_grad_(False))
        module.set_submodule(norm, nn.Identity())
    return len(once)


def _ends(layers: set[str]) -> Callable[[str], bool]:
    """Whether a module is one of those layers, by its own name or inside views, members and temperatures."""
    return lambda name: any(name == layer or (layer and name.endswith(f".{layer}")) for layer in layers)
