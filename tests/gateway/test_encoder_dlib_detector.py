"""Where faces are looked for, and what each speed setting finds."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from common.settings import Detection
from gateway.encoder.decode import Pixels
from gateway.encoder.dlib_detector import (
    LEAST_SIDE,
    REACH,
    STEP,
    DlibDetector,
    Found,
    alike,
    around,
    distinct,
    scanned_scales,
)
from tests.gateway.encoder_photos import portrait

STANDARD = REACH[Detection.STANDARD]
FACE = 105 / 300
"""width of the portrait's face, in parts of the portrait"""


def scene(face: int) -> Pixels:
    """1000 x 800 with one face of about that many pixels."""
    page = Image.new("RGB", (1000, 800), "gray")
    page.paste(portrait().resize((round(face / FACE),) * 2, Image.Resampling.LANCZOS), (150, 130))
    return np.asarray(page)


@pytest.mark.parametrize(
    ("detection", "found", "missed"),
    [(Detection.FAST, 95, 55), (Detection.STANDARD, 44, 29), (Detection.THOROUGH, 30, 15)],
)
def test_a_setting_finds_faces_down_to_its_size(detection: Detection, found: int, missed: int) -> None:
    detector = DlibDetector(detection)
    [face] = detector.locate(scene(found))
    assert face.area[2] - face.area[0] == pytest.approx(found, rel=0.3)
    assert detector.locate(scene(missed)) == []


def test_the_scans_detector_sees_one_size_only() -> None:
    detector = DlibDetector()
    large = np.asarray(portrait().resize((600, 600)).convert("L"))
    assert len(detector._detector.run(large, 0, 0.0)[0]) == 1
    assert len(detector._one_size.run(large, 0, 0.0)[0]) == 0
    fitting = np.asarray(portrait().resize((240, 240)).convert("L"))
    assert len(detector._one_size.run(fitting, 0, 0.0)[0]) == 1


def test_the_scan_goes_down_to_the_least_side_and_has_a_size_for_any_photo() -> None:
    scales = list(scanned_scales(1280, 960, STANDARD))
    assert scales[0] == pytest.approx(2 * (5 / 6) ** 0.5)
    assert all(small / large == pytest.approx(STEP) for large, small in pairwise(scales))
    assert scales[-1] * 960 >= LEAST_SIDE > scales[-1] * STEP * 960
    for width, height in ((1, 1), (3, 40_000), (150_000, 300)):
        assert len(list(scanned_scales(width, height, STANDARD))) >= 1


def test_a_look_stays_in_the_photo_and_is_never_empty() -> None:
    assert around((10, 10, 30, 30), 40, (100, 50)) == (0, 0, 40, 40)
    assert around((80, 30, 120, 70), 100, (100, 50)) == (50, 0, 100, 50)
    assert around((-90, -90, -80, -80), 20, (100, 50)) == (0, 0, 1, 1)
    assert around((180, 180, 190, 190), 20, (100, 50)) == (99, 49, 100, 50)


def test_of_faces_alike_the_better_is_kept() -> None:
    one, better, apart = (
        Found(1.0, (0, 0, 100, 100)),
        Found(2.0, (10, 10, 110, 110)),
        Found(0.5, (200, 0, 300, 100)),
    )
    assert distinct([one, apart, better], 0.33, 0.79) == [better, apart]
    inner = Found(0.1, (20, 20, 60, 60))
    assert distinct([better, inner], 0.33, 1.0) == [better, inner]
    assert distinct([better, inner], 0.33, 0.79) == [better]
    assert not alike(one.area, (100, 0, 200, 100), 0.0, 0.0)
