"""Checkpoints as ONNX files: logits, and where it can be written down in closed form the Grad-CAM of every class."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from core import settings
from core.checkpoint import Checkpoint, load_checkpoint
from core.combine import untempered
from core.explain.gradcam import grad_cam, layer_pass
from core.records import Refused

TOLERANCE = 1e-4  # of the largest logit, or of 1 where logits are smaller; and of a map's largest value
MADE = 2  # part of a cached file's name: counted up when what is exported changes


class _WithMaps(nn.Module):
    """A network with the Grad-CAM of all classes as its second output: ReLU(Σ_k head_ck / (h·w) · A_k)."""

    def __init__(self, net: nn.Module, layer: str, head: torch.Tensor) -> None:
        super().__init__()
        self.net, self.layer = net, layer
        self.register_buffer("head", head)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (N, C) and maps (N, C, h, w) of images (N, channels, H, W)."""
        kept: list[torch.Tensor] = []
        watched = untempered(self.net).get_submodule(self.layer)
        with watched.register_forward_hook(lambda _m, _i, out: kept.append(out)):
            logits = self.net(x)
        activations = kept[0]  # (N, K, h, w)
        weights = (self.head / (activations.shape[2] * activations.shape[3]))[:, :, None, None]  # (C, K, 1, 1)
        return logits, torch.nn.functional.conv2d(activations, weights).relu()


def export_onnx(checkpoint: Checkpoint, path: Path, *, maps: bool = True) -> bool:
    """Write the checkpoint's network as ONNX, all or nothing; True where the maps are in it.

    Input `x` (N, C, H, W), any N, preprocessed as the checkpoint says; outputs `logits` (N, classes), after temperature, views
    and members, and with `maps` and a head of average pooling and one linear layer `gradcam` (N, classes, h, w), raw. Other
    heads would need a backward pass, so their files have logits alone. Raises `Refused` where the network cannot be exported.
    """
    net = checkpoint.module("cpu")
    spec = checkpoint.preprocessing
    x = torch.zeros(2, spec.channels, *spec.size)
    head = closed_form_head(checkpoint, net) if maps else None
    whole = net if head is None else _WithMaps(net, checkpoint.heatmap_layer, head).eval()
    draft = path.with_name(f".{path.stem}-{secrets.token_hex(8)}.onnx")
    try:
        torch.onnx.export(
            whole, (x,), draft, input_names=["x"], output_names=["logits", "gradcam"][: 1 if head is None else 2],
            dynamic_shapes={"x": {0: torch.export.Dim("n", min=1, max=4096)}}, dynamo=True, external_data=False,
            verbose=False,
        )  # fmt: skip
        os.replace(draft, path)
    except OSError:
        raise
    except Exception as e:  # the exporter raises many kinds, and their texts are pages long
        raise Refused(f"{checkpoint.architecture} cannot be written as ONNX ({type(e).__name__}).") from e
    finally:
        draft.unlink(missing_ok=True)
    return head is not None


def closed_form_head(checkpoint: Checkpoint, net: nn.Module) -> torch.Tensor | None:
    """Weights (C, K) of the last linear layer, after any temperature, where `layer_pass` finds the closed form, else None."""
    if not checkpoint.has_own_layer:
        return None
    spec = checkpoint.preprocessing
    x = torch.randn(1, spec.channels, *spec.size, generator=torch.Generator().manual_seed(0))
    return layer_pass(net, checkpoint.heatmap_layer, x, 0).head


class OnnxNetwork:
    """An exported network in ONNX Runtime on the CPU; safe to call from one thread at a time."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        import onnxruntime as ort  # a third of a second to import, and optional

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting threads must not take a core
        self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.name = f"ONNX Runtime {ort.__version__}"
        self.has_maps = len(self.session.get_outputs()) > 1

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Logits (N, C), and maps (N, C, h, w) or None, of images (N, channels, H, W)."""
        outputs = self.session.run(None, {"x": np.ascontiguousarray(x.numpy(), dtype=np.float32)})
        return torch.from_numpy(outputs[0]), torch.from_numpy(outputs[1]) if self.has_maps else None


def open_checked(checkpoint: Checkpoint, path: Path) -> OnnxNetwork:
    """The network of an ONNX file after comparing it with the checkpoint, which stays the source of truth.

    Raises `Refused` where the file cannot be read, or its logits or maps differ from PyTorch's by more than `TOLERANCE` for
    four pictures of noise and one of nothing, alone and as a batch.
    """
    try:
        found = OnnxNetwork(path, threads=torch.get_num_threads())
        spec = checkpoint.preprocessing
        noise = torch.rand(5, spec.channels, *spec.size, generator=torch.Generator().manual_seed(1))
        noise[4] = 0
        mean, std = (torch.tensor(v)[:, None, None] for v in (spec.mean, spec.std))
        x, net = (noise - mean) / std, checkpoint.module("cpu")
        logits, maps = found(x)
        singles = torch.cat([found(x[i : i + 1])[0] for i in range(2)])
    except Exception as e:  # onnxruntime's own exceptions have no common base
        raise Refused(f"{path.name} cannot be used by ONNX Runtime ({type(e).__name__}).") from e
    with torch.inference_mode():
        expected = net(x)
    differences = [_relative(logits, expected), _relative(singles, expected[:2])]
    if maps is not None:
        for c in range(expected.shape[1]):
            seen = layer_pass(net, checkpoint.heatmap_layer, x, c)
            differences.append(_relative(maps[:, c], grad_cam(seen), least=1e-3))
    if not max(differences) <= TOLERANCE:
        raise Refused(f"{path.name} differs from its checkpoint by {max(differences):.1e}, more than {TOLERANCE:.0e}.")
    return found


def _relative(found: torch.Tensor, expected: torch.Tensor, least: float = 1.0) -> float:
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=least))


def cached_onnx(checkpoint_file: Path, version: str) -> Path:
    """The ONNX file of a stored checkpoint, kept under `TUMORTRACE_HOME/onnx` by version; exported first where it is absent.

    In a process of its own: the exporter takes seconds and changes PyTorch for all threads while it works. Raises `Refused`
    where it fails.
    """
    folder = settings.home() / "onnx"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{version}-{MADE}.onnx"
    if not path.exists():
        command = [sys.executable, "-m", "core.onnx", str(checkpoint_file.resolve()), str(path)]
        done = subprocess.run(command, cwd=settings.CHECKOUT, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode or not path.exists():
            raise Refused(
                f"The ONNX export of model {version[:8]} failed: {(done.stderr.strip() or '?').splitlines()[-1]}"
            )
    return path


if __name__ == "__main__":
    export_onnx(load_checkpoint(Path(sys.argv[1])), Path(sys.argv[2]))
