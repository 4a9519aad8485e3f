"""Photos to embeddings for the use cases: who is in the picture, and the errors that name the photo."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from common.errors import EncoderMissing, FacegridError, MultipleFaces, NoFace
from common.types import Vectors
from gateway.body import Photo
from gateway.encoder import EncodedFace, EncodedPhoto, EncoderPool


async def encode(encoder: EncoderPool | None, photo: Photo, *, thumbnails: bool = False) -> EncodedPhoto:
    """Every face of one photo, largest first. Errors name the photo's form field and file."""
    if encoder is None:
        raise EncoderMissing("This gateway runs without encoders (FACEGRID_ENCODER_WORKERS=0); send embeddings.")
    try:
        return await encoder.encode(photo.content, thumbnails=thumbnails)
    except FacegridError as error:
        if error.field == "image":
            error.field = photo.field
            error.extra["photo"] = photo.name
        raise


async def one_face_each(
    encoder: EncoderPool | None, photos: Sequence[Photo], *, thumbnails: bool = False
) -> list[EncodedFace]:
    """The one face of each photo. Raises NoFace or MultipleFaces saying which photo, before anything else happens."""
    tasks = [encode(encoder, photo, thumbnails=thumbnails) for photo in photos]
    encoded = await asyncio.gather(*tasks, return_exceptions=True)
    return [_only_face(photo, result) for photo, result in zip(photos, encoded, strict=True)]


def _only_face(photo: Photo, result: EncodedPhoto | BaseException) -> EncodedFace:
    if isinstance(result, BaseException):
        raise result
    require_face(photo, result)
    if len(result.faces) > 1:
        raise MultipleFaces(
            f"{photo.field} shows {len(result.faces)} faces; send a photo of one person.",
            field=photo.field,
            limit=1,
            photo=photo.name,
            faces=len(result.faces),
        )
    return result.faces[0]


def require_face(photo: Photo, encoded: EncodedPhoto) -> None:
    if not encoded.faces:
        raise NoFace(f"No face was found in {photo.field}.", field=photo.field, limit=1, photo=photo.name)


def stack(faces: Sequence[EncodedFace]) -> Vectors:
    """(n, d) embeddings of n faces."""
    return np.stack([face.embedding for face in faces])
