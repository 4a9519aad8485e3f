"""The numbers that are measured of a face: by hand-made landmarks and pixels, and of spoiled photos."""

from __future__ import annotations

import math
from dataclasses import astuple

import numpy as np
import pytest
from PIL import Image, ImageFilter

from common.settings import EncoderSettings
from gateway.encoder import Box, Quality
from gateway.encoder.decode import Pixels, decode
from gateway.encoder.dlib_detector import DlibDetector
from gateway.encoder.dlib_encoder import DlibEncoder
from gateway.encoder.quality import Points, laplacian, measure, pose, sharpness
from tests.gateway.encoder_photos import FACES, needs_faces, portrait

BOX = Box(10, 10, 90, 80)
POINTS: Points = np.array([(70, 40), (60, 40), (40, 40), (30, 40), (50, 60)], dtype=np.float64)
"""eyes 30 pixels apart, the nose below their middle"""


@pytest.fixture(scope="module")
def encoder() -> DlibEncoder:
    return DlibEncoder()


def quality(encoder: DlibEncoder, image: Image.Image) -> Quality:
    [face] = encoder.encode(np.asarray(image), max_faces=64, thumbnails=False)
    return face.quality


def flat(value: int) -> Pixels:
    return np.full((150, 150, 3), value, dtype=np.uint8)


def turned(points: Points, degrees: float) -> Points:
    """Clockwise in the photo, where y grows downwards."""
    angle = math.radians(degrees)
    matrix = np.array([(math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))])
    return np.asarray(points @ matrix)


def seen_from(yaw: float) -> Points:
    """An average head turned by `yaw` degrees, far away: eyes at (±15, 0, 0), the nose's base 9 before them."""
    turn = math.radians(yaw)
    eyes = [(50 + x * math.cos(turn), 40.0) for x in (20, 10, -10, -20)]
    return np.array([*eyes, (50 + 9 * math.sin(turn), 60.0)])


def test_a_face_to_the_camera_has_no_yaw_and_no_roll() -> None:
    assert pose(POINTS) == pytest.approx((30, 0, 0))


@pytest.mark.parametrize("degrees", [-40, -10, 25])
def test_roll_is_the_angle_of_the_eyes_and_leaves_the_rest_alone(degrees: float) -> None:
    assert pose(turned(POINTS, degrees)) == pytest.approx((30, degrees, 0))


@pytest.mark.parametrize("degrees", [-60, -20, 5, 45])
def test_yaw_of_an_average_head_is_its_angle_whatever_its_roll(degrees: float) -> None:
    _, roll, yaw = pose(turned(seen_from(degrees), 12))
    assert (roll, yaw) == pytest.approx((12, degrees))


def test_landmarks_in_one_place_give_numbers() -> None:
    assert pose(np.full((5, 2), 7.0)) == (0, 0, 0)


def test_a_flat_face_has_its_brightness_and_no_sharpness() -> None:
    found = measure(BOX, POINTS, flat(100), 1.5)
    expected = Quality(face_size=80, eye_distance=30, sharpness=0, brightness=100, yaw=0, roll=0, confidence=1.5)
    assert astuple(found) == pytest.approx(astuple(expected))


def test_brightness_is_luma() -> None:
    chip = flat(0)
    chip[..., 1] = 200
    assert measure(BOX, POINTS, chip, 1.0).brightness == pytest.approx(200 * 0.587)


def test_what_is_around_the_face_does_not_count() -> None:
    rng = np.random.default_rng(0)
    chip = rng.integers(0, 255, (150, 150, 3)).astype(np.uint8)
    chip[25:125, 25:125] = 100
    found = measure(BOX, POINTS, chip, 1.0)
    assert found.sharpness == 0
    assert found.brightness == pytest.approx(100)


def test_the_laplacian_is_the_four_neighbours_less_four_times_the_pixel() -> None:
    luma = np.zeros((5, 5))
    luma[2, 2] = 1
    assert laplacian(luma).tolist() == [[0, 1, 0], [1, -4, 1], [0, 1, 0]]


def test_sharpness_does_not_depend_on_contrast_but_for_the_rounding() -> None:
    rng = np.random.default_rng(0)
    strong = rng.normal(120, 30, (100, 100))
    assert sharpness(120 + (strong - 120) / 3) == pytest.approx(sharpness(strong), rel=0.01)
    assert sharpness(120 + (strong - 120) / 1000) == 0


def test_every_number_of_a_real_face_is_plausible(encoder: DlibEncoder) -> None:
    found = quality(encoder, portrait())
    assert 80 < found.face_size < 150
    assert 30 < found.eye_distance < 60
    assert found.sharpness > 10
    assert 80 < found.brightness < 200
    assert abs(found.yaw) < 30
    assert abs(found.roll) < 15
    assert found.confidence > 0.7
    assert {type(value) for value in astuple(found)} == {float}


def test_a_face_turned_in_the_plane_rolls_by_as_much(encoder: DlibEncoder) -> None:
    before, after = quality(encoder, portrait()), quality(encoder, portrait().rotate(-15))
    assert after.roll - before.roll == pytest.approx(15, abs=4)


def test_blurring_lowers_the_sharpness_and_darkening_only_the_brightness(encoder: DlibEncoder) -> None:
    plain = quality(encoder, portrait())
    blurred = quality(encoder, portrait().filter(ImageFilter.GaussianBlur(plain.face_size * 0.03)))
    dark = quality(encoder, portrait().point(lambda value: value * 0.35))
    assert blurred.sharpness < plain.sharpness / 10
    assert blurred.brightness == pytest.approx(plain.brightness, rel=0.1)
    assert dark.brightness == pytest.approx(plain.brightness * 0.35, rel=0.1)
    assert dark.sharpness == pytest.approx(plain.sharpness, rel=0.2)


def test_an_enlarged_face_is_larger_but_not_sharper(encoder: DlibEncoder) -> None:
    plain = quality(encoder, portrait())
    large = quality(encoder, portrait().resize((900, 900), Image.Resampling.BICUBIC))
    assert large.eye_distance == pytest.approx(3 * plain.eye_distance, rel=0.1)
    assert large.face_size > 2 * plain.face_size
    assert large.sharpness < 1.2 * plain.sharpness


def test_a_face_in_a_photo_beyond_full_hd_is_measured_alike(encoder: DlibEncoder) -> None:
    """The detector then sees a reduced copy; the numbers are of the photo itself."""
    upright = portrait().resize((600, 600), Image.Resampling.BICUBIC)
    large = Image.new("RGB", (4000, 3000), "gray")
    large.paste(upright, (1500, 1200))
    alone, found = quality(encoder, upright), quality(encoder, large)
    assert found.eye_distance == pytest.approx(alone.eye_distance, rel=0.1)
    assert found.confidence > 0.5
    assert found.brightness == pytest.approx(alone.brightness, rel=0.05)


@needs_faces
def test_the_detectors_own_sides_of_a_face_agree_with_the_yaw() -> None:
    """dlib looks with five filters; of the first three, one was trained on faces to the camera, two on turned ones."""
    detector = DlibDetector()
    yaws: dict[int, list[float]] = {side: [] for side in range(5)}
    for photo in sorted(FACES.glob("strangers/*"))[::2]:
        pixels = decode(photo.read_bytes(), EncoderSettings())
        _, _, filters = detector._detector.run(pixels, 1, 0.0)
        _, _, yaw = pose(detector.locate(pixels)[0].landmarks)
        yaws[filters[0]].append(yaw)
    left, straight, right = (float(np.median(yaws[side])) for side in (1, 0, 2))
    assert left < -15
    assert abs(straight) < 8
    assert right > 15
