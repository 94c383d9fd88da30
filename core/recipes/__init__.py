"""Training recipes: TOML files beside this module, each one a `Recipe`."""

from __future__ import annotations

import math
import tomllib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from core.records import Refused

_FOLDER = Path(__file__).parent
_CHOICES = {
    "optimizer": ("adamw", "adam", "sgd"),
    "schedule": ("cosine", "step", "constant"),
    "monitor": ("val_auc", "val_loss"),
    "class_weights": ("none", "balanced"),
}
_RANGES = {  # lowest and highest allowed value
    "lr": (1e-12, math.inf), "weight_decay": (0, math.inf), "momentum": (0, 1), "batch_size": (2, 4096),
    "epochs": (1, 10_000), "patience": (1, 10_000), "size": (0, 4096), "label_smoothing": (0, 0.99),
    "hflip": (0, 1), "vflip": (0, 1), "shift": (0, 1), "rotate": (0, 180), "crop": (0.01, 1),
    "brightness": (0, 1), "contrast": (0, 1),
}  # fmt: skip


@dataclass(frozen=True)
class Augmentation:
    """What is drawn anew for every training image.

    `hflip`, `vflip` are probabilities; `shift` the largest move as a fraction of the edge; `rotate` the largest angle in
    degrees, either way; `crop` the smallest share of the area kept (1 keeps all; the crop is stretched back);
    `brightness`, `contrast` the largest relative change, either way.
    """

    hflip: float = 0.0
    vflip: float = 0.0
    shift: float = 0.0
    rotate: float = 0.0
    crop: float = 1.0
    brightness: float = 0.0
    contrast: float = 0.0

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. `size` 0 means the architecture's own edge length; `momentum` is for sgd only."""

    name: str = "default"
    optimizer: str = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.01
    momentum: float = 0.9
    batch_size: int = 32
    epochs: int = 30
    patience: int = 15
    schedule: str = "cosine"
    monitor: str = "val_auc"
    size: int = 0
    class_weights: str = "none"
    label_smoothing: float = 0.0
    augment: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        _check(self)

    def as_dict(self) -> dict[str, Any]:
        """JSON-safe fields, the augmentation nested."""
        return asdict(self)

    def learning_rate(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 0.

        cosine: half a cosine from `lr` towards 0 (Loshchilov and Hutter 2017, no restarts); step: max(lr · 0.1^⌊epoch/10⌋, 1e-5).
        """
        if self.schedule == "cosine":
            return self.lr * 0.5 * (1 + math.cos(math.pi * epoch / self.epochs))
        if self.schedule == "step":
            return max(self.lr * 0.1 ** (epoch // 10), 1e-5)
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
    return Recipe(name=path.stem, augment=Augmentation(**augment), **values)


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
            if value not in _CHOICES[f.name]:
                raise Refused(f"{f.name} must be one of {', '.join(_CHOICES[f.name])}, not {value!r}.")
        elif f.name in _RANGES:
            low, high = _RANGES[f.name]
            whole = isinstance(f.default, int)
            right_type = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
            if not right_type or not low <= value <= high:
                raise Refused(
                    f"{f.name} must be a {'whole ' if whole else ''}number in {low:g}–{high:g}, not {value!r}."
                )
