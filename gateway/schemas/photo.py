"""What was seen in a photo: where a face is, and how good it is to recognise."""

from __future__ import annotations

from pydantic import BaseModel

from gateway.encoder import Box, Quality
from gateway.quality import numbers
from gateway.schemas import examples
from gateway.schemas.base import with_example


class BoxAnswer(BaseModel):
    left: int
    top: int
    width: int
    height: int

    @classmethod
    def of(cls, box: Box) -> BoxAnswer:
        return cls(left=box.left, top=box.top, width=box.width, height=box.height)


class QualityAnswer(BaseModel):
    """How good a face is to recognise."""

    model_config = with_example(examples.QUALITY)
    face_size: float
    """pixels, smaller side of the box"""
    eye_distance: float
    """pixels"""
    sharpness: float
    """sharp faces have 10 to 80, blurred ones below 1"""
    brightness: float
    """mean luma, 0 to 255"""
    yaw: float
    """degrees, 0: to the camera; a rough estimate"""
    roll: float
    """degrees, 0: upright"""
    confidence: float
    """the detector's score, above 0; clear faces have 1 to 3"""

    @classmethod
    def of(cls, quality: Quality) -> QualityAnswer:
        return cls.model_validate(numbers(quality))
