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
