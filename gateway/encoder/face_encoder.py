"""From a photo's pixels to its faces: detect, align, measure, embed. One detector, and one embedder a space."""

from __future__ import annotations

import io
from collections.abc import Mapping

from PIL import Image

from common.types import DLIB_SPACE, Vectors
from gateway.encoder.decode import Pixels
from gateway.encoder.dlib_chips import ChipCutter
from gateway.encoder.quality import CHIP_SIDE, measure
from gateway.encoder.steps import Area, Detector, Embedder, Located
from gateway.encoder.thumbnails import PADDING as THUMBNAIL_PADDING
from gateway.encoder.types import Box, EncodedFace

THUMBNAIL_SIDE = 160
THUMBNAIL_QUALITY = 90


class FaceEncoder:
    """Not thread-safe, as its steps are not."""

    def __init__(self, detector: Detector, embedders: Mapping[str, Embedder]) -> None:
        self._detector = detector
        self._embedders = embedders
        self._chips = ChipCutter()

    def encode(
        self, pixels: Pixels, space: str = DLIB_SPACE, *, max_faces: int, thumbnails: bool
    ) -> tuple[EncodedFace, ...]:
        """The faces in a photo, largest first, at most `max_faces`; embeddings of unit length in `space`.

        Raises KeyError for a space without an embedder: the gateway knows its spaces before it asks.
        """
        embedder = self._embedders[space]
        faces = sorted(self._detector.locate(pixels), key=_largest_first)[:max_faces]
        rows = embedder.embed(pixels, faces)
        chips = self._chips.cut(pixels, faces, CHIP_SIDE)
        small = self._chips.cut(pixels, faces, THUMBNAIL_SIDE, THUMBNAIL_PADDING) if thumbnails else [None] * len(faces)
        parts = zip(faces, rows, chips, small, strict=True)
        return tuple(_face(pixels, face, row, chip, thumbnail) for face, row, chip, thumbnail in parts)


def _face(pixels: Pixels, face: Located, row: Vectors, chip: Pixels, thumbnail: Pixels | None) -> EncodedFace:
    box = visible_box(face.area, pixels)
    return EncodedFace(
        box=box,
        quality=measure(box, face.landmarks, chip, face.score),
        embedding=row,
        thumbnail=None if thumbnail is None else _jpeg(thumbnail),
    )


def _largest_first(face: Located) -> tuple[float, float, float]:
    left, top, right, bottom = face.area
    return -(right - left + 1) * (bottom - top + 1), top, left


def visible_box(area: Area, pixels: Pixels) -> Box:
    """The part of an area that lies in the photo, in whole pixels; never empty."""
    height, width = pixels.shape[:2]
    left, top, right, bottom = (round(corner) for corner in area)
    left, top = min(max(left, 0), width - 1), min(max(top, 0), height - 1)
    right, bottom = max(min(right, width - 1), left), max(min(bottom, height - 1), top)
    return Box(left, top, right - left + 1, bottom - top + 1)


def _jpeg(chip: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(chip).save(file, "JPEG", quality=THUMBNAIL_QUALITY)
    return file.getvalue()
