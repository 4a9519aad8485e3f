"""Where dlib and its models are, or EncoderMissing saying what to install."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from pathlib import Path
from typing import Any

from common.errors import EncoderMissing

MODELS_PACKAGE = "face_recognition_models"
LANDMARKS = "shape_predictor_5_face_landmarks.dat"
NETWORK = "dlib_face_recognition_resnet_model_v1.dat"
POINTS = "shape_predictor_68_face_landmarks.dat"
SHA256 = {
    LANDMARKS: "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
    NETWORK: "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
    POINTS: "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
}
"""of face_recognition_models 0.3.0. One wrong weight would be no error, but wrong embeddings."""
INSTALL = "Install dlib-bin (or dlib) and face_recognition_models, as the project's requirements do."


def load_dlib() -> Any:
    try:
        return importlib.import_module("dlib")
    except ImportError as error:
        raise EncoderMissing(f"dlib cannot be loaded ({error}). {INSTALL}") from None


def model_file(name: str) -> Path:
    """The package of models is found but not imported: its import needs pkg_resources. Raises EncoderMissing also for a
    file that is damaged."""
    spec = importlib.util.find_spec(MODELS_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EncoderMissing(f"{MODELS_PACKAGE} is not installed. {INSTALL}")
    file = Path(spec.submodule_search_locations[0]) / "models" / name
    if not file.is_file():
        raise EncoderMissing(f"{MODELS_PACKAGE} lacks {name}. {INSTALL}")
    with file.open("rb") as content:
        if hashlib.file_digest(content, "sha256").hexdigest() != SHA256[name]:
            raise damaged(name)
    return file


def damaged(name: str) -> EncoderMissing:
    return EncoderMissing(f"{name} is damaged, or another file than the one expected. {INSTALL}")
