"""Where stores should be (the map) and where they are (heartbeats). The only code that reads or writes either in Redis.

A store is created by setting its `incarnation` and then its map entry, and deleted by erasing its keys, the incarnation
among them, and then its map entry: whatever dies in between, a commit is accepted only while both say the same, and
repeating the request finishes the work.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from redis.asyncio import Redis

from common import keys
from common.errors import Conflict, ErasureUnfinished, LeaseLost, StoreNotEmpty, TruthUnavailable
from common.feed import read_changes
from common.truth import truth
from common.types import DLIB_DIMENSION, DLIB_SPACE, ReplicaState, StoreView

log = logging.getLogger("facegrid.map")
MAP_KEYS = [keys.MAP_STORES, keys.MAP_FEED, keys.LEADER]
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True, slots=True)
class StoreConfig:
    store: str
    shard: str
    group: str = "default"
    timezone: str = "UTC"
    space: str = DLIB_SPACE
    dimension: int = DLIB_DIMENSION
    """d of the space: shards need to know no more of it"""
    threshold: float | None = None
    """fixed score threshold; None: by gallery size"""
    target_fpir: float | None = None
    """accepted chance that a stranger matches anyone; None: the gateway's"""
    margin: float | None = None
    """how far the next other person's score must be behind a match; None: no matter how near"""
    reentry_window_s: int | None = None
    """a person unseen for longer comes for another visit; None: REENTRY_WINDOW_S"""
    retention_days: int | None = None
    """a visitor unseen for longer is erased; None: RETENTION_DAYS"""
    member_retention_days: int | None = None
    """the same for members; None: never"""
    incarnation: str = ""
    created: float = 0.0
    moving_to: str | None = None
    """the shard that is loading the store, to take it over"""
    moving_from: str | None = None
    """the shard that had it and still serves it, until every gateway knows of the new one"""

    @property
    def served_by(self) -> tuple[str, ...]:
        """The shards that shall have the store in memory, the one to ask first in front."""
        return (self.shard, *(other for other in (self.moving_from, self.moving_to) if other is not None))

    def to_json(self) -> str:
        """What an entry without it says is left out: one written before a setting was invented compares equal."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        if self.dimension == DLIB_DIMENSION:
            del given["dimension"]
        return json.dumps(given, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, raw: bytes) -> StoreConfig:
        """Fields that a later version added are passed over; writing such an entry back fails, as it must."""
        read = json.loads(raw)
        return cls(**{one.name: read[one.name] for one in fields(cls) if one.name in read})


@dataclass(frozen=True, slots=True)
class GroupView:
    """How one replica searches its stores of one group."""

    group: str
    space: str
    rows: int
    index: str
    """flat, or the factory string of the codes that nominate"""
    coded: int
    """rows that have a code; the others are scanned"""
    recall: float | None = None
    """share of rows whose nearest other row the codes found when they were built; None: not measured yet, or flat"""


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
    groups: tuple[GroupView, ...] = ()

    def to_json(self) -> str:
        views = {store: {"version": view.version, "rows": view.rows} for store, view in self.stores.items()}
        # Not `asdict`, which copies: a thousand stores would hold up the event loop for milliseconds at every beat.
        fields_here = {one.name: getattr(self, one.name) for one in fields(self)}
        groups = [asdict(group) for group in self.groups]
        return json.dumps(fields_here | {"stores": views, "groups": groups}, separators=(",", ":"))

    @classmethod
    def from_json(cls, raw: bytes) -> Heartbeat:
        """Fields that a later version added are passed over, and one of before has no groups."""
        read = {"groups": []} | json.loads(raw)
        known = {one.name: read[one.name] for one in fields(cls)}
        known["groups"] = tuple(GroupView(**group) for group in read["groups"])
        known["state"] = ReplicaState(read["state"])
        known["stores"] = {store: StoreView(view["version"], view["rows"]) for store, view in read["stores"].items()}
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Orders:
    """What was asked of the leader and is not done yet."""

    moves: dict[str, str] = field(default_factory=dict)
    """store → shard it shall be moved to; until the leader has begun"""
    draining: frozenset[str] = frozenset()
    """shards that get no stores and give theirs away"""


class ClusterMap:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._order_done = redis.register_script((Path(__file__).parent / "order_done.lua").read_text())
        self._set = redis.register_script((Path(__file__).parent / "map_set.lua").read_text())
        self._erase = redis.register_script((Path(__file__).parent / "erase.lua").read_text())

    async def stores(self) -> dict[str, StoreConfig]:
        """The whole map. Raises TruthUnavailable, also for an entry that cannot be read: a map without that store
        would let a search claim that it looked everywhere."""
        with truth():
            found: Any = await self._redis.hgetall(keys.MAP_STORES)
        try:
            return {name.decode(): _config(raw) for name, raw in found.items()}
        except UNREADABLE as error:
            raise TruthUnavailable(f"The map cannot be read: {type(error).__name__}.", outcome="unchanged") from error

    async def wait_for_change(self, position: str, wait_s: float) -> str:
        """Wait until the map changes after `position` ("0-0": the beginning), at most `wait_s`; the new position.

        Raises TruthUnavailable. `wait_s` must stay below the client's socket timeout.
        """
        return (await read_changes(self._redis, position, {}, int(1000 * wait_s))).map_position

    async def create(self, config: StoreConfig) -> StoreConfig:
        """Put a new store in the map. Raises Conflict if it is there already, TruthUnavailable."""
        new = uuid4().hex
        with truth(outcome="unknown"):
            present: Any = await self._redis.set(keys.incarnation(config.store), new, nx=True, get=True)
        created = replace(config, incarnation=new if present is None else present.decode())
        await self._compare_and_set(config.store, "", created.to_json())
        return created

    async def update(self, present: StoreConfig, new: StoreConfig, lease: str = "") -> None:
        """Raises Conflict if the entry is not `present` any more, LeaseLost if `lease` is not the leader's token any
        more, TruthUnavailable."""
        await self._compare_and_set(present.store, present.to_json(), new.to_json(), lease)

    async def delete(self, config: StoreConfig, *, force: bool = True) -> None:
        """Erase the store, with `force` also its faces. Raises StoreNotEmpty, ErasureUnfinished (a face's job was not
        done once), Conflict if it was created again meanwhile, and nothing is erased; TruthUnavailable."""
        store = config.store
        names = [keys.incarnation(store), *keys.of_store(store)]
        by_day = [keys.visits(store, ""), keys.distinct(store, ""), keys.distinct_members(store, "")]
        read = (keys.visit_days(store), keys.rollups(store), keys.rekeys(store))
        lists = [names.index(name) + 1 for name in read]
        with truth(outcome="unknown"):
            status, faces = await self._erase(
                keys=names, args=[config.incarnation, "force" if force else "", *lists, *by_day]
            )
        if status == b"NOT_EMPTY":
            raise StoreNotEmpty(
                f"Store {store} holds {faces} faces; delete them too with ?force=true.", field="force", faces=faces
            )
        if status == b"UNFINISHED":
            raise ErasureUnfinished(f"What faces of {store} left that are gone is still being removed.", field="store")
        if status == b"OTHER":
            raise _changed(store)
        await self._forget(config)

    async def _forget(self, config: StoreConfig) -> None:
        """Take the store out of the map, however its settings were changed meanwhile: its faces are gone."""
        with truth(outcome="unknown", refused="unknown"):
            while True:
                entry: Any = await self._redis.hget(keys.MAP_STORES, config.store)
                if entry is None or StoreConfig.from_json(entry).incarnation != config.incarnation:
                    return
                if await self._set(keys=MAP_KEYS, args=[config.store, entry, "", ""]):
                    return

    async def _compare_and_set(self, store: str, present: str, new: str, lease: str = "") -> None:
        with truth(outcome="unknown"):
            done = await self._set(keys=MAP_KEYS, args=[store, present, new, lease])
        if done < 0:
            raise _leads_no_more()
        if not done:
            raise _changed(store)

    async def orders(self) -> Orders:
        with truth():
            pipe = self._redis.pipeline(transaction=False)
            pipe.hgetall(keys.MOVES)
            pipe.smembers(keys.DRAINING)
            moves, draining = await pipe.execute()
        return Orders(
            {store.decode(): shard.decode() for store, shard in moves.items()},
            frozenset(shard.decode() for shard in draining),
        )

    async def order_moves(self, moves: Mapping[str, str]) -> None:
        """Have each store moved to its shard; the last order of a store counts."""
        if moves:
            with truth(outcome="unknown"):
                await self._redis.hset(keys.MOVES, items=[part for order in moves.items() for part in order])

    async def order_done(self, store: str, shard: str, lease: str = "") -> None:
        """Forget the order to move the store there, if it still stands. Raises LeaseLost, TruthUnavailable."""
        with truth(outcome="unknown"):
            done = await self._order_done(keys=[keys.MOVES, keys.LEADER], args=[store, shard, lease])
        if done < 0:
            raise _leads_no_more()

    async def drain(self, shard: str, *, undo: bool = False) -> None:
        with truth(outcome="unknown"):
            await (self._redis.srem if undo else self._redis.sadd)(keys.DRAINING, shard)

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

    async def check_writes(self) -> None:
        """Raises TruthUnavailable if Redis accepts no writes: it is full, a replica by now, lacks its replicas, …"""
        with truth():
            await self._redis.set(keys.PROBE, b"", px=1000)

    async def replicas(self) -> list[Heartbeat]:
        """The replicas heard of within the TTL, ordered by shard and replica; without those that cannot be read."""
        with truth():
            members: Any = await self._redis.smembers(keys.REPLICAS)
            names = sorted(members)
            found: Any = await self._redis.mget(names) if names else []
        return [beat for raw in found if raw is not None and (beat := _heartbeat(raw)) is not None]


@lru_cache(maxsize=65_536)  # the map is read twice a second by everybody, and hardly ever changes
def _config(raw: bytes) -> StoreConfig:
    return StoreConfig.from_json(raw)


def _heartbeat(raw: bytes) -> Heartbeat | None:
    try:
        return Heartbeat.from_json(raw)
    except UNREADABLE as error:
        log.warning("A heartbeat cannot be read, its replica is not used: %s", type(error).__name__)
        return None


def _changed(store: str) -> Conflict:
    return Conflict(f"Store {store} was changed by another request meanwhile.", field="store")


def _leads_no_more() -> LeaseLost:
    return LeaseLost("Another gateway leads by now.")
