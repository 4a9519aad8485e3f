"""A morning of traffic for the demo: who walks past which camera when, and what a perfect count of it would say.

Everybody is seen when they come in and again at the counter. Every third person visits the next store an hour later,
every fourth comes back to their own after two hours, strangers come too; no more people than a morning has time for.
The figures are reckoned from this list, not from what the cluster answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from common.intervals import merge
from common.limits import REENTRY_WINDOW_S
from deploy.client.moment import as_ms
from deploy.client.photos import Photo
from deploy.demo.cast import Cast

ZONE = "Europe/Vienna"
OPENS = time(9)
LASTS = timedelta(hours=4)
STAY = timedelta(minutes=12)
EVERY = timedelta(minutes=7)
"""between two people who come in"""
SHOPPERS, STRANGERS = 15, 15
"""at most: all are gone before the morning is over"""

CHAIN = ""


@dataclass(frozen=True, slots=True)
class Passing:
    """One person in front of one store's camera."""

    at_ms: int
    store: str
    name: str
    photo: Photo


@dataclass(frozen=True, slots=True)
class Count:
    pv: int
    uv: int


def morning_of(cast: Cast, stores: Sequence[str], day: date) -> list[Passing]:
    """In order of time."""
    opens = datetime.combine(day, OPENS, ZoneInfo(ZONE))
    passings: list[Passing] = []

    def comes(name: str, store: int, at: datetime, photos: Sequence[Photo]) -> None:
        for nth, moment in enumerate((at, at + STAY)):
            passings.append(Passing(as_ms(moment), stores[store % len(stores)], name, photos[nth % len(photos)]))

    for nth, (person, photos) in enumerate(cast.shoppers[:SHOPPERS]):
        comes(person.face_id, nth, opens + nth * EVERY, photos)
        if nth % 3 == 0:
            comes(person.face_id, nth + 1, opens + nth * EVERY + timedelta(hours=1), photos)
        if nth % 4 == 1:
            comes(person.face_id, nth, opens + nth * EVERY + timedelta(hours=2), photos)
    names = list(dict.fromkeys(name for name, _ in cast.strangers))[:STRANGERS]
    for nth, name in enumerate(names):
        theirs = [photo for who, photo in cast.strangers if who == name]
        comes(name, nth, opens + nth * EVERY + timedelta(minutes=3), theirs)
    return sorted(passings, key=lambda passing: passing.at_ms)


def counted(passings: Sequence[Passing]) -> dict[str, Count]:
    """Store → its visits and visitors; under CHAIN all of them, where a person counts once."""
    times: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for one in passings:
        times.setdefault((one.store, one.name), []).append((one.at_ms, one.at_ms))
    visits = {key: len(merge(found, 1000 * REENTRY_WINDOW_S)) for key, found in times.items()}
    stores = {store for store, _ in visits}
    by_store = {
        store: Count(
            sum(n for (at, _), n in visits.items() if at == store), len({name for at, name in visits if at == store})
        )
        for store in sorted(stores)
    }
    return by_store | {CHAIN: Count(sum(visits.values()), len({name for _, name in visits}))}
