"""Tells the gateways, through Redis, that this replica is there, what it serves and how far it has come.

A write is called visible once every replica that is announced as ready has it. So one that was not (it was loading, or
stopped, or cut off from Redis until its announcement expired) may lack such writes when it is announced: it first notes
what it must catch up with before it searches again, and once more afterwards, for what was written until then. From
there on every writer waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from math import inf

from common.cluster_map import ClusterMap, Heartbeat
from common.errors import TruthUnavailable
from common.types import ReplicaState
from shard.follower import Follower

log = logging.getLogger("facegrid.shard.heartbeat")


class Announcer:
    """Announces what `beat` returns, every `every_s` seconds and soon after the follower's `changed` is set."""

    def __init__(self, cluster_map: ClusterMap, beat: Callable[[], Heartbeat], follower: Follower) -> None:
        self._map = cluster_map
        self._beat = beat
        self._follower = follower
        self._heard = True
        self._ready_at = -inf
        """when it was last announced as ready, or as draining: searches may still be sent to it then"""

    async def run(self, every_s: float, ttl_s: float) -> None:
        """Announce until cancelled; a Redis that is away or hangs costs heartbeats, nothing else."""
        while True:
            self._follower.changed.clear()
            await self._try(ttl_s)
            try:
                async with asyncio.timeout(every_s):
                    await self._follower.changed.wait()
            except TimeoutError:
                pass

    async def _try(self, ttl_s: float) -> None:
        try:
            await self._announce(ttl_s)
        except TruthUnavailable as error:
            if self._heard:
                log.warning("No heartbeat could be sent. %s", error.detail)
            self._heard = False
        else:
            self._heard = True

    async def _announce(self, ttl_s: float) -> None:
        now = time.monotonic()
        if self._may_have_expired(ttl_s):
            await self._follower.note_due()
        beat = self._beat()
        await self._map.announce(beat, ttl_s)
        if self._may_have_expired(ttl_s):
            await self._follower.note_due()
        self._ready_at = -inf if beat.state is ReplicaState.LOADING else now

    def _may_have_expired(self, ttl_s: float) -> bool:
        return time.monotonic() - self._ready_at >= ttl_s

    async def retire(self) -> None:
        """Say goodbye, so that gateways stop calling at once instead of when the heartbeat expires."""
        beat = self._beat()
        try:
            await self._map.retire(beat.shard, beat.replica)
        except TruthUnavailable as error:
            log.warning("The heartbeat is left to expire. %s", error.detail)
