"""Training recipes: TOML files beside this module, each one a `Recipe`."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from core.records import Refused

_FOLDER = Path(__file__).parent
_CHOICES = {
    "optimizer": ("adamw", "adam", "sgd"),
    "schedule": ("cosine", "step", "constant"),
    "monitor": ("val_auc", "val_loss", "epoch"),
    "normalise": ("architecture", "half", "unit", "dataset"),
    "precision": ("auto", "fp32", "bf16", "fp16"),
    "fill": ("black", "edge"),
}
_RANGES = {  # lowest and highest allowed value
    "lr": (1e-12, math.inf), "weight_decay": (0, math.inf), "momentum": (0, 1), "batch_size": (2, 4096),
    "epochs": (1, 10_000), "patience": (1, 10_000), "size": (0, 4096), "label_smoothing": (0, 0.99),
    "step": (1, 10_000), "gamma": (0, 1), "floor": (0, math.inf), "kernel_l2": (0, math.inf), "ema": (0, 0.99999),
    "frozen_epochs": (-1, 10_000), "frozen_lr": (1e-12, math.inf),
    "hflip": (0, 1), "vflip": (0, 1), "shift": (0, 1), "rotate": (0, 180), "crop": (0.01, 1), "aspect": (1, 10),
    "zoom": (0, 0.9), "brightness": (0, 1), "contrast": (0, 1), "saturation": (0, 1), "hue": (0, 0.5),
}  # fmt: skip


@dataclass(frozen=True)
class Augmentation:
    """What is drawn anew for every training image.

    `hflip`, `vflip` are probabilities; `shift` the largest move as a fraction of the edge; `rotate` the largest angle in
    degrees, either way; `crop` the smallest share of the area kept (1 keeps all; the crop is stretched back), `aspect` its
    largest width : height or height : width; `zoom` the largest relative change of size, either way; `brightness`,
    `contrast`, `saturation` the largest relative change, `hue` the largest turn as a fraction of the circle. `fill` is what a
    move uncovers: black, or the picture's edge repeated.
    """

    hflip: float = 0.0
    vflip: float = 0.0
    shift: float = 0.0
    rotate: float = 0.0
    crop: float = 1.0
    brightness: float = 0.0
    contrast: float = 0.0
    aspect: float = 1.0
    zoom: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    fill: str = "black"

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; `default.toml` says what each key means.

    `architecture` is the one it was made for, empty for any. `size` 0 means the architecture's own edge length.
    `class_weights` is "none", "balanced" or a weight for every class by its name. `frozen_epochs` at the start train the head
    alone at `frozen_lr` (−1: always); afterwards the layers `unfreeze` learn too, all of them where none is named.
    """

    name: str = "default"
    architecture: str = ""
    optimizer: str = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.01
    momentum: float = 0.9
    batch_size: int = 32
    epochs: int = 30
    patience: int = 15
    schedule: str = "cosine"
    step: int = 10
    gamma: float = 0.1
    floor: float = 1e-5
    monitor: str = "val_auc"
    size: int = 0
    normalise: str = "architecture"
    class_weights: str | Mapping[str, float] = "none"
    oversample: bool = False
    label_smoothing: float = 0.0
    kernel_l2: float = 0.0
    ema: float = 0.0
    precision: str = "auto"
    frozen_epochs: int = 0
    frozen_lr: float = 1e-3
    unfreeze: tuple[str, ...] = ()
    augment: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        _check(self)
        _check_class_weights(self.class_weights)

    def as_dict(self) -> dict[str, Any]:
        """JSON-safe fields, the augmentation nested."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """The inverse of `as_dict`."""
        layers, augment = values.get("unfreeze", ()), Augmentation(**values.get("augment", {}))
        return cls(**{**values, "unfreeze": tuple(layers) if isinstance(layers, list) else layers, "augment": augment})

    def frozen(self, epoch: int) -> bool:
        """Whether only the head learns in that epoch, counted from 0."""
        return self.frozen_epochs < 0 or epoch < self.frozen_epochs

    def learning_rate(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 0; schedules begin when the frozen phase is over.

        cosine: half a cosine from `lr` towards 0 (Loshchilov and Hutter 2017, no restarts); step: max(lr · gamma^⌊epoch/step⌋,
        floor).
        """
        if self.frozen(epoch):
            return self.frozen_lr
        done, length = epoch - self.frozen_epochs, self.epochs - self.frozen_epochs
        if self.schedule == "cosine":
            return self.lr * 0.5 * (1 + math.cos(math.pi * done / length))
        if self.schedule == "step":
            return max(self.lr * self.gamma ** (done // self.step), self.floor)
        return self.lr


def recipe_names() -> tuple[str, ...]:
    """Names of the recipes that come with the program."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def load_recipe(name: str) -> Recipe:
    """The recipe of that name, or of a path ending in .toml. Keys left out keep the defaults of `Recipe`.

    Raises `Refused` for an unknown name, text that is not TOML, an unknown key, or a value of another type or out of range.
    """
    path = Path(name) if name.endswith(".toml") else _FOLDER / f"{name}.toml"
    if not path.is_file() or not (name.endswith(".toml") or name in recipe_names()):
        raise Refused(f"There is no recipe '{name}'; there are {', '.join(recipe_names())}.")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise Refused(f"{path.name} is not a TOML file: {e}.") from e
    augment = values.pop("augment", {})
    if not isinstance(augment, dict):
        raise Refused(f"augment in {path.name} must be a table.")
    _refuse_unknown(values, Recipe, path.name)
    _refuse_unknown(augment, Augmentation, path.name)
    return Recipe.from_dict({**values, "name": path.stem, "augment": augment})


def _refuse_unknown(values: dict[str, Any], record: type, file: str) -> None:
    known = [f.name for f in fields(record) if f.name not in ("name", "augment")]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise Refused(f"'{unknown[0]}' in {file} is not a key of a recipe; the keys are {', '.join(known)}.")


def _check(record: Recipe | Augmentation) -> None:
    """Every field has its default's type (a whole number may stand for a fraction) and lies in its range."""
    for f in fields(record):
        value = getattr(record, f.name)
        if f.name in _CHOICES:
            if not isinstance(value, str) or value not in _CHOICES[f.name]:
                raise Refused(f"{f.name} must be one of {', '.join(_CHOICES[f.name])}, not {value!r}.")
        elif f.name in _RANGES:
            low, high = _RANGES[f.name]
            whole = isinstance(f.default, int)
            right_type = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
            if not right_type or not low <= value <= high:
                raise Refused(
                    f"{f.name} must be a {'whole ' if whole else ''}number in {low:g}–{high:g}, not {value!r}."
                )
        elif f.name in ("architecture", "oversample", "unfreeze"):
            words = f.name == "unfreeze" and isinstance(value, tuple) and all(isinstance(word, str) for word in value)
            if not words and not (f.name != "unfreeze" and type(value) is type(f.default)):
                wanted = {"architecture": "a name", "oversample": "true or false", "unfreeze": "a list of layers"}
                raise Refused(f"{f.name} must be {wanted[f.name]}, not {value!r}.")


def _check_class_weights(given: Any) -> None:
    numbers = given.values() if isinstance(given, Mapping) else ()
    good = numbers and all(type(w) in (int, float) and 0 < w < math.inf for w in numbers)
    if not good and given not in ("none", "balanced"):
        raise Refused(
            f"class_weights must be none, balanced, or a table of a weight above 0 for every class, not {given!r}."
        )
