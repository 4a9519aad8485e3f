"""Photographs of many people: what the encoder finds beside what face_recognition finds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.settings import EncoderSettings
from common.types import Vectors
from gateway.encoder.decode import Pixels, decode
from gateway.encoder.dlib_encoder import DlibEncoder
from tests.gateway.encoder_photos import FACES, Reference, needs_faces, overlap, scaled

pytestmark = needs_faces
SETTINGS = EncoderSettings()


@pytest.fixture(scope="module")
def encoder() -> DlibEncoder:
    return DlibEncoder()


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference()


def pixels_of(photos: Iterable[Path]) -> list[Pixels]:
    found = [decode(photo.read_bytes(), SETTINGS) for photo in photos]
    assert found
    return found


def test_every_sampled_portrait_has_one_face_and_face_recognitions_embedding(
    encoder: DlibEncoder, reference: Reference
) -> None:
    for pixels in pixels_of(sorted(FACES.glob("people/*/*_0001.jpg"))[::4]):
        [face] = encoder.encode(pixels, max_faces=64, thumbnails=False)
        [expected] = reference.embeddings(pixels, [face.box])
        assert float(face.embedding @ expected) > 0.99999


def test_photos_of_one_person_score_higher_than_photos_of_two(encoder: DlibEncoder) -> None:
    people = [sorted(folder.iterdir())[:2] for folder in sorted(FACES.glob("people/*"))[:12]]

    def rows(photos: Iterable[Path]) -> Vectors:
        faces = [encoder.encode(pixels, max_faces=1, thumbnails=False)[0] for pixels in pixels_of(photos)]
        return np.stack([face.embedding for face in faces])

    scores = rows(a for a, _ in people) @ rows(b for _, b in people).T
    same, other = np.diag(scores), scores[~np.eye(len(people), dtype=bool)]
    assert np.median(same) > np.quantile(other, 0.99)


def test_in_groups_no_face_is_lost_that_face_recognition_finds(encoder: DlibEncoder, reference: Reference) -> None:
    photos = pixels_of(sorted(FACES.glob("groups/*"))[::3])
    photos.append(np.asarray(Image.fromarray(photos[0]).resize((1280, 960), Image.Resampling.BICUBIC)))
    for pixels in photos:
        found = [face.box for face in encoder.encode(pixels, max_faces=64, thumbnails=False)]
        expected = reference.boxes(pixels)
        assert all(any(overlap(box, other) > 0.4 for other in found) for box in expected)
        assert len(found) <= len(expected) + 1


def test_groups_enlarged_beyond_the_detectors_bound_lose_no_face(encoder: DlibEncoder, reference: Reference) -> None:
    for small in pixels_of(sorted(FACES.glob("groups/*"))[1::8]):
        factor = 3000 / small.shape[1]
        size = 3000, round(small.shape[0] * factor)
        large = np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC))
        found = [face.box for face in encoder.encode(large, max_faces=64, thumbnails=False)]
        for box in reference.boxes(small):
            assert any(overlap(scaled(box, factor), other) > 0.4 for other in found)


def test_where_nobody_is_nobody_is_found(encoder: DlibEncoder) -> None:
    for pixels in pixels_of(sorted(FACES.glob("noface/*"))[::2]):
        assert encoder.encode(pixels, max_faces=64, thumbnails=False) == ()
