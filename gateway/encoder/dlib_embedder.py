"""The embedding space `dlib-resnet-v1`: faces aligned as dlib does, dlib's network run by onnxruntime.

The same numbers as `face_recognition.face_encodings`, to a cosine of 0.99999; a test compares them. All faces of a
photo go through the network together, BATCH at a time. That saves calls, not arithmetic: a face costs 3 ms alone as
well as in company.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime

from common.types import Vectors
from common.vectors import unit_rows
from gateway.encoder.decode import Pixels
from gateway.encoder.dlib_chips import ChipCutter
from gateway.encoder.dlib_models import NETWORK, model_file
from gateway.encoder.dlib_network import DIMENSION, INPUT, OUTPUT, SIDE, build
from gateway.encoder.steps import Located

BATCH = 8


class DlibEmbedder:
    """Loads in 0.4 s, 120 MB. Raises EncoderMissing where dlib or its models are not installed. One thread."""

    dimension = DIMENSION

    def __init__(self) -> None:
        self._chips = ChipCutter()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # the pool has a process for every core
        model = build(model_file(NETWORK).read_bytes())
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def embed(self, pixels: Pixels, faces: Sequence[Located]) -> Vectors:
        """(n, 128) unit rows, each face seen once (face_recognition's num_jitters=1). Raises NotFinite, ZeroVector."""
        if not faces:
            return np.empty((0, DIMENSION), dtype=np.float32)
        chips = self._chips.cut(pixels, faces, SIDE)
        parts = [chips[start : start + BATCH] for start in range(0, len(chips), BATCH)]
        raw = np.concatenate([self._session.run([OUTPUT], {INPUT: part})[0] for part in parts])
        return unit_rows(raw, DIMENSION, field="image")
