"""Aligned faces as dlib cuts them: turned upright, the face filling the same part of a square of any side.

Of a face much larger than the square, dlib reads from a pyramid; so nothing is lost to aliasing. Any detector's
landmarks will do, rounded to whole pixels, which is what dlib's own are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gateway.encoder.decode import Pixels
from gateway.encoder.dlib_models import load_dlib
from gateway.encoder.steps import Located

PADDING = 0.25
"""as dlib's face network was trained, in parts of the face"""


class ChipCutter:
    """Raises EncoderMissing where dlib is not installed."""

    def __init__(self) -> None:
        self._dlib = load_dlib()

    def cut(self, pixels: Pixels, faces: Sequence[Located], side: int, padding: float = PADDING) -> Pixels:
        """(n, side, side, 3) RGB of n faces in an RGB photo, each with `padding` parts of the face on every side; black
        where that reaches beyond the photo."""
        if not faces:
            return np.empty((0, side, side, 3), dtype=np.uint8)
        shapes = self._dlib.full_object_detections([self._shape(face) for face in faces])
        return np.asarray(self._dlib.get_face_chips(pixels, shapes, size=side, padding=padding), dtype=np.uint8)

    def _shape(self, face: Located) -> object:
        area = self._dlib.rectangle(*(round(corner) for corner in face.area))
        points = [self._dlib.point(round(x), round(y)) for x, y in face.landmarks.tolist()]
        return self._dlib.full_object_detection(area, points)
