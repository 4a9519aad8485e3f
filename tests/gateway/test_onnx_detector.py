"""Outputs of SCRFD and YuNet decoded, doubles dropped, and faces said as dlib says them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from common.errors import BrokenModel
from common.types import DLIB_SPACE
from gateway.encoder.dlib_detector import DlibDetector
from gateway.encoder.dlib_embedder import DlibEmbedder
from gateway.encoder.face_encoder import FaceEncoder, visible_box
from gateway.encoder.face_points import FacePoints
from gateway.encoder.manifest import DetectorManifest, read_manifest
from gateway.encoder.onnx_detector import Found, OnnxDetector, area_of, letterbox, without_doubles, yunet
from gateway.encoder.onnx_model import OnnxModel
from tests.gateway import small_models
from tests.gateway.encoder_photos import FACES, needs_faces, overlap, portrait
from tests.gateway.small_models import Face

PIXELS = np.asarray(portrait())
POINTS = [[113.0, 101.0], [156.0, 104.0], [135.0, 127.0], [111.0, 139.0], [155.0, 141.0]]
BOX = (95.0, 60.0, 175.0, 165.0)
"""of the portrait's face, as networks draw boxes: from hairline to chin"""
styles = pytest.mark.parametrize("make", [small_models.scrfd, small_models.yunet])
Make = Callable[..., Path]


def opened(path: Path) -> OnnxDetector:
    manifest = read_manifest(path)
    assert isinstance(manifest, DetectorManifest)
    return OnnxDetector(manifest)


def in_picture(scale: float, shift: float = 0.0, score: float = 0.9) -> Face:
    """The portrait's face in the picture of a model that sees the portrait scaled and moved to the right."""
    left, top, right, bottom = (side * scale for side in BOX)
    points = (np.array(POINTS) * scale + (shift, 0)).tolist()
    return Face((left + shift, top, right + shift, bottom), points, score)


@styles
def test_a_face_is_found_where_the_outputs_say_and_a_black_photo_has_none(tmp_path: Path, make: Make) -> None:
    detector = opened(make(tmp_path, [in_picture(320 / 300)]))
    [face] = detector.locate(PIXELS)
    assert face.area == pytest.approx(area_of(np.array(POINTS)), abs=1e-3)
    assert face.score == pytest.approx(0.9)
    assert detector.locate(np.zeros_like(PIXELS)) == []


@styles
def test_faces_of_a_wide_photo_are_in_its_own_pixels(tmp_path: Path, make: Make) -> None:
    wide = np.hstack([PIXELS, PIXELS, PIXELS])
    scale = 320 / 900
    detector = opened(make(tmp_path, [in_picture(scale), in_picture(scale, 200, 0.7), in_picture(scale, 100, 0.5)]))
    first, second = detector.locate(wide)
    assert (first.score, second.score) == pytest.approx((0.9, 0.7))  # 0.5 is below the manifest's min_score
    assert first.area == pytest.approx(area_of(np.array(POINTS)), abs=1e-3)
    assert second.area == pytest.approx(area_of(np.array(POINTS) + np.array([200 / scale, 0])), abs=0.3)


def test_landmarks_and_quality_are_dlibs_whatever_found_the_face(tmp_path: Path) -> None:
    embedders = {DLIB_SPACE: DlibEmbedder()}
    own = FaceEncoder(opened(small_models.scrfd(tmp_path, [in_picture(320 / 300)])), embedders)
    [found] = own.encode(PIXELS, max_faces=9, thumbnails=False)
    [expected] = FaceEncoder(DlibDetector(), embedders).encode(PIXELS, max_faces=9, thumbnails=False)
    assert overlap(found.box, expected.box) > 0.7
    assert float(found.embedding @ expected.embedding) > 0.97
    assert found.quality.eye_distance == pytest.approx(expected.quality.eye_distance, rel=0.1)
    assert found.quality.yaw == pytest.approx(expected.quality.yaw, abs=8)
    assert found.quality.confidence == pytest.approx(0.9)


