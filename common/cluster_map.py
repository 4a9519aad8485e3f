"""Where stores should be (the map) and where they are (heartbeats). The only code that reads or writes either in Redis.

A store is created by setting its `incarnation` and then its map entry, and deleted the other way round with the
incarnation first: whatever dies in between, a commit is accepted only while both say the same, and repeating the
request finishes the work.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from redis.asyncio import Redis

from common import keys
from common.errors import Conflict
from common.truth import truth
from common.types import DLIB_SPACE, ReplicaState, StoreView


@dataclass(frozen=True, slots=True)
class StoreConfig:
    store: str
    shard: str
    group: str = "default"
    timezone: str = "UTC"
    space: str = DLIB_SPACE
    threshold: float | None = None
    """fixed score threshold; None: by gallery size"""
    incarnation: str = ""
    created: float = 0.0

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, raw: bytes) -> StoreConfig:
        """Fields that a later version added are passed over; writing such an entry back fails, as it must."""
        read = json.loads(raw)
        return cls(**{one.name: read[one.name] for one in fields(cls) if one.name in read})


@dataclass(frozen=True, slots=True)
class Heartbeat:
    shard: str
    replica: str
    url: str
    state: ReplicaState
    boot: str
    """unique to one start of the process"""
    at: float
    """Unix seconds of its clock"""
    stores: dict[str, StoreView] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, raw: bytes) -> Heartbeat:
        read = json.loads(raw)
        known = {one.name: read[one.name] for one in fields(cls)}
        known["state"] = ReplicaState(read["state"])
        known["stores"] = {store: StoreView(**view) for store, view in read["stores"].items()}
        return cls(**known)


class ClusterMap:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._set = redis.register_script((Path(__file__).parent / "map_set.lua").read_text())

    async def stores(self) -> dict[str, StoreConfig]:
        with truth():
            found: Any = await self._redis.hgetall(keys.MAP_STORES)
        return {name.decode(): StoreConfig.from_json(raw) for name, raw in found.items()}

    async def create(self, config: StoreConfig) -> StoreConfig:
        """Put a new store in the map. Raises Conflict if it is there already, TruthUnavailable."""
        with truth(outcome="unknown"):
            await self._redis.set(keys.incarnation(config.store), uuid4().hex, nx=True)
            incarnation: Any = await self._redis.get(keys.incarnation(config.store))
        created = replace(config, incarnation=(incarnation or b"").decode())
        await self._compare_and_set(config.store, "", created.to_json())
        return created

    async def update(self, present: StoreConfig, new: StoreConfig) -> None:
        """Raises Conflict if the entry is not `present` any more, TruthUnavailable."""
        await self._compare_and_set(present.store, present.to_json(), new.to_json())

    async def delete(self, config: StoreConfig) -> None:
        """Erase the store and all its faces. Raises Conflict if it changed meanwhile, TruthUnavailable."""
        with truth(outcome="unknown"):
            await self._redis.delete(keys.incarnation(config.store))
            await self._redis.unlink(*keys.of_store(config.store))
        await self._compare_and_set(config.store, config.to_json(), "")

    async def _compare_and_set(self, store: str, present: str, new: str) -> None:
        with truth(outcome="unknown"):
            done = await self._set(keys=[keys.MAP_STORES, keys.MAP_FEED], args=[store, present, new])
        if not done:
            raise Conflict(f"Store {store} was changed by another request meanwhile.", field="store")

    async def announce(self, beat: Heartbeat, ttl_s: float) -> None:
        name = keys.heartbeat(beat.shard, beat.replica)
        with truth():
            pipe = self._redis.pipeline(transaction=False)
            pipe.set(name, beat.to_json(), px=int(ttl_s * 1000))
            pipe.sadd(keys.REPLICAS, name)
            await pipe.execute()

    async def retire(self, shard: str, replica: str) -> None:
        name = keys.heartbeat(shard, replica)
        with truth():
            await self._redis.delete(name)
            await self._redis.srem(keys.REPLICAS, name)

    async def replicas(self) -> list[Heartbeat]:
        """The replicas heard of within the TTL, ordered by shard and replica."""
        with truth():
            members: Any = await self._redis.smembers(keys.REPLICAS)
            names = sorted(members)
            found: Any = await self._redis.mget(names) if names else []
        return [Heartbeat.from_json(raw) for raw in found if raw is not None]
