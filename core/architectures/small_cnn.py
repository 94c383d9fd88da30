"""A small network of our own for the demo: fine enough a last map (an eighth of the input) that a heatmap can point."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn


class SmallCNN(nn.Module):
    """Four conv–batch-norm–ReLU blocks, global average pooling, one linear layer.

    Input (N, 1, H, W), logits (N, n_classes); `features` gives (N, 96, H/8, W/8), non-negative.
    """

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        widths = (1, 16, 32, 64, 96)
        blocks: list[nn.Module] = []
        for i, (before, after) in enumerate(pairwise(widths)):
            blocks += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            if i < 3:
                blocks.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(widths[-1], n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, n_classes) of images (N, 1, H, W)."""
        maps = self.features(x)  # (N, 96, H/8, W/8)
        return self.fc(self.dropout(maps.mean(dim=(2, 3))))
