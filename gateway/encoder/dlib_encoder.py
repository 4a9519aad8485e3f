"""The embedding space `dlib-resnet-v1`: faces by dlib's HOG detector, embeddings by its ResNet.

The same models and the same steps as `face_recognition.face_encodings(image)`, which a test compares, but taken from
`face_recognition_models` directly. Importing face_recognition would load two models that are never used here (three
times the memory, twice the time until a worker is ready), switch on Pillow's acceptance of truncated images for the
whole process, and call quit() where setuptools is too new for its pkg_resources.

How much detection looks at. HOG costs about 60 ms a megapixel and finds faces of 80 pixels and more, so
face_recognition doubles the photo first to find them from 40 pixels: 3 s for 12 megapixels. Here the doubled copy is
bounded to SCANNED_PIXELS, a doubled full-HD frame: up to full HD the result is face_recognition's own, and beyond that
the time stays at about half a second while the smallest face found grows with the photo (98 pixels wide in 12
megapixels, 200 in 50), which is the size from which the embedding network profits anyway. Measured: no face of any
test photo is lost, also not when the photos are enlarged to 4000 pixels. Embeddings always see every pixel.

Not thread-safe; dlib holds the GIL. One thread: the wheel of dlib has neither BLAS nor OpenMP.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from common.errors import EncoderMissing
from common.types import DLIB_SPACE, SPACE_DIMENSION, Vectors
from common.vectors import unit_rows
from gateway.encoder.decode import Pixels
from gateway.encoder.quality import CHIP_SIDE, measure
from gateway.encoder.types import Box, EncodedFace

SCANNED_PIXELS = 8_400_000
"""1920 x 1080, doubled in both directions, and a little"""
SCANNED_SIDE = 16_000
"""only strips longer than 30 times their width notice; dlib 20.0 writes beyond its memory from about 80,000 on"""
UPSAMPLE = 2.0
THUMBNAIL_SIDE = 112
THUMBNAIL_QUALITY = 90
MODELS_PACKAGE = "face_recognition_models"
INSTALL = "Install dlib-bin (or dlib) and face_recognition_models, as the project's requirements do."


class Detected(NamedTuple):
    area: Any
    """dlib rectangle, inclusive corners"""
    score: float


def detection_scale(width: int, height: int) -> float:
    """By how much the detector's copy is larger (at most 2) or smaller than the photo."""
    return min(UPSAMPLE, math.sqrt(SCANNED_PIXELS / (width * height)), SCANNED_SIDE / max(width, height))


def visible_box(left: int, top: int, right: int, bottom: int, pixels: Pixels) -> Box:
    """The part of a detector's rectangle (inclusive corners) that lies in the photo; never empty."""
    height, width = pixels.shape[:2]
    left, top = min(max(left, 0), width - 1), min(max(top, 0), height - 1)
    right, bottom = max(min(right, width - 1), left), max(min(bottom, height - 1), top)
    return Box(left, top, right - left + 1, bottom - top + 1)


class DlibEncoder:
    """Loads the models once (about 0.3 s, 70 MB). Raises EncoderMissing where dlib or the models are not installed."""

    def __init__(self) -> None:
        models = _models_folder()
        try:
            self._dlib = importlib.import_module("dlib")
            self._detector = self._dlib.get_frontal_face_detector()
            self._landmarks = self._dlib.shape_predictor(str(models / "shape_predictor_5_face_landmarks.dat"))
            self._network = self._dlib.face_recognition_model_v1(
                str(models / "dlib_face_recognition_resnet_model_v1.dat")
            )
        except (ImportError, RuntimeError) as error:  # RuntimeError: a model file is absent or damaged
            raise EncoderMissing(f"dlib cannot be loaded ({error}). {INSTALL}") from None

    def encode(self, pixels: Pixels, *, max_faces: int, thumbnails: bool) -> tuple[EncodedFace, ...]:
        """The faces in a photo, largest first, at most `max_faces`; embeddings of unit length in `dlib-resnet-v1`."""
        found = sorted(self._detect(pixels), key=lambda d: (-d.area.area(), d.area.top(), d.area.left()))[:max_faces]
        if not found:
            return ()
        shapes = self._dlib.full_object_detections([self._landmarks(pixels, d.area) for d in found])
        embeddings = self._embed(pixels, shapes)
        faces = zip(found, shapes, embeddings, strict=True)
        return tuple(self._face(pixels, detected, shape, row, thumbnails) for detected, shape, row in faces)

    def _face(
        self, pixels: Pixels, detected: Detected, shape: Any, embedding: Vectors, with_thumbnail: bool
    ) -> EncodedFace:
        area = detected.area
        box = visible_box(area.left(), area.top(), area.right(), area.bottom(), pixels)
        points = np.array([(point.x, point.y) for point in shape.parts()], dtype=np.float64)
        chip = self._dlib.get_face_chip(pixels, shape, size=CHIP_SIDE)
        return EncodedFace(
            box=box,
            quality=measure(box, points, chip, detected.score),
            embedding=embedding,
            thumbnail=self._thumbnail(pixels, shape) if with_thumbnail else None,
        )

    def _detect(self, pixels: Pixels) -> list[Detected]:
        """Faces in coordinates of the photo. Areas may reach beyond its edge; landmarks are best so.

        `run` finds what calling the detector finds, in the same order, and says the scores too.
        """
        height, width = pixels.shape[:2]
        scale = detection_scale(width, height)
        if scale == UPSAMPLE:
            areas, scores, _ = self._detector.run(pixels, 1, 0.0)
            return [Detected(*found) for found in zip(areas, scores, strict=True)]
        size = max(1, round(width * scale)), max(1, round(height * scale))
        gap = 2.0 if scale < 1 else None
        copy = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, reducing_gap=gap)
        areas, scores, _ = self._detector.run(np.asarray(copy), 0, 0.0)
        return [Detected(self._scaled(area, 1 / scale), score) for area, score in zip(areas, scores, strict=True)]

    def _scaled(self, rectangle: Any, factor: float) -> Any:
        corners = (rectangle.left(), rectangle.top(), rectangle.right(), rectangle.bottom())
        return self._dlib.rectangle(*(round(corner * factor) for corner in corners))

    def _embed(self, pixels: Pixels, shapes: Any) -> Vectors:
        """All faces of a photo in one batch, each seen once (num_jitters 1), as (n, 128) unit rows."""
        raw = np.asarray(self._network.compute_face_descriptor(pixels, shapes, 1))
        return unit_rows(raw, SPACE_DIMENSION[DLIB_SPACE], field="image")

    def _thumbnail(self, pixels: Pixels, shape: Any) -> bytes:
        chip = self._dlib.get_face_chip(pixels, shape, size=THUMBNAIL_SIDE)
        jpeg = io.BytesIO()
        Image.fromarray(chip).save(jpeg, "JPEG", quality=THUMBNAIL_QUALITY)
        return jpeg.getvalue()


def _models_folder() -> Path:
    """Where the models are. The package is found but not imported: its import needs pkg_resources."""
    spec = importlib.util.find_spec(MODELS_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EncoderMissing(f"{MODELS_PACKAGE} is not installed. {INSTALL}")
    return Path(spec.submodule_search_locations[0]) / "models"
