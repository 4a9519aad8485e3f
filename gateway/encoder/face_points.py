"""Five points of a face as ArcFace's networks want them: the middles of the eyes, the tip of the nose, the corners of
the mouth. dlib's five landmarks have no mouth, so they come from its predictor of 68 points, which is loaded (100 MB)
only where a space needs it. An ONNX detector's own five points are not used: a space's embeddings must not depend on
which detector found the face."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from gateway.encoder.alignment import Points
from gateway.encoder.decode import Pixels
from gateway.encoder.dlib_models import POINTS, load_dlib, model_file
from gateway.encoder.steps import Area

LEFT_EYE, RIGHT_EYE = slice(36, 42), slice(42, 48)
"""as seen in the photo"""
NOSE_TIP, LEFT_OF_MOUTH, RIGHT_OF_MOUTH = 30, 48, 54


@cache
def _predictor() -> Any:
    """Shared by all spaces of a process."""
    return load_dlib().shape_predictor(str(model_file(POINTS)))


class FacePoints:
    """Raises EncoderMissing where dlib or the model is not installed."""

    def __init__(self) -> None:
        self._dlib: Any = load_dlib()
        self._predictor = _predictor()

    def of(self, pixels: Pixels, area: Area) -> Points:
        """(5, 2) in pixels of the photo: eye at its left, eye at its right, tip of the nose, corners of the mouth."""
        shape = self._predictor(pixels, self._dlib.rectangle(*(round(side) for side in area)))
        points = np.array([(point.x, point.y) for point in shape.parts()], dtype=np.float64)
        eyes = [points[LEFT_EYE].mean(axis=0), points[RIGHT_EYE].mean(axis=0)]
        return np.stack([*eyes, points[NOSE_TIP], points[LEFT_OF_MOUTH], points[RIGHT_OF_MOUTH]])
