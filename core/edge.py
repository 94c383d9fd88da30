"""Checkpoints as ONNX files for boxes without PyTorch: checked at export, and saying themselves what they read and mean."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from core.checkpoint import Checkpoint
from core.onnx import TOLERANCE, export_onnx, open_checked
from core.records import Refused
from core.tasks import get_task

CONTRACT = (
    "Input x (N, C, H, W) float32: the whole picture stretched to size (height, width), antialiased bilinear; grey values "
    "through the picture's window to 0-1, colours divided by 255; then (x - mean) / std for each channel. Output logits (N, "
    "classes): their softmax is the probability of each class, views, members and temperature included. A case is called "
    "positive at the operating point's threshold or above. Research use, not for diagnosis."
)
_IMAGES = 4  # of noise, on which both must agree


def export_for_edge(checkpoint: Checkpoint, out: Path, *, maps: bool = True) -> float:
    """Write a self-describing ONNX file, all or nothing, and give the largest difference of a probability from PyTorch's.

    Its metadata hold task, classes in order, positive class, preprocessing, operating point, version and `CONTRACT`; with `maps`
    it gives Grad-CAM too where that has a closed form. Raises `Refused`: a file that exists, a network that ONNX cannot say,
    and one whose probabilities or logits differ by more than 1e-4 in ONNX Runtime; then nothing is written.
    """
    if out.exists():
        raise Refused(f"{out.name} exists; choose another name or remove it.")
    draft = out.with_name(f".{secrets.token_hex(8)}.onnx")
    try:
        export_onnx(checkpoint, draft, maps=maps)
        _describe(draft, metadata(checkpoint))
        difference = _largest_difference(checkpoint, draft)
        if not difference <= TOLERANCE:
            raise Refused(
                f"The ONNX file's probabilities differ from its checkpoint's by {difference:.1e}; it was not written."
            )
        os.replace(draft, out)
    finally:
        draft.unlink(missing_ok=True)
    return difference


def metadata(checkpoint: Checkpoint) -> dict[str, str]:
    """What the file says of itself; structured values as JSON."""
    point = checkpoint.operating_point
    return {
        "task": checkpoint.task,
        "classes": json.dumps(checkpoint.classes),
        "positive": get_task(checkpoint.task).positive or "",
        "preprocessing": json.dumps(checkpoint.preprocessing.as_dict()),
        "operating_point": json.dumps(asdict(point) if point else None),
        "architecture": checkpoint.architecture,
        "model_version": checkpoint.version,
        "views": json.dumps(checkpoint.views),
        "temperature": repr(checkpoint.temperature),
        "members": json.dumps([m.version for m in checkpoint.members]),
        "contract": CONTRACT,
    }


def _describe(path: Path, facts: dict[str, str]) -> None:
    import onnx  # slow to import, and only exports need it

    model = onnx.load(str(path))
    for key, value in facts.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, str(path))


def _largest_difference(checkpoint: Checkpoint, path: Path) -> float:
    """Over probabilities of pictures of noise; `open_checked` has compared logits and maps before."""
    network, spec = open_checked(checkpoint, path), checkpoint.preprocessing
    noise = torch.rand(_IMAGES, spec.channels, *spec.size, generator=torch.Generator().manual_seed(7))
    mean, std = (torch.tensor(v)[:, None, None] for v in (spec.mean, spec.std))
    x = (noise - mean) / std
    with torch.inference_mode():
        ours = torch.softmax(checkpoint.module("cpu")(x).double(), dim=1)
    theirs = torch.softmax(network(x)[0].double(), dim=1)
    return float(np.abs((ours - theirs).numpy()).max())
