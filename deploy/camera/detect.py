"""Faces in a frame, by the gateway's own detector, on a copy of bounded size: a camera has many frames a second.

0.1 to 0.2 s a frame on one core whatever its size: a full-HD frame is looked at as it is, which finds faces from 80
pixels; larger ones are reduced, smaller ones enlarged up to twofold. Not thread-safe.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from PIL import Image

from gateway.encoder import Box
from gateway.encoder.decode import Pixels
from gateway.encoder.dlib_detector import SCANNED_SIDE
from gateway.encoder.dlib_models import load_dlib
from gateway.encoder.face_encoder import visible_box

UPSAMPLE = 2.0
SCANNED_PIXELS = 2_100_000
"""1920 x 1080, and a little"""


class Detector:
    """Loads in 0.1 s. Raises EncoderMissing where dlib is not installed."""

    def __init__(self) -> None:
        self._detector = load_dlib().get_frontal_face_detector()

    def __call__(self, pixels: Pixels) -> list[Box]:
        """The faces in (height, width, 3) RGB, in pixels of the frame; the detector's surest first."""
        height, width = pixels.shape[:2]
        scale = scan_scale(width, height)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        gap = 2.0 if scale < 1 else None
        copy = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, reducing_gap=gap)
        found, _, _ = self._detector.run(np.asarray(copy), 0, 0.0)
        return [self._box(rectangle, scale, pixels) for rectangle in found]

    def _box(self, found: Any, scale: float, pixels: Pixels) -> Box:
        area = found.left() / scale, found.top() / scale, found.right() / scale, found.bottom() / scale
        return visible_box(area, pixels)


def scan_scale(width: int, height: int) -> float:
    """By how much the detector's copy is larger (at most 2) or smaller than the frame."""
    return min(UPSAMPLE, math.sqrt(SCANNED_PIXELS / (width * height)), SCANNED_SIDE / max(width, height))
