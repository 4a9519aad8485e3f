"""Which faces are refused for which purpose, and that they really are the ones that are recognised worse."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from itertools import chain

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from common.settings import QualitySettings
from common.vectors import mean_row
from gateway.encoder import EncodedFace, Quality
from gateway.encoder.dlib_encoder import DlibEncoder
from gateway.quality import ADVICE, CHECKS, Purpose, Reason, faults, limits, reasons
from tests.accuracy.quality import Spoil, blurred, lit, opened, reduced
from tests.gateway.encoder_photos import FACES, needs_faces, portrait

SETTINGS = QualitySettings()
GOOD = Quality(face_size=108, eye_distance=41, sharpness=30, brightness=120, yaw=-5, roll=2, confidence=1.6)


@pytest.fixture(scope="module")
def encoder() -> DlibEncoder:
    return DlibEncoder()


def test_a_good_face_is_good_enough_for_everything() -> None:
    assert [reasons(GOOD, purpose, SETTINGS) for purpose in Purpose] == [(), ()]


AT_LIMIT = [
    (Purpose.SIGHT, "face_size", 40, -0.1, Reason.SMALL_FACE),
    (Purpose.SIGHT, "eye_distance", 10, -0.1, Reason.SMALL_FACE),
    (Purpose.SIGHT, "sharpness", 1.2, -0.01, Reason.BLURRED),
    (Purpose.SIGHT, "brightness", 25, -0.1, Reason.DARK),
    (Purpose.SIGHT, "brightness", 220, 0.1, Reason.BRIGHT),
    (Purpose.SIGHT, "yaw", 60, 0.1, Reason.EXTREME_POSE),
    (Purpose.SIGHT, "yaw", -60, -0.1, Reason.EXTREME_POSE),
    (Purpose.SIGHT, "confidence", 0.2, -0.01, Reason.LOW_CONFIDENCE),
    (Purpose.ENROL, "face_size", 60, -0.1, Reason.SMALL_FACE),
    (Purpose.ENROL, "eye_distance", 20, -0.1, Reason.SMALL_FACE),
    (Purpose.ENROL, "sharpness", 3, -0.01, Reason.BLURRED),
    (Purpose.ENROL, "brightness", 30, -0.1, Reason.DARK),
    (Purpose.ENROL, "brightness", 210, 0.1, Reason.BRIGHT),
    (Purpose.ENROL, "yaw", -50, -0.1, Reason.EXTREME_POSE),
    (Purpose.ENROL, "confidence", 0.3, -0.01, Reason.LOW_CONFIDENCE),
]


@pytest.mark.parametrize(("purpose", "name", "limit", "beyond", "reason"), AT_LIMIT)
def test_a_face_at_the_limit_passes_and_one_beyond_it_is_refused(
    purpose: Purpose, name: str, limit: float, beyond: float, reason: Reason
) -> None:
    assert reasons(replace(GOOD, **{name: limit}), purpose, SETTINGS) == ()
    assert reasons(replace(GOOD, **{name: limit + beyond}), purpose, SETTINGS) == (reason,)


def test_a_fault_says_the_number_and_its_limit() -> None:
    [fault] = faults(replace(GOOD, sharpness=0.84), Purpose.ENROL, SETTINGS)
    assert str(fault) == "BLURRED (sharpness 0.84, at least 3)"
    assert (fault.limit, fault.bound) == ("min_sharpness", 3)
    [turned] = faults(replace(GOOD, yaw=-71.3), Purpose.ENROL, SETTINGS)
    assert str(turned) == "EXTREME_POSE (yaw -71.3, at most 50 either way)"


def test_a_face_too_small_in_two_ways_is_called_small_once() -> None:
    tiny = replace(GOOD, face_size=30, eye_distance=9)
    assert [fault.limit for fault in faults(tiny, Purpose.SIGHT, SETTINGS)] == ["min_face", "min_eye_distance"]
    assert reasons(tiny, Purpose.SIGHT, SETTINGS) == (Reason.SMALL_FACE,)


def test_there_is_advice_for_whatever_a_face_is_refused_for() -> None:
    assert ADVICE.keys() == {reason for reason, _, _ in CHECKS}


def test_every_reason_of_a_face_is_said_at_once() -> None:
    bad = Quality(face_size=1, eye_distance=1, sharpness=0, brightness=0, yaw=80, roll=0, confidence=0)
    assert reasons(bad, Purpose.SIGHT, SETTINGS) == (
        Reason.SMALL_FACE,
        Reason.BLURRED,
        Reason.DARK,
        Reason.EXTREME_POSE,
        Reason.LOW_CONFIDENCE,
    )


def test_the_limits_of_a_sighting_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEGRID_SIGHT_MIN_FACE", "120")
    assert reasons(GOOD, Purpose.SIGHT, QualitySettings()) == (Reason.SMALL_FACE,)
    assert reasons(GOOD, Purpose.ENROL, QualitySettings()) == ()


def test_the_limits_of_an_enrolment_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEGRID_ENROL_MIN_SHARPNESS", "31")
    assert reasons(GOOD, Purpose.ENROL, QualitySettings()) == (Reason.BLURRED,)
    assert reasons(GOOD, Purpose.SIGHT, QualitySettings()) == ()


@pytest.mark.parametrize("purpose", Purpose)
def test_settings_that_refuse_every_face_are_refused(purpose: Purpose) -> None:
    with pytest.raises(ValidationError, match=f"FACEGRID_{purpose.upper()}_MIN_BRIGHTNESS"):
        QualitySettings.model_validate({f"{purpose}_min_brightness": 230})


def test_a_template_needs_more_than_a_sighting() -> None:
    enrol, sight = limits(Purpose.ENROL, SETTINGS), limits(Purpose.SIGHT, SETTINGS)
    for name in (limit.name for limit in fields(enrol)):
        strict, lenient = getattr(enrol, name), getattr(sight, name)
        assert strict > lenient if name.startswith("min") else strict < lenient, name


SPOILED = {
    Reason.DARK: lit(0.12),
    Reason.BRIGHT: lit(1.6),
    Reason.SMALL_FACE: reduced(32),
}
"""Blur is tried on real photos below: the detector loses this portrait before it is blurred enough."""


@pytest.mark.parametrize(("reason", "spoil"), SPOILED.items(), ids=lambda value: str(getattr(value, "value", "")))
def test_a_spoiled_portrait_is_refused_for_what_was_done_to_it(
    encoder: DlibEncoder, reason: Reason, spoil: Spoil
) -> None:
    [face] = encoder.encode(np.asarray(portrait()), max_faces=1, thumbnails=False)
    assert reasons(face.quality, Purpose.SIGHT, SETTINGS) == ()
    copy = np.asarray(spoil(portrait(), face.quality.face_size))
    [spoiled] = encoder.encode(copy, max_faces=1, thumbnails=False)
    assert reason in reasons(spoiled.quality, Purpose.SIGHT, SETTINGS)


TRIALS = {
    "blurred 2": blurred(2),
    "blurred 4": blurred(4),
    "blurred 6": blurred(6),
    "dark": lit(0.12),
    "dim": lit(0.5),
    "overexposed": lit(3),
    "far": reduced(60),
    "tiny": reduced(33),
}


@dataclass(frozen=True)
class Trial:
    quality: Quality
    own: bool
    """nearest to the mean of the same person's other photos, among all people"""

    def refused(self, purpose: Purpose) -> bool:
        return bool(reasons(self.quality, purpose, SETTINGS))


