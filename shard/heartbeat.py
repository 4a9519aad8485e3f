"""Tells the gateways, through Redis, that this replica is there, what it serves and how far it has come."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from common.cluster_map import ClusterMap, Heartbeat
from common.errors import TruthUnavailable

log = logging.getLogger("facegrid.shard.heartbeat")


class Announcer:
    """Announces what `beat` returns, every `every_s` seconds and soon after `changed` is set."""

    def __init__(self, cluster_map: ClusterMap, beat: Callable[[], Heartbeat], changed: asyncio.Event) -> None:
        self._map = cluster_map
        self._beat = beat
        self._changed = changed
        self._heard = True

    async def run(self, every_s: float, ttl_s: float) -> None:
        """Announce until cancelled; a Redis that is away or hangs costs heartbeats, nothing else."""
        while True:
            self._changed.clear()
            await self._announce(ttl_s)
            try:
                async with asyncio.timeout(every_s):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def _announce(self, ttl_s: float) -> None:
        try:
            await self._map.announce(self._beat(), ttl_s)
        except TruthUnavailable as error:
            if self._heard:
                log.warning("No heartbeat could be sent. %s", error.detail)
            self._heard = False
        else:
            self._heard = True

    async def retire(self) -> None:
        """Say goodbye, so that gateways stop calling at once instead of when the heartbeat expires."""
        beat = self._beat()
        try:
            await self._map.retire(beat.shard, beat.replica)
        except TruthUnavailable as error:
            log.warning("The heartbeat is left to expire. %s", error.detail)
