"""Sightings that wait: their search was incomplete, so they name nobody yet. The only code that reads or writes them.

An entry holds the probe, since it has to be searched again; it is biometric data at rest in Redis like a template, and
goes when the sighting is settled, when its store is deleted, or when a face is erased that it may be of.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import ormsgpack
from redis.asyncio import Redis

from common import keys
from common.cluster_map import StoreConfig
from common.errors import PendingFull
from common.ledger import gone
from common.limits import MAX_EMBEDDINGS
from common.records import pack_vectors
from common.truth import truth
from common.types import Vectors
from common.visits import window_ms

BATCH = 1000
ORDERED = 1000
"""with more waiting, new ones are settled at once: catching up matters more than the order (the scripts say so too)"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One sighting that waits."""

    probe: Vectors
    """(d,) unit length"""
    at_ms: int
    announced: str = ""
    """the person that the checkout was told of, from an incomplete search"""
    others: tuple[str, ...] = ()
    """persons who were beside it in the same picture, so that it is none of them"""
    picture: str = ""
    """the same for all that were in one picture: they are different persons"""
    photos: int = 1
    """behind the probe"""
    id: str = ""
    """of its entry; given when it is read"""


def pack(waiting: Waiting) -> bytes:
    """As an entry holds it."""
    return ormsgpack.packb(
        {
            "probe": pack_vectors(waiting.probe),
            "at": waiting.at_ms,
            "announced": waiting.announced,
            "others": list(waiting.others),
            "picture": waiting.picture,
            "photos": waiting.photos,
        }
    )


class Pending:
    def __init__(self, redis: Redis, limit: int) -> None:
        """`limit`: sightings that may wait at one store."""
        self._redis = redis
        self._limit = limit
        self._add = redis.register_script((Path(__file__).parent / "pending_add.lua").read_text())

    async def add(self, store: StoreConfig, waiting: Waiting, *, tell: bool = False) -> None:
        """`tell` the checkout of the announced person, once a window.

        Raises PendingFull; UnknownStore if the store is gone (nobody would find a probe that is left there) or
        SpaceChanging if it is of another space by now; TruthUnavailable.
        """
        answer = await self._write(store, waiting, tell=tell, instead_of="")
        if answer == b"FULL":
            raise PendingFull(f"{self._limit} sightings of store {store.store} wait already.", limit=self._limit)

    async def replace(self, store: StoreConfig, waiting: Waiting) -> bool:
        """Keep this in the place of the entry `waiting.id`; False: that waits no more, or somebody else has replaced
        it, and nothing is changed. Raises UnknownStore, SpaceChanging, TruthUnavailable."""
        return await self._write(store, waiting, tell=False, instead_of=waiting.id) == b"OK"

    async def _write(self, store: StoreConfig, waiting: Waiting, *, tell: bool, instead_of: str) -> bytes:
        name, person = store.store, waiting.announced
        window = window_ms(store) if tell and person else ""
        with truth(outcome="unknown"):
            await self._redis.sadd(keys.WAITING_STORES, name)
            answer: bytes = await self._add(
                keys=[keys.incarnation(name), keys.pending(name), keys.announced(name, person), keys.events(name)],
                args=[store.incarnation, self._limit, pack(waiting), window, person, waiting.at_ms, instead_of],
            )
        if answer == b"GONE":
            raise await gone(self._redis, name, store.incarnation)
        return answer

    async def stores(self) -> set[str]:
        """Those where sightings may wait."""
        with truth():
            found: Any = await self._redis.smembers(keys.WAITING_STORES)
        return {store.decode() for store in found}

    async def forget_store(self, store: str) -> None:
        """Nothing waits there: do not look again. One that is added at this moment names it anew, or was seen."""
        with truth(outcome="unknown"):
            await self._redis.srem(keys.WAITING_STORES, store)
            if await self._redis.xlen(keys.pending(store)):
                await self._redis.sadd(keys.WAITING_STORES, store)

    async def entries(self, store: str, count: int = BATCH) -> list[Waiting]:
        """The `count` that have waited longest, and what else there is of the last one's picture."""
        with truth():
            found: Any = await self._redis.xrange(keys.pending(store), count=count + MAX_EMBEDDINGS)
        read = [_waiting(entry_id.decode(), fields[b"s"]) for entry_id, fields in found]
        rest = takewhile(lambda one: one.picture == read[count - 1].picture != "", read[count:])
        return read[:count] + list(rest)

    async def to_wait_for(self, stores: Iterable[str]) -> bool:
        """Whether sightings wait at any of these stores, and so few that others shall go behind them."""
        names = sorted(await self.stores() & set(stores))
        return bool(names) and 0 < sum((await self.counts(names)).values()) <= ORDERED

    async def counts(self, stores: Sequence[str]) -> dict[str, int]:
        with truth():
            pipe = self._redis.pipeline(transaction=False)
            for store in stores:
                pipe.xlen(keys.pending(store))
            answers = await pipe.execute()
        return dict(zip(stores, answers, strict=True))

    async def times(self, store: str) -> list[int]:
        """When each sighting that waits was made, ms."""
        with truth():
            found: Any = await self._redis.xrange(keys.pending(store))
        return [_waiting(entry_id.decode(), fields[b"s"]).at_ms for entry_id, fields in found]


def _waiting(entry_id: str, packed: bytes) -> Waiting:
    read = ormsgpack.unpackb(packed)
    probe = np.frombuffer(read["probe"], dtype="<f4")
    others, picture, photos = tuple(read["others"]), read.get("picture", ""), read.get("photos", 1)
    return Waiting(probe, read["at"], read["announced"], others, picture, photos, entry_id)
