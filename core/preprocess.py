"""Image -> tensor: the one function that training, evaluation, the terminal and the app use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from core.records import Image, Refused

# ITU-R BT.601 luma, as Pillow's convert("L") uses.
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True)
class Preprocessing:
    """How a model's pixels are made. It lives in the checkpoint.

    `size` is (height, width) in pixels; the whole image is stretched to it (antialiased bilinear), so heatmap cell (0, 0)
    is the image's top left corner. Grey values go through the image's window to [0, 1], colours are divided by 255; then
    `(x - mean) / std` per channel. `channels` is 1 (colour images become luma) or 3 (grey is repeated).
    """

    size: tuple[int, int]
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.channels not in (1, 3) or len(self.mean) != self.channels or len(self.std) != self.channels:
            raise Refused(f"Preprocessing needs 1 or 3 channels with as many means and stds, not {asdict(self)}.")
        if len(self.size) != 2 or min(self.size) < 1 or min(self.std) <= 0:
            raise Refused(f"Preprocessing needs a positive size and std, not {asdict(self)}.")

    def as_dict(self) -> dict[str, Any]:
        """JSON-safe parameters."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """The inverse of `as_dict`; lists (from JSON) become tuples."""
        return cls(
            size=tuple(int(v) for v in values["size"]),  # type: ignore[arg-type]
            channels=int(values["channels"]),
            mean=tuple(float(v) for v in values["mean"]),
            std=tuple(float(v) for v in values["std"]),
        )


def display_values(image: Image) -> np.ndarray:
    """Brightness in [0, 1], float32: (H, W) through the window for grey images, (H, W, 3) for colour."""
    if image.window is None:
        return image.pixels.astype(np.float32) / np.float32(255)
    levels = np.arange(np.iinfo(image.pixels.dtype).max + 1)
    return image.window.apply(levels)[image.pixels]  # a table look-up: an eighth of the arithmetic on a mammogram


def preprocess(image: Image, spec: Preprocessing) -> torch.Tensor:
    """One image as the model sees it: float32 tensor (C, H, W) on the CPU, normalised as `spec` says."""
    shown = display_values(image)
    if spec.channels == 1 and shown.ndim == 3:
        shown = shown @ LUMA
    x = torch.from_numpy(np.ascontiguousarray(shown))
    x = x[None] if x.ndim == 2 else x.permute(2, 0, 1)  # (1 or 3, H, W)
    if tuple(x.shape[1:]) != spec.size:
        x = torch.nn.functional.interpolate(
            x[None].contiguous(), size=spec.size, mode="bilinear", align_corners=False, antialias=True
        )[0]
    if x.shape[0] != spec.channels:
        x = x.expand(spec.channels, -1, -1)
    mean, std = (torch.tensor(v, dtype=torch.float32)[:, None, None] for v in (spec.mean, spec.std))
    return (x - mean) / std  # (C, H, W)


def preprocess_batch(images: Sequence[Image], spec: Preprocessing) -> torch.Tensor:
    """Several images as one float32 tensor (N, C, H, W)."""
    return torch.stack([preprocess(image, spec) for image in images])
