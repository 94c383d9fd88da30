"""Random changes to training images, a whole batch at a time, on the device where training runs."""

from __future__ import annotations

import math

import torch

from core.preprocess import Preprocessing
from core.recipes import Augmentation


def augment_batch(
    x: torch.Tensor, augmentation: Augmentation, spec: Preprocessing, generator: torch.Generator
) -> torch.Tensor:
    """A changed copy of normalised images x (B, C, H, W); every image gets its own draw from `generator`.

    Moves uncover black, brightness and contrast act on display values in [0, 1], as an operator's knobs would. `generator`
    lives on the CPU, so that a seed means the same draws on every device.
    """
    a, b = augmentation, len(x)

    def draw(low: float, high: float) -> torch.Tensor:
        return (torch.rand(b, generator=generator) * (high - low) + low).to(x.device)  # (B,)

    mean, std = (torch.tensor(v, device=x.device)[None, :, None, None] for v in (spec.mean, spec.std))
    x = x * std + mean  # display values (B, C, H, W)
    x = torch.where((draw(0, 1) < a.hflip)[:, None, None, None], x.flip(3), x)
    x = torch.where((draw(0, 1) < a.vflip)[:, None, None, None], x.flip(2), x)
    if a.shift or a.rotate or a.crop < 1:
        edge = draw(a.crop, 1).sqrt()  # of the kept square, as a fraction of the image's
        move = torch.stack([draw(-1, 1), draw(-1, 1)], dim=1)  # (B, 2)
        centre = move * ((1 - edge)[:, None] + 2 * a.shift)  # in half edges: inside the image, plus the shift
        x = _move(x, draw(-a.rotate, a.rotate), edge, centre)
    if a.brightness:
        x = x * draw(1 - a.brightness, 1 + a.brightness)[:, None, None, None]
    if a.contrast:
        middle = x.mean(dim=(1, 2, 3), keepdim=True)  # (B, 1, 1, 1)
        x = (x - middle) * draw(1 - a.contrast, 1 + a.contrast)[:, None, None, None] + middle
    return (x.clamp(0, 1) - mean) / std


def _move(x: torch.Tensor, degrees: torch.Tensor, edge: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    """Bilinear sampling of x (B, C, H, W) on a square of relative size `edge` (B,), turned and moved to `centre` (B, 2).

    `centre` is (x, y) in half edges from the middle. Height and width must be equal for a turn to keep angles.
    """
    angle = degrees * (math.pi / 180)
    cos, sin = edge * angle.cos(), edge * angle.sin()  # (B,)
    rows = [torch.stack([cos, -sin, centre[:, 0]], dim=1), torch.stack([sin, cos, centre[:, 1]], dim=1)]
    theta = torch.stack(rows, dim=1)  # (B, 2, 3), output to input coordinates
    grid = torch.nn.functional.affine_grid(theta, list(x.shape), align_corners=False)  # (B, H, W, 2)
    return torch.nn.functional.grid_sample(x, grid, padding_mode="zeros", align_corners=False)
