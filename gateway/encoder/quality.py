"""How good a photo of a face is to recognise, in numbers: of the aligned face's pixels and the five landmarks.

Pure, and cheap beside the embedding: 0.3 ms, the alignment included, against 3. It does not judge: what is
enough for which purpose is said in `gateway/quality.py`. The measures and their limits:

size         Smaller side of the part of the detector's box that lies in the photo, in pixels. dlib's detector knows
             some twenty sizes only, each a fifth larger than the last; the distance of the eyes is finer.
sharpness    1000 x (variance of the Laplacian - ROUNDING) / variance of the luma, of the aligned face, 150 x 150, its
             inner 100 x 100 alone: the background must not count. Laplacian: the four neighbours less four times the
             pixel. The aligned face is scaled, so blur is measured in parts of the face, and a face enlarged from few
             pixels is as blurred as it looks. Divided by the variance, because a dim face is not a blurred one:
             darkened to a quarter, faces keep their sharpness and are recognised as before. Noise counts as sharp.
             Sharp faces have 10 to 80; blurred by a Gaussian of 3% of their width, 0.7.
brightness   Mean luma of the same pixels, 0 to 255: 0.299 R + 0.587 G + 0.114 B.
roll         Angle of the line between the eyes, degrees; positive: clockwise in the photo. Exact to a few degrees.
yaw          atan(offset / (NOSE_DEPTH x eye distance)), degrees; offset: of the base of the nose from the middle of the
             eyes, along their line; positive: to the right of the photo. It takes the face for flat but for the nose,
             the nose for average and straight, and the camera for far. A number to sort by: it was compared with
             no measured angle, only with dlib's own filters for faces turned left and right (medians -24 and 23).
confidence   Score of the detector; 0 is its own limit, clear frontal faces have 1 to 3.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gateway.encoder.decode import Pixels
from gateway.encoder.types import Box, Quality

Points: TypeAlias = npt.NDArray[np.float64]
"""(5, 2): x, y of the right-hand eye's two corners, the left-hand eye's two (as seen in the photo), the nose's base"""

CHIP_SIDE = 150
INNER = slice(25, 125)
LUMA = np.array([0.299, 0.587, 0.114])
ROUNDING = 1.0
"""variance of the Laplacian that rounding the pixels leaves of a face without any detail, as measured"""
NOSE_DEPTH = 0.3
"""by how much the base of the nose lies before the eyes, in distances of the eyes, in an average head"""


def measure(box: Box, points: Points, chip: Pixels, confidence: float) -> Quality:
    """The quality of one face: its visible box, landmarks and detector score, and its aligned (150, 150, 3) pixels."""
    distance, roll, yaw = pose(points)
    luma = chip[INNER, INNER] @ LUMA
    return Quality(
        face_size=float(min(box.width, box.height)),
        eye_distance=distance,
        sharpness=sharpness(luma),
        brightness=float(luma.mean()),
        yaw=yaw,
        roll=roll,
        confidence=confidence,
    )


def pose(points: Points) -> tuple[float, float, float]:
    """Distance of the eyes in pixels, roll and yaw in degrees; all 0 where the landmarks fall together."""
    right, left, nose = points[0:2].mean(axis=0), points[2:4].mean(axis=0), points[4]
    across = right - left
    distance = float(np.hypot(*across))
    if distance == 0:
        return 0.0, 0.0, 0.0
    offset = float((nose - (left + right) / 2) @ across) / distance
    roll = math.degrees(math.atan2(across[1], across[0]))
    return distance, roll, math.degrees(math.atan(offset / (NOSE_DEPTH * distance)))


def sharpness(luma: npt.NDArray[np.float64]) -> float:
    """Of (h, w) luma, h and w >= 3, by the formula above; 0 where there is no detail at all."""
    variance = float(luma.var())
    if variance == 0:
        return 0.0
    return 1000 * max(0.0, float(laplacian(luma).var()) - ROUNDING) / variance


def laplacian(luma: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(h, w) → (h - 2, w - 2)"""
    centre = luma[1:-1, 1:-1]
    return luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * centre
