"""The truth about visits: the only code that reads or writes them in Redis.

A visit is kept at the store where it was, under the person's key and by UTC date (`intervals` has the rule); what is
kept of the *face* (last seen, first seen, other places) is at its home store, which has another hash tag. So a
sighting at home is one script, one elsewhere is two: first home, which also says whether the face still is there,
then the visit. Cut short between the two, it was not acknowledged, and its repetition finishes it.

A person key names a face ("store/incarnation/face_id"), not a member: to whom a face belongs is looked up when
figures are asked for, so that binding, unbinding and making somebody staff change past figures too. Of an erased face
the visits stay under a name made up at random (`Delete.rekey_to`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from common import keys
from common.cluster_map import StoreConfig
from common.errors import SightingsWaiting, UnknownStore
from common.incarnations import creation, person_key
from common.intervals import DAY_MS, Interval, parse
from common.limits import REENTRY_WINDOW_S
from common.truth import truth

EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Seen:
    """One sighting of one person."""

    store: StoreConfig
    """where"""
    home: StoreConfig
    """the store of its face"""
    face_id: str
    at_ms: int
    event: str = ""
    """the kind of event to tell if this starts a visit; empty: none"""
    late: bool = False
    announced: str = ""
    """the person that was told of already, before every store could be searched"""
    pending_id: str = ""
    """the pending sighting that this settles"""
    beside: Sequence[tuple[str, bytes]] = ()
    """pending sightings of its picture, and what takes the place of each: where this person is named as another one"""


@dataclass(frozen=True, slots=True)
class Recorded:
    started: bool
    """it started a visit"""
    visit_start_ms: int
    first_ms: int
    """its first sighting at the store"""
    origin_ms: int
    """its first sighting anywhere"""
    event_id: str | None


def window_ms(store: StoreConfig) -> int:
    """How long a person may be unseen within one visit to the store."""
    return 1000 * (REENTRY_WINDOW_S if store.reentry_window_s is None else store.reentry_window_s)


def person_of(home: StoreConfig, face_id: str) -> str:
    return person_key(home.store, home.incarnation, face_id)


def home_of(person: str) -> tuple[str, str, str] | None:
    """(store, first characters of its incarnation, face_id); None for a person that nobody can trace back."""
    if person.startswith("~"):
        return None
    store, incarnation, face_id = person.split("/")
    return store, incarnation, face_id


def utc_date(at_ms: int) -> str:
    return _date(at_ms // DAY_MS)


@lru_cache(maxsize=256)
def _date(day: int) -> str:
    return (EPOCH + timedelta(days=day)).isoformat()


@lru_cache(maxsize=256)
def midnight_ms(day: str) -> int:
    return (date.fromisoformat(day) - EPOCH).days * DAY_MS


@lru_cache(maxsize=4096)
def _keys_of_sightings(store: str, day: str) -> Sequence[str]:
    """As `sight.lua` takes them."""
    around = [(date.fromisoformat(day) + timedelta(days=step)).isoformat() for step in (0, -1, 1)]
    return [
        *(keys.incarnation(store), keys.faces(store), keys.seen(store), keys.origins(store), keys.places(store)),
        *(keys.visit_days(store), keys.firsts(store), keys.pending(store), keys.events(store)),
        *(keys.visits(store, one) for one in around),
    ]


class Visits:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        here = Path(__file__).parent
        self._sight = redis.register_script((here / "sight.lua").read_text())
        self._rekey = redis.register_script((here / "rekey.lua").read_text())
        self._rejected = redis.register_script((here / "rejected.lua").read_text())

    async def record(self, seen: Seen) -> Recorded | None:
        """Count the sighting; None if the face is gone, or what this settles waits no more: nothing is changed then.

        Raises SightingsWaiting if it has to go behind others, UnknownStore if the store is gone, TruthUnavailable;
        counting the same sighting again changes nothing.
        """
        if seen.home.store == seen.store.store:
            return _recorded(await self._run("both", seen.store, seen, ""))
        at_home = await self._run("home", seen.home, seen, seen.store.store)
        if at_home is None:
            return None
        there = _recorded(await self._run("visit", seen.store, seen, ""))
        if there is None:
            return None
        return Recorded(there.started, there.visit_start_ms, there.first_ms, at_home[4], there.event_id)

    async def record_anonymous(self, store: StoreConfig, person: str, at_ms: int, pending_id: str = "") -> bool:
        """Count a sighting of a person whose face was erased; False: what this settles waits no more, and nothing is
        changed. Raises UnknownStore, TruthUnavailable."""
        seen = Seen(store, store, "", at_ms, pending_id=pending_id)
        return await self._run("visit", store, seen, "", person) is not None

    async def _run(self, part: str, at: StoreConfig, seen: Seen, place: str, person: str = "") -> list[Any] | None:
        name, day = at.store, utc_date(seen.at_ms)
        with truth(outcome="unknown"):
            answer: list[Any] = await self._sight(
                keys=_keys_of_sightings(name, day),
                args=[
                    *(creation(at.incarnation), part, seen.face_id, person or person_of(seen.home, seen.face_id)),
                    *(seen.at_ms, day, midnight_ms(day), window_ms(at), place),
                    *(seen.event, "1" if seen.late else "", seen.announced, seen.pending_id),
                    "1" if person else "",
                    *[part for one in seen.beside for part in one],
                ],
            )
        if answer[0] == b"WAIT":
            raise SightingsWaiting(f"Earlier sightings at {name} still wait for shards.", field="store")
        if answer[0] == b"GONE" and at.store == seen.store.store:
            raise _gone(name)
        return answer if answer[0] == b"OK" else None

    async def intervals(self, store: str, dates: Sequence[str]) -> dict[str, list[Interval]]:
        """Person → its intervals on these UTC dates, sorted; those of two dates are not joined."""
        with truth():
            pipe = self._redis.pipeline(transaction=False)
            for day in sorted(dates):
                pipe.hgetall(keys.visits(store, day))
            answers = await pipe.execute()
        found: defaultdict[str, list[Interval]] = defaultdict(list)
        for day, answer in zip(sorted(dates), answers, strict=True):
            start = midnight_ms(day)
            for person, text in answer.items():
                found[person.decode()] += parse(text.decode(), start)
        return dict(found)

    async def firsts(self, store: str, persons: Sequence[str]) -> dict[str, int]:
        """Person → its first sighting at the store, ms; without those never seen there."""
        return await self._times(keys.firsts(store), persons)

    async def origins(self, persons: Iterable[str]) -> dict[str, int]:
        """Person → its first sighting anywhere, ms; without those whose face is gone."""
        by_home: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for person in persons:
            if (home := home_of(person)) is not None:
                by_home[home[0]][person] = home[2]
        found: dict[str, int] = {}
        for store, face_ids in by_home.items():
            known = await self._times(keys.origins(store), list(face_ids.values()))
            found |= {person: known[face_id] for person, face_id in face_ids.items() if face_id in known}
        return found

    async def _times(self, key: str, fields: Sequence[str]) -> dict[str, int]:
        if not fields:
            return {}
        with truth():
            found: Any = await self._redis.hmget(key, list(fields))
        return {field: int(at) for field, at in zip(fields, found, strict=True) if at is not None}

    async def standings(self, stores: Sequence[str]) -> dict[str, dict[str, str]]:
        """Store → face_id → what stands in `keys.standings`; visitors are not in it."""
        with truth():
            pipe = self._redis.pipeline(transaction=False)
            for store in stores:
                pipe.hgetall(keys.standings(store))
            answers = await pipe.execute()
        return {store: _texts(answer) for store, answer in zip(stores, answers, strict=True)}

    async def dates(self, store: str) -> set[str]:
        """The UTC dates with visits."""
        with truth():
            found: Any = await self._redis.smembers(keys.visit_days(store))
        return {day.decode() for day in found}

    async def drop_date(self, store: str, day: str) -> None:
        with truth(outcome="unknown"):
            pipe = self._redis.pipeline(transaction=False)
            pipe.unlink(keys.visits(store, day))
            pipe.srem(keys.visit_days(store), day)
            await pipe.execute()

    async def rekey(self, store: StoreConfig, old: str, new: str) -> None:
        """Keep the visits that `old` made to the store under `new`, joined with those there. Idempotent."""
        with truth(outcome="unknown"):
            await self._rekey(
                keys=[keys.visit_days(store.store), keys.firsts(store.store)],
                args=[old, new, window_ms(store), keys.visits(store.store, "")],
            )

    async def rejected(self, store: StoreConfig, at_ms: int, reasons: Iterable[str], mark: str) -> None:
        """Count a face that was too poor to be told apart, under each reason; once for each `mark`. Raises UnknownStore
        if the store is gone, TruthUnavailable."""
        hour = datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H")
        with truth(outcome="unknown"):
            answer: bytes = await self._rejected(
                keys=[keys.incarnation(store.store), keys.rejections(store.store)],
                args=[creation(store.incarnation), *(f"{hour} {reason} {mark}" for reason in reasons)],
            )
        if answer == b"GONE":
            raise _gone(store.store)

    async def rejections(self, store: str) -> dict[str, int]:
        """Counts by "<UTC hour> <reason>", for example "2026-11-20T14 BLURRED"."""
        with truth():
            found: Any = await self._redis.hkeys(keys.rejections(store))
        return Counter(field.decode().rpartition(" ")[0] for field in found)


def _gone(store: str) -> UnknownStore:
    return UnknownStore(f"Store {store} does not exist any more.", field="store")


def _recorded(answer: list[Any] | None) -> Recorded | None:
    if answer is None:
        return None
    _, started, start, first, origin, event = answer
    return Recorded(bool(started), start, first, origin, event.decode() or None)


def _texts(answer: Mapping[bytes, bytes]) -> dict[str, str]:
    return {field.decode(): value.decode() for field, value in answer.items()}
