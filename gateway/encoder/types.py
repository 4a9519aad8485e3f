"""What an encoder gives back for a photo. Plain data: it crosses a process boundary."""

from __future__ import annotations

from dataclasses import dataclass

from common.types import Vectors


@dataclass(frozen=True, slots=True)
class Box:
    """Where a face is, in pixels of the upright (EXIF-rotated) photo."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Quality:
    """How good a face is to recognise. Formulas and their limits: `gateway/encoder/quality.py`."""

    face_size: float
    """pixels, smaller side of the box"""
    eye_distance: float
    """pixels"""
    sharpness: float
    """fine detail as a part of the contrast; sharp faces have 10 to 80"""
    brightness: float
    """mean luma of the aligned face, 0 to 255"""
    yaw: float
    """degrees, 0: to the camera; a rough estimate"""
    roll: float
    """degrees, 0: upright"""
    confidence: float
    """the detector's score, above 0; clear faces have 1 to 3"""


@dataclass(frozen=True, slots=True)
class EncodedFace:
    box: Box
    quality: Quality
    embedding: Vectors
    """(d,) float32, unit length"""
    thumbnail: bytes | None
    """JPEG of the aligned face, only if it was asked for"""


@dataclass(frozen=True, slots=True)
class EncodedPhoto:
    width: int
    height: int
    faces: tuple[EncodedFace, ...]
    """largest first; empty where no face was found"""
