"""Self-describing checkpoints: weights, architecture, task, classes, preprocessing, operating point and provenance in one file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.architectures import get_architecture, skeleton
from core.combine import VIEWS, Ensemble, Reading, Tempered, Viewed, common_preprocessing
from core.preprocess import Preprocessing
from core.records import Model, OperatingPoint, Refused
from core.tasks import get_task

FORMAT = 2
_PLAIN = 1  # what files say that any older program can use: no views, temperature or members
ENSEMBLE = "ensemble"  # the architecture of a checkpoint that has members


@dataclass(frozen=True)
class Checkpoint:
    """Trained weights with everything needed to use them.

    `classes` are in output order and equal to the task's. `history` is one mapping per epoch; `provenance` is JSON-safe
    (dataset fingerprint, recipe, seed, library versions). `version` is the SHA-256 of the file, empty before it is saved.

    How it predicts is part of it: the mean probability over `views` of a picture (test-time augmentation, see
    `core.combine.VIEWS`), at a `temperature`. An ensemble has `members`, whole checkpoints, and no weights of its own.
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
    views: tuple[str, ...] = ("plain",)
    temperature: float = 1.0
    members: tuple[Checkpoint, ...] = ()

    def module(self, device: str = "cpu") -> nn.Module:
        """The network in eval mode with these weights, parameters frozen: images to logits, views and members included.

        On the weights' own device it shares their memory: a second module costs no second copy, and hooks set on one are
        never seen by the other, so each thread can have its own.
        """
        net = self._ensemble(device) if self.members else self._network(device)
        net = net if self.views == ("plain",) else Viewed(net, self.views)
        net = net if self.temperature == 1 else Tempered(net, self.temperature)
        return net.eval().requires_grad_(False)

    def _network(self, device: str) -> nn.Module:
        build = get_architecture(self.architecture).build
        net = skeleton(build, len(self.classes))
        if any(name not in self.state for name, _ in net.named_buffers()):
            net = build(len(self.classes))  # some networks make constants that they do not save
        net.load_state_dict(dict(self.state), strict=True, assign=True)
        return net.to(device)

    def _ensemble(self, device: str) -> nn.Module:
        modules = [m.module(device) for m in self.members]
        if any(m.preprocessing != self.preprocessing for m in self.members):
            modules = [Reading(net, m.preprocessing) for net, m in zip(modules, self.members, strict=True)]
        return Ensemble(modules, [m.heatmap_layer for m in self.members]).to(device)

    @property
    def heatmap_layer(self) -> str:
        """The layer whose maps a heatmap shows, for an ensemble those of its members; empty where one has none."""
        if not self.members:
            return get_architecture(self.architecture).heatmap_layer
        layers = [m.heatmap_layer for m in self.members]
        names = " and ".join(dict.fromkeys(layers))
        return f"mean of {len(layers)} members' {names}" if all(layers) else ""

    @property
    def averages(self) -> bool:
        """Whether its logits are the logarithm of a mean of probabilities, over members or views."""
        return bool(self.members) or len(self.views) > 1

    @property
    def has_own_layer(self) -> bool:
        """Whether one network with a heatmap layer makes the logits: no members or views around it; a temperature may be."""
        return bool(self.heatmap_layer) and not self.averages

    def to(self, device: str) -> Checkpoint:
        """The same checkpoint with its weights on `device`."""
        state = {k: v.to(device) for k, v in self.state.items()}
        return replace(self, state=state, members=tuple(m.to(device) for m in self.members))


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> str:
    """Write the checkpoint, all or nothing, and return its version (SHA-256 of the file, hex)."""
    check_meaning(checkpoint)
    draft = path.with_name(path.name + ".part")
    torch.save(_content(checkpoint), draft)
    os.replace(draft, path)
    return file_version(path)


def _content(checkpoint: Checkpoint) -> dict[str, Any]:
    """What the file says: only what `torch.load(weights_only=True)` reads."""
    content = {
        "format": _PLAIN,
        "architecture": checkpoint.architecture,
        "task": checkpoint.task,
        "classes": list(checkpoint.classes),
        "preprocessing": checkpoint.preprocessing.as_dict(),
        "operating_point": asdict(checkpoint.operating_point) if checkpoint.operating_point else None,
        "history": [dict(row) for row in checkpoint.history],
        "provenance": dict(checkpoint.provenance),
        "state": {k: v.detach().cpu().contiguous().clone() for k, v in checkpoint.state.items()},
    }
    if checkpoint.views == ("plain",) and checkpoint.temperature == 1 and not checkpoint.members:
        return content
    members = [{**_content(m), "version": m.version} for m in checkpoint.members]
    how = {"views": list(checkpoint.views), "temperature": checkpoint.temperature, "members": members}
    return {**content, **how, "format": FORMAT}


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
    try:
        checkpoint = _from_content(content, path.name)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as e:
        if isinstance(e, Refused):
            raise
        raise Refused(f"{path.name} is damaged: {e}.") from e
    checkpoint = replace(checkpoint, version=file_version(path))
    check_meaning(checkpoint)
    return checkpoint


