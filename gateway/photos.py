"""Photos to embeddings for the use cases: who is in the picture, and the errors that name the photo.

Where one face a photo is asked for, every photo is looked at before any is refused: the error is the first photo's, and
`refused` in it names them all, so that a client can leave them out at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from common.errors import EncoderMissing, FacegridError, InvalidRequest, MultipleFaces, NoFace, PoorQuality
from common.settings import QualitySettings
from common.types import Vectors
from gateway.body import Photo
from gateway.encoder import EncodedFace, EncodedPhoto, EncoderPool
from gateway.quality import ADVICE, Purpose, faults, numbers

DOUBTFUL = 0.2
"""Detector's score below which a second face in a photo of one person is taken for none."""
SAME_FOR_ALL = frozenset({"type", "title", "status"})
"""members of a problem that `refused` does not repeat for each photo"""


async def encode(encoder: EncoderPool | None, photo: Photo, space: str, *, thumbnails: bool = False) -> EncodedPhoto:
    """Every face of one photo, largest first, in `space`. Errors name the photo's form field and file."""
    if encoder is None:
        raise EncoderMissing("This gateway runs without encoders (FACEGRID_ENCODER_WORKERS=0); send embeddings.")
    try:
        return await encoder.encode(photo.content, space, thumbnails=thumbnails)
    except FacegridError as error:
        if error.field == "image":
            error.field = photo.field
            error.extra["photo"] = photo.name
        raise


async def one_face_each(
    encoder: EncoderPool | None,
    photos: Sequence[Photo],
    space: str,
    *,
    thumbnails: bool = False,
    gate: QualitySettings | None = None,
) -> list[EncodedFace]:
    """The one face of each photo, and with a `gate` only if all are good enough to enrol.

    Raises, before anything else happens, what a bad photo raises, NoFace, MultipleFaces or PoorQuality of the first
    photo refused; its `refused` lists all of them.
    """
    tasks = [encode(encoder, photo, space, thumbnails=thumbnails) for photo in photos]
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    faces: list[EncodedFace] = []
    refused: list[InvalidRequest] = []
    for photo, answer in zip(photos, answers, strict=True):
        try:
            faces.append(_only_face(photo, answer, gate))
        except InvalidRequest as error:
            refused.append(error)
    if refused:
        refused[0].extra["refused"] = [_short(error) for error in refused]
        raise refused[0]
    return faces


def _only_face(photo: Photo, answer: EncodedPhoto | BaseException, gate: QualitySettings | None) -> EncodedFace:
    if isinstance(answer, BaseException):
        raise answer
    require_face(photo, answer)
    faces = [face for face in answer.faces if face.quality.confidence >= DOUBTFUL] or answer.faces
    if len(faces) > 1:
        raise MultipleFaces(
            f"{photo.field} shows {len(faces)} faces; send a photo of one person.",
            field=photo.field,
            limit=1,
            photo=photo.name,
            faces=len(faces),
        )
    if gate is not None:
        _require_good(photo, faces[0], gate)
    return faces[0]


def require_face(photo: Photo, encoded: EncodedPhoto) -> None:
    if not encoded.faces:
        raise NoFace(f"No face was found in {photo.field}.", field=photo.field, limit=1, photo=photo.name)


def _require_good(photo: Photo, face: EncodedFace, gate: QualitySettings) -> None:
    broken = faults(face.quality, Purpose.ENROL, gate)
    if not broken:
        return
    why = list(dict.fromkeys(fault.reason for fault in broken))
    raise PoorQuality(
        f"{photo.field} is too poor to enrol: {', '.join(map(str, broken))}.",
        field=photo.field,
        limit={fault.limit: fault.bound for fault in broken},
        photo=photo.name,
        reasons=why,
        quality=numbers(face.quality),
        advice=f"{' '.join(ADVICE[reason] for reason in why)} With accept_poor=true it is enrolled all the same.",
    )


def _short(error: InvalidRequest) -> dict[str, object]:
    return {name: value for name, value in error.problem().items() if name not in SAME_FOR_ALL}


def stack(faces: Sequence[EncodedFace]) -> Vectors:
    """(n, d) embeddings of n faces."""
    return np.stack([face.embedding for face in faces])
