"""Integrated Gradients and LIME on Captum, with our own sampling, so that seeds hold in every thread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from core.explain.case import Case

KERNEL_WIDTH = 0.25  # as in the authors' implementation for images (Ribeiro et al., 2016)
RIDGE = 0.01  # only keeps the fit defined: about 0.05 % shrinkage at 400 samples


def integrated_gradients(case: Case, *, steps: int, baseline: str, batch: int) -> tuple[torch.Tensor, float]:
    """Attribution (H, W), summed over channels, signed, in logits, and its convergence delta.

    Midpoint rule over the straight path from the baseline colour to the image (Sundararajan et al., 2017). The values sum
    to score(image) − score(baseline) + delta; a delta far from 0 asks for more steps.
    """
    from captum.attr import IntegratedGradients  # slow to import

    case.watch.total = steps + 2  # Captum scores both ends of the path for the delta
    values, delta = IntegratedGradients(case.forward).attribute(
        case.x,
        baselines=case.baseline(baseline).expand_as(case.x),
        target=case.class_index,
        n_steps=steps,
        method="riemann_middle",
        internal_batch_size=batch,
        return_convergence_delta=True,
    )
    return values[0].detach().sum(dim=0), float(delta)


def superpixels(case: Case, segments: int) -> torch.Tensor:
    """Superpixel number of each pixel, (H, W) int64 from 0 without gaps: SLIC on the displayed image, about `segments`.

    The image is smoothed a little first: on speckle SLIC otherwise melts everything into one superpixel.
    """
    from skimage.segmentation import slic  # slow to import, and only LIME needs it

    picture = case.brightness().numpy().astype(np.float64)
    how = {"compactness": 0.3, "sigma": max(picture.shape) / 64, "channel_axis": -1, "convert2lab": False}
    labels = slic(picture, n_segments=segments, start_label=0, **how)
    return torch.from_numpy(np.unique(labels, return_inverse=True)[1].reshape(labels.shape))


def lime(
    case: Case, *, feature_mask: torch.Tensor, samples: int, baseline: str, batch: int
) -> tuple[torch.Tensor, float]:
    """LIME weight of each superpixel painted on its pixels, (H, W), signed, in logits, and the linear model's R².

    `feature_mask` (H, W) numbers the superpixels from 0. Half of the superpixels of each sample are covered at random with the
    baseline colour; samples come in pairs of opposites, which makes 400 about as stable as 1,000 independent ones. A
    ridge model is fitted with weights exp(−d² / 0.25²), d the cosine distance to the whole image (Ribeiro et al., 2016).
    A low R² (weighted, 0–1) says that the linear picture describes the model badly.
    """
    from captum.attr import Lime  # slow to import

    case.watch.total = samples
    generator = torch.Generator().manual_seed(case.seed)  # its own: the global one is shared by all threads

    def opposites(x: torch.Tensor, **kwargs: Any) -> Iterator[torch.Tensor]:
        while True:
            kept = torch.randint(0, 2, (1, kwargs["num_interp_features"]), generator=generator)
            yield kept.to(x.device)
            yield (1 - kept).to(x.device)

    model = _WeightedRidge()
    explainer = Lime(case.forward, model, _similarity, opposites)
    values = explainer.attribute(
        case.x,
        baselines=case.baseline(baseline).expand_as(case.x),
        target=case.class_index,
        feature_mask=feature_mask.to(case.x.device).expand(case.x.shape),
        n_samples=samples,
        perturbations_per_eval=batch,
    )
    return values[0, 0], model.r2


def _similarity(_x: torch.Tensor, _perturbed: torch.Tensor, kept: torch.Tensor, **_: Any) -> torch.Tensor:
    # The cosine of a 0/1 vector and the vector of ones is the root of the share of ones.
    distance = 1 - kept.float().mean().sqrt()
    return torch.exp(-(distance**2) / KERNEL_WIDTH**2)


class _WeightedRidge:
    """The interpretable model in the form that Captum asks for."""

    def fit(self, batches: Any) -> None:
        """Fit on a DataLoader over kept (n, S), score (n,) and weight (n,)."""
        from sklearn.linear_model import Ridge

        # Not by iterating: a DataLoader draws from the global random state, which other threads share.
        kept, score, weight = (part.cpu().double().numpy() for part in batches.dataset.tensors)
        fitted = Ridge(alpha=RIDGE).fit(kept, score, sample_weight=weight)
        self.coefficients = torch.from_numpy(fitted.coef_).float()
        self.r2 = float(fitted.score(kept, score, sample_weight=weight))

    def representation(self) -> torch.Tensor:
        """One coefficient per superpixel."""
        return self.coefficients
