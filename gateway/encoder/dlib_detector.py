"""Faces by dlib's HOG detector, in two steps: a coarse scan proposes, a closer look at each proposal decides.

dlib's window is 80 pixels, so a photo is scanned at many sizes. face_recognition doubles the photo, then takes a sixth
off its sides again and again, in colour: 300 ms for 1280 x 960 pixels. Here the scan is grey (a third cheaper) and goes
down in steps of STEP: less than half as many pixels in all. What it loses that way are not faces but certainty: a face
between two sizes scores less. So it takes everything above PROPOSED, some 5 places a photo, and each is cut out, scaled
to the size that the window likes best, and scanned at all sizes.

Measured against face_recognition's default on 17 photos of groups, as they are and at 1280 x 960, and 6 collages of 20
to 108 small faces: with PROPOSED -0.5 the scan misses none of 514 faces, with -0.4 one, with -0.2 eight; of 410
portraits stretched to 1280 x 960, one needs -0.7. Grey against colour made no difference.
`python -m tests.accuracy.detection` measures again.

Whether a face near the limit is found depends on where dlib's cells of 8 pixels fall: its score goes up and down by
0.3 when the picture moves by half a cell. So a place that is NEAR to being a face gets a few looks, each of another
size, until one is CLEAR. LOOKS were chosen on the 136 faces that face_recognition itself scores below 0.6: the first
look finds 119, all of them 134; the other two have 0.02 and 0.04. Scores are face_recognition's in the mean (-0.001).

How much is scanned. `detection` says how small a face may be: 80 pixels (fast), 40 (standard, as face_recognition),
27 (thorough); the time is that of the pixels. The copy of a large photo is bounded (`Reach.pixels`; standard: a doubled
full-HD frame), so the time stays and the smallest face found grows with the photo: 98 pixels in 12 megapixels, 200 in
50, which is the size from which the embedding network profits anyway.

Rejected: one scan of the undoubled photo that asks for a second one where small faces may be (HOG looks at every
contrast alike, so any texture may hold one); dlib's frontal window alone for the scan (a third cheaper, loses 21 of
the 514); looks in colour (half as dear again, find the same).

Not thread-safe; dlib holds the GIL.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from common.settings import Detection
from gateway.encoder.decode import Pixels
from gateway.encoder.dlib_models import LANDMARKS, load_dlib, model_file
from gateway.encoder.steps import Area, Located

SCANNED_SIDE = 16_000
"""only strips longer than 30 times their width notice; dlib 20.0 writes beyond its memory from about 80,000 on"""
WINDOW = 80
"""pixels, side of dlib's window: the smallest face in what it scans"""
LEAST_SIDE = 64
"""pixels; a smaller copy of a photo holds no face (dlib's own bound)"""
STEP = (5 / 6) ** 2.5
"""from one scanned size to the next; dlib's own: 5 / 6"""
FIRST = (5 / 6) ** 0.5
"""the first scanned size, in parts of the largest: the smallest faces still fill the window nearly"""
PROPOSED = -0.75
"""score of the scan from which on a place is looked at; 0 is the detector's own limit"""
FOUND, NEAR, CLEAR = 0.0, -0.5, 0.7
"""score of a look from which on it is a face; from which on it is worth another look; and from which on it is not"""
LOOKS = ((2.0, 90), (2.0, 102), (2.75, 84), (2.0, 84), (2.5, 96))
"""what a look sees: a square, in sides of the proposed face; and how large the proposed face is in it, in pixels"""
MOST_PROPOSALS = 500
"""the surest ones; a photo made to have more shall not keep an encoder busy for minutes"""
SAME_PLACE = 0.5
"""intersection over union, from which on two proposals are one face: those of neighbouring sizes have 0.4 and more"""
SAME_FACE, WITHIN = 0.33, 0.79
"""intersection over union, or over the smaller one, from which on the better of two faces is kept; dlib's own values"""


class Reach(NamedTuple):
    upsample: float
    """by how much a photo is enlarged at most"""
    pixels: int
    """most pixels of the enlarged copy"""


REACH = {
    Detection.FAST: Reach(1.0, 2_100_000),
    Detection.STANDARD: Reach(2.0, 8_400_000),
    Detection.THOROUGH: Reach(3.0, 18_900_000),
}
"""pixels: of a full-HD frame enlarged so, and a little"""


class Found(NamedTuple):
    score: float
    area: Area


class DlibDetector:
    """Loads in 0.1 s, 10 MB. Raises EncoderMissing where dlib or its models are not installed."""

    def __init__(self, detection: Detection = Detection.STANDARD) -> None:
        self._dlib = load_dlib()
        self._landmarks = self._dlib.shape_predictor(str(model_file(LANDMARKS)))
        self._detector = self._dlib.get_frontal_face_detector()
        self._one_size = one_size(self._dlib, self._detector)
        self._reach = REACH[detection]

    def locate(self, pixels: Pixels) -> list[Located]:
        """Faces of an upright RGB photo, the surest first. Areas may reach beyond its edge; landmarks are best so."""
        grey = Image.fromarray(pixels).convert("L")
        found: list[Found] = []
        for place in distinct(self._proposals(grey), SAME_PLACE, 1.0)[:MOST_PROPOSALS]:
            if not any(alike(place.area, face.area, SAME_PLACE, 1.0) for face in found):
                found += self._faces_at(grey, place.area)
        return [self._located(pixels, face) for face in distinct(found, SAME_FACE, WITHIN)]

    def _proposals(self, grey: Image.Image) -> Iterator[Found]:
        """Every place of the photo that may be a face."""
        for scale in scanned_scales(*grey.size, self._reach):
            yield from self._scan(self._one_size, grey, (0, 0, *grey.size), scale, PROPOSED)

    def _faces_at(self, grey: Image.Image, place: Area) -> list[Found]:
        """The faces at one proposed place and around it; those of the later looks beside those of the earlier ones."""
        side = place[2] - place[0]
        found: list[Found] = []
        for sides, seen_as in LOOKS:
            part = around(place, sides * side, grey.size)
            near = list(self._scan(self._detector, grey, part, seen_as / side, NEAR))
            found += [face for face in near if face.score >= FOUND]
            if not near or max(near).score >= CLEAR:
                break
        return found

    def _scan(
        self, detector: Any, grey: Image.Image, part: tuple[int, int, int, int], scale: float, least: float
    ) -> Iterator[Found]:
        """What a detector finds in a part of the photo, scaled; in pixels of the photo."""
        left, top, right, bottom = part
        size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
        copy = grey.resize(size, Image.Resampling.BILINEAR, part, reducing_gap=2.0 if scale < 1 else None)
        areas, scores, _ = detector.run(np.asarray(copy), 0, least)
        for a, score in zip(areas, scores, strict=True):
            yield Found(
                score,
                (left + a.left() / scale, top + a.top() / scale, left + a.right() / scale, top + a.bottom() / scale),
            )

    def _located(self, pixels: Pixels, face: Found) -> Located:
        left, top, right, bottom = (round(corner) for corner in face.area)
        shape = self._landmarks(pixels, self._dlib.rectangle(left, top, right, bottom))
        points = np.array([(point.x, point.y) for point in shape.parts()], dtype=np.float64)
        return Located((left, top, right, bottom), face.score, points)


def detection_scale(width: int, height: int, reach: Reach = REACH[Detection.STANDARD]) -> float:
    """By how much the largest copy that is looked at is larger or smaller than the photo."""
    return min(reach.upsample, math.sqrt(reach.pixels / (width * height)), SCANNED_SIDE / max(width, height))


def scanned_scales(width: int, height: int, reach: Reach) -> Iterator[float]:
    """The sizes of the scan, largest first, at least one, in parts of the photo's."""
    scale = detection_scale(width, height, reach) * FIRST
    yield scale
    while min(width, height) * (scale := scale * STEP) >= LEAST_SIDE:
        yield scale


def around(place: Area, side: float, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A square of that side with the place in its middle, without what lies beyond the photo; never empty."""
    x, y, reach = (place[0] + place[2]) / 2, (place[1] + place[3]) / 2, side / 2
    width, height = size
    left, top = min(max(0, math.floor(x - reach)), width - 1), min(max(0, math.floor(y - reach)), height - 1)
    right, bottom = min(width, math.ceil(x + reach)), min(height, math.ceil(y + reach))
    return left, top, max(left + 1, right), max(top + 1, bottom)


def distinct(found: Iterator[Found] | Sequence[Found], share: float, covered: float) -> list[Found]:
    """Best first; of those alike the best."""
    kept: list[Found] = []
    for one in sorted(found, reverse=True):
        if not any(alike(one.area, other.area, share, covered) for other in kept):
            kept.append(one)
    return kept


def alike(a: Area, b: Area, share: float, covered: float) -> bool:
    """Two areas have more than `share` of their union in common, or more than `covered` of the smaller one."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return False
    common = width * height
    of_a, of_b = (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])
    return common > share * (of_a + of_b - common) or common > covered * min(of_a, of_b)


def one_size(dlib: Any, detector: Any) -> Any:
    """The same detector, for the size that a photo has and no smaller ones.

    dlib's Python interface cannot say so, but it reads what it writes, and how many sizes are scanned (1000: as many as
    there are) is one of the numbers at the beginning: a byte how many bytes, and those.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "detector"
        detector.save(str(file))
        content = file.read_bytes()
        head = content[:64].replace(b"\x02\xe8\x03", b"\x01\x01")
        file.write_bytes(head + content[64:])
        return dlib.fhog_object_detector(str(file))