def _from_content(content: Any, name: str) -> Checkpoint:
    if not isinstance(content, dict) or content.get("format") not in (_PLAIN, FORMAT):
        raise Refused(f"{name} is not a TumorTrace checkpoint; train one with `python -m core train`.")
    point = content["operating_point"]
    return Checkpoint(
        architecture=content["architecture"],
        task=content["task"],
        classes=tuple(content["classes"]),
        preprocessing=Preprocessing.from_dict(content["preprocessing"]),
        state=content["state"],
        operating_point=OperatingPoint(**point) if point else None,
        history=tuple(content["history"]),
        provenance=content["provenance"],
        version=str(content.get("version", "")),
        views=tuple(map(str, content.get("views", ("plain",)))),
        temperature=float(content.get("temperature", 1.0)),
        members=tuple(_from_content(member, name) for member in content.get("members", ())),
    )


def model_record(checkpoint: Checkpoint, name: str) -> Model:
    """The checkpoint as a `Model` to register, a candidate; its card says what the file says of itself."""
    spec, point, made = checkpoint.preprocessing, checkpoint.operating_point, checkpoint.provenance
    card = {
        "Task": get_task(checkpoint.task).title,
        "Classes, in output order": ", ".join(checkpoint.classes),
        "Architecture": checkpoint.architecture,
        "Input": f"{spec.size[0]} × {spec.size[1]} pixels, {spec.channels} channel(s)",
        "Operating point": f"{point.name}, {point.threshold:.4f}, chosen on {point.chosen_on}" if point else "none",
        **_how_it_predicts(checkpoint),
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


def _how_it_predicts(checkpoint: Checkpoint) -> dict[str, str]:
    """What a card says of members, views and temperature; nothing of a plain network."""
    said = {}
    if checkpoint.members:
        names = ", ".join(f"{m.architecture} {m.version[:8]}" for m in checkpoint.members)
        said["Members"] = f"{len(checkpoint.members)}, mean of their probabilities: {names}"
    if len(checkpoint.views) > 1:
        said["Test-time augmentation"] = f"mean probability of the views {', '.join(checkpoint.views)}"
    if checkpoint.temperature != 1:
        said["Temperature"] = f"{checkpoint.temperature:.3f}{_its_fit(checkpoint.provenance)}"
    return said


def _its_fit(provenance: Mapping[str, Any]) -> str:
    """Where a temperature was fitted and what it did there; nothing where the file does not say so in our words."""
    try:
        fitted = provenance["calibration"]
        before, after = (float(fitted[f"ece_{when}"]["value"]) for when in ("before", "after"))
        return f", fitted on {fitted['chosen_on']}; there calibration error {before:.3f} before, {after:.3f} after"
    except (KeyError, TypeError, ValueError):
        return ""


def check_meaning(checkpoint: Checkpoint) -> None:
    """Raises `Refused` in one sentence where a checkpoint's classes, weights, views, members or threshold cannot be."""
    task = get_task(checkpoint.task)
    if checkpoint.classes != task.classes:
        raise Refused(
            f"The checkpoint's classes ({', '.join(map(str, checkpoint.classes))}) are not those of {task.name} in its order "
            f"({', '.join(task.classes)}); a model whose outputs mean something else cannot be used."
        )
    point = checkpoint.operating_point
    if point and str(point.chosen_on).split(" ")[0] in ("test", "train"):
        raise Refused(
            f"The checkpoint's threshold was chosen on {point.chosen_on}; only validation data may choose one."
        )
    if not checkpoint.views or any(view not in VIEWS for view in checkpoint.views):
        raise Refused(f"The checkpoint averages views that are unknown; there are {', '.join(VIEWS)}.")
    if not 0 < checkpoint.temperature < float("inf"):
        raise Refused(f"The checkpoint's temperature is {checkpoint.temperature}; it must be a number above 0.")
    if checkpoint.members:
        _check_members(checkpoint)
    else:
        _check_weights(checkpoint)


def _check_members(checkpoint: Checkpoint) -> None:
    members = checkpoint.members
    if checkpoint.architecture != ENSEMBLE or checkpoint.state or len(members) < 2:
        raise Refused("An ensemble has two members or more and no weights of its own.")
    for member in members:
        if member.members:
            raise Refused("A member of an ensemble cannot be an ensemble; name its members instead.")
        if member.task != checkpoint.task:
            raise Refused(f"The members of an ensemble must share a task; one is for {member.task}.")
        check_meaning(member)
    if len({m.version for m in members}) < len(members):
        raise Refused("An ensemble has a member twice; the mean would count it twice.")
    if common_preprocessing([m.preprocessing for m in members]) != checkpoint.preprocessing:
        raise Refused("The ensemble's preprocessing is not the one that its members need.")


def _check_weights(checkpoint: Checkpoint) -> None:
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
