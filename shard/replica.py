"""One replica of one shard, put together: the index, who writes it, who searches it, who speaks of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from redis.asyncio import Redis

from common.cluster_map import ClusterMap, Heartbeat
from common.settings import ShardSettings
from common.tasks import end
from common.types import StoreView
from shard.follower import Follower
from shard.gate import Gate
from shard.heartbeat import Announcer
from shard.searcher import Searcher
from shard.shard_index import ShardIndex
from shard.waiters import Waiters


class Replica:
    """Make it inside the event loop that runs it."""

    def __init__(self, settings: ShardSettings, redis: Redis) -> None:
        self.settings = settings
        self.boot = uuid4().hex
        self.waiters = Waiters()
        self.index = ShardIndex()
        self.gate = Gate()
        self.searcher = Searcher(self.index, self.gate, settings.search_threads)
        self.follower = Follower(settings, redis, self.index, self.gate, self.waiters)
        self._announcer = Announcer(ClusterMap(redis), self.heartbeat, self.follower)

    @property
    def stores(self) -> dict[str, StoreView]:
        return self.index.views()

    def version(self, store: str, incarnation: str) -> int:
        """The version of the store that searches see; 0 while it is not served."""
        return self.index.version(store, incarnation)

    def heartbeat(self) -> Heartbeat:
        settings = self.settings
        now = time.time()
        return Heartbeat(
            settings.shard, settings.replica, settings.url, self.follower.state, self.boot, now, self.stores
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow and announce inside the block; say goodbye after it."""
        beating = self._announcer.run(self.settings.heartbeat_s, self.settings.heartbeat_ttl_s)
        tasks = [asyncio.create_task(self.follower.run()), asyncio.create_task(beating)]
        try:
            yield
        finally:
            for task in tasks:
                await end(task)
            await self._announcer.retire()
            self.searcher.close()
