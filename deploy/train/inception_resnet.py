"""Inception-ResNet-V1 (Szegedy et al., 2016, figures 9 to 15 of its appendix), FaceNet's usual backbone.

About 23 M weights: for a GPU. The stem and the reductions do not pad, as in the paper, so a face needs 80 pixels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from deploy.train.networks import convolution, embedding


class Side(nn.Module):  # type: ignore[misc, unused-ignore]  # see networks
    """Branches beside each other, their channels joined."""

    def __init__(self, *branches: Any) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, signal: Tensor) -> Tensor:
        return torch.cat([branch(signal) for branch in self.branches], dim=1)


class Residual(nn.Module):  # type: ignore[misc, unused-ignore]
    """signal + scale * block(signal), then ReLU. The small scales keep the sum of many blocks stable (section 3.3)."""

    def __init__(self, block: Any, scale: float) -> None:
        super().__init__()
        self.block, self.scale = block, scale

    def forward(self, signal: Tensor) -> Tensor:
        return nn.functional.relu(signal + self.scale * self.block(signal))


def inception_resnet_v1(dimension: int) -> Any:
    """(n, 3, size, size) → (n, dimension), size 80 or more."""
    stem = [
        convolution(3, 32, kernel=3, stride=2, pad=0),
        convolution(32, 32, kernel=3, pad=0),
        convolution(32, 64, kernel=3),
        nn.MaxPool2d(3, 2),
        convolution(64, 80),
        convolution(80, 192, kernel=3, pad=0),
        convolution(192, 256, kernel=3, stride=2, pad=0),
    ]
    blocks = [
        *[_block_35() for _ in range(5)],
        _reduction_a(),
        *[_block_17() for _ in range(10)],
        _reduction_b(),
        *[_block_8() for _ in range(6)],
    ]
    return nn.Sequential(*stem, *blocks, *embedding(1792, dimension, dropout=0.2))


def _block_35() -> Any:
    branches = Side(
        convolution(256, 32),
        nn.Sequential(convolution(256, 32), convolution(32, 32, kernel=3)),
        nn.Sequential(convolution(256, 32), convolution(32, 32, kernel=3), convolution(32, 32, kernel=3)),
    )
    return Residual(nn.Sequential(branches, nn.Conv2d(96, 256, 1)), scale=0.17)


def _block_17() -> Any:
    branches = Side(
        convolution(896, 128),
        nn.Sequential(
            convolution(896, 128), convolution(128, 128, kernel=(1, 7)), convolution(128, 128, kernel=(7, 1))
        ),
    )
    return Residual(nn.Sequential(branches, nn.Conv2d(256, 896, 1)), scale=0.10)


def _block_8() -> Any:
    branches = Side(
        convolution(1792, 192),
        nn.Sequential(
            convolution(1792, 192), convolution(192, 192, kernel=(1, 3)), convolution(192, 192, kernel=(3, 1))
        ),
    )
    return Residual(nn.Sequential(branches, nn.Conv2d(384, 1792, 1)), scale=0.20)


def _reduction_a() -> Any:
    """256 → 896 channels, half the sides."""
    return Side(
        convolution(256, 384, kernel=3, stride=2, pad=0),
        nn.Sequential(
            convolution(256, 192), convolution(192, 192, kernel=3), convolution(192, 256, kernel=3, stride=2, pad=0)
        ),
        nn.MaxPool2d(3, 2),
    )


def _reduction_b() -> Any:
    """896 → 1792 channels, half the sides."""
    return Side(
        nn.Sequential(convolution(896, 256), convolution(256, 384, kernel=3, stride=2, pad=0)),
        nn.Sequential(convolution(896, 256), convolution(256, 256, kernel=3, stride=2, pad=0)),
        nn.Sequential(
            convolution(896, 256), convolution(256, 256, kernel=3), convolution(256, 256, kernel=3, stride=2, pad=0)
        ),
        nn.MaxPool2d(3, 2),
    )
