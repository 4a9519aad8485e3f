"""dlib from end to end: its detector, and the space `dlib-resnet-v1`."""

from __future__ import annotations

from common.settings import Detection
from common.types import DLIB_SPACE
from gateway.encoder.dlib_detector import DlibDetector
from gateway.encoder.dlib_embedder import DlibEmbedder
from gateway.encoder.face_encoder import FaceEncoder


class DlibEncoder(FaceEncoder):
    """Raises EncoderMissing where dlib or its models are not installed."""

    def __init__(self, detection: Detection = Detection.STANDARD) -> None:
        super().__init__(DlibDetector(detection), {DLIB_SPACE: DlibEmbedder()})
