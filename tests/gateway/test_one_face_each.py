"""Which face of a photo is meant where it shall show one person."""

from __future__ import annotations

import numpy as np
import pytest

from common.errors import MultipleFaces
from common.types import DLIB_SPACE
from gateway.body import Photo
from gateway.encoder import Box, EncodedFace, EncodedPhoto, Quality
from gateway.photos import DOUBTFUL, one_face_each


class Said:
    """Stands in for the encoder: what it found is given."""

    def __init__(self, *confidences: float) -> None:
        self.found = EncodedPhoto(100, 100, tuple(face(one) for one in confidences))

    async def encode(self, photo: bytes, space: str, *, thumbnails: bool) -> EncodedPhoto:  # noqa: ARG002  # as the pool's
        return self.found


def face(confidence: float) -> EncodedFace:
    quality = Quality(80, 40, 20, 120, 0, 0, confidence)
    return EncodedFace(Box(0, 0, 80, 80), quality, np.eye(1, 128, dtype=np.float32)[0], None)


async def chosen(*confidences: float) -> float:
    photo = Photo("image", "a.jpg", b"pixels")
    [found] = await one_face_each(Said(*confidences), [photo], DLIB_SPACE)  # type: ignore[arg-type]  # see Said
    return found.quality.confidence


@pytest.mark.parametrize("confidences", [(1.5,), (1.5, DOUBTFUL - 0.01), (DOUBTFUL - 0.01, 1.5)])
async def test_a_second_face_that_the_detector_doubts_is_none(confidences: tuple[float, ...]) -> None:
    assert await chosen(*confidences) == 1.5


async def test_a_doubtful_face_alone_is_the_one() -> None:
    assert await chosen(0.05) == 0.05


@pytest.mark.parametrize("confidences", [(1.5, DOUBTFUL), (0.1, 0.05)])
async def test_two_that_are_alike_in_doubt_are_two(confidences: tuple[float, ...]) -> None:
    with pytest.raises(MultipleFaces):
        await chosen(*confidences)
