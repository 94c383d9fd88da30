"""The classical baseline: logistic regression on hand-made features, a model like any other.

It answers whether a network is worth its trouble. The checkpoint holds the features' means and spreads and the regression's
coefficients as tensors, so it is loaded, evaluated, registered and used like a network's.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from core.checkpoint import Checkpoint, save_checkpoint
from core.datasets import Dataset, tensors
from core.features.extraction import ALL, extract_grey, feature_names, get_families, version_of
from core.files import write_json, write_text
from core.preprocess import Preprocessing
from core.records import Refused
from core.tasks import get_task
from core.training import TrainingJob, operating_point
from core.versions import library_versions

# Inverse strength of the L2 penalty, strongest first; the best on validation is kept, the stronger of equals.
PENALTIES = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 1.0)
CHOSEN = "logistic regression on standardised features"
Progress = Callable[[int, int, str], None]


class FeaturesLogistic(nn.Module):
    """All feature families -> standardised -> one linear layer: images (N, 1, H, W) in [0, 1] to logits (N, n_classes).

    A feature that is undefined for an image counts as the training mean. There are no gradients with respect to the image.
    """

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        n = len(feature_names())
        self.register_buffer("mean", torch.zeros(n, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(n, dtype=torch.float64))
        self.register_buffer("versions", torch.tensor([family.version for family in get_families()], device="cpu"))
        self.linear = nn.Linear(n, n_classes, dtype=torch.float64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, n_classes) float64; raises `Refused` where the program now measures features in another way."""
        if self.versions.tolist() != [family.version for family in get_families()]:
            raise Refused("This model was trained on other versions of the features; train it again.")
        features = torch.from_numpy(measure(x)).to(self.mean.device)
        z = torch.nan_to_num((features - self.mean) / self.scale)
        return self.linear(z)


def measure(x: torch.Tensor, progress: Progress | None = None, text: str = "Measuring") -> np.ndarray:
    """Features (N, n) float64 of images (N, 1, H, W) in [0, 1]."""
    rows = []
    for image in x[:, 0].detach().cpu().numpy():
        rows.append(extract_grey(np.clip(image, 0, 1)).values)
        if progress:
            progress(len(rows), len(x), text)
    return np.array(rows)


