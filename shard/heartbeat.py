"""Tells the gateways, through Redis, that this replica is there, what it serves and how far it has come.

A write is called visible once every replica that is announced has it. So a replica whose announcement had expired (it
was stopped, or cut off from Redis) may lack such writes when it comes back: it first notes what it must catch up with,
and again once it is announced, for what was written until then. From there on nobody forgets to wait for it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from math import inf

from common.cluster_map import ClusterMap, Heartbeat
from common.errors import TruthUnavailable
from shard.follower import Follower

log = logging.getLogger("facegrid.shard.heartbeat")


class Announcer:
    """Announces what `beat` returns, every `every_s` seconds and soon after the follower's `changed` is set."""

    def __init__(self, cluster_map: ClusterMap, beat: Callable[[], Heartbeat], follower: Follower) -> None:
        self._map = cluster_map
        self._beat = beat
        self._follower = follower
        self._heard = True
        self._announced_at = -inf

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
        if self._has_expired(ttl_s):
            await self._follower.note_due()
        await self._map.announce(self._beat(), ttl_s)
        if self._has_expired(ttl_s):
            await self._follower.note_due()
        self._announced_at = now

    def _has_expired(self, ttl_s: float) -> bool:
        return time.monotonic() - self._announced_at >= ttl_s

    async def retire(self) -> None:
        """Say goodbye, so that gateways stop calling at once instead of when the heartbeat expires."""
        beat = self._beat()
        try:
            await self._map.retire(beat.shard, beat.replica)
        except TruthUnavailable as error:
            log.warning("The heartbeat is left to expire. %s", error.detail)
