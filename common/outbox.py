"""How far the webhook has come at each store, and what it had to leave out. The only code that keeps that in Redis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from common import keys
from common.events import START, order
from common.truth import truth

DEAD_LETTERS_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that the webhook's receiver did not take. Names the event only: who it is about is looked up."""

    id: str
    store: str
    event_id: str
    error: str
    """of the last attempt"""

    @property
    def at_ms(self) -> int:
        return order(self.id)[0]


class Outbox:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._move = redis.register_script((Path(__file__).parent / "outbox_move.lua").read_text())

    async def begin(self) -> None:
        """Note when the webhook was first used: what happened before is history, and is not told."""
        with truth(outcome="unknown"):
            seconds, micros = await self._redis.time()
            before = 1000 * seconds + micros // 1000 - 1  # an event of this very millisecond comes after it
            await self._redis.set(keys.WEBHOOK_SINCE, f"{before}-0", nx=True)

    async def cursors(self, stores: Sequence[str]) -> dict[str, str]:
        """Store → the last event that the receiver was told; when it all began for one of which it was told nothing, so
        that the first events of a store that came later are told too."""
        with truth():
            pipe = self._redis.pipeline(transaction=False)
            for key in (keys.WEBHOOK_SINCE, *map(keys.webhook_cursor, stores)):
                pipe.get(key)
            since, *found = await pipe.execute()
        return {store: (at or since or START.encode()).decode() for store, at in zip(stores, found, strict=True)}

    async def move(self, store: str, event_id: str) -> None:
        """Note that the receiver was told the event, whose id is "ms-n". Never back, whoever comes late; nothing is
        noted at a store that is gone."""
        with truth(outcome="unknown"):
            await self._move(keys=[keys.incarnation(store), keys.webhook_cursor(store)], args=[event_id])

    async def bury(self, store: str, event_id: str, error: str) -> None:
        letter: Any = {"s": store, "e": event_id, "r": error}
        with truth(outcome="unknown"):
            await self._redis.xadd(keys.DEAD_LETTERS, letter, maxlen=DEAD_LETTERS_KEPT, approximate=True)

    async def letters(self, after: str, count: int) -> list[DeadLetter]:
        """The oldest `count` after the letter named."""
        with truth():
            found: Any = await self._redis.xrange(keys.DEAD_LETTERS, min=f"({after}", count=count)
        return list(_letters(found))

    async def letter(self, letter_id: str) -> DeadLetter | None:
        with truth():
            found: Any = await self._redis.xrange(keys.DEAD_LETTERS, min=letter_id, max=letter_id)
        return next(_letters(found), None)

    async def drop(self, letter_id: str) -> bool:
        """False if there is no such letter (any more)."""
        with truth(outcome="unknown"):
            return bool(await self._redis.xdel(keys.DEAD_LETTERS, letter_id))


def _letters(entries: Iterable[Any]) -> Iterator[DeadLetter]:
    for letter_id, fields in entries:
        yield DeadLetter(letter_id.decode(), *(fields[name].decode() for name in (b"s", b"e", b"r")))
