"""Faces as they might have been photographed too: flipped, shifted, turned a little, in other light. On any device.

Everything is drawn on the CPU, from one generator: what comes out is a matter of its seed alone. One bilinear sampling
does flip, turn, scale and shift together; what comes in from beyond the picture is its outermost pixels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from deploy.train.recipe import MEAN, STD

TURN = math.radians(10)
SCALE = 0.10
SHIFT = 0.06
"""in parts of the side"""
LIGHT, CONTRAST, SATURATION = 0.3, 0.3, 0.5
"""by what part each may rise or fall"""


def as_input(faces: Tensor) -> Tensor:
    """(n, size, size, 3) uint8 → (n, 3, size, size) float32 as networks take it."""
    return (faces.permute(0, 3, 1, 2).float() - MEAN) / STD


def augmented(faces: Tensor, random: torch.Generator) -> Tensor:
    """(n, size, size, 3) uint8 → (n, 3, size, size) float32 as networks take it, each face changed on its own."""
    moves = _moves(len(faces), random).to(faces.device)
    lights = _factors((len(faces), 3), random, (LIGHT, CONTRAST, SATURATION)).to(faces.device)
    pixels = faces.permute(0, 3, 1, 2).float()
    where = nn.functional.affine_grid(moves, list(pixels.shape), align_corners=False)
    moved = nn.functional.grid_sample(pixels, where, padding_mode="border", align_corners=False)
    return (_lit(moved, lights).clamp(0, 255) - MEAN) / STD


def _moves(count: int, random: torch.Generator) -> Tensor:
    """(n, 2, 3): from a point of the new picture to one of the old; both reach from -1 to 1."""
    turn = TURN * _even((count,), random)
    scale = 1 + SCALE * _even((count,), random)
    flip = torch.randint(0, 2, (count,), generator=random) * 2 - 1
    shift = 2 * SHIFT * _even((count, 2), random)
    across = torch.stack([flip * scale * turn.cos(), -scale * turn.sin(), shift[:, 0]], dim=1)
    down = torch.stack([flip * scale * turn.sin(), scale * turn.cos(), shift[:, 1]], dim=1)
    return torch.stack([across, down], dim=1)


def _lit(pixels: Tensor, lights: Tensor) -> Tensor:
    """Brightness, contrast and saturation of each face times its (n, 3) factors."""
    light, contrast, saturation = (lights[:, nth, None, None, None] for nth in range(3))
    grey = pixels.mean(dim=1, keepdim=True)
    coloured = grey + (pixels - grey) * saturation
    mean = coloured.mean(dim=(1, 2, 3), keepdim=True)
    return (coloured - mean) * contrast + mean * light


def _factors(shape: tuple[int, int], random: torch.Generator, spread: tuple[float, ...]) -> Tensor:
    return 1 + torch.tensor(spread) * _even(shape, random)


def _even(shape: tuple[int, ...], random: torch.Generator) -> Tensor:
    """Evenly drawn from -1 to 1."""
    return 2 * torch.rand(shape, generator=random) - 1
