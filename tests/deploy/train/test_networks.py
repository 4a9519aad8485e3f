"""The backbones: shapes, sizes, and that every weight learns."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.train.made import NO_TORCH

torch = pytest.importorskip("torch", reason=NO_TORCH)

from deploy.train.inception_resnet import inception_resnet_v1  # noqa: E402
from deploy.train.networks import Unit, mobilenet_v1  # noqa: E402


def weights(network: Any) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_mobilenet_has_the_papers_number_of_weights() -> None:
    """3.2 M without its classifier (table 1 of the paper), and an embedding of 1024 x 128."""
    assert weights(mobilenet_v1(128)) == pytest.approx(3.2e6 + 1024 * 128, rel=0.01)
    assert weights(mobilenet_v1(128, width=0.5)) < weights(mobilenet_v1(128)) / 3


def test_inception_resnet_has_facenets_number_of_weights() -> None:
    """22.8 M, as the published FaceNet models of this backbone have with 128 numbers."""
    assert weights(inception_resnet_v1(128)) == pytest.approx(22.8e6, rel=0.02)


@pytest.mark.parametrize("size", [32, 96])
def test_mobilenet_takes_faces_of_any_size(size: int) -> None:
    rows = Unit(mobilenet_v1(16, width=0.125))(torch.randn(3, 3, size, size))
    assert rows.shape == (3, 16)
    assert torch.allclose(rows.norm(dim=1), torch.ones(3))


def test_every_weight_of_inception_resnet_has_a_gradient_from_80_pixels_on() -> None:
    network = inception_resnet_v1(24)
    rows = network(torch.randn(2, 3, 80, 80))
    assert rows.shape == (2, 24)
    rows.square().sum().backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []
