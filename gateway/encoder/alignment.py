"""How a face is cut out of a photo for a network: a similarity (turn, scale, shift) and bilinear pixels. Pure.

Points are complex numbers here, x + iy, pixel centres at whole numbers: a similarity is then z → turn * z + shift, and
the one that lays points on others with the least squared error has a closed form (Umeyama 1991, without reflection):

    turn = sum(conj(z - mean z) * (w - mean w)) / sum(|z - mean z|^2),   shift = mean w - turn * mean z

ArcFace's five points for 112 x 112 are insightface's `arcface_src`. They are fitted from the photo to the template and
then turned round, as insightface does: the other direction differs by a little scale, and a network wants what it was
trained with. dlib's own alignment is left to dlib (`dlib_chips`).

What lies beyond the photo is black, as in those libraries. A face larger than its picture is first reduced by the
whole part of the scale: bilinear sampling alone would leave pixels out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from common.errors import InvalidImage
from gateway.encoder.decode import Pixels
from gateway.encoder.steps import Area

Points: TypeAlias = npt.NDArray[np.float64]
"""(n, 2): x, y"""

ARCFACE_SIDE = 112
ARCFACE: Points = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)


@dataclass(frozen=True, slots=True)
class Similarity:
    """From a picture's pixels to the photo's."""

    turn: complex
    shift: complex

    @property
    def scale(self) -> float:
        """pixels of the photo for one of the picture"""
        return abs(self.turn)

    def inverse(self) -> Similarity:
        return Similarity(1 / self.turn, -self.shift / self.turn)


def fit(source: Points, target: Points) -> Similarity:
    """The similarity that lays `source` on `target`, both (n, 2). Raises InvalidImage where all points of one fall
    together: no face has such landmarks."""
    z, w = source @ (1, 1j), target @ (1, 1j)
    from_mean, to_mean = complex(z.mean()), complex(w.mean())
    spread = float((np.abs(z - from_mean) ** 2).sum())
    turn = complex((np.conj(z - from_mean) * (w - to_mean)).sum()) / spread if spread else 0j
    if not turn:
        raise InvalidImage("The landmarks of a face fall together.", field="image")
    return Similarity(turn, to_mean - turn * from_mean)


def of_five_points(points: Points, template: Points, side: float, size: int) -> Similarity:
    """Of a picture of `size` pixels, with the (5, 2) points laid on a template made for `side` pixels. The order of the
    points: eye at the left of the photo, eye at the right, tip of the nose, corners of the mouth."""
    return fit(points, template * (size / side)).inverse()


def of_box(area: Area, margin: float, size: int) -> Similarity:
    """Of a picture of `size` pixels that shows the square `area` and half of `margin` (parts of its side) on each
    side."""
    left, top, right, bottom = area
    middle = complex(left + right, top + bottom) / 2
    side = max(right - left, bottom - top) + 1
    turn = complex(side * (1 + margin) / size)
    return Similarity(turn, middle - turn * complex(size - 1, size - 1) / 2)


def cut_out(pixels: Pixels, size: int, where: Similarity) -> Pixels:
    """The (size, size, 3) picture whose pixel z is the photo's at `where`."""
    corners = [where.turn * complex(x, y) + where.shift for x in (-1, size) for y in (-1, size)]
    factor = max(1, math.floor(where.scale))
    left, right = _span([corner.real for corner in corners], factor, pixels.shape[1])
    top, bottom = _span([corner.imag for corner in corners], factor, pixels.shape[0])
    if left >= right or top >= bottom:
        return np.zeros((size, size, 3), dtype=np.uint8)
    part = Image.fromarray(pixels[top:bottom, left:right])
    if factor > 1:
        part = part.reduce(factor)
    # Pillow counts from the corner of the first pixel, not from its middle.
    a, b = where.turn.real / factor, where.turn.imag / factor
    corner = (where.shift + complex(0.5 - left, 0.5 - top) - where.turn * complex(0.5, 0.5)) / factor
    coefficients = (a, -b, corner.real, b, a, corner.imag)
    picture = part.transform((size, size), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
    return np.asarray(picture)


def _span(ends: list[float], factor: int, limit: int) -> tuple[int, int]:
    """The photo's pixels that are looked at along one axis, and what is averaged with them."""
    spare = 2 * factor
    return max(0, math.floor(min(ends)) - spare), min(limit, math.ceil(max(ends)) + spare)
