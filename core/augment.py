"""Random changes to training images, a whole batch at a time, on the device where training runs."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from core.preprocess import LUMA, Preprocessing
from core.recipes import Augmentation

Draw = Callable[[float, float], torch.Tensor]  # uniform numbers (B,) between the two


def augment_batch(
    x: torch.Tensor,
    augmentation: Augmentation,
    spec: Preprocessing,
    generator: torch.Generator,
    share: tuple[int, slice] | None = None,
) -> torch.Tensor:
    """A changed copy of normalised images x (B, C, H, W), or x itself; every image gets its own draw from `generator`.

    Moves uncover black (or the picture's edge, repeated); brightness, contrast, saturation and hue act on display values in
    [0, 1], as an operator's knobs would. `generator` lives on the CPU, so that a seed means the same draws on every device.
    `share` (n, places): x is that part of a batch of n, divided among processes, and gets what it would get in the whole.
    """
    if augmentation == Augmentation():
        return x
    a = augmentation
    n, places = share or (len(x), slice(None))

    def draw(low: float, high: float) -> torch.Tensor:
        return (torch.rand(n, generator=generator)[places] * (high - low) + low).to(x.device)  # (B,)

    mean, std = (torch.tensor(v, device=x.device)[None, :, None, None] for v in (spec.mean, spec.std))
    x = x * std + mean  # display values (B, C, H, W)
    x = torch.where((draw(0, 1) < a.hflip)[:, None, None, None], x.flip(3), x)
    x = torch.where((draw(0, 1) < a.vflip)[:, None, None, None], x.flip(2), x)
    if a.shift or a.rotate or a.zoom or a.crop < 1 or a.aspect > 1:
        x = _moved(x, a, draw)
    if a.brightness:
        x = (x * draw(1 - a.brightness, 1 + a.brightness)[:, None, None, None]).clamp(0, 1)
    if a.contrast:
        middle = _grey(x).mean(dim=(1, 2, 3), keepdim=True)  # (B, 1, 1, 1)
        x = (x - middle) * draw(1 - a.contrast, 1 + a.contrast)[:, None, None, None] + middle
    if (a.saturation or a.hue) and x.shape[1] == 3:
        x = _recoloured(x.clamp(0, 1), draw(1 - a.saturation, 1 + a.saturation), draw(-a.hue, a.hue))
    return (x.clamp(0, 1) - mean) / std


def _moved(x: torch.Tensor, a: Augmentation, draw: Draw) -> torch.Tensor:
    """Cropped, shifted, turned and zoomed in one step."""
    area = draw(a.crop, 1)
    place, shift = (torch.stack([draw(-1, 1), draw(-1, 1)], dim=1) for _ in range(2))  # (B, 2)
    degrees = draw(-a.rotate, a.rotate)
    edges = area.sqrt()[:, None].expand(-1, 2)  # of the kept rectangle (width, height), as fractions of the image's
    if a.aspect > 1:
        stretch = draw(-1, 1).mul(math.log(a.aspect) / 2).exp()
        edges = torch.stack([edges[:, 0] * stretch, edges[:, 1] / stretch], dim=1).clamp(max=1)
    centre = place * (1 - edges) + shift * 2 * a.shift  # in half edges: the crop inside the image, and the shift
    if a.zoom:
        edges = edges * draw(1 - a.zoom, 1 + a.zoom)[:, None]
    return _move(x, degrees, edges, centre, "border" if a.fill == "edge" else "zeros")


def _move(
    x: torch.Tensor, degrees: torch.Tensor, edges: torch.Tensor, centre: torch.Tensor, outside: str = "zeros"
) -> torch.Tensor:
    """Bilinear sampling of x (B, C, H, W) on a rectangle of relative size `edges` (B, 2), turned and moved to `centre` (B, 2).

    Both are (x, y); `centre` in half edges from the middle. Height and width must be equal for a turn to keep angles.
    """
    angle = degrees * (math.pi / 180)
    cos, sin = angle.cos(), angle.sin()  # (B,)
    width, height = edges.unbind(dim=1)
    rows = [
        torch.stack([cos * width, -sin * height, centre[:, 0]], dim=1),
        torch.stack([sin * width, cos * height, centre[:, 1]], dim=1),
    ]
    theta = torch.stack(rows, dim=1)  # (B, 2, 3), output to input coordinates
    grid = torch.nn.functional.affine_grid(theta, list(x.shape), align_corners=False)  # (B, H, W, 2)
    return torch.nn.functional.grid_sample(x, grid, padding_mode=outside, align_corners=False)


def _grey(x: torch.Tensor) -> torch.Tensor:
    """Luma (B, 1, H, W) of display values x (B, 1 or 3, H, W)."""
    if x.shape[1] == 1:
        return x
    return torch.einsum("bchw,c->bhw", x, torch.from_numpy(LUMA).to(x.device))[:, None]


def _recoloured(x: torch.Tensor, saturation: torch.Tensor, hue: torch.Tensor) -> torch.Tensor:
    """Display values x (B, 3, H, W) with saturation multiplied by (B,), then the hue turned by (B,) of a full circle.

    As torchvision's `adjust_saturation` and `adjust_hue`, each image by its own amount. Grey images stay as they are.
    """
    if float((x - x[:, :1]).abs().amax()) < 1e-4:
        return x
    grey = _grey(x)
    x = (grey + (x - grey) * saturation[:, None, None, None]).clamp(0, 1)
    high, low = x.amax(dim=1), x.amin(dim=1)  # (B, H, W): value, and what is grey in it
    spread = high - low
    r, g, b = x.unbind(dim=1)
    safe = spread.clamp(min=1e-12)
    sector = torch.where(
        high == r, ((g - b) / safe) % 6, torch.where(high == g, (b - r) / safe + 2, (r - g) / safe + 4)
    )  # the hue in sixths of the circle
    turned = (sector + 6 * hue[:, None, None]) % 6
    # Each channel is `high` within a sixth of its own hue, `low` from two sixths on, and linear between.
    distance = torch.stack([(turned + k) % 6 for k in (5, 3, 1)], dim=1)  # red, green, blue
    share = (torch.minimum(distance, 4 - distance)).clamp(0, 1)
    return high[:, None] - spread[:, None] * share
