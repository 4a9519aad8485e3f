"""From what a camera sent to the faces that can be searched: all faces of each photo, or the one person of a track.

Faces too poor to be told apart are set aside with the reasons. Embeddings carry no picture, so nothing is held against
them.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from common.types import Vectors
from gateway.body import Photo
from gateway.encoder import Box, EncodedFace, EncodedPhoto
from gateway.photos import encode
from gateway.quality import Purpose, Reason, reasons
from gateway.services import Services
from gateway.spaces import Space
from gateway.track import check_one_person


@dataclass(frozen=True, slots=True)
class Place:
    """Which photo of the request a face is in, and where."""

    photo: int | None = None
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    place: Place
    reasons: tuple[Reason, ...]
    mark: str
    """tells the face from others of the same moment, and is the same if it is sent again"""


@dataclass(frozen=True, slots=True)
class Picture:
    """Faces that are different persons."""

    probes: Vectors
    """(n, d) of unit length"""
    places: list[Place]
    rejected: list[Rejected] = field(default_factory=list)
    photos: int = 1
    """behind each probe"""


def of_rows(rows: Vectors, space: Space, *, track: bool) -> Picture:
    """Raises MixedTrack."""
    if not track:
        return Picture(rows, [Place()] * len(rows))
    return Picture(check_one_person(rows, space.least_alike)[None], [Place()], photos=len(rows))


async def of_photos(found: Services, photos: Sequence[Photo], space: Space, *, track: bool) -> list[Picture]:
    """One picture a photo, or one for the track. Raises what reading a photo raises, naming it, and MixedTrack."""
    answers = await asyncio.gather(
        *(encode(found.encoder, photo, space.name) for photo in photos), return_exceptions=True
    )
    encoded = [_unless_failed(answer) for answer in answers]
    if track:
        return [_of_track(found, encoded, space)]
    return [_of_photo(found, nth, photo, space) for nth, photo in enumerate(encoded)]


def _unless_failed(answer: EncodedPhoto | BaseException) -> EncodedPhoto:
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _of_photo(found: Services, nth: int, photo: EncodedPhoto, space: Space) -> Picture:
    good: list[EncodedFace] = []
    rejected: list[Rejected] = []
    for face in photo.faces:
        if why := reasons(face.quality, Purpose.SIGHT, found.settings):
            rejected.append(Rejected(Place(nth, face.box), why, _mark([face])))
        else:
            good.append(face)
    return Picture(_stacked(good, space), [Place(nth, face.box) for face in good], rejected)


def _of_track(found: Services, photos: Sequence[EncodedPhoto], space: Space) -> Picture:
    """The largest face of each photo: a crop may show a piece of somebody beside it."""
    faces = [photo.faces[0] for photo in photos if photo.faces]
    why = [reasons(face.quality, Purpose.SIGHT, found.settings) for face in faces]
    good = [face for face, reason in zip(faces, why, strict=True) if not reason]
    if good:
        probe = check_one_person(_stacked(good, space), space.least_alike, "image")
        return Picture(probe[None], [Place()], photos=len(good))
    all_reasons = tuple(sorted({reason for each in why for reason in each})) or (Reason.NO_FACE,)
    return Picture(_stacked([], space), [], [Rejected(Place(), all_reasons, _mark(faces))])


def _stacked(faces: Sequence[EncodedFace], space: Space) -> Vectors:
    if not faces:
        return np.empty((0, space.dimension), dtype=np.float32)
    return np.stack([face.embedding for face in faces])


def _mark(faces: Sequence[EncodedFace]) -> str:
    boxes = ";".join(f"{face.box.left},{face.box.top},{face.box.width},{face.box.height}" for face in faces)
    return hashlib.sha256(boxes.encode()).hexdigest()[:12]
