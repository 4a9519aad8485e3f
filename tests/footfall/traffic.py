"""Who comes when: made-up traffic of people who are known, so that every figure of a report can be held against it.

Embeddings are either well separated (random directions with a little noise: nobody is ever taken for somebody else, so
figures must be *equal*) or real ones from a file (LFW through dlib, not of unit length: figures are off by what the
encoder gets wrong, and that is what is measured).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from common.types import Vectors
from tests.conftest import REPOSITORY

EMBEDDINGS = REPOSITORY.parent / "shared" / "embeddings" / "lfw_dlib_dev.npz"
D = 128
OPENS, CLOSES = 9, 20
"""hours of the shops' clocks"""
SECOND_STORE = 0.25
"""share of returning visitors who also go to another store"""
STAFF_PHOTOS = 3
"""enrolled of each member of staff; those left over are what cameras see"""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One track of a camera: a person at a store at a moment, in one or more photos."""

    person: str
    store: str
    at_ms: int
    photos: Vectors = field(repr=False)
    """(n, 128)"""
    camera: str = "door"


@dataclass(frozen=True, slots=True)
class Staff:
    person: str
    store: str
    photos: Vectors
    """(n, 128), to enrol"""


@dataclass(frozen=True, slots=True)
class Traffic:
    sightings: tuple[Sighting, ...]
    """in order of time, those of the staff included"""
    staff: tuple[Staff, ...] = ()

    @property
    def customers(self) -> list[Sighting]:
        """What is to be counted."""
        staff = {one.person for one in self.staff}
        return [sighting for sighting in self.sightings if sighting.person not in staff]


def real_people(file: Path) -> dict[str, Vectors]:
    """Person → photos, (n, 128) as the encoder gave them."""
    with np.load(file, allow_pickle=False) as read:
        embeddings, persons = read["embeddings"], read["person"]
    order = np.argsort(persons, kind="stable")
    bounds = np.flatnonzero(np.diff(persons[order])) + 1
    return {f"p{persons[rows[0]]}": embeddings[rows] for rows in np.split(order, bounds)}


def separate_people(count: int, photos: int, seed: int, noise: float = 0.008) -> dict[str, Vectors]:
    """As many people as asked for, whose photos score about 1 / (1 + 128 noise²) with each other."""
    numbers = np.random.default_rng(seed)
    faces = numbers.standard_normal((count, 1, D))
    faces /= np.linalg.norm(faces, axis=2, keepdims=True)
    seen = (faces + noise * numbers.standard_normal((count, photos, D))).astype(np.float32)
    return {f"q{at}": rows for at, rows in enumerate(seen)}


def photos_a_visit(photos: int) -> int:
    """How many photos of somebody of whom there are so many make one visit's track."""
    return 3 if photos >= 6 else 2 if photos >= 4 else 1


def tracks_of(photos: Vectors) -> list[Vectors]:
    """One a visit; photos that do not make a whole track are left over."""
    size = photos_a_visit(len(photos))
    return [photos[first : first + size] for first in range(0, len(photos) - size + 1, size)]


def week(people: Mapping[str, Vectors], stores: Sequence[str], monday: date, zone: ZoneInfo, seed: int) -> Traffic:
    """Seven days of trade. A person comes on as many of them as there are tracks of photos, each day once, to one store
    or in turns to two; those with one photo come once. Of those with most photos one a store is staff there."""
    dice = random.Random(seed)
    days = [monday + timedelta(days=nth) for nth in range(7)]
    by_photos = sorted(people, key=lambda person: -len(people[person]))
    staff = tuple(
        Staff(person, store, people[person][:STAFF_PHOTOS]) for person, store in zip(by_photos, stores, strict=False)
    )
    made = [
        sighting
        for one in staff
        for sighting in _comings(one.person, people[one.person][STAFF_PHOTOS:], [one.store], days, zone, dice)
    ]
    for person in by_photos[len(staff) :]:
        both = dice.random() < SECOND_STORE and len(people[person]) > 1
        made += _comings(person, people[person], dice.sample(stores, 2 if both else 1), days, zone, dice)
    return Traffic(in_time(made), staff)


def _comings(
    person: str, photos: Vectors, stores: Sequence[str], days: Sequence[date], zone: ZoneInfo, dice: random.Random
) -> list[Sighting]:
    tracks = tracks_of(photos)[: len(days)]
    return [
        Sighting(person, stores[nth % len(stores)], _trading(day, zone, dice), track)
        for nth, (day, track) in enumerate(zip(sorted(dice.sample(days, len(tracks))), tracks, strict=True))
    ]


def _trading(day: date, zone: ZoneInfo, dice: random.Random) -> int:
    opens = datetime.combine(day, time(OPENS), zone).timestamp()
    return int(1000 * (opens + dice.uniform(0, 3600 * (CLOSES - OPENS))))


def hour(people: Mapping[str, Vectors], stores: Sequence[str], start: datetime, seed: int) -> Traffic:
    """One hour in which each person is seen as often as there are tracks of their photos, at up to two stores."""
    dice = random.Random(seed)
    begin = int(1000 * start.timestamp())
    made = []
    for person, photos in people.items():
        visited = dice.sample(stores, 2 if dice.random() < SECOND_STORE else 1)
        for track in tracks_of(photos):
            made.append(Sighting(person, dice.choice(visited), begin + dice.randrange(3_600_000), track))
    return Traffic(in_time(made))


def in_time(sightings: Iterable[Sighting]) -> tuple[Sighting, ...]:
    return tuple(sorted(sightings, key=lambda sighting: (sighting.at_ms, sighting.person)))


def rfc3339(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
