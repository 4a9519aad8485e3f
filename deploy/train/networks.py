"""What the backbones share, and MobileNetV1 (Howard et al., 2017), the one that a CPU can train.

A network takes (n, 3, size, size) float32, RGB, (pixel - MEAN) / STD, and gives (n, dimension) embeddings *before*
they are made unit rows: the classifier that helps in training sees those, everything else sees `Unit` of them.

torch is an extra: with it mypy knows nn.Module, without it the base class is unknown; `unused-ignore` lets both pass.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class Unit(nn.Module):  # type: ignore[misc, unused-ignore]
    """A network and its last step: rows of unit length. This is what is exported."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, faces: Tensor) -> Tensor:
        return nn.functional.normalize(self.network(faces), dim=1)


MOBILENET_BLOCKS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1)),
)
"""channels and stride of the depthwise separable blocks; table 1 of the paper"""


def mobilenet_v1(dimension: int, width: float = 1.0) -> Any:
    """(n, 3, size, size) → (n, dimension); `width`: the paper's multiplier of all channels."""
    channels = _wide(32, width)
    layers: list[Any] = [convolution(3, channels, kernel=3, stride=2)]
    for out, stride in MOBILENET_BLOCKS:
        layers += [
            convolution(channels, channels, kernel=3, stride=stride, groups=channels),
            convolution(channels, _wide(out, width)),
        ]
        channels = _wide(out, width)
    return nn.Sequential(*layers, *embedding(channels, dimension, dropout=0.2))


def _wide(channels: int, width: float) -> int:
    return max(8, round(channels * width / 8) * 8)


def convolution(
    channels: int,
    out: int,
    *,
    kernel: int | tuple[int, int] = 1,
    stride: int = 1,
    pad: int | None = None,
    groups: int = 1,
) -> Any:
    """Convolution, batch normalisation, ReLU. `pad`: None keeps the sides as they are, but for the stride.

    The weights keep the size of the signal through the layers (He et al., 2015), so that also what is not trained yet
    says something.
    """
    rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (rows // 2, columns // 2) if pad is None else (pad, pad)
    layer = nn.Conv2d(channels, out, (rows, columns), stride, padding, groups=groups, bias=False)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return nn.Sequential(layer, nn.BatchNorm2d(out), nn.ReLU())


def embedding(channels: int, dimension: int, dropout: float) -> list[Any]:
    """The end of every backbone: (n, channels, h, w) → (n, dimension)."""
    return [
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(channels, dimension, bias=False),
        nn.BatchNorm1d(dimension),
    ]
