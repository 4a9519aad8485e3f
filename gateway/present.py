"""Who is in the store now: everybody seen within the re-entry window, in which one more sighting is the same visit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from common.cluster_map import StoreConfig
from common.intervals import DAY_MS, Interval, merge
from common.members import MemberCard
from common.persons import Person, Persons
from common.types import Kind
from common.visits import Visits, utc_date, window_ms
from gateway.checkout import Checkout

MOST = 1000
"""persons listed in one answer"""
ERASED_KINDS = {"~s": Kind.STAFF, "~m": Kind.MEMBER, "~v": Kind.VISITOR}
"""how the key of a person begins whose face was erased"""


@dataclass(frozen=True, slots=True)
class Here:
    """One person and the visit that goes on."""

    kind: Kind
    since_ms: int
    last_seen_ms: int
    person: Person | None
    """None: the face was erased meanwhile"""
    card: MemberCard | None = None


@dataclass(frozen=True, slots=True)
class Present:
    here: tuple[Here, ...]
    """who came last first; at most MOST"""
    count: int
    """without staff"""
    total: int


class Presence:
    def __init__(self, visits: Visits, persons: Persons, checkout: Checkout) -> None:
        self._visits = visits
        self._persons = persons
        self._checkout = checkout

    async def now(self, store: StoreConfig, now_ms: int) -> Present:
        """Raises TruthUnavailable."""
        dates = [utc_date(now_ms + days * DAY_MS) for days in (-1, 0, 1)]  # a camera's clock may be ahead
        seen = await self._visits.intervals(store.store, dates)
        going_on = latest(seen, now_ms, window_ms(store))
        found = await self._persons.find(going_on)
        everybody = together(going_on, found)
        cards = await self._checkout.cards(one.person for one in everybody[:MOST] if one.person is not None)
        return Present(
            tuple(_with_card(one, cards) for one in everybody[:MOST]),
            sum(one.kind is not Kind.STAFF for one in everybody),
            len(everybody),
        )


def latest(seen: Mapping[str, Iterable[Interval]], now_ms: int, window: int) -> dict[str, Interval]:
    """Person key → the visit that goes on; without those whose last one is over."""
    last = {key: merge(intervals, window)[-1] for key, intervals in seen.items()}
    return {key: visit for key, visit in last.items() if visit[1] >= now_ms - window}


def together(going_on: Mapping[str, Interval], found: Mapping[str, Person]) -> list[Here]:
    """One entry a person, the newest first; faces that belong to one member are one person."""
    everybody: dict[str, Here] = {}
    for key, (start, last_seen) in sorted(going_on.items(), key=lambda item: (item[1][1], item[0])):
        person = found.get(key)
        kind = ERASED_KINDS.get(key[:2], Kind.VISITOR) if person is None else person.kind
        name = key if person is None or person.member_id is None else f"member {person.member_id}"
        before = everybody.pop(name, None)
        since = start if before is None else min(start, before.since_ms)
        everybody[name] = Here(kind, since, last_seen, person)
    return newest_first(list(everybody.values()))


def newest_first(here: Sequence[Here]) -> list[Here]:
    return sorted(here, key=lambda one: (-one.since_ms, -one.last_seen_ms))


def _with_card(one: Here, cards: Mapping[str, MemberCard]) -> Here:
    if one.person is None or one.person.member_id is None:
        return one
    return Here(one.kind, one.since_ms, one.last_seen_ms, one.person, cards.get(one.person.member_id))