def first_face(encoder: DlibEncoder, image: Image.Image) -> EncodedFace | None:
    faces = encoder.encode(np.asarray(image), max_faces=1, thumbnails=False)
    return faces[0] if faces else None


@pytest.fixture(scope="module")
def trials(encoder: DlibEncoder) -> dict[str, list[Trial]]:
    """The first photo of every third person, untouched and spoiled, as far as a face is still found in it."""
    people = [sorted(folder.iterdir()) for folder in sorted(FACES.glob("people/*"))[::3]]
    others = [[first_face(encoder, opened(photo)) for photo in photos[1:3]] for photos in people]
    means = np.stack([mean_row(np.stack([f.embedding for f in found if f is not None])) for found in others])
    done: dict[str, list[Trial]] = {"untouched": [], **{name: [] for name in TRIALS}}

    def try_out(name: str, face: EncodedFace | None, own: int) -> None:
        if face is not None:
            done[name].append(Trial(face.quality, int((means @ face.embedding).argmax()) == own))

    for own, photos in enumerate(people):
        image = opened(photos[0])
        plain = first_face(encoder, image)
        assert plain is not None
        try_out("untouched", plain, own)
        for name, spoil in TRIALS.items():
            try_out(name, first_face(encoder, spoil(image, plain.quality.face_size)), own)
    return done


@needs_faces
@pytest.mark.parametrize(
    ("purpose", "name"),
    [(Purpose.SIGHT, "untouched"), (Purpose.SIGHT, "dim"), (Purpose.SIGHT, "far"), (Purpose.ENROL, "dim")],
)
def test_real_photos_as_cameras_take_them_pass(trials: dict[str, list[Trial]], purpose: Purpose, name: str) -> None:
    assert len(trials[name]) == 20
    assert sum(trial.refused(purpose) for trial in trials[name]) <= 1


@needs_faces
@pytest.mark.parametrize("purpose", Purpose)
@pytest.mark.parametrize(("name", "least"), [("blurred 4", 0.95), ("dark", 0.9), ("overexposed", 0.7), ("tiny", 0.9)])
def test_real_photos_that_were_spoiled_are_refused(
    trials: dict[str, list[Trial]], purpose: Purpose, name: str, least: float
) -> None:
    assert len(trials[name]) >= 10
    assert np.mean([trial.refused(purpose) for trial in trials[name]]) >= least


@needs_faces
@pytest.mark.parametrize("purpose", Purpose)
def test_refused_faces_are_recognised_worse_than_those_that_pass(
    trials: dict[str, list[Trial]], purpose: Purpose
) -> None:
    own: dict[bool, list[bool]] = {True: [], False: []}
    for trial in chain.from_iterable(trials.values()):
        own[trial.refused(purpose)].append(trial.own)
    assert np.mean(own[False]) > 0.97
    assert np.mean(own[True]) < np.mean(own[False]) - 0.05
