"""What a model sees in a dataset: the features before its last layer, and a flat map of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import nn

from core.checkpoint import Checkpoint
from core.datasets.dataset import Case, Progress
from core.preprocess import preprocess_batch
from core.records import Refused

_BATCH = 32


@dataclass(frozen=True)
class Embedding:
    """A model's view of N cases: `features` (N, K) float32 before its last layer, `probabilities` (N, C) float64."""

    case_ids: tuple[str, ...]
    features: np.ndarray
    probabilities: np.ndarray

    @property
    def distance(self) -> np.ndarray:
        """Euclidean distance (N,) of each case's features to their mean, in units of the features' overall deviation."""
        away = np.linalg.norm(self.features - self.features.mean(axis=0), axis=1)
        return away / (np.sqrt((away**2).mean()) or 1.0)


def embed(
    checkpoint: Checkpoint, cases: Sequence[Case], device: str = "cpu", progress: Progress | None = None
) -> Embedding:
    """Run the model over the cases, preprocessed as it was trained. Raises `Refused` where it has no linear last layer."""
    if checkpoint.averages:
        raise Refused("A model that averages members or views has no layer of features of its own; map one member.")
    module = checkpoint.module(device)
    last = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    if not last:
        raise Refused(f"{checkpoint.architecture} has no linear last layer, so there are no features to map.")
    seen: list[np.ndarray] = []
    logits: list[np.ndarray] = []

    def keep(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen.append(inputs[0].detach().flatten(1).float().cpu().numpy())  # (n, K)

    with torch.inference_mode(), last[-1].register_forward_pre_hook(keep):
        for start in range(0, len(cases), _BATCH):
            images = [case.load() for case in cases[start : start + _BATCH]]
            x = preprocess_batch(images, checkpoint.preprocessing).to(device)  # (n, C, H, W)
            logits.append(torch.softmax(module(x).double(), dim=1).cpu().numpy())  # (n, classes)
            if progress:
                progress(min(start + _BATCH, len(cases)), len(cases), "Reading with the model")
    return Embedding(tuple(case.case_id for case in cases), np.concatenate(seen), np.concatenate(logits))


def map_methods() -> tuple[str, ...]:
    """Ways to flatten features: PCA, and UMAP where the package umap-learn happens to be installed."""
    return ("PCA", "UMAP") if find_spec("umap") else ("PCA",)


def flat_map(features: np.ndarray, method: str = "PCA") -> tuple[np.ndarray, str]:
    """Features (N, K) as points (N, 2), and one sentence that says how much the map keeps.

    PCA (Pearson 1901) keeps distances as far as two straight axes can; the features are standardised first.
    """
    from sklearn.decomposition import PCA  # 0.9 s to import

    if len(features) < 2:
        return np.zeros((len(features), 2)), "One case has no map."
    spread = features.std(axis=0)
    scaled = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
    if method == "UMAP":
        from umap import UMAP

        return UMAP(random_state=0).fit_transform(
            scaled
        ), "UMAP keeps neighbours; distances between groups mean nothing."
    pca = PCA(n_components=min(2, *scaled.shape), svd_solver="full").fit(scaled)
    points = np.zeros((len(scaled), 2))
    points[:, : pca.n_components_] = pca.transform(scaled)
    kept = 100 * float(np.nan_to_num(pca.explained_variance_ratio_).sum())
    return points, f"PCA: these two axes hold {kept:.0f} % of the variance of {features.shape[1]} features."


def save_embedding(embedding: Embedding, path: Path) -> None:
    """Write an embedding as .npz, all or nothing."""
    draft = path.with_suffix(".part.npz")
    ids = np.array(embedding.case_ids, dtype=np.str_)
    np.savez_compressed(draft, case_ids=ids, features=embedding.features, probabilities=embedding.probabilities)
    draft.replace(path)


def load_embedding(path: Path) -> Embedding:
    """Read what `save_embedding` wrote; raises OSError or ValueError where it cannot."""
    with np.load(path, allow_pickle=False) as file:
        return Embedding(tuple(file["case_ids"].tolist()), file["features"], file["probabilities"])
