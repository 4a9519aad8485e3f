"""Where dlib and its models are, or EncoderMissing saying what to install."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from common.errors import EncoderMissing

MODELS_PACKAGE = "face_recognition_models"
LANDMARKS = "shape_predictor_5_face_landmarks.dat"
NETWORK = "dlib_face_recognition_resnet_model_v1.dat"
INSTALL = "Install dlib-bin (or dlib) and face_recognition_models, as the project's requirements do."


def load_dlib() -> Any:
    try:
        return importlib.import_module("dlib")
    except ImportError as error:
        raise EncoderMissing(f"dlib cannot be loaded ({error}). {INSTALL}") from None


def model_file(name: str) -> Path:
    """The package of models is found but not imported: its import needs pkg_resources."""
    spec = importlib.util.find_spec(MODELS_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EncoderMissing(f"{MODELS_PACKAGE} is not installed. {INSTALL}")
    file = Path(spec.submodule_search_locations[0]) / "models" / name
    if not file.is_file():
        raise EncoderMissing(f"{MODELS_PACKAGE} lacks {name}. {INSTALL}")
    return file


def damaged(name: str) -> EncoderMissing:
    return EncoderMissing(f"{name} is damaged, or another file than the one expected. {INSTALL}")
