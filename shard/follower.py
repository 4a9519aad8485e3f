"""The one writer of this replica: brings the index to where the map and the feeds in Redis say it should be.

A cycle: notice whether another server answers → read the map if it changed → install finished loads, start missing
ones → wait until changes are heard of (`common.hints`) → read and apply them. All state is compared and mended in every
cycle, so a step that fails half way is simply done again; feed entries name *which* face changed, so doing one twice
ends in the same state. All feeds are read at the start, after every failure, and once in a heartbeat in any case.

    wanted, not served          → load, not searched until it is installed
    served, feed entry          → read the faces named, put or drop their rows
    served, gap in the feed     → load again; the old view answers until the new one replaces it
    served, unreadable record   → load again, every few seconds until it can be read
    served, changes its space   → nothing until the map says so, then it is re-created
    another server answers      → the same for every store: what was followed may not be its truth
    served, changes its group   → its rows move over to those of the other group
    not wanted, re-created      → dropped at once: erased faces must not be found again

While Redis is away the index stays as it is and is searched.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from math import inf

from redis.asyncio import Redis

from common.cluster_map import ClusterMap, StoreConfig
from common.errors import TruthUnavailable
from common.feed import Changes, map_position, read_changes, replication_id
from common.hints import Hints
from common.ledger import Ledger
from common.settings import ShardSettings
from common.types import ReplicaState
from shard.gate import Gate
from shard.loader import Loader, usable
from shard.shard_index import ServedStore, ShardIndex, Usable, same_creation
from shard.waiters import Waiters

FIRST_RETRY_S, LAST_RETRY_S = 0.05, 1.0
LOADING_BLOCK_S = 0.02
"""how long a finished load waits at most until it is installed"""
READ_TOGETHER = 16
"""stores whose changes are read in one write: up to a thousand faces each"""

log = logging.getLogger("facegrid.shard.follower")


class Follower:
    """`changed` is set when the state or the set of stores served has changed."""

    def __init__(self, settings: ShardSettings, redis: Redis, index: ShardIndex, gate: Gate, waiters: Waiters) -> None:
        self._shard = settings.shard
        self._redis = redis
        self._index = index
        self._gate = gate
        self._waiters = waiters
        self._ledger = Ledger(redis)
        self._map = ClusterMap(redis)
        self._loader = Loader(self._ledger)
        self._look_s = settings.heartbeat_s
        self._block_s = min(settings.heartbeat_s, settings.redis_timeout_s / 2)
        self._server = ""
        self._looked_at = -inf
        self._position = ""
        self._map_is_read = False
        self._hints = Hints(redis)
        self._listens = False
        """to the stores that are wanted now"""
        self._look_at_all = True
        self._looked_at_all = -inf
        self._wanted: dict[str, StoreConfig] = {}
        self._stale: set[str] = set()
        self._at_start: set[str] | None = None
        self.state = ReplicaState.LOADING
        self.truth_answers: bool | None = None
        self.changed = asyncio.Event()

    @property
    def missing(self) -> list[str] | None:
        """Stores that the map gives to this shard and that are not served yet; None before the map was read."""
        return None if self._at_start is None else [store for store in self._wanted if store not in self._index]

    def loads(self) -> bool:
        """Whether stores are being loaded just now."""
        return self._loader.busy

    async def run(self) -> None:
        """Follow until cancelled."""
        retry_s = FIRST_RETRY_S
        try:
            while True:
                try:
                    await self._cycle()
                # Whatever it is: a follower that ended would leave a replica behind that answers with old faces.
                except Exception as error:  # noqa: BLE001
                    self._note_failure(error)
                    await self._hear_nothing()
                    await asyncio.sleep(retry_s)
                    retry_s = min(2 * retry_s, LAST_RETRY_S)
                else:
                    retry_s = FIRST_RETRY_S
                    self._note_answer()
        finally:
            self._loader.keep_only({})
            await self._hear_nothing()

    async def _hear_nothing(self) -> None:
        """What was heard may be lost: the next cycle listens anew, and looks at all stores."""
        self._listens = False
        await self._hints.close()

    async def note_due(self) -> None:
        """Search no store before it has all that is committed now. Raises TruthUnavailable; nothing is changed then."""
        for store, version in (await self._ledger.versions(list(self._index))).items():
            if store in self._index:
                self._index.note_due(store, version)

    def _note_failure(self, error: Exception) -> None:
        self._looked_at = -inf  # it may be another server that answers next
        if not isinstance(error, TruthUnavailable):
            log.error("A cycle of the follower failed", exc_info=error)
        elif self.truth_answers is not False:
            log.warning("Redis is away, searches go on from memory. %s", error.detail)
            self.truth_answers = False

    def _note_answer(self) -> None:
        if not self.truth_answers:
            log.info("Redis answers")
        self.truth_answers = True

    async def _cycle(self) -> None:
        await self._notice_another_server()
        if not self._map_is_read:
            await self._read_map()
        await self._install_and_load()
        if not self._listens:
            await self._hints.listen(self._wanted)
            self._listens = self._look_at_all = True
        changes = await self._changes()
        self._look_at_all = changes.more
        if changes.map_changed:
            self._position = changes.map_position
            self._map_is_read = False
            await self._read_map()  # before the faces: a new incarnation's entries are none of the old rows' business
        await self._apply(changes)

    async def _changes(self) -> Changes:
        """What happened at the stores that were heard of, or, now and then, at all."""
        due_s = 0.0 if self._look_at_all else max(0.0, self._looked_at_all + self._block_s - time.monotonic())
        heard = await self._hints.wait(min(due_s, LOADING_BLOCK_S if self._loader.busy else self._block_s))
        now = time.monotonic()
        if self._look_at_all or now - self._looked_at_all >= self._block_s:
            self._looked_at_all = now
            return await read_changes(self._redis, self._position, self._followed())
        followed = {store: self._index[store].version for store in heard - self._stale if store in self._index}
        return await read_changes(self._redis, self._position, followed)

    async def _notice_another_server(self) -> None:
        # Also without an outage: the connection pool replaces a connection that broke between two commands in silence.
        now = time.monotonic()
        if now - self._looked_at < self._look_s:
            return
        server = await replication_id(self._redis)
        if self._server not in ("", server):
            log.warning("Redis restarted or another server took over: every store is loaded again")
            self._loader.keep_only({})
            self._stale = set(self._index)
            self._position = ""
            self._map_is_read = False
            await self._hear_nothing()
        self._server = server
        self._looked_at = now

    async def _read_map(self) -> None:
        if not self._position:
            self._position = await map_position(self._redis)
        stores = await self._map.stores()
        self._wanted = {store: config for store, config in stores.items() if self._shard in config.served_by}
        if self._at_start is None:
            self._at_start = set(self._wanted)
        self._map_is_read, self._listens = True, False
        self._loader.keep_only(self._wanted)
        for store in list(self._index):
            if store not in self._wanted or not same_creation(self._index[store], self._wanted[store]):
                await self._remove(store)
            elif self._index[store].group != self._wanted[store].group:
                await self._regroup(store, self._wanted[store].group)

    async def _remove(self, store: str) -> None:
        async with self._gate.writing():
            self._index.remove(store)
        self._stale.discard(store)
        self.changed.set()
        log.info("Store %s is not served any more", store)

    async def _regroup(self, store: str, group: str) -> None:
        async with self._gate.writing():
            self._index.regroup(store, group)
        log.info("Store %s is in group %s now", store, group)

    async def _install_and_load(self) -> None:
        loaded = self._loader.busy
        for store, served in self._loader.finished():
            await self._install(store, served)
        for store, config in self._wanted.items():
            if store not in self._index or store in self._stale:
                self._loader.start(config)
        if loaded and not self._loader.busy:
            self._index.written.set()  # the last load may have failed: there is no install that would say so
        if self.state is ReplicaState.LOADING and not (self._at_start or set()).intersection(self.missing or ()):
            self.state = ReplicaState.READY
            self.changed.set()
            log.info("Ready with %d stores", len(self._index))

    async def _install(self, store: str, served: ServedStore) -> None:
        served.group = self._wanted[store].group  # which may have changed while it was loaded
        async with self._gate.writing():
            self._index.install(store, served)
        self._stale.discard(store)
        self._look_at_all = True  # what was heard of it while it was loaded is forgotten
        self._waiters.reached(store, served.version)
        if self.state is ReplicaState.READY:
            self.changed.set()
        log.info("Store %s is served: %d rows at version %d", store, len(served.gallery), served.version)

    def _followed(self) -> dict[str, int]:
        return {store: self._index[store].version for store in self._index if store not in self._stale}

    async def _apply(self, changes: Changes) -> None:
        for store in changes.gaps:
            if store in self._index:
                log.warning("Store %s: its feed was trimmed before it was read; it is loaded again", store)
                self._stale.add(store)
        served = [store for store in changes.versions if store in self._index]
        for first in range(0, len(served), READ_TOGETHER):
            await self._apply_to(served[first : first + READ_TOGETHER], changes)

    async def _apply_to(self, stores: Sequence[str], changes: Changes) -> None:
        read = await asyncio.gather(*(self._read(store, changes.faces[store]) for store in stores))
        for store, faces in zip(stores, read, strict=True):
            if faces is None:
                self._stale.add(store)
                continue
            async with self._gate.writing():
                self._index.apply(store, faces, changes.versions[store])
            self._waiters.reached(store, changes.versions[store])

    async def _read(self, store: str, face_ids: list[str]) -> Usable | None:
        """The faces as they are now; None: the store has to be loaded anew."""
        try:
            records = await self._ledger.records(store, face_ids)
        except (KeyError, TypeError, ValueError) as error:  # one store's bad record must not keep the others waiting
            log.error("Store %s: a record cannot be read (%s)", store, type(error).__name__)
            return None
        served = self._index[store]
        if any(record is not None and record.space != served.space for record in records):
            # It changes its space, and the map says so in a moment; without these faces a search would miss them.
            return None
        return usable(store, served.space, served.gallery.dimension, list(zip(face_ids, records, strict=True)))
