"""The demo's people as dlib sees them: found in every photo, alike only to themselves."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from dataclasses import dataclass
from itertools import combinations

import face_recognition
import numpy as np
import pytest
from PIL import Image

from common.limits import check_name
from common.types import Vectors
from common.vectors import mean_row, unit_rows
from deploy.demo.shoppers import PHOTO_SIDE, Shopper, shoppers, strangers

DIFFERENT = 0.89
"""The highest score of two people: below the default threshold of a store with one row, 0.9075."""
SAME = 0.98
"""The lowest score of one person with themselves: above the default threshold of ten thousand rows, 0.964."""
ENROLLED = 2
"""photos of each shopper that are enrolled; the others are probes"""


@dataclass(frozen=True)
class Seen:
    """A person with the faces that dlib finds: their number in each photo, and the (photos, 128) embeddings."""

    name: str
    faces: list[int]
    embeddings: Vectors


def pixels(photo: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(photo)))


def seen(person: Shopper) -> Seen:
    photos = [pixels(photo) for photo in person.photos]
    boxes = [face_recognition.face_locations(photo) for photo in photos]
    embeddings = [
        face_recognition.face_encodings(photo, found[:1])[0]
        for photo, found in zip(photos, boxes, strict=True)
        if found
    ]
    return Seen(person.name, [len(found) for found in boxes], unit_rows(embeddings, 128))


def best(one: Vectors, other: Vectors) -> float:
    return float((one @ other.T).max())


@pytest.fixture(scope="module")
def members() -> list[Seen]:
    return [seen(person) for person in shoppers()]


@pytest.fixture(scope="module")
def others() -> list[Seen]:
    return [seen(person) for person in strangers()]


def test_every_photo_shows_exactly_one_face(members: list[Seen], others: list[Seen]) -> None:
    assert len(members) == 12
    assert len(others) == 4
    assert {person.name: person.faces for person in members} == {person.name: [1] * 4 for person in members}
    assert {person.name: person.faces for person in others} == {person.name: [1] * 2 for person in others}


def test_photos_of_one_person_are_alike(members: list[Seen], others: list[Seen]) -> None:
    for person in members + others:
        assert float((person.embeddings @ person.embeddings.T).min()) > SAME, person.name


def test_photos_of_different_people_differ(members: list[Seen], others: list[Seen]) -> None:
    for one, other in combinations(members + others, 2):
        assert best(one.embeddings, other.embeddings) < DIFFERENT, (one.name, other.name)


def test_probes_find_their_own_gallery_row_far_above_every_other(members: list[Seen], others: list[Seen]) -> None:
    rows = np.stack([mean_row(person.embeddings[:ENROLLED]) for person in members])
    for place, person in enumerate(members):
        scores = person.embeddings[ENROLLED:] @ rows.T
        assert scores[:, place].min() > SAME, person.name
        assert np.delete(scores, place, axis=1).max() < DIFFERENT, person.name
    for person in others:
        assert best(person.embeddings, rows) < DIFFERENT, person.name


def test_another_process_makes_the_same_bytes() -> None:
    code = "import hashlib; from deploy.demo.shoppers import shoppers; " + (
        "print(hashlib.sha256(b''.join(shoppers(2, 2)[1].photos)).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    printed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == hashlib.sha256(b"".join(shoppers(2, 2)[1].photos)).hexdigest()


def test_fewer_people_and_photos_are_the_first_ones() -> None:
    few, more = shoppers(2, 1), shoppers(3, 2)
    assert [person.name for person in few] == ["shopper-01", "shopper-02"]
    assert [person.photos for person in few] == [person.photos[:1] for person in more[:2]]


def test_photos_of_one_person_are_different_square_jpegs() -> None:
    photos = shoppers(1, 4)[0].photos
    assert len(set(photos)) == 4
    for photo in photos:
        image = Image.open(io.BytesIO(photo))
        assert (image.format, image.size, image.mode) == ("JPEG", (PHOTO_SIDE, PHOTO_SIDE), "RGB")


def test_names_are_allowed_as_face_ids_and_unique() -> None:
    names = [check_name("face_id", person.name) for person in shoppers(12, 0) + strangers(4)]
    assert len(set(names)) == 16


@pytest.mark.parametrize("count", [-1, 13])
def test_more_shoppers_than_were_chosen_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="from 0 to 12"):
        shoppers(count)
