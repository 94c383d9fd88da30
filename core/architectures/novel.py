"""Reference system R4's three small networks, rebuilt from its description; what it leaves open is said in each class.

All end in fully connected layers, so their last map is averaged to the grid it has at 28 × 28 pixels, their own size, where
that changes nothing; larger pictures are accepted because of it.
"""

from __future__ import annotations

import itertools

import torch
from torch import nn


class NovelCNNA(nn.Module):
    """CNN A, for BloodMNIST: 3 × (convolution, batch norm, sigmoid), dense 786, dense 512, one output per class.

    Input (N, 3, H, W), logits (N, n_classes). Left open by R4 and chosen here: 32, 64 and 128 kernels of 3 × 3, the last two
    with stride 2. Weights start after Glorot, without which nothing passes five sigmoids.
    """

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        blocks = [_block(3, 32, nn.Sigmoid, 1), _block(32, 64, nn.Sigmoid, 2), _block(64, 128, nn.Sigmoid, 2)]
        self.features = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(7)
        self.dense = nn.Sequential(nn.Linear(128 * 49, 786), nn.Sigmoid(), nn.Linear(786, 512), nn.Sigmoid())
        self.fc = nn.Linear(512, n_classes)
        _glorot(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, n_classes) of images (N, 3, H, W)."""
        maps = self.features(x)  # (N, 128, H/4, W/4)
        return self.fc(self.dense(self.pool(maps).flatten(1)))


class NovelCNNB(nn.Module):
    """CNN B, for BloodMNIST: convolution, ReLU, max-pool 2, flatten, dense 100 with ReLU, one output per class.

    Input (N, 3, H, W), logits (N, n_classes). Left open by R4 and chosen here: 32 kernels of 3 × 3, unpadded.
    """

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU())
        self.pool = nn.Sequential(nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(13))
        self.dense = nn.Sequential(nn.Linear(32 * 169, 100), nn.ReLU())
        self.fc = nn.Linear(100, n_classes)
        _glorot(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, n_classes) of images (N, 3, H, W)."""
        maps = self.features(x)  # (N, 32, H − 2, W − 2)
        return self.fc(self.dense(self.pool(maps).flatten(1)))


class NovelCNNC(nn.Module):
    """CNN C, for BreastMNIST: 3 convolutions under an L2 penalty, 3 dense layers with batch norm, one output per class.

    Input (N, 1, H, W), logits (N, n_classes). The penalty on the convolutions' kernels is the recipe's `kernel_l2`. R4's batch
    norm momentum of 0.1 is Keras's: 0.1 of the old running mean is kept, which PyTorch calls 0.9. Left open by R4 and chosen
    here: 32, 64 and 128 kernels of 3 × 3 with ReLU, the last two with stride 2; dense 256, 128 and 64 with ReLU.
    """

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(64, 128, 3, stride=2, padding=1), nn.ReLU(),
        )  # fmt: skip
        self.pool = nn.AdaptiveAvgPool2d(7)
        widths = (128 * 49, 256, 128, 64)
        dense = [
            nn.Sequential(nn.Linear(before, after), nn.BatchNorm1d(after, momentum=0.9), nn.ReLU())
            for before, after in itertools.pairwise(widths)
        ]
        self.dense = nn.Sequential(*dense)
        self.fc = nn.Linear(64, n_classes)
        _glorot(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, n_classes) of images (N, 1, H, W)."""
        maps = self.features(x)  # (N, 128, H/4, W/4)
        return self.fc(self.dense(self.pool(maps).flatten(1)))


def _block(before: int, after: int, activation: type[nn.Module], stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 3, stride=stride, padding=1)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), activation())


def _glorot(net: nn.Module) -> None:
    """Start as Keras does: uniform weights after Glorot and Bengio (2010), no bias."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
