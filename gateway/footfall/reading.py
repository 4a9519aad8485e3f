"""The visits to a store in a span of time, read from Redis and joined by person.

One UTC date more is read before the span, and after it as many as visits run on: then whether a visit starts in the
span, and how long it lasts, does not depend on where the span begins or ends. (The re-entry window is shorter than a
day, so nothing from before the date before can matter.)
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from math import inf

from common.cluster_map import StoreConfig
from common.intervals import DAY_MS, Interval, merge
from common.members import MemberBook
from common.persons import Persons
from common.visits import Visits, midnight_ms, person_of, utc_date, window_ms
from gateway.footfall.calendar import Span
from gateway.footfall.identity import Identities, identify, member_of
from gateway.view import ClusterView


@dataclass(frozen=True, slots=True)
class StoreVisits:
    """Visits to one store that touch the span, whole, by name of the person; staff left out."""

    store: StoreConfig
    span: Span
    visits: dict[str, list[Interval]] = field(default_factory=dict)
    members: set[str] = field(default_factory=set)
    firsts: dict[str, int] = field(default_factory=dict)
    """first sighting at the store, ms, of those who were new to it in the span"""
    new_in_group: set[str] = field(default_factory=set)
    """those of them whom no other store of the group had seen before"""

    def came(self, span: Span) -> set[str]:
        """Names of those with a visit that starts in `span`."""
        return {name for name, made in self.visits.items() if any(start in span for start, _ in made)}


class Reader:
    def __init__(self, view: ClusterView, visits: Visits, persons: Persons, book: MemberBook) -> None:
        self._view = view
        self._visits = visits
        self._persons = persons
        self._book = book

    async def read(self, store: StoreConfig, span: Span) -> StoreVisits:
        """Raises TruthUnavailable."""
        if span.start >= span.end:
            return StoreVisits(store, span)
        known, joined = await self._joined(store, span)
        touching = {
            name: kept
            for name, made in joined.items()
            if (kept := [visit for visit in made if visit[1] >= span.start and visit[0] < span.end])
        }
        found = StoreVisits(store, span, touching, known.members & touching.keys())
        await self._find_new(found, known)
        return found

    async def _joined(self, store: StoreConfig, span: Span) -> tuple[Identities, dict[str, list[Interval]]]:
        """Everybody's visits around the span; those that start in it to their end."""
        window = window_ms(store)
        there = await self._visits.dates(store.store)
        dates = [day for day in _dates(span.start - DAY_MS, span.end - 1 + window) if day in there]
        pieces: defaultdict[str, list[Interval]] = defaultdict(list)
        while True:
            for person, made in (await self._visits.intervals(store.store, dates)).items():
                pieces[person] += made
            known = identify(pieces, await self._persons.find(pieces))
            # On a thread: so many visits take a while, in which searches must go on.
            joined = await asyncio.to_thread(_join, pieces, known, window)
            last = dates[-1] if dates else utc_date(span.end - 1 + window)
            dates = [_next(last)]
            end = midnight_ms(dates[0])
            open_end = any(v[0] in span and v[1] + window >= end for made in joined.values() for v in made)
            if dates[0] not in there or not open_end:
                return known, joined

    async def _find_new(self, found: StoreVisits, known: Identities) -> None:
        """Fill in who was new, to the store and to its group."""
        store = found.store.store
        keys = known.keys_of(found.came(found.span))
        firsts = _earliest(keys, await self._visits.firsts(store, _all(keys)))
        maybe = {name: keys[name] for name, at in firsts.items() if at in found.span}
        others = await self._other_faces(maybe)  # a member's face that did not come now may have come before
        earlier = _earliest(others, await self._visits.firsts(store, _all(others)))
        for name in maybe:
            first = min(firsts[name], earlier.get(name, firsts[name]))
            if first in found.span:
                found.firsts[name] = first
        in_group = await self._in_group(
            found.store, {name: maybe[name] + others.get(name, []) for name in found.firsts}
        )
        found.new_in_group.update(name for name, at in found.firsts.items() if in_group.get(name, at) >= at)

    async def lasting(self, visits: StoreVisits) -> dict[str, str]:
        """Name of each member who came → the key of the face of theirs that was seen first, anywhere: how they were
        named before they became a member, and still are when more faces are bound to them. Raises TruthUnavailable."""
        faces = await self._other_faces({name: [] for name in visits.members})
        origins = await self._visits.origins(_all(faces))
        return {name: min(keys, key=lambda key: (origins.get(key, inf), key)) for name, keys in faces.items() if keys}

    async def _other_faces(self, keys: Mapping[str, list[str]]) -> dict[str, list[str]]:
        """Name of a member → the keys of all faces bound to them, but those given."""
        members = {name: member_id for name in keys if (member_id := member_of(name)) is not None}
        faces = await self._book.faces_of(list(members.values())) if members else {}
        stores = self._view.stores
        found = {
            name: [
                key
                for home, face_id in faces[member_id]
                if home in stores and (key := person_of(stores[home], face_id)) not in keys[name]
            ]
            for name, member_id in members.items()
        }
        persons = await self._persons.find(_all(found))
        return {
            name: [key for key in others if key in persons and persons[key].member_id == members[name]]
            for name, others in found.items()
        }

    async def _in_group(self, store: StoreConfig, keys: Mapping[str, list[str]]) -> dict[str, int]:
        """When each of them was first seen at any store of the group, ms."""
        origins = await self._visits.origins(_all(keys))
        gone = [key for key in _all(keys) if key not in origins]
        stores = [config.store for config in self._view.stores.values() if config.group == store.group]
        for elsewhere in stores if gone else []:
            for key, at in (await self._visits.firsts(elsewhere, gone)).items():
                origins[key] = min(at, origins.get(key, at))
        return _earliest(keys, origins)


def _join(pieces: Mapping[str, list[Interval]], known: Identities, window: int) -> dict[str, list[Interval]]:
    by_name: defaultdict[str, list[Interval]] = defaultdict(list)
    for key, name in known.of_key.items():
        by_name[name] += pieces[key]
    return {name: merge(made, window) for name, made in by_name.items()}


def _earliest(keys: Mapping[str, Sequence[str]], times: Mapping[str, int]) -> dict[str, int]:
    """Name → the earliest time of any of its keys."""
    found = {name: [times[key] for key in mine if key in times] for name, mine in keys.items()}
    return {name: min(at) for name, at in found.items() if at}


def _all(keys: Mapping[str, Iterable[str]]) -> list[str]:
    return [key for mine in keys.values() for key in mine]


def _dates(start_ms: int, end_ms: int) -> list[str]:
    first, last = date.fromisoformat(utc_date(start_ms)), date.fromisoformat(utc_date(end_ms))
    return [(first + timedelta(days=nth)).isoformat() for nth in range((last - first).days + 1)]


def _next(day: str) -> str:
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()