def fit(features: np.ndarray, y: np.ndarray, n_classes: int, penalty: float) -> dict[str, torch.Tensor]:
    """A `FeaturesLogistic`'s state, fitted to features (N, n) and labels (N,), with scikit-learn's `C` = `penalty`.

    Two classes get logits −s/2 and s/2, whose softmax is the logistic function of s.
    """
    # scikit-learn is slow to import, and using a model does not need it.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    net = FeaturesLogistic(n_classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # features that are undefined everywhere: mean of nothing
        mean, scale = np.nanmean(features, axis=0), np.nanstd(features, axis=0)
    mean = np.nan_to_num(mean)
    scale = np.where(np.nan_to_num(scale) > 1e-12 * np.maximum(1, np.abs(mean)), scale, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            model = LogisticRegression(C=penalty, max_iter=5000).fit(np.nan_to_num((features - mean) / scale), y)
        except ConvergenceWarning as e:
            raise Refused("The logistic regression does not converge on these images.") from e
    weight, bias = model.coef_, model.intercept_
    if len(weight) == 1:
        weight, bias = np.array([-0.5, 0.5])[:, None] * weight, np.array([-0.5, 0.5]) * bias
    fitted = {"mean": mean, "scale": scale, "linear.weight": weight, "linear.bias": bias}
    return {**net.state_dict(), **{name: torch.from_numpy(np.ascontiguousarray(v)) for name, v in fitted.items()}}


def train_logistic(job: TrainingJob, dataset: Dataset, spec: Preprocessing, progress: Progress) -> Path:
    """Fit on the training split, choose penalty and operating point on validation, write the run folder.

    `checkpoint.pt`, `config.json` and `coefficients.csv`, no history: there are no epochs. Raises `Refused` where a class is
    missing from training, or validation has one side only.
    """
    task = get_task(job.task)
    x_train, y_train = tensors(dataset, "train", spec, progress)
    x_val, y_val = tensors(dataset, "val", spec, progress)
    y, v = y_train.numpy(), y_val.numpy()
    if len(np.unique(y)) < len(task.classes):
        raise Refused(
            f"{dataset.name} has no training image of some class of {task.name}; logistic regression needs all."
        )
    train, val = measure(x_train, progress, "Measuring train"), measure(x_val, progress, "Measuring val")
    candidates = []
    for done, penalty in enumerate(PENALTIES, start=1):
        state = fit(train, y, len(task.classes), penalty)
        candidates.append((_validation_loss(state, val, v), penalty, state))
        progress(done, len(PENALTIES), "Fitting")
    _, penalty, state = min(candidates, key=lambda c: c[:2])
    config = _config(job, dataset, spec, penalty, [(p, score) for score, p, _ in candidates])
    point = operating_point(task, v, _probabilities(state, val))
    checkpoint = Checkpoint(
        job.architecture, job.task, task.classes, spec, state, operating_point=point, provenance=config
    )
    job.out.mkdir(parents=True, exist_ok=True)
    write_json(job.out / "config.json", config)
    write_text(job.out / "coefficients.csv", coefficients(checkpoint).to_csv(index=False))
    save_checkpoint(checkpoint, job.out / "checkpoint.pt")
    return job.out / "checkpoint.pt"


def coefficients(checkpoint: Checkpoint) -> pd.DataFrame:
    """What the model weighs, strongest first: feature, family, and one column per class (the positive one only, of two).

    A standardised coefficient is the change in the class's log odds when the feature rises by one standard deviation of the
    training images and the others stay. Features go together, so a small one does not mean that a feature is useless.
    """
    weight = checkpoint.state["linear.weight"].numpy()  # (n_classes, n)
    if len(weight) == 2:
        positive = get_task(checkpoint.task).positive_index or 0
        columns = {checkpoint.classes[positive]: weight[positive] - weight[1 - positive]}
    else:
        columns = dict(zip(checkpoint.classes, weight - weight.mean(axis=0), strict=True))
    names = feature_names()
    table = pd.DataFrame({"feature": names, "family": [name.split(".")[0] for name in names], **columns})
    strength = table[list(columns)].abs().max(axis=1)
    return table.loc[strength.sort_values(ascending=False, kind="stable").index].reset_index(drop=True)


def _probabilities(state: dict[str, torch.Tensor], features: np.ndarray) -> np.ndarray:
    z = torch.nan_to_num((torch.from_numpy(features) - state["mean"]) / state["scale"])
    return torch.softmax(z @ state["linear.weight"].T + state["linear.bias"], dim=1).numpy()


def _validation_loss(state: dict[str, torch.Tensor], features: np.ndarray, y: np.ndarray) -> float:
    """Mean of −log p(true class): a proper score, and steadier on a small split than the AUC."""
    p = _probabilities(state, features)[np.arange(len(y)), y]
    return float(-np.log(np.maximum(p, 1e-12)).mean())


def _config(
    job: TrainingJob, dataset: Dataset, spec: Preprocessing, penalty: float, losses: list[tuple[float, float]]
) -> dict[str, Any]:
    return {
        "task": job.task,
        "architecture": job.architecture,
        "recipe": f"{CHOSEN}, C = {penalty:g} by validation loss",
        "features": version_of(get_families(ALL)),
        "penalty": penalty,
        "penalties": [{"C": c, "val_loss": round(loss, 6)} for c, loss in losses],
        "seed": job.seed,
        "preprocessing": spec.as_dict(),
        "dataset": dataset.name,
        "fingerprint": dataset.fingerprint,
        "counts": dataset.counts(),
        "leaks": list(dataset.leaks),
        "versions": dict(library_versions()),
        "device": "cpu",
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
