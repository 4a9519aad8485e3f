"""What gets old: the faces of a store by their last sighting, and what it keeps that no visit needs any more.

The only code that reads the order of last sightings (`keys.seen`) in Redis, and the only one that trims by age.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from common import keys
from common.cluster_map import StoreConfig
from common.scan import hash_step
from common.truth import truth
from common.visits import home_of

BATCH = 500
"""fields looked at in one step"""


@dataclass(frozen=True, slots=True)
class Aged:
    """A face, what it is ("" a visitor; see `keys.standings`), and when it was last seen, ms."""

    face_id: str
    standing: str
    seen_ms: int


@dataclass(slots=True)
class Cursors:
    """How far the trimming of one store has come; it begins anew at the end."""

    feedback: int = 0
    rejections: int = 0
    firsts: int = 0


class Expiry:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._trim_firsts = redis.register_script((Path(__file__).parent / "trim_firsts.lua").read_text())

    async def oldest(self, store: str, skip: int, count: int) -> list[Aged]:
        """The faces that were not seen for longest, without the first `skip` of them, in that order."""
        with truth():
            found: Any = await self._redis.zrange(keys.seen(store), skip, skip + count - 1, withscores=True)
            if not found:
                return []
            standings: Any = await self._redis.hmget(keys.standings(store), [face_id for face_id, _ in found])
        return [
            Aged(face_id.decode(), (standing or b"").decode(), int(seen))
            for (face_id, seen), standing in zip(found, standings, strict=True)
        ]

    async def trim(self, store: str, before_ms: int, cursors: Cursors, homes: Mapping[str, StoreConfig]) -> None:
        """Take one step through what the store keeps by time, and forget what is older. `homes`: all stores there are;
        of a person of another one, nobody was left to tell. Raises TruthUnavailable."""
        hour = datetime.fromtimestamp(before_ms / 1000, UTC).strftime("%Y-%m-%dT%H")
        cursors.feedback, judged = await hash_step(self._redis, keys.feedback(store), cursors.feedback, BATCH)
        cursors.rejections, rejected = await hash_step(self._redis, keys.rejections(store), cursors.rejections, BATCH)
        cursors.firsts, firsts = await hash_step(self._redis, keys.firsts(store), cursors.firsts, BATCH)
        await self._drop(keys.feedback(store), [one for one in judged if int(one.partition(b"-")[0]) < before_ms])
        await self._drop(keys.rejections(store), [one for one in rejected if one.decode().partition(" ")[0] < hour])
        old = [person for person, at in firsts.items() if int(at) < before_ms and _is_nobody(person.decode(), homes)]
        if old:
            with truth(outcome="unknown"):
                await self._trim_firsts(
                    keys=[keys.visit_days(store), keys.firsts(store)], args=[keys.visits(store, ""), *old]
                )

    async def _drop(self, key: str, fields: list[bytes]) -> None:
        if fields:
            with truth(outcome="unknown"):
                await self._redis.hdel(key, *fields)


def _is_nobody(person: str, homes: Mapping[str, StoreConfig]) -> bool:
    """Whether it was erased, or its store is gone with all its faces."""
    found = home_of(person)
    home = None if found is None else homes.get(found[0])
    return found is None or home is None or not home.incarnation.startswith(found[1])
