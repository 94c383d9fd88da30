"""Self-describing checkpoints: weights, architecture, task, classes, preprocessing, operating point and provenance in one file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.architectures import get_architecture, skeleton
from core.preprocess import Preprocessing
from core.records import Model, OperatingPoint, Refused
from core.tasks import get_task

FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """Trained weights with everything needed to use them.

    `classes` are in output order and equal to the task's. `history` is one mapping per epoch; `provenance` is JSON-safe
    (dataset fingerprint, recipe, seed, library versions). `version` is the SHA-256 of the file, empty before it is saved.
    """

    architecture: str
    task: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    state: Mapping[str, torch.Tensor]
    operating_point: OperatingPoint | None = None
    history: tuple[Mapping[str, float], ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""

    def module(self, device: str = "cpu") -> nn.Module:
        """A network in eval mode with these weights, parameters frozen.

        On the weights' own device it shares their memory: a second module costs no second copy, and hooks set on one are
        never seen by the other, so each thread can have its own.
        """
        build = get_architecture(self.architecture).build
        net = skeleton(build, len(self.classes))
        if any(name not in self.state for name, _ in net.named_buffers()):
            net = build(len(self.classes))  # some networks make constants that they do not save
        net.load_state_dict(dict(self.state), strict=True, assign=True)
        return net.to(device).eval().requires_grad_(False)

    def to(self, device: str) -> Checkpoint:
        """The same checkpoint with its weights on `device`."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return Checkpoint(**{**fields, "state": {k: v.to(device) for k, v in self.state.items()}})


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> str:
    """Write the checkpoint, all or nothing, and return its version (SHA-256 of the file, hex)."""
    _check_meaning(checkpoint)
    content = {
        "format": FORMAT,
        "architecture": checkpoint.architecture,
        "task": checkpoint.task,
        "classes": list(checkpoint.classes),
        "preprocessing": checkpoint.preprocessing.as_dict(),
        "operating_point": asdict(checkpoint.operating_point) if checkpoint.operating_point else None,
        "history": [dict(row) for row in checkpoint.history],
        "provenance": dict(checkpoint.provenance),
        "state": {k: v.detach().cpu().contiguous().clone() for k, v in checkpoint.state.items()},
    }
    draft = path.with_name(path.name + ".part")
    torch.save(content, draft)
    os.replace(draft, path)
    return file_version(path)


def file_version(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint written by `save_checkpoint`, checking what it says of itself.

    Raises `Refused` in one sentence: unreadable, not ours, unknown architecture or task, other classes or another order
    than the task's, weights of other shapes than the architecture's, or weights that are not finite.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise Refused(f"There is no checkpoint file {path.name}.") from None
    except Exception as e:  # torch raises almost anything on garbage: IndexError, struct.error, UnpicklingError …
        raise Refused(f"{path.name} is not a checkpoint that can be loaded safely ({type(e).__name__}).") from e
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise Refused(f"{path.name} is not a TumorTrace checkpoint; train one with `python -m core train`.")
    try:
        point = content["operating_point"]
        checkpoint = Checkpoint(
            architecture=content["architecture"],
            task=content["task"],
            classes=tuple(content["classes"]),
            preprocessing=Preprocessing.from_dict(content["preprocessing"]),
            state=content["state"],
            operating_point=OperatingPoint(**point) if point else None,
            history=tuple(content["history"]),
            provenance=content["provenance"],
            version=file_version(path),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise Refused(f"{path.name} is damaged: {e}.") from e
    _check_meaning(checkpoint)
    return checkpoint


def model_record(checkpoint: Checkpoint, name: str) -> Model:
    """The checkpoint as a `Model` to register, a candidate; its card says what the file says of itself."""
    spec, point, made = checkpoint.preprocessing, checkpoint.operating_point, checkpoint.provenance
    card = {
        "Task": get_task(checkpoint.task).title,
        "Classes, in output order": ", ".join(checkpoint.classes),
        "Architecture": checkpoint.architecture,
        "Input": f"{spec.size[0]} × {spec.size[1]} pixels, {spec.channels} channel(s)",
        "Operating point": f"{point.name}, {point.threshold:.4f}, chosen on {point.chosen_on}" if point else "none",
        "Trained on": made.get("dataset", "not stated"),
        "Dataset fingerprint": made.get("fingerprint", "not stated"),
        "Recipe": made.get("recipe", "not stated"),
        "Epochs": len(checkpoint.history),
        "Version (SHA-256)": checkpoint.version,
        "Intended use": "Research use, not for diagnosis.",
    }
    return Model(
        version=checkpoint.version, name=name, architecture=checkpoint.architecture, task=checkpoint.task, card=card
    )


def _check_meaning(checkpoint: Checkpoint) -> None:
    task = get_task(checkpoint.task)
    if checkpoint.classes != task.classes:
        raise Refused(
            f"The checkpoint's classes ({', '.join(map(str, checkpoint.classes))}) are not those of {task.name} in its order "
            f"({', '.join(task.classes)}); a model whose outputs mean something else cannot be used."
        )
    architecture = get_architecture(checkpoint.architecture)
    if checkpoint.preprocessing.channels != architecture.channels:
        raise Refused(f"The checkpoint feeds {checkpoint.preprocessing.channels} channels to {architecture.name}.")
    expected = skeleton(architecture.build, len(checkpoint.classes)).state_dict()
    if set(checkpoint.state) != set(expected):
        raise Refused(f"The checkpoint's weights are not those of {architecture.name}: other layers.")
    for name, tensor in checkpoint.state.items():
        # Shapes and dtypes are compared before any arithmetic, so that a lying file cannot make us allocate.
        if not isinstance(tensor, torch.Tensor) or tensor.shape != expected[name].shape:
            raise Refused(f"The checkpoint's weights are not those of {architecture.name}: {name} has another shape.")
        if tensor.dtype != expected[name].dtype:
            raise Refused(f"The checkpoint's weight {name} is {tensor.dtype}, expected {expected[name].dtype}.")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise Refused(f"The checkpoint's weight {name} holds NaN or infinity; train it again.")
