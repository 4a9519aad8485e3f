"""Answers about an enrolment: the face as it is now, and what was seen in the photos."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from common.settings import QualitySettings
from gateway.encoder import EncodedFace
from gateway.quality import Purpose, Reason, reasons
from gateway.schemas import examples
from gateway.schemas.base import with_example
from gateway.schemas.faces import FaceAnswer
from gateway.schemas.photo import BoxAnswer, QualityAnswer

PHOTO: dict[str, Any] = {
    "box": {"left": 70, "top": 71, "width": 108, "height": 108},
    "quality": examples.QUALITY,
    "reasons": [],
}


class PhotoAnswer(BaseModel):
    """What was seen in a photo that was enrolled."""

    model_config = with_example(PHOTO)
    box: BoxAnswer
    quality: QualityAnswer
    reasons: list[Reason]
    """for which it would have been refused, but for accept_poor"""

    @classmethod
    def of(cls, face: EncodedFace, settings: QualitySettings) -> PhotoAnswer:
        return cls(
            box=BoxAnswer.of(face.box),
            quality=QualityAnswer.of(face.quality),
            reasons=list(reasons(face.quality, Purpose.ENROL, settings)),
        )


class EnrolAnswer(FaceAnswer):
    model_config = with_example(
        examples.FACE | {"store": "vienna-1", "new": True, "version": 12, "visible": True, "photos": [PHOTO]}
    )
    store: str
    new: bool
    """false: the face was there and got templates"""
    version: int
    """of the store after this write"""
    visible: bool
    """every live replica that has loaded serves it already"""
    photos: list[PhotoAnswer]
    """in the order sent; none of embeddings"""
