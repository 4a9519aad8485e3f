"""dlib's weights in onnxruntime beside dlib itself."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from common.errors import EncoderMissing
from common.types import Vectors
from common.vectors import unit_rows
from gateway.encoder.decode import Pixels
from gateway.encoder.dlib_chips import ChipCutter
from gateway.encoder.dlib_detector import DlibDetector
from gateway.encoder.dlib_embedder import BATCH, DlibEmbedder
from gateway.encoder.dlib_models import NETWORK, model_file
from gateway.encoder.dlib_network import SIDE, build
from gateway.encoder.steps import Located
from tests.gateway.encoder_photos import FACES, needs_faces, portrait


@pytest.fixture(scope="module")
def embedder() -> DlibEmbedder:
    return DlibEmbedder()


@pytest.fixture(scope="module")
def detector() -> DlibDetector:
    return DlibDetector()


@pytest.fixture(scope="module")
def dlibs_own() -> Any:
    dlib: Any = importlib.import_module("dlib")
    return dlib.face_recognition_model_v1(str(model_file(NETWORK)))


def own_rows(network: Any, chips: Pixels) -> Vectors:
    """By dlib itself, of (n, 150, 150, 3) aligned faces."""
    return unit_rows(np.asarray([network.compute_face_descriptor(chip) for chip in chips]), 128)


def changed() -> Iterator[Image.Image]:
    """The portrait as it is, turned, darkened, small, in parts beyond the edge."""
    yield portrait()
    yield portrait().rotate(12)
    yield portrait().point(lambda value: value * 0.3)
    yield portrait().resize((150, 150))
    yield portrait().crop((40, 20, 250, 150))


def test_the_embedding_is_dlibs_own(embedder: DlibEmbedder, detector: DlibDetector, dlibs_own: Any) -> None:
    for image in changed():
        pixels = np.asarray(image)
        faces = detector.locate(pixels)[:1]
        chips = ChipCutter().cut(pixels, faces, SIDE)
        assert float((embedder.embed(pixels, faces) @ own_rows(dlibs_own, chips).T).min()) > 0.99999


@needs_faces
def test_the_embedding_is_dlibs_own_for_many_people(
    embedder: DlibEmbedder, detector: DlibDetector, dlibs_own: Any
) -> None:
    for photo in [*sorted(FACES.glob("strangers/*"))[::40], *sorted(FACES.glob("groups/*_8.jpg"))]:
        pixels = np.asarray(Image.open(photo).convert("RGB"))
        faces = detector.locate(pixels)
        expected = own_rows(dlibs_own, ChipCutter().cut(pixels, faces, SIDE))
        assert float((embedder.embed(pixels, faces) * expected).sum(axis=1).min()) > 0.99999


def test_a_batch_gives_each_face_what_it_gives_it_alone(embedder: DlibEmbedder, detector: DlibDetector) -> None:
    pixels = np.asarray(portrait())
    [face] = detector.locate(pixels)
    shifted = [Located(face.area, face.score, face.landmarks + step) for step in range(BATCH + 3)]
    together = embedder.embed(pixels, shifted)
    alone = np.concatenate([embedder.embed(pixels, [one]) for one in shifted])
    assert together.shape == (BATCH + 3, 128)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_photo_without_faces_has_no_rows(embedder: DlibEmbedder) -> None:
    assert embedder.embed(np.zeros((10, 10, 3), dtype=np.uint8), []).shape == (0, 128)


def test_a_damaged_or_foreign_file_of_weights_is_refused() -> None:
    content = model_file(NETWORK).read_bytes()
    for wrong in (b"", b"no network", content[:1000], content[: len(content) // 2], content[:-50_000]):
        with pytest.raises(EncoderMissing, match="damaged"):
            build(wrong)


def test_a_file_with_one_wrong_weight_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(model_file(NETWORK).read_bytes())
    content[1_000_000] ^= 0xFF
    build(bytes(content))  # the network does not notice
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / NETWORK).write_bytes(content)
    (tmp_path / "__init__.py").touch()
    (tmp_path / "damaged_models").symlink_to(".")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("gateway.encoder.dlib_models.MODELS_PACKAGE", "damaged_models")
    with pytest.raises(EncoderMissing, match="damaged"):
        model_file(NETWORK)
