"""Which faces are good enough for what: the limits, and the reasons why one is refused.

Two purposes, one table of limits each, both in the settings. A template is compared with everybody from then on, so
enrolling is strict, and whoever sent the photo is told what to do better. A camera sends another photo in a moment, so
a sighting is refused only where a stranger enrolled from it would be a face that nobody matches, or anybody.
Embeddings carry no picture and are not judged.

The limits were measured (`python -m tests.accuracy.quality`, dlib) on 268 photos of 60 people and 31 spoiled copies of
each, 7,348 of them with a face in them still. "Own" is the share nearest to the mean of the same person's other photos,
among all 60; "verified" the share that reaches, against it, the score of FMR 1e-3. Untouched: own 100%, verified 99.6%.

                 untouched refused   spoiled that pass             spoiled that are refused
    enrolling    2.6%                own 99.8%, verified 99.0%     own 87.4%, verified 82.3%
    a sighting   0.4%                own 99.3%, verified 98.4%     own 81.6%, verified 74.5%

Of copies with nothing else wrong, verified were:

SMALL_FACE      of 60 px and more 99%; merely smaller copies stay at 97% down to 34 px. But what a camera compresses
                loses more: stored as JPEG (quality 40), 60 px: 98%, 50 px: 96%, 40 px: 93%. The distance of the eyes is
                finer than the detector's sizes, and says the same.
BLURRED         sharpness from 3: 99%; 2 to 3: 98%; 1.2 to 2: 88%; 0.6 to 0.9: 71%; below 0.3: 28%.
DARK            brightness from 25: 99%; 15 to 25: 96%; 10 to 15: 94%, and below that the detector finds few.
BRIGHT          150 to 180: 100%; 200 to 220: 96%; 220 to 230: 91%; above: 64%.
EXTREME_POSE    97% and more at any yaw; but dlib's detector finds few faces beyond 50 degrees (5 of the 268 untouched),
                so little is known of them.
LOW_CONFIDENCE  from 1.2: 99.8%; 0.5 to 1.2: 97%; 0.2 to 0.5: 95%; below 0.1: 91%. At another size the same face may
                score 0.3 more or less, so the limits are low.

No limit for roll: turned by 45 degrees, 98% of the faces found are verified, because faces are aligned. The score of a
detector that is not dlib's has a scale of its own.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from enum import StrEnum

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
    MULTIPLE_FACES = "MULTIPLE_FACES"
    """the photo shows several and one was asked for; never said of a face"""
    SMALL_FACE = "SMALL_FACE"
    BLURRED = "BLURRED"
    DARK = "DARK"
    BRIGHT = "BRIGHT"
    EXTREME_POSE = "EXTREME_POSE"
    LOW_CONFIDENCE = "LOW_CONFIDENCE"


@dataclass(frozen=True, slots=True)
class Limits:
    """Units as in `Quality`; a value equal to its limit passes. The settings are `<purpose>_<limit>`."""

    min_face: float
    min_eye_distance: float
    min_sharpness: float
    min_brightness: float
    max_brightness: float
    max_yaw: float
    min_confidence: float


@dataclass(frozen=True, slots=True)
class Fault:
    """One limit that a face breaks."""

    reason: Reason
    measure: str
    """the number of `Quality` that is beyond it"""
    value: float
    limit: str
    """which of `Limits`"""
    bound: float

    def __str__(self) -> str:
        least = self.limit.startswith("min")
        allowed = f"at least {self.bound:g}" if least else f"at most {self.bound:g}"
        either_way = " either way" if self.measure == "yaw" else ""
        return f"{self.reason} ({self.measure} {self.value:.3g}, {allowed}{either_way})"


CHECKS: tuple[tuple[Reason, str, str], ...] = (
    (Reason.SMALL_FACE, "face_size", "min_face"),
    (Reason.SMALL_FACE, "eye_distance", "min_eye_distance"),
    (Reason.BLURRED, "sharpness", "min_sharpness"),
    (Reason.DARK, "brightness", "min_brightness"),
    (Reason.BRIGHT, "brightness", "max_brightness"),
    (Reason.EXTREME_POSE, "yaw", "max_yaw"),
    (Reason.LOW_CONFIDENCE, "confidence", "min_confidence"),
)
"""reason, the number of `Quality`, its limit; in the order of `Reason`"""


ADVICE = {
    Reason.SMALL_FACE: "Come closer, or send a larger photo.",
    Reason.BLURRED: "Hold still, and focus on the face.",
    Reason.DARK: "Give the face more light.",
    Reason.BRIGHT: "Give the face less light.",
    Reason.EXTREME_POSE: "Look into the camera.",
    Reason.LOW_CONFIDENCE: "Show the whole face, with nothing before it.",
}
"""what a person can do about it"""


def limits(purpose: Purpose, settings: QualitySettings) -> Limits:
    return Limits(**{limit.name: getattr(settings, f"{purpose}_{limit.name}") for limit in fields(Limits)})


def faults(quality: Quality, purpose: Purpose, settings: QualitySettings) -> tuple[Fault, ...]:
    """Every limit that the face breaks for this purpose, in the order of `Reason`; empty: it is good enough."""
    limit = limits(purpose, settings)
    checked = (
        Fault(reason, measure, getattr(quality, measure), name, getattr(limit, name))
        for reason, measure, name in CHECKS
    )
    return tuple(fault for fault in checked if _is_broken(fault))


def reasons(quality: Quality, purpose: Purpose, settings: QualitySettings) -> tuple[Reason, ...]:
    """Everything that is wrong with the face for this purpose, each once, in the order of `Reason`."""
    return tuple(dict.fromkeys(fault.reason for fault in faults(quality, purpose, settings)))


def numbers(quality: Quality) -> dict[str, float]:
    """As they are shown."""
    return {name: round(value, 2) for name, value in asdict(quality).items()}


def _is_broken(fault: Fault) -> bool:
    if fault.limit.startswith("min"):
        return fault.value < fault.bound
    return abs(fault.value) > fault.bound
