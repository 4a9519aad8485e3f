"""What the gateway knows of the cluster: the map, the heartbeats and the leader's orders, as last read from Redis.

Refreshed in the background and after our own changes. While Redis is away the last view stays in use and says so:
searches go on from it, with `truth: unreachable` and its age. Heartbeats are writes that expire: that they vanish while
Redis accepts no writes (it is full, or a replica by now) or was away says nothing of the replicas. Such a Redis counts
as unreachable as soon as a heartbeat is missed, although it can be read; until then only the writes themselves fail.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from math import inf
from typing import Literal

from common.cluster_map import ClusterMap, Heartbeat, Orders, StoreConfig
from common.errors import TruthUnavailable, UnknownStore
from common.types import ReplicaState
from gateway.store_set import StoreSet

COMING_BACK_S = 3.0
"""within that time after Redis is back every replica that is alive has announced itself again"""

log = logging.getLogger("facegrid.gateway")


class ClusterView:
    def __init__(self, cluster_map: ClusterMap, refresh_s: float) -> None:
        """`refresh_s` must stay below the socket timeout of the map's client."""
        self._map = cluster_map
        self._refresh_s = refresh_s
        self._lock = asyncio.Lock()
        self._seen_at = -1.0
        self._failure: TruthUnavailable | None = None
        self._failed_at = -1.0
        self._back_at = -inf
        """when Redis answered again after it had not"""
        self.truth_reachable = False
        self.stores: dict[str, StoreConfig] = {}
        self._groups: dict[tuple[str, str], StoreSet] = {}
        self._alone: dict[str, StoreSet] = {}
        self.shards: dict[str, tuple[Heartbeat, ...]] = {}
        self.orders = Orders()

    @property
    def age_s(self) -> float:
        return time.monotonic() - self._seen_at

    @property
    def truth_state(self) -> Literal["ok", "unreachable"]:
        return "ok" if self.truth_reachable else "unreachable"

    async def run(self) -> None:
        """Refresh until cancelled: as soon as the map changes (a store that another gateway created must not be missing
        from a `no_match`), and every `refresh_s` for the heartbeats."""
        position = "0-0"
        while True:
            try:
                position = await self._map.wait_for_change(position, self._refresh_s)
                await self.refresh()
            except TruthUnavailable as error:
                self._lost(error)
                await asyncio.sleep(self._refresh_s)

    async def refresh(self) -> None:
        """Read the map and the heartbeats now; callers that come while one is reading share the next reading, or its
        failure: a hundred that queue must not wait for a hundred time-outs.

        Raises TruthUnavailable; the view stays as it was.
        """
        asked = time.monotonic()
        async with self._lock:
            if self._seen_at > asked:
                return
            if self._failure is not None and self._failed_at > asked:
                raise self._failure
            started = time.monotonic()
            try:
                stores, replicas, orders = await asyncio.gather(
                    self._map.stores(), self._map.replicas(), self._map.orders()
                )
                vanished = self._vanished(replicas)
                if vanished:
                    await self._map.check_writes()
            except TruthUnavailable as error:
                self._failure, self._failed_at = error, started
                self._lost(error)
                raise
            if not self.truth_reachable:
                self._back_at = started
            self._take(stores, replicas + (vanished if started - self._back_at < COMING_BACK_S else []))
            self.orders = orders
            self._seen_at = started

    def _vanished(self, replicas: list[Heartbeat]) -> list[Heartbeat]:
        """Those who had a heartbeat when we looked last, and have none now."""
        there = {(beat.shard, beat.replica) for beat in replicas}
        return [beat for beats in self.shards.values() for beat in beats if (beat.shard, beat.replica) not in there]

    def _lost(self, error: TruthUnavailable) -> None:
        if self.truth_reachable:
            log.warning("The map cannot be read, going on from memory: %s", error.detail)
        self.truth_reachable = False

    def _take(self, stores: dict[str, StoreConfig], replicas: list[Heartbeat]) -> None:
        by_shard: dict[str, list[Heartbeat]] = defaultdict(list)
        for beat in replicas:
            by_shard[beat.shard].append(beat)
        if stores != self.stores:  # else everybody goes on with the same objects, and what was worked out of them
            self.stores = stores
            self._groups, self._alone = {}, {}
        self.shards = {shard: tuple(beats) for shard, beats in by_shard.items()}
        self.truth_reachable = True

    async def known_stores(self) -> dict[str, StoreConfig]:
        """Every store. Raises TruthUnavailable while the map was never read: "there are none" would be a claim."""
        if self._seen_at < 0:
            await self.refresh()
        return self.stores

    async def store(self, name: str) -> StoreConfig:
        """The store's settings; a store that was created a moment ago elsewhere is looked up. Raises UnknownStore."""
        if name not in self.stores:
            try:
                await self.refresh()
            except TruthUnavailable:
                if self._seen_at < 0:
                    raise
        if name not in self.stores:
            raise UnknownStore(f"Store {name} does not exist; PUT /v1/stores/{name} creates it.", field="store")
        return self.stores[name]

    def group_of(self, home: StoreConfig) -> StoreSet:
        """The stores that may see each other's visitors and whose rows can be compared, in order of name."""
        key = (home.group, home.space)
        if key not in self._groups:
            same = (config for config in self.stores.values() if (config.group, config.space) == key)
            self._groups[key] = StoreSet(sorted(same, key=lambda config: config.store))
        return self._groups[key]

    def alone(self, home: StoreConfig) -> StoreSet:
        """One store, as it is in `home`."""
        kept = self._alone.get(home.store)
        if kept is None or kept.configs[0] is not home:
            kept = self._alone[home.store] = StoreSet([home])
        return kept

    def not_ready(self) -> list[str]:
        """Why this gateway cannot answer for every store yet; empty when it can."""
        if self._seen_at < 0:
            return ["Redis has not been reached yet"]
        expected = {config.shard for config in self.stores.values()} | self.shards.keys()
        if not expected:
            return ["no shard has announced itself yet"]
        return [reason for shard in sorted(expected) if (reason := self._shard_not_ready(shard))] + self._no_room()

    def _no_room(self) -> list[str]:
        """Whose stores stay where they are though nobody serves them there, or nobody shall."""
        placed = {config.shard for config in self.stores.values()}
        left = sorted(placed & (self.orders.draining | (placed - self.shards.keys())))
        if not left or self.shards.keys() - self.orders.draining:
            return []
        return [f"no live shard can take the stores of {', '.join(left)}"]

    def _shard_not_ready(self, shard: str) -> str:
        beats = self.shards.get(shard, ())
        if any(beat.state is ReplicaState.READY for beat in beats):
            return ""
        return f"shard {shard} is loading" if beats else f"shard {shard} has no live replica"
