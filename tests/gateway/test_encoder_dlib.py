"""The encoder itself, in this process: faces where face_recognition finds them, and its embeddings of them."""

from __future__ import annotations

import importlib
import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from common.errors import EncoderMissing
from gateway.encoder import Box, EncodedFace
from gateway.encoder.decode import Pixels
from gateway.encoder.dlib_detector import detection_scale
from gateway.encoder.dlib_encoder import DlibEncoder
from gateway.encoder.face_encoder import visible_box
from tests.gateway.encoder_photos import Reference, overlap, portrait, scaled


@pytest.fixture(scope="module")
def encoder() -> DlibEncoder:
    return DlibEncoder()


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference()


def pixels_of(image: Image.Image) -> Pixels:
    return np.asarray(image.convert("RGB"))


def faces_in(encoder: DlibEncoder, image: Image.Image) -> tuple[EncodedFace, ...]:
    return encoder.encode(pixels_of(image), max_faces=64, thumbnails=False)


@pytest.mark.parametrize("side", [250, 600])
def test_small_photos_give_what_face_recognition_gives(encoder: DlibEncoder, reference: Reference, side: int) -> None:
    photo = portrait().resize((side, side))
    [face] = faces_in(encoder, photo)
    [box] = reference.boxes(pixels_of(photo))
    assert overlap(face.box, box) > 0.6
    [expected] = reference.embeddings(pixels_of(photo), [face.box])
    assert float(face.embedding @ expected) > 0.99999
    [theirs] = reference.embeddings(pixels_of(photo))
    assert float(face.embedding @ theirs) > 0.98


def test_embeddings_are_unit_float32_of_128_numbers(encoder: DlibEncoder) -> None:
    [face] = faces_in(encoder, portrait())
    assert face.embedding.shape == (128,)
    assert face.embedding.dtype == np.float32
    assert np.linalg.norm(face.embedding) == pytest.approx(1.0, abs=1e-6)
    assert face.thumbnail is None


def test_the_confidence_is_about_what_dlibs_detector_says_itself(encoder: DlibEncoder) -> None:
    [face] = faces_in(encoder, portrait())
    dlib: Any = importlib.import_module("dlib")
    _, [score], _ = dlib.get_frontal_face_detector().run(pixels_of(portrait()), 1, 0.0)
    assert face.quality.confidence == pytest.approx(score, abs=0.5)


def test_several_faces_come_largest_first_and_each_as_if_it_were_alone(
    encoder: DlibEncoder, reference: Reference
) -> None:
    group = Image.new("RGB", (1400, 700), "gray")
    for left, side in ((0, 300), (320, 600), (950, 420)):
        group.paste(portrait().resize((side, side)), (left, 40))
    faces = faces_in(encoder, group)
    widths = [face.box.width for face in faces]
    assert len(faces) == 3
    assert widths == sorted(widths, reverse=True)
    alone = reference.embeddings(pixels_of(group), [face.box for face in faces])
    for face, expected in zip(faces, alone, strict=True):
        assert float(face.embedding @ expected) > 0.99999
    largest = encoder.encode(pixels_of(group), max_faces=1, thumbnails=False)
    assert [face.box for face in largest] == [faces[0].box]


def test_a_large_photo_is_searched_small_and_encoded_at_full_resolution(
    encoder: DlibEncoder, reference: Reference
) -> None:
    """The embedding is that of the untouched pixels; that of the copy which detection saw is measurably another."""
    [small] = faces_in(encoder, portrait())
    large = Image.new("RGB", (6000, 4000), "gray")
    large.paste(portrait().resize((600, 600), Image.Resampling.BICUBIC), (2000, 1500))
    scale = detection_scale(*large.size)
    assert scale < 0.6
    [face] = faces_in(encoder, large)
    in_portrait = Box(face.box.left - 2000, face.box.top - 1500, face.box.width, face.box.height)
    assert overlap(in_portrait, scaled(small.box, 2.0)) > 0.7
    [full] = reference.embeddings(pixels_of(large), [face.box])
    assert np.abs(face.embedding - full).max() < 1e-5
    copy = large.resize((round(6000 * scale), round(4000 * scale)), Image.Resampling.BILINEAR)
    [reduced] = reference.embeddings(pixels_of(copy), [scaled(face.box, scale)])
    assert np.abs(face.embedding - reduced).max() > 1e-3