@needs_faces
def test_the_square_derived_from_five_points_is_the_one_that_dlib_draws() -> None:
    detector, points, overlaps = DlibDetector(), FacePoints(), []
    for photo in sorted((FACES / "people").glob("*/*.jpg"))[::50]:
        pixels = np.asarray(Image.open(photo).convert("RGB"))
        for face in detector.locate(pixels):
            derived = area_of(points.of(pixels, face.area))
            overlaps.append(overlap(visible_box(derived, pixels), visible_box(face.area, pixels)))
    assert len(overlaps) >= 5
    assert min(overlaps) > 0.55
    assert np.median(overlaps) > 0.75


def test_a_yunet_is_decoded_as_opencv_does(tmp_path: Path) -> None:
    manifest = read_manifest(small_models.yunet(tmp_path, [in_picture(1.0), in_picture(0.5, 200, 0.7)]))
    picture, _ = letterbox(np.pad(PIXELS, ((0, 20), (0, 20), (0, 0))), 320)
    opencv = cv2.FaceDetectorYN.create(str(tmp_path / manifest.file), "", (320, 320), 0.6, 0.4)
    _, expected = opencv.detect(np.ascontiguousarray(picture[..., ::-1]))
    model = OnnxModel(manifest)
    found = yunet(model, 320)(model.run(picture[None]))
    kept = without_doubles(found, 0.6, 0.4)
    sizes = found.boxes[kept, 2:] - found.boxes[kept, :2]
    ours = np.hstack([found.boxes[kept, :2], sizes, found.points[kept].reshape(-1, 10), found.scores[kept][:, None]])
    assert np.allclose(ours, expected, atol=1e-3)
    assert len(ours) == 2


def test_of_overlapping_boxes_the_surest_stays_and_ties_keep_their_order() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [20, 0, 30, 10], [40, 0, 50, 10]], dtype=float)
    found = Found(np.array([0.7, 0.9, 0.8, 0.8, 0.1]), boxes, np.zeros((5, 5, 2)))
    assert without_doubles(found, min_score=0.5, nms=0.4) == [1, 2]
    assert without_doubles(found, min_score=0.5, nms=0.9) == [1, 2, 0]
    assert without_doubles(found, min_score=0.95, nms=0.4) == []


def test_a_photo_is_fitted_into_the_upper_left_of_the_models_square() -> None:
    picture, scale = letterbox(PIXELS[:150], 200)
    assert scale == 200 / 300
    assert picture[:99].any(axis=(1, 2)).all()
    assert not picture[100:].any()
    for strip in (np.full((1, 5000, 3), 200, np.uint8), np.full((5000, 1, 3), 200, np.uint8)):
        assert letterbox(strip, 200)[0].any()


@styles
def test_a_detector_of_another_style_is_refused(tmp_path: Path, make: Make) -> None:
    other = "yunet" if make is small_models.scrfd else "scrfd"
    with pytest.raises(BrokenModel, match=f"a {other} has"):
        opened(make(tmp_path, [], style=other))


def test_an_encoder_is_no_detector(tmp_path: Path) -> None:
    content = small_models.projection(320, 8, seed=0)
    said: dict[str, Any] = small_models.detector_manifest("odd", "scrfd", small_models.input_of(320))
    with pytest.raises(BrokenModel, match="a scrfd has one output of 3200 x 1"):
        opened(small_models.save(tmp_path, content, said))


@styles
def test_numbers_that_are_no_face_are_no_face(tmp_path: Path, make: Make) -> None:
    """A network that overflows for one cell has found nothing there."""
    odd = Face(BOX, [[float("inf"), 0.0]] * 5, 0.9)
    with pytest.raises(BrokenModel, match="NaN or infinity"):
        opened(make(tmp_path, [odd]))


@styles
@pytest.mark.parametrize(
    "points",
    [
        np.array(POINTS) * 1e30,
        np.array(POINTS) * 1e4,
        np.array(POINTS) * 20,
        np.array(POINTS) + 5000,
        np.full((5, 2), 100.0),
    ],
    ids=["beyond whole numbers", "huge", "larger than the photo", "beside the photo", "a point"],
)
def test_points_where_no_face_can_be_are_no_face(tmp_path: Path, make: Make, points: Any) -> None:
    detector = opened(make(tmp_path, [Face(BOX, points.tolist(), 0.9)]))
    assert detector.locate(PIXELS) == []


@styles
def test_no_face_is_surer_than_sure(tmp_path: Path, make: Make) -> None:
    [face] = opened(make(tmp_path, [in_picture(320 / 300, score=7.0)])).locate(PIXELS)
    assert face.score == 1
