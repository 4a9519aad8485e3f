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
class EncodedFace:
    box: Box
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
