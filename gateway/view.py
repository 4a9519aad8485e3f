"""What the gateway knows of the cluster: the map and the heartbeats, as last read from Redis.

Refreshed in the background and after our own changes. While Redis is away the last view stays in use and says so:
searches go on from it, with `truth: unreachable` and its age.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from typing import Literal

from common.cluster_map import ClusterMap, Heartbeat, StoreConfig
from common.errors import TruthUnavailable, UnknownStore
from common.types import ReplicaState

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
        self.truth_reachable = False
        self.stores: dict[str, StoreConfig] = {}
        self.shards: dict[str, tuple[Heartbeat, ...]] = {}

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
                stores, replicas = await asyncio.gather(self._map.stores(), self._map.replicas())
            except TruthUnavailable as error:
                self._failure, self._failed_at = error, started
                self._lost(error)
                raise
            self._take(stores, replicas)
            self._seen_at = started

    def _lost(self, error: TruthUnavailable) -> None:
        if self.truth_reachable:
            log.warning("The map cannot be read, going on from memory: %s", error.detail)
        self.truth_reachable = False

    def _take(self, stores: dict[str, StoreConfig], replicas: list[Heartbeat]) -> None:
        by_shard: dict[str, list[Heartbeat]] = defaultdict(list)
        for beat in replicas:
            by_shard[beat.shard].append(beat)
        self.stores = stores
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

    def group_of(self, home: StoreConfig) -> list[StoreConfig]:
        """The stores that may see each other's visitors and whose rows can be compared, in order of name."""
        same = (s for s in self.stores.values() if s.group == home.group and s.space == home.space)
        return sorted(same, key=lambda config: config.store)

    def not_ready(self) -> list[str]:
        """Why this gateway cannot answer for every store yet; empty when it can."""
        if self._seen_at < 0:
            return ["Redis has not been reached yet"]
        expected = {config.shard for config in self.stores.values()} | self.shards.keys()
        if not expected:
            return ["no shard has announced itself yet"]
        return [reason for shard in sorted(expected) if (reason := self._shard_not_ready(shard))]

    def _shard_not_ready(self, shard: str) -> str:
        beats = self.shards.get(shard, ())
        if any(beat.state is ReplicaState.READY for beat in beats):
            return ""
        return f"shard {shard} is loading" if beats else f"shard {shard} has no live replica"
