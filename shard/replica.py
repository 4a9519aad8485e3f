"""One replica of one shard, put together: the index, who writes it, who searches it, who speaks of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from redis.asyncio import Redis

from common.cluster_map import ClusterMap, Heartbeat
from common.drain import Drain
from common.settings import ShardSettings
from common.tasks import end
from common.types import ReplicaState, StoreView
from shard.coder import Coder
from shard.follower import Follower
from shard.gate import Gate
from shard.heartbeat import Announcer
from shard.recipe import Recipes
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
        recipes = Recipes(settings.index, settings.index_parameters)
        self.coder = Coder(self.index, self.gate, recipes, wait=self.follower.loads)
        self.drain = Drain(settings.drain_s, self._announce_end, self._retire)
        self._beating: asyncio.Task[None] | None = None
        self._announcer = Announcer(ClusterMap(redis), self.heartbeat, self.follower)

    @property
    def state(self) -> ReplicaState:
        return ReplicaState.DRAINING if self.drain.begun else self.follower.state

    @property
    def stores(self) -> dict[str, StoreView]:
        return self.index.views()

    def version(self, store: str, incarnation: str) -> int:
        """The version of the store that searches see; 0 while it is not served."""
        return self.index.version(store, incarnation)

    async def digests(self) -> dict[str, tuple[StoreView, str]]:
        """Each store's view and digest, as they belong together. Writes wait meanwhile, store by store."""
        found = {}
        for store in sorted(self.index):
            async with self.gate.searching():
                if store in self.index:
                    served = self.index[store]
                    found[store] = (served.view, await asyncio.to_thread(served.gallery.digest))
        return found

    def heartbeat(self) -> Heartbeat:
        settings = self.settings
        now = time.time()
        return Heartbeat(
            settings.shard,
            settings.replica,
            settings.url,
            self.state,
            self.boot,
            now,
            self.stores,
            tuple(group.view for group in self.index.groups),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow and announce inside the block; say goodbye after it, unless that was done by draining."""
        following = asyncio.create_task(self.follower.run())
        coding = asyncio.create_task(self.coder.run())
        self._beating = asyncio.create_task(
            self._announcer.run(self.settings.heartbeat_s, self.settings.heartbeat_ttl_s)
        )
        try:
            yield
        finally:
            await self._retire()
            await end(following)
            await end(coding)
            self.coder.close()
            self.searcher.close()

    async def _announce_end(self) -> None:
        """`draining` is what the next heartbeat says, which is due now. Following goes on: searches still come."""
        self.follower.changed.set()

    async def _retire(self) -> None:
        """The last gateways stop calling."""
        if self._beating is not None:
            beating, self._beating = self._beating, None
            await end(beating)
            await self._announcer.retire()
