"""What an encoder process is made of: dlib's space, one embedder for each manifest, and the detector of the settings.

All of it is loaded when the process starts, not when a space is first asked for: a model that cannot be loaded stops
the gateway before it serves anybody, and no photo waits for a model. The price is that every process holds every model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from common.settings import EncoderSettings
from common.types import DLIB_SPACE
from gateway.encoder.dlib_detector import DlibDetector
from gateway.encoder.dlib_embedder import DlibEmbedder
from gateway.encoder.face_encoder import FaceEncoder
from gateway.encoder.manifest import Models
from gateway.encoder.onnx_detector import OnnxDetector
from gateway.encoder.onnx_embedder import OnnxEmbedder
from gateway.encoder.steps import Detector, Embedder


class Steps(NamedTuple):
    detector: Detector
    embedders: Mapping[str, Embedder]
    """by space"""

    def encoder(self) -> FaceEncoder:
        return FaceEncoder(self.detector, self.embedders)


def load(settings: EncoderSettings, models: Models) -> Steps:
    """Raises EncoderMissing without dlib, InvalidManifest, WrongHash or BrokenModel for a model of a manifest."""
    chosen = models.detector(settings.detector)
    detector: Detector = DlibDetector(settings.detection) if chosen is None else OnnxDetector(chosen)
    own: dict[str, Embedder] = {space: OnnxEmbedder(manifest) for space, manifest in models.encoders.items()}
    return Steps(detector, {DLIB_SPACE: DlibEmbedder()} | own)
