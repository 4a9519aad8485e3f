"""Embedder of a manifest: faces are cut out as it says, and run through its model in one batch."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from common.errors import InvalidEmbedding
from common.types import Vectors
from common.vectors import unit_rows
from gateway.encoder.alignment import ARCFACE, ARCFACE_SIDE, Points, cut_out, of_box, of_five_points
from gateway.encoder.decode import Pixels
from gateway.encoder.dlib_chips import ChipCutter
from gateway.encoder.face_points import FacePoints
from gateway.encoder.manifest import EncoderManifest, Template
from gateway.encoder.onnx_model import EmbeddingModel
from gateway.encoder.steps import Located

log = logging.getLogger(__name__)


class BoxCutter:
    """The detector's square and a margin around it, as FaceNet's networks are used."""

    def __init__(self, margin: float) -> None:
        self._margin = margin

    def cut(self, pixels: Pixels, faces: Sequence[Located], side: int) -> Pixels:
        return np.stack([cut_out(pixels, side, of_box(face.area, self._margin, side)) for face in faces])


class TemplateCutter:
    """Five points of the face laid on a template, as ArcFace's networks are used."""

    def __init__(self, template: Points, side: float) -> None:
        """(5, 2) points in a picture of `side` pixels. Raises EncoderMissing without dlib's predictor of 68 points."""
        self._template, self._side = template, side
        self._points = FacePoints()

    def cut(self, pixels: Pixels, faces: Sequence[Located], side: int) -> Pixels:
        """Raises InvalidImage for landmarks that are no face's."""
        points = [self._points.of(pixels, face.area) for face in faces]
        return np.stack([cut_out(pixels, side, of_five_points(p, self._template, self._side, side)) for p in points])


def cutter(manifest: EncoderManifest) -> BoxCutter | TemplateCutter | ChipCutter:
    """What cuts faces out as the manifest says, to (n, side, side, 3) RGB. Raises EncoderMissing."""
    match manifest.alignment:
        case Template(points=points, size=size):
            return TemplateCutter(np.array(points), size)
        case "arcface":
            return TemplateCutter(ARCFACE, ARCFACE_SIDE)
        case "dlib":
            return ChipCutter()
        case "box":
            return BoxCutter(manifest.margin)


class OnnxEmbedder:
    """Raises what EmbeddingModel and `cutter` raise."""

    def __init__(self, manifest: EncoderManifest) -> None:
        self.dimension = manifest.dimension
        self._space = manifest.space
        self._side = manifest.input.size
        self._cutter = cutter(manifest)
        self._model = EmbeddingModel(manifest)

    def embed(self, pixels: Pixels, faces: Sequence[Located]) -> Vectors:
        """(n, dimension) unit rows. Raises NotFinite, ZeroVector or WrongDimension if the model has no answer for one
        of them."""
        if not faces:
            return np.empty((0, self.dimension), dtype=np.float32)
        raw = self._model.embed(self._cutter.cut(pixels, faces, self._side))
        try:
            return unit_rows(raw, self.dimension, field="image")
        except InvalidEmbedding as error:
            log.error("The model of %s failed on a face: %s", self._space, error.detail)
            detail = f"The model of {self._space} has no embedding for a face of this photo."
            raise type(error)(detail, field="image") from None
