"""What the checkout is told, and what it says back. The only code that reads events, feedback and dead letters in
Redis.

An event is an entry of the store's stream, written by the same script that counts the visit; its id is the entry's, so
ids of one store grow and a reader that names the last one it had goes on after it. An entry names a person by its key
and holds nothing else of it: the card is looked up when the event is told, so that one who was renamed or erased
meanwhile is told as she is now. The streams are trimmed to about 10,000 entries; a reader that comes too late is told
that it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from common import keys
from common.truth import truth

EVENT_ID = "[0-9]{1,19}(-[0-9]{1,19})?"
"""19 digits: whatever matches fits into the 64 bits that Redis has for it"""
START = "0-0"
PAGE = 100


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of a store's stream."""

    id: str
    type: str
    """arrival, new_visitor or correction"""
    person: str
    at_ms: int
    """when the person was seen, not when it was told"""
    late: bool = False
    provisional: bool = False
    was: str = ""
    """a correction: the person that was told before"""


@dataclass(frozen=True, slots=True)
class Resumed:
    """Where a reader goes on."""

    position: str
    """what it has, up to and with this id"""
    gap: bool
    """events between those that it has and those that follow may be gone"""


def order(event_id: str) -> tuple[int, int]:
    """What ids are compared by; "5" is "5-0"."""
    ms, _, nth = event_id.partition("-")
    return int(ms), int(nth or 0)


class Events:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def resume(self, store: str, after: str | None) -> Resumed:
        """Where a reader that has everything up to `after` goes on; None: one that wants only what is still to come.

        Only trimming and erasing make a gap; after an erasure it may be told although nothing else is missing.
        """
        info = await self._info(store)
        last = START if info is None else info["last-generated-id"].decode()
        if after is None:
            return Resumed(last, gap=False)
        if order(after) > order(last):  # the stream was begun anew, or Redis has lost its end
            return Resumed(last, gap=True)
        if info is None or order(after) == order(last) or info["entries-added"] == info["length"]:
            return Resumed(after, gap=False)
        first = info["first-entry"]
        return Resumed(after, gap=first is None or order(first[0].decode()) > order(after))

    async def _info(self, store: str) -> dict[str, Any] | None:
        """XINFO STREAM; None for a stream without any entry yet."""
        with truth():
            try:
                found: dict[str, Any] = await self._redis.xinfo_stream(keys.events(store))
            except ResponseError as error:
                if "no such key" in str(error):
                    return None
                raise
        return found

    async def after(self, store: str, position: str, count: int = PAGE) -> list[Event]:
        """The next `count` events after `position`."""
        with truth():
            found: Any = await self._redis.xrange(keys.events(store), min=f"({position}", count=count)
        return [_event(entry_id, fields) for entry_id, fields in found]

    async def wait(self, positions: Mapping[str, str], wait_s: float) -> dict[str, list[Event]]:
        """Store → its next events after its position, as soon as there are any; at most after `wait_s`, which must stay
        below the client's socket timeout. `positions` must not be empty."""
        streams: Any = {keys.events(store): position for store, position in positions.items()}
        store_of = {keys.events(store).encode(): store for store in positions}
        with truth():
            found: Any = await self._redis.xread(streams, count=PAGE, block=max(1, int(1000 * wait_s)))
        return {store_of[key]: [_event(entry_id, fields) for entry_id, fields in entries] for key, entries in found}

    async def get(self, store: str, event_id: str) -> Event | None:
        """None for one that never was, was trimmed away, or told of an erased face."""
        with truth():
            found: Any = await self._redis.xrange(keys.events(store), min=event_id, max=event_id)
        return _event(*found[0]) if found else None

    async def forget(self, store: str, *persons: str) -> int:
        """Erase every event of the store that names one of the persons; how many. Doing it twice changes nothing."""
        position, erased, gone = START, 0, set(persons)
        while page := await self.after(store, position, 10 * PAGE):
            named = [event.id for event in page if event.person in gone or event.was in gone]
            if named:
                with truth(outcome="unknown"):
                    erased += await self._redis.xdel(keys.events(store), *named)
            position = page[-1].id
        return erased

    async def judge(self, store: str, event_id: str, *, correct: bool) -> None:
        """Note whether the event told the right person; the last word counts."""
        with truth(outcome="unknown"):
            await self._redis.hset(keys.feedback(store), event_id, int(correct))

    async def judged(self, store: str) -> dict[str, bool]:
        """Event id → whether it was right, of all that somebody judged, also those that are no longer kept."""
        with truth():
            found: Any = await self._redis.hgetall(keys.feedback(store))
        return {event_id.decode(): word == b"1" for event_id, word in found.items()}


def _event(entry_id: bytes, fields: Mapping[bytes, bytes]) -> Event:
    return Event(
        id=entry_id.decode(),
        type=fields[b"t"].decode(),
        person=fields[b"k"].decode(),
        at_ms=int(fields[b"a"]),
        late=fields.get(b"l") == b"1",
        provisional=fields.get(b"p") == b"1",
        was=fields.get(b"w", b"").decode(),
    )
