"""Who plays in the demo: people who are enrolled, with photos kept back to search with, and strangers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.client.photos import Person, Photo, plan


@dataclass(frozen=True, slots=True)
class Cast:
    shoppers: tuple[tuple[Person, tuple[Photo, ...]], ...]
    """(with the photos to enrol, the photos to search with)"""
    strangers: tuple[tuple[str, Photo], ...]
    """(name, the photo to search with)"""
    drawn: bool = False
    """invented people: not every drawing is good enough to enrol by"""


def invented(count: int = 12) -> Cast:
    """Made from a public portrait, two photos of each person to enrol and two to search with; takes seconds."""
    from deploy.demo.shoppers import Shopper, shoppers, strangers  # noqa: PLC0415  # scikit-image only for the demo

    def photos(shopper: Shopper) -> tuple[Photo, ...]:
        return tuple(Photo(f"{shopper.name}_{n}.jpg", jpeg) for n, jpeg in enumerate(shopper.photos, start=1))

    people = [Person(shopper.name, photos(shopper)) for shopper in shoppers(count, photos_each=4)]
    others = [(stranger.name, photo) for stranger in strangers() for photo in photos(stranger)]
    return Cast(tuple(_kept_back(person, 2) for person in people), tuple(others), drawn=True)


def from_folder(folder: Path) -> Cast:
    """Of a folder of people every other one is enrolled, with all photos but the last; the rest are strangers.

    Raises ValueError if there are not at least two of each.
    """
    people = plan([folder]).people
    known = [person for person in people if len(person.photos) > 1][::2]
    others = [person for person in people if person not in known]
    if len(known) < 2 or len(others) < 2:
        raise ValueError(f"{folder} needs four people or more, in a folder each, most of them with two photos or more.")
    return Cast(
        tuple(_kept_back(person, 1) for person in known), tuple((other.face_id, other.photos[-1]) for other in others)
    )


def _kept_back(person: Person, count: int) -> tuple[Person, tuple[Photo, ...]]:
    return Person(person.face_id, person.photos[:-count]), person.photos[-count:]


def homes(cast: Cast, stores: Sequence[str]) -> dict[str, list[Person]]:
    """Store → the people enrolled there; they take turns."""
    return {store: [person for person, _ in cast.shoppers[at :: len(stores)]] for at, store in enumerate(stores)}
