"""What a finished model takes from validation data: views, temperature, operating point; and ensembles of several models.

Each makes a new checkpoint, so a new version of the model; the files it came from stay as they are. Only a validation split
is ever read here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from core import settings
from core.checkpoint import ENSEMBLE, Checkpoint, check_meaning, load_checkpoint, save_checkpoint
from core.combine import check_views, common_preprocessing
from core.datasets import Dataset, as_dataset, tensors
from core.datasets.dataset import Progress
from core.evaluation import predict_probabilities
from core.records import Estimate, OperatingPoint, Refused
from core.runs import PROBABILITY_DECIMALS
from core.statistics.calibration import ece, log_loss, top_label
from core.statistics.operating_points import (
    cost_point,
    fixed_point,
    target_sensitivity,
    target_specificity,
    youden_point,
)
from core.statistics.temperature import fit_temperature, tempered
from core.tasks import Task, get_task
from core.versions import library_versions

POINTS = (
    "youden, sensitivity=0.95, specificity=0.9, cost=10 (a missed finding costs as much as ten false alarms) or threshold=0.55 "
    "(set beforehand)"
)
_RULES: dict[str, Callable[..., OperatingPoint]] = {
    "sensitivity": target_sensitivity,
    "specificity": target_specificity,
    "cost": cost_point,
}


@dataclass(frozen=True)
class Tuning:
    """What to take from the validation split of a dataset.

    `point` is a rule of `POINTS`; `views` are to be averaged (test-time augmentation; empty keeps what the model has);
    `temperature` asks for temperature scaling. `split` must be `val`: test data never choose anything.
    """

    data: Path | Dataset
    point: str = "youden"
    views: tuple[str, ...] = ()
    temperature: bool = False
    split: str = "val"
    device: str | None = None

    def __post_init__(self) -> None:
        if self.split != "val":
            raise Refused(
                f"Thresholds and temperatures are chosen on validation data only; '{self.split}' never chooses anything."
            )
        point_rule(self.point)


def calibrate(source: Path, out: Path, tuning: Tuning, progress: Progress | None = None) -> Checkpoint:
    """A new checkpoint file of the same weights with what `tuning` took from validation data.

    Raises `Refused` in one sentence: another split than val, an unknown rule or view, a dataset without validation cases, a
    temperature that validation cannot tell, or a file that exists.
    """
    checkpoint = load_checkpoint(source)
    return _tuned(checkpoint, out, tuning, {"from": checkpoint.version}, progress)


def build_ensemble(sources: Sequence[Path], out: Path, tuning: Tuning, progress: Progress | None = None) -> Checkpoint:
    """A checkpoint file whose probabilities are the mean of those of several; its operating point is chosen anew.

    The members keep their views and temperatures. Raises `Refused` as `calibrate` does, and for fewer than two members, one
    twice, other tasks or input sizes, or an ensemble among them.
    """
    members = tuple(load_checkpoint(source) for source in sources)
    if len(members) < 2:
        raise Refused("An ensemble needs at least two checkpoints.")
    spec = common_preprocessing([member.preprocessing for member in members])
    made = {key: _joined(members, key) for key in ("dataset", "fingerprint", "recipe")}
    described = [{"version": m.version, "architecture": m.architecture, **_said(m)} for m in members]
    whole = Checkpoint(
        ENSEMBLE, members[0].task, members[0].classes, spec, {}, members=members,
        provenance={**made, "members": described, "versions": dict(library_versions())},
    )  # fmt: skip
    check_meaning(whole)
    return _tuned(whole, out, tuning, {}, progress)


def choose_point(task: Task, y: np.ndarray, p: np.ndarray, rule: str, chosen_on: str = "val") -> OperatingPoint | None:
    """The operating point by a rule of `POINTS` on labels (N,) and probabilities (N, C); None without a positive class.

    `chosen_on` names the split. None too where all cases are on one side.
    """
    positive, (name, value) = task.positive_index, point_rule(rule)
    if positive is None or not 0 < (y == positive).sum() < len(y):
        return None
    labels, scores = (y == positive).astype(np.int64), p[:, positive]
    if name == "threshold":
        return fixed_point(value)
    if name == "youden":
        return youden_point(labels, scores, chosen_on=chosen_on)
    return _RULES[name](labels, scores, value, chosen_on=chosen_on)


def point_rule(text: str) -> tuple[str, float]:
    """Name and number (0 for youden) of a rule such as `sensitivity=0.95`; raises `Refused` for what is none."""
    name, _, number = text.strip().lower().partition("=")
    try:
        value = float(number) if number else 0.0
    except ValueError:
        value = -1.0
    known = (*_RULES, "threshold")
    good = not number if name == "youden" else name in known and 0 < value <= (1e6 if name == "cost" else 1)
    if not good:
        raise Refused(f"'{text}' is no way to choose an operating point; say {POINTS}.")
    return name, value


def _tuned(
    checkpoint: Checkpoint, out: Path, tuning: Tuning, origin: Mapping[str, Any], progress: Progress | None
) -> Checkpoint:
    """`checkpoint` with views, temperature and operating point from validation, written to `out`."""
    if out.exists():
        raise Refused(f"{out.name} exists; a checkpoint is never overwritten, so choose another name.")
    views = check_views(tuning.views) if tuning.views else checkpoint.views
    if views != checkpoint.views and checkpoint.temperature != 1 and not tuning.temperature:
        raise Refused("The model's temperature was fitted without these views; ask for a temperature as well.")
    task, device = get_task(checkpoint.task), tuning.device or settings.device()
    start = replace(checkpoint, views=views, temperature=1.0 if tuning.temperature else checkpoint.temperature)
    dataset = as_dataset(tuning.data, checkpoint.task, progress)
    x, y_tensor = tensors(dataset, "val", checkpoint.preprocessing, progress)
    y, p = y_tensor.numpy(), predict_probabilities(start, x, device, progress=progress)
    chosen_on = f"val (n = {len(y)})"
    facts = {"dataset": dataset.name, "fingerprint": dataset.fingerprint, "chosen_on": chosen_on, "rule": tuning.point}
    provenance = {**checkpoint.provenance, **origin, "operating_point": facts}
    if tuning.temperature:
        temperature = fit_temperature(y, p)
        provenance["calibration"] = {**facts, **_before_and_after(task, y, p, temperature), "temperature": temperature}
        start, p = replace(start, temperature=temperature), tempered(p, temperature)
    p = np.round(p, PROBABILITY_DECIMALS)
    point = choose_point(task, y, p, tuning.point)
    made = replace(start, operating_point=point, provenance=provenance)
    out.parent.mkdir(parents=True, exist_ok=True)
    return replace(made, version=save_checkpoint(made, out))


def _before_and_after(task: Task, y: np.ndarray, p: np.ndarray, temperature: float) -> dict[str, Any]:
    """ECE and log loss at temperature 1 and at the fitted one, on the cases that it was fitted to: the second flatters."""
    found = {}
    for when, q in (("before", p), ("after", tempered(p, temperature))):
        found[f"ece_{when}"] = asdict(_ece(task, y, q))
        found[f"log_loss_{when}"] = asdict(log_loss(y, q))
    return found


def _ece(task: Task, y: np.ndarray, p: np.ndarray) -> Estimate:
    """As evaluation runs have it: of the positive class, or of the most probable one where there is none."""
    positive = task.positive_index
    if positive is None or len(task.classes) != 2:
        return ece(*top_label(y, p))
    return ece((y == positive).astype(np.int64), p[:, positive])


def _joined(members: Sequence[Checkpoint], key: str) -> str:
    return ", ".join(dict.fromkeys(str(m.provenance.get(key, "not stated")) for m in members))


def _said(member: Checkpoint) -> dict[str, Any]:
    known = ("seed", "recipe", "dataset", "fingerprint")
    return {key: member.provenance[key] for key in known if key in member.provenance}
