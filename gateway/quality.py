"""Which faces are good enough for what: the limits, and the reasons why one is refused.

Only sightings are held to it: a camera sends another photo in a moment, and a stranger enrolled from a poor one would
be a face that nobody matches, or anybody. Photos that somebody enrols by hand are taken as they are.

The limits of a sighting were measured on 268 photos of 60 people and on 27 spoiled copies of each; "own" is the share
that is nearest to the mean of the same person's other photos, among all 60. Of the untouched photos 0.4% are refused.
Of the spoiled copies that pass, own is 99.6%; of the refused 85%.

SMALL_FACE      below 40 px; 36 px: own 99%, 40 px and more: 100%. dlib finds nothing much smaller, so it says little.
BLURRED         sharpness below 1.2. From 1.2 to 2: own 97%; 0.9 to 1.2: 87%; 0.3 to 0.6: 64%; below: 31%.
DARK            brightness below 25. Darkness itself hurts late: own is 99% at 19, 96% at 13, 83% at 7; with a camera's
                noise (standard deviation 2) 91% at 12.
BRIGHT          above 220. Overexposed, 210 to 220: own 96%; 225 to 230: 92%; above 240: 65%.
EXTREME_POSE    yaw beyond 60 degrees. dlib finds hardly any such face, and up to there own stays 100%: not measured.
LOW_CONFIDENCE  below 0.2: own 57%, nearly all of them blurred or overexposed too; of the others 96%.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from common.settings import QualitySettings
from gateway.encoder import Quality


class Purpose(StrEnum):
    ENROL = "enrol"
    """a face to compare all others with"""
    SIGHT = "sight"
    """a face in passing"""


class Reason(StrEnum):
    NO_FACE = "NO_FACE"
    """the photo shows none; never said of a face"""
    SMALL_FACE = "SMALL_FACE"
    BLURRED = "BLURRED"
    DARK = "DARK"
    BRIGHT = "BRIGHT"
    EXTREME_POSE = "EXTREME_POSE"
    LOW_CONFIDENCE = "LOW_CONFIDENCE"


@dataclass(frozen=True, slots=True)
class Limits:
    """Units as in `Quality`; a value equal to its limit passes."""

    min_face: float
    min_sharpness: float
    min_brightness: float
    max_brightness: float
    max_yaw: float
    min_confidence: float


ENROL = Limits(min_face=80, min_sharpness=3, min_brightness=40, max_brightness=209, max_yaw=36, min_confidence=0.5)
"""What a good template has: 88% of the untouched photos; of the spoiled ones that pass, own is 100%."""


def limits(purpose: Purpose, settings: QualitySettings) -> Limits:
    match purpose:
        case Purpose.ENROL:
            return ENROL
        case Purpose.SIGHT:
            return Limits(
                min_face=settings.sight_min_face,
                min_sharpness=settings.sight_min_sharpness,
                min_brightness=settings.sight_min_brightness,
                max_brightness=settings.sight_max_brightness,
                max_yaw=settings.sight_max_yaw,
                min_confidence=settings.sight_min_confidence,
            )
    assert_never(purpose)


def reasons(quality: Quality, purpose: Purpose, settings: QualitySettings) -> tuple[Reason, ...]:
    """Everything that is wrong with the face for this purpose, in the order of `Reason`; empty: it is good enough."""
    limit = limits(purpose, settings)
    wrong = {
        Reason.SMALL_FACE: quality.face_size < limit.min_face,
        Reason.BLURRED: quality.sharpness < limit.min_sharpness,
        Reason.DARK: quality.brightness < limit.min_brightness,
        Reason.BRIGHT: quality.brightness > limit.max_brightness,
        Reason.EXTREME_POSE: abs(quality.yaw) > limit.max_yaw,
        Reason.LOW_CONFIDENCE: quality.confidence < limit.min_confidence,
    }
    return tuple(reason for reason, is_wrong in wrong.items() if is_wrong)