def test_an_enlarged_photo_keeps_its_face_and_costs_less_than_face_recognition(
    encoder: DlibEncoder, reference: Reference
) -> None:
    [small] = faces_in(encoder, portrait())
    enlarged = portrait().resize((2500, 2500), Image.Resampling.BICUBIC)
    begun = time.process_time()
    [face] = faces_in(encoder, enlarged)
    ours = time.process_time() - begun
    assert overlap(face.box, scaled(small.box, 2500 / 300)) > 0.7
    assert float(face.embedding @ small.embedding) > 0.98
    begun = time.process_time()
    assert len(reference.boxes(pixels_of(enlarged))) == 1
    assert ours < (time.process_time() - begun) / 2


def test_full_hd_is_searched_as_face_recognition_does_and_the_cost_is_bounded_beyond() -> None:
    assert detection_scale(250, 250) == 2.0
    assert detection_scale(1920, 1080) == 2.0
    for width, height in ((4000, 3000), (8000, 6000), (20_000, 2500)):
        scale = detection_scale(width, height)
        assert width * height * scale**2 == pytest.approx(8_400_000)
    for width, height in ((1, 50_000_000), (250_000, 199), (10_000, 10)):
        assert max(width, height) * detection_scale(width, height) == pytest.approx(16_000)


def test_a_face_at_the_edge_has_a_box_inside_the_photo(encoder: DlibEncoder) -> None:
    [whole] = faces_in(encoder, portrait())
    cut = portrait().crop((0, whole.box.top + 12, 300, 300))
    [face] = faces_in(encoder, cut)
    assert face.box.top == 0
    assert 0 <= face.box.left < face.box.left + face.box.width <= cut.width
    assert face.box.height < whole.box.height


def test_boxes_are_cut_to_the_photo_and_never_empty() -> None:
    pixels = np.zeros((50, 100, 3), dtype=np.uint8)
    assert visible_box((-5, -5, 20, 20), pixels) == Box(0, 0, 21, 21)
    assert visible_box((90.2, 39.6, 120, 120), pixels) == Box(90, 40, 10, 10)
    assert visible_box((-30, -30, -10, -10), pixels) == Box(0, 0, 1, 1)


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (1, 100_000), (9_000, 1_000)])
def test_odd_sizes_without_a_face_give_no_face(encoder: DlibEncoder, size: tuple[int, int]) -> None:
    assert faces_in(encoder, Image.linear_gradient("L").resize(size)) == ()


def test_a_thumbnail_is_a_small_jpeg_of_the_aligned_face(encoder: DlibEncoder) -> None:
    [face] = encoder.encode(pixels_of(portrait().rotate(20)), max_faces=1, thumbnails=True)
    assert face.thumbnail is not None
    image = Image.open(io.BytesIO(face.thumbnail))
    assert (image.format, image.size) == ("JPEG", (160, 160))
    [upright] = encoder.encode(pixels_of(portrait()), max_faces=1, thumbnails=True)
    assert upright.thumbnail is not None
    same = np.asarray(Image.open(io.BytesIO(upright.thumbnail))).astype(int)
    assert np.abs(same - np.asarray(image)).mean() < 20


def test_without_the_models_the_encoder_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("gateway.encoder.dlib_models.MODELS_PACKAGE", "facegrid_no_such_package")
    with pytest.raises(EncoderMissing, match="Install dlib-bin"):
        DlibEncoder()
    (tmp_path / "facegrid_empty_models").mkdir()
    (tmp_path / "facegrid_empty_models" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("gateway.encoder.dlib_models.MODELS_PACKAGE", "facegrid_empty_models")
    with pytest.raises(EncoderMissing, match="Install dlib-bin"):
        DlibEncoder()
