"""Photos of known people, encoded by the gateway's own encoder in processes of this command: no cluster is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from common.errors import DeadlineExceeded, EncoderMissing, EncoderWorkerDied, InvalidRequest, UnknownSpace
from common.settings import EncoderSettings
from common.types import Vectors
from deploy.client.photos import Photo, Skipped
from gateway.encoder import EncoderPool

AT_ONCE = 2
"""photos per worker that are on their way, so that none waits for this process"""


@dataclass(frozen=True, eq=False)
class Encoded:
    """Photos with a face, in the order in which they were given."""

    photos: list[Photo]
    rows: Vectors
    """(n, d) unit rows: of the largest face of each"""
    several: int
    """photos that show more faces than that"""
    skipped: list[Skipped]
    """the others, and why"""


def encode_photos(
    photos: Sequence[Photo], space: str, settings: EncoderSettings, done: Callable[[], object]
) -> Encoded:
    """Encode the largest face of every photo; `done` is called after each.

    Raises UnknownSpace, InvalidManifest and what else says that nothing can be encoded; InvalidRequest if no photo has
    a face. A photo that cannot be read or has no face is among `skipped`.
    """
    found = asyncio.run(_encode_all(photos, space, settings, done))
    usable = [(photo, answer) for photo, answer in zip(photos, found, strict=True) if not isinstance(answer, str)]
    skipped = [
        Skipped(photo.name, answer) for photo, answer in zip(photos, found, strict=True) if isinstance(answer, str)
    ]
    if not usable:
        raise InvalidRequest(f"None of the {len(photos)} photos shows a face.", field="image")
    return Encoded(
        photos=[photo for photo, _ in usable],
        rows=np.stack([embedding for _, (embedding, _) in usable]),
        several=sum(faces > 1 for _, (_, faces) in usable),
        skipped=skipped,
    )


Answer = tuple[Vectors, int] | str
"""embedding of the largest face and how many there are, or why there is none"""


async def _encode_all(
    photos: Sequence[Photo], space: str, settings: EncoderSettings, done: Callable[[], object]
) -> list[Answer]:
    room = asyncio.Semaphore(AT_ONCE * settings.encoder_workers)

    async def one(pool: EncoderPool, photo: Photo) -> Answer:
        async with room:
            answer = await _encode(pool, photo, space)
            done()
            return answer

    async with EncoderPool(settings) as pool:
        return await asyncio.gather(*(one(pool, photo) for photo in photos))


async def _encode(pool: EncoderPool, photo: Photo, space: str) -> Answer:
    try:
        faces = (await pool.encode(photo.read(), space)).faces
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except (UnknownSpace, EncoderMissing):  # of no photo in particular
        raise
    except (InvalidRequest, EncoderWorkerDied, DeadlineExceeded) as error:
        return error.detail
    return (faces[0].embedding, len(faces)) if faces else "no face was found"
