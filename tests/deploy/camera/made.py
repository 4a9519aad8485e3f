"""Sightings, boxes and frames made up for tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from deploy.camera.source import Frame
from deploy.client.sightings import Shot, Sighting
from gateway.encoder import Box
from gateway.encoder.decode import Pixels

NINE = 1_795_161_600_000
"""2026-11-20T08:00:00Z"""


def sighting(nth: int, *, shots: int = 2, size: int = 1000, store: str = "vienna") -> Sighting:
    """The nth of a row, a minute apart; the photos are noise of about `size` bytes."""
    noise = np.random.default_rng(nth)
    at_ms = NINE + 60_000 * nth
    photos = tuple(Shot(b"\xff\xd8" + noise.bytes(size), at_ms + 200 * shot) for shot in range(shots))
    return Sighting(store, "door", f"track{nth}", at_ms, photos)


def box(left: int, top: int = 100, side: int = 100) -> Box:
    return Box(left, top, side, side)


class Drawn:
    """A detector that knows where the faces are, because the test drew them: one call a frame, in order."""

    def __init__(self, boxes: Iterable[Sequence[Box]]) -> None:
        self._boxes = iter(boxes)

    def __call__(self, _: Pixels) -> list[Box]:
        return list(next(self._boxes))


def frames(count: int, step_ms: int = 200, start_ms: int = NINE) -> list[Frame]:
    """Noise, (400, 600, 3)."""
    noise = np.random.default_rng(7)
    pixels = noise.integers(0, 255, (400, 600, 3), dtype=np.uint8)
    return [Frame(pixels, start_ms + step_ms * nth) for nth in range(count)]
