"""Methods that cover superpixels: LIME, feature ablation and Shapley value sampling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from core.explain.case import Case

KERNEL_WIDTH = 0.25  # as in the authors' implementation for images (Ribeiro et al., 2016)
RIDGE = 0.01  # only keeps the fit defined: about 0.05 % shrinkage at 400 samples


def superpixels(case: Case, segments: int) -> torch.Tensor:
    """Superpixel number of each pixel, (H, W) int64 from 0 without gaps: SLIC on the displayed image, about `segments`.

    The image is smoothed a little first: on speckle SLIC otherwise melts everything into one superpixel.
    """
    from skimage.segmentation import slic  # slow to import, and only these methods need it

    picture = case.brightness().numpy().astype(np.float64)
    how = {"compactness": 0.3, "sigma": max(picture.shape) / 64, "channel_axis": -1, "convert2lab": False}
    labels = slic(picture, n_segments=segments, start_label=0, **how)
    return torch.from_numpy(np.unique(labels, return_inverse=True)[1].reshape(labels.shape))


@dataclass(frozen=True)
class Fit:
    """A ridge model of scores by superpixels: coefficients (S,), their 95 % intervals (S,), in logits, and the weighted R²."""

    coefficients: np.ndarray
    low: np.ndarray
    high: np.ndarray
    r2: float


def lime(
    case: Case, *, feature_mask: torch.Tensor, samples: int, baseline: str, batch: int
) -> tuple[torch.Tensor, Fit]:
    """LIME weight of each superpixel painted on its pixels, (H, W), signed, in logits, and the linear model behind it.

    `feature_mask` (H, W) numbers the superpixels from 0. Half of the superpixels of each sample are covered at random with the
    baseline colour; samples come in pairs of opposites, which makes 400 about as stable as 1,000 independent ones. A
    ridge model is fitted with weights exp(−d² / 0.25²), d the cosine distance to the whole image (Ribeiro et al., 2016).
    A low R² (weighted, 0–1) says that the linear picture describes the model badly.

    Captum's Lime builds, masks and weighs one sample at a time, and has no intervals.
    """
    case.watch.total = samples
    generator = torch.Generator().manual_seed(case.seed)  # its own: the global one is shared by all threads
    count = int(feature_mask.max()) + 1
    half = torch.randint(0, 2, ((samples + 1) // 2, count), generator=generator)
    kept = torch.stack([half, 1 - half], dim=1).reshape(-1, count)[:samples]  # (samples, S), opposites side by side
    scores = _covered_scores(case, kept, feature_mask, baseline, batch)
    fit = weighted_ridge(kept.numpy().astype(np.float64), scores.double().numpy())
    return torch.from_numpy(fit.coefficients).float()[feature_mask], fit


def weighted_ridge(kept: np.ndarray, scores: np.ndarray) -> Fit:
    """The ridge model of LIME in closed form: `kept` (n, S) of 0 and 1, rows 2i and 2i + 1 opposites; `scores` (n,).

    The intercept is not shrunk, as in scikit-learn's Ridge. Intervals say how far the coefficients would move with other
    random samples: sandwich variance with each pair as one cluster (Liang & Zeger, 1986), times pairs / (pairs − S − 1); they
    are without bound where there are too few pairs for that.
    """
    distance = 1 - np.sqrt(
        kept.mean(axis=1)
    )  # the cosine of a 0/1 vector and the ones is the root of the share of ones
    weights = np.exp(-(distance**2) / KERNEL_WIDTH**2)
    centre = weights @ kept / weights.sum()
    x, y = kept - centre, scores - weights @ scores / weights.sum()
    inverse = np.linalg.inv(x.T @ (weights[:, None] * x) + RIDGE * np.eye(kept.shape[1]))
    coefficients = inverse @ (x.T @ (weights * y))
    rest = y - x @ coefficients
    spread = float(weights @ y**2)
    pulls = (weights * rest)[:, None] * x  # (n, S)
    pairs = np.add.reduceat(pulls, np.arange(0, len(pulls), 2))
    free = len(pairs) - kept.shape[1] - 1
    variance = np.diag(inverse @ (pairs.T @ pairs) @ inverse) * (len(pairs) / free if free > 0 else np.inf)
    reach = 1.96 * np.sqrt(np.where(np.isnan(variance), np.inf, variance))
    r2 = 1 - float(weights @ rest**2) / spread if spread > 0 else 0.0
    return Fit(coefficients, coefficients - reach, coefficients + reach, r2)


def feature_ablation(case: Case, *, feature_mask: torch.Tensor, baseline: str, batch: int) -> torch.Tensor:
    """Score drop when each superpixel is covered alone, painted on its pixels: (H, W), signed, in logits (Captum's)."""
    from captum.attr import FeatureAblation  # slow to import

    case.watch.total = int(feature_mask.max()) + 2
    values = FeatureAblation(torch.no_grad()(lambda x: case.forward(x))).attribute(
        case.x,
        baselines=case.baseline(baseline).expand_as(case.x),
        target=case.class_index,
        feature_mask=feature_mask.to(case.x.device).expand(case.x.shape),
        perturbations_per_eval=batch,
    )
    return values[0, 0].detach()


def shapley_sampling(
    case: Case, *, feature_mask: torch.Tensor, permutations: int, baseline: str, batch: int
) -> torch.Tensor:
    """Shapley value of each superpixel, painted on its pixels: (H, W), signed, in logits (Castro et al., 2009).

    Superpixels are uncovered one after the other in random orders, each followed by its reverse. The values of the
    superpixels sum to score(image) − score(all covered).

    Captum's ShapleyValueSampling walks over every pixel in Python for each order and draws from the global random state.
    """
    count = int(feature_mask.max()) + 1
    generator = torch.Generator().manual_seed(case.seed)
    drawn = [torch.randperm(count, generator=generator) for _ in range((permutations + 1) // 2)]
    orders = torch.stack([order for one in drawn for order in (one, one.flip(0))])[:permutations]  # (P, S)
    places = orders.argsort(dim=1)  # place of each superpixel in each order
    kept = places[:, None, :] < torch.arange(count)[None, :, None]  # (P, S, S): before step i, i superpixels are seen
    case.watch.total = 1 + permutations * (count - 1) + 1
    whole = case.score().cpu()
    part = _covered_scores(case, torch.cat([kept[:1, 0], kept[:, 1:].flatten(0, 1)]), feature_mask, baseline, batch)
    steps = torch.cat([part[:1].expand(permutations, 1), part[1:].reshape(permutations, -1)], dim=1)  # (P, S)
    gains = torch.diff(torch.cat([steps, whole.expand(permutations, 1)], dim=1), dim=1).double()
    return gains.gather(1, places).mean(dim=0).float()[feature_mask]


def _covered_scores(case: Case, kept: torch.Tensor, mask: torch.Tensor, baseline: str, batch: int) -> torch.Tensor:
    """Scores (n,), on the CPU, of copies where superpixel s of row i is seen if kept[i, s] and else has the baseline colour."""
    fill, where, scores = case.baseline(baseline), mask.to(case.x.device), []
    for part in kept.bool().to(case.x.device).split(batch):
        scores.append(case.scores(torch.where(part[:, where][:, None], case.x, fill)).cpu())
    return torch.cat(scores)
