"""Networks put together into one: views of the picture averaged, members averaged, probabilities tempered.

Each is a module from images to logits like any other, so whatever predicts, evaluates, explains or exports a plain network
does the same with these. Logits of a mean are log probabilities: their softmax is the mean of the parts' softmaxes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from core.preprocess import LUMA, Preprocessing
from core.records import Refused

VIEWS: dict[str, tuple[int, ...]] = {"plain": (), "hflip": (3,), "vflip": (2,), "turned": (2, 3)}  # flipped dimensions


class Tempered(nn.Module):
    """Logits divided by a temperature (Guo et al. 2017): above 1 less certain, below 1 more; no order of classes changes."""

    def __init__(self, net: nn.Module, temperature: float) -> None:
        super().__init__()
        self.net, self.temperature = net, temperature

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of images (N, C, H, W)."""
        return self.net(x) / self.temperature


def untempered(module: nn.Module) -> nn.Module:
    """The network inside a temperature, or the module itself: its layers are the model's, and bear their names."""
    return module.net if isinstance(module, Tempered) else module


class Viewed(nn.Module):
    """Test-time augmentation: the mean of the probabilities of several views (names of `VIEWS`) of each image."""

    def __init__(self, net: nn.Module, views: Sequence[str]) -> None:
        super().__init__()
        self.net, self.views = net, tuple(views)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Log of the mean probabilities (N, classes) of images (N, C, H, W)."""
        return log_mean_probabilities([self.net(seen(x, view)) for view in self.views])


class Reading(nn.Module):
    """A member of an ensemble, with its own way to read: display values in [0, 1] become its channels, mean and std."""

    def __init__(self, net: nn.Module, spec: Preprocessing) -> None:
        super().__init__()
        self.net, self.channels = net, spec.channels
        for name, values in (("luma", LUMA.tolist()), ("mean", spec.mean), ("std", spec.std)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32)[:, None, None], persistent=False)

    def read(self, x: torch.Tensor) -> torch.Tensor:
        """The images (N, C, H, W) as this member was trained on them."""
        if x.shape[1] > self.channels:
            x = (x * self.luma).sum(dim=1, keepdim=True)  # (N, 1, H, W)
        return (x.expand(-1, self.channels, -1, -1) - self.mean) / self.std

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of images (N, C, H, W)."""
        return self.net(self.read(x))


class Ensemble(nn.Module):
    """The mean of the members' probabilities. `layers` names the layer of each whose maps a heatmap shows, or is empty."""

    def __init__(self, members: Sequence[nn.Module], layers: Sequence[str]) -> None:
        super().__init__()
        self.members, self.layers = nn.ModuleList(members), tuple(layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Log of the mean probabilities (N, classes) of images (N, C, H, W)."""
        return log_mean_probabilities([member(x) for member in self.members])


def log_mean_probabilities(logits: Sequence[torch.Tensor]) -> torch.Tensor:
    """log(mean of the softmaxes) (N, classes) of several logits (N, classes); finite where they are."""
    parts = torch.stack([torch.log_softmax(z.float(), dim=1) for z in logits])  # (parts, N, classes)
    return torch.logsumexp(parts, dim=0) - torch.log(torch.tensor(float(len(logits)), device=parts.device))


def seen(x: torch.Tensor, view: str) -> torch.Tensor:
    """Images (…, H, W) in that view. Every view undoes itself, so this turns its maps back as well."""
    return x.flip([dimension - 4 for dimension in VIEWS[view]]) if VIEWS[view] else x


def check_views(views: Sequence[str]) -> tuple[str, ...]:
    """The views with `plain` first, each once; raises `Refused` for a name that is none."""
    for view in views:
        if view not in VIEWS:
            raise Refused(f"There is no view '{view}'; there are {', '.join(VIEWS)}.")
    return tuple(dict.fromkeys(("plain", *views)))


def common_preprocessing(specs: Sequence[Preprocessing]) -> Preprocessing:
    """What an ensemble reads: the members' own preprocessing where they agree, else display values that each makes its own.

    Raises `Refused` where their sizes differ: a picture made smaller twice is not the one that a member was trained on.
    """
    if len(set(specs)) == 1:
        return specs[0]
    sizes = sorted({spec.size for spec in specs})
    if len(sizes) > 1:
        shown = " and ".join(f"{h} × {w}" for h, w in sizes)
        raise Refused(f"Members of an ensemble must read pictures of one size; these read {shown} pixels.")
    channels = max(spec.channels for spec in specs)
    return Preprocessing(sizes[0], channels, (0.0,) * channels, (1.0,) * channels)
