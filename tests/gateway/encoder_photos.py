"""Photos for the encoder's tests: made from scikit-image's bundled portrait, or found beside the checkout."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageFile

from common.types import Vectors
from gateway.encoder import Box
from gateway.encoder.decode import Pixels

FACES = Path(__file__).parents[2] / "../shared/faces"
needs_faces = pytest.mark.skipif(not FACES.is_dir(), reason="the folder of test photos is not beside the checkout")

ORIENTATIONS = range(1, 9)
ASTRAY = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""EXIF orientation → what a camera held that way does to the upright scene."""


def portrait() -> Image.Image:
    """300 x 300 with one face; in the rest of the original, dlib takes a badge for a second one."""
    pictures: Any = skimage.data
    return Image.fromarray(pictures.astronaut()).crop((90, 0, 390, 300))


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turned(image: Image.Image, orientation: int, kind: str, **options: Any) -> bytes:
    """The photo as a camera held astray stores it: turned pixels and the EXIF tag that says so."""
    turn = ASTRAY[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(image if turn is None else image.transpose(turn), kind, exif=exif, **options)


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    width = min(a.left + a.width, b.left + b.width) - max(a.left, b.left)
    height = min(a.top + a.height, b.top + b.height) - max(a.top, b.top)
    common = max(0, width) * max(0, height)
    return common / (a.width * a.height + b.width * b.height - common)


def scaled(box: Box, factor: float) -> Box:
    return Box(*(round(side * factor) for side in (box.left, box.top, box.width, box.height)))


class Reference:
    """What face_recognition itself says. Its import makes Pillow accept truncated images everywhere; undone here."""

    def __init__(self) -> None:
        before = ImageFile.LOAD_TRUNCATED_IMAGES
        self._library: Any = pytest.importorskip("face_recognition.api", exc_type=ImportError)
        ImageFile.LOAD_TRUNCATED_IMAGES = before

    def boxes(self, pixels: Pixels) -> list[Box]:
        found = self._library.face_locations(pixels)
        return [Box(left, top, right - left + 1, bottom - top + 1) for top, right, bottom, left in found]

    def embeddings(self, pixels: Pixels, boxes: Iterable[Box] | None = None) -> Vectors:
        """(n, 128) unit rows, for the library's own boxes or for the given ones."""
        css = None if boxes is None else [(b.top, b.left + b.width - 1, b.top + b.height - 1, b.left) for b in boxes]
        raw = np.array(self._library.face_encodings(pixels, css), dtype=np.float64).reshape(-1, 128)
        return np.asarray(raw / np.linalg.norm(raw, axis=1, keepdims=True), dtype=np.float32)
