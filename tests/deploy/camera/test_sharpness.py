"""Which photos are sharp, and crops in which the gateway finds the face again."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from common.settings import EncoderSettings
from deploy.camera.detect import SCANNED_PIXELS, Detector, scan_scale
from deploy.camera.sharpness import GREY, LARGEST_FACE, crop, laplacian, sharpness, with_margin
from deploy.camera.track import overlap
from gateway.encoder import Box
from gateway.encoder.decode import Pixels, decode
from gateway.encoder.dlib_encoder import DlibEncoder
from tests.gateway.encoder_photos import portrait

SETTINGS = EncoderSettings()


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector()


@pytest.fixture(scope="module")
def encoder() -> DlibEncoder:
    return DlibEncoder()


def opened(jpeg: bytes) -> Pixels:
    return decode(jpeg, SETTINGS)


def test_the_laplacian_is_that_of_the_textbook() -> None:
    rng = np.random.default_rng(1)
    grey = rng.normal(size=(9, 7)).astype(np.float32)
    kernel = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    slow = [[(grey[y : y + 3, x : x + 3] * kernel).sum() for x in range(5)] for y in range(7)]
    np.testing.assert_allclose(laplacian(grey), slow, atol=1e-5)


def test_the_more_blurred_the_less_sharp(detector: Detector) -> None:
    (face,) = detector(np.asarray(portrait()))
    pictures = [portrait().filter(ImageFilter.GaussianBlur(radius)) for radius in (0, 1, 2, 4)]
    found = [sharpness(np.asarray(picture), face) for picture in pictures]
    assert found == sorted(found, reverse=True)
    assert found[0] > 5 * found[2]


def test_detail_beyond_what_the_network_sees_does_not_count_and_a_tiny_face_is_soft(detector: Detector) -> None:
    def sharp(side: int) -> float:
        pixels = np.asarray(portrait().resize((side, side), Image.Resampling.LANCZOS))
        return sharpness(pixels, Box(*(round(corner * side / 300) for corner in whole)))

    (face,) = detector(np.asarray(portrait()))
    whole = (face.left, face.top, face.width, face.height)
    assert sharp(1200) == pytest.approx(sharp(600), rel=0.25)
    assert sharp(100) < sharp(300) / 3


def test_a_crop_has_a_margin_and_stays_in_the_frame() -> None:
    assert with_margin(Box(100, 100, 40, 80), 1000, 1000) == (70, 40, 170, 240)
    assert with_margin(Box(0, 0, 40, 40), 50, 60) == (0, 0, 50, 60)


def test_a_crop_is_never_enlarged_and_a_huge_face_is_reduced() -> None:
    pixels = np.full((2000, 2000, 3), 99, dtype=np.uint8)
    assert opened(crop(pixels, Box(500, 500, 40, 40))).shape == (100, 100, 3)
    assert opened(crop(pixels, Box(600, 600, 800, 800))).shape == (1000, 1000, 3)
    assert LARGEST_FACE == 400


def test_other_faces_are_greyed_out_and_never_the_face_itself() -> None:
    rng = np.random.default_rng(2)
    pixels = np.repeat(np.repeat(rng.integers(0, 100, (50, 50, 3), dtype=np.uint8), 8, 0), 8, 1)
    face, beside, over = Box(160, 160, 80, 80), Box(250, 170, 60, 60), Box(200, 200, 60, 60)
    alone, among = opened(crop(pixels, face)), opened(crop(pixels, face, [beside, over]))
    left, top, *_ = with_margin(face, 400, 400)
    inside = slice(160 - top, 240 - top), slice(160 - left, 240 - left)
    assert np.abs(alone[inside].astype(int)[8:-8, 8:-8] - among[inside].astype(int)[8:-8, 8:-8]).max() < 30
    grey = among[180 - top : 220 - top, 258 - left : 300 - left].astype(int)
    assert np.abs(grey - GREY).max() < 12
    assert (pixels != GREY).all(), "the frame itself is left alone"


def test_the_detector_looks_at_a_copy_of_bounded_size() -> None:
    assert scan_scale(640, 480) == 2.0
    assert scan_scale(1920, 1080) == pytest.approx(1.0, abs=0.01)
    assert scan_scale(4000, 3000) ** 2 * 12_000_000 == pytest.approx(SCANNED_PIXELS)


@pytest.mark.parametrize("side", [240, 300, 900, 2400])
def test_a_face_is_found_where_it_is_whatever_the_size_of_the_frame(detector: Detector, side: int) -> None:
    (reference,) = detector(np.asarray(portrait()))
    (found,) = detector(np.asarray(portrait().resize((side, side), Image.Resampling.LANCZOS)))
    scale = side / 300
    expected = Box(*(round(scale * n) for n in (reference.left, reference.top, reference.width, reference.height)))
    assert overlap(found, expected) > 0.7


def test_in_a_frame_without_a_face_none_is_found(detector: Detector) -> None:
    assert detector(np.full((480, 640, 3), 128, dtype=np.uint8)) == []


def test_the_gateways_encoder_finds_one_face_in_every_crop_and_says_the_same_of_it(
    detector: Detector, encoder: DlibEncoder, faces: Path
) -> None:
    photos = sorted(path for path in faces.rglob("*") if path.suffix in {".jpg", ".bmp", ".png"})
    alike: list[float] = []
    for photo in photos[::12]:
        pixels = opened(photo.read_bytes())
        boxes = detector(pixels)
        whole = encoder.encode(pixels, max_faces=64, thumbnails=False)
        for face in boxes:
            (again,) = encoder.encode(
                opened(crop(pixels, face, [other for other in boxes if other is not face])),
                max_faces=9,
                thumbnails=False,
            )
            best = max(whole, key=lambda one: overlap(one.box, face))
            alike.append(float(best.embedding @ again.embedding))
    assert len(alike) > 20
    assert np.median(alike) > 0.998
    assert min(alike) > 0.98


def test_a_crop_is_a_jpeg_of_good_quality() -> None:
    jpeg = crop(np.asarray(portrait()), Box(100, 60, 100, 100))
    with Image.open(io.BytesIO(jpeg)) as picture:
        assert picture.format == "JPEG"
