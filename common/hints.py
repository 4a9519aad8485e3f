"""What wakes a follower: a commit, and a change of the map, is published on a channel named like its feed.

It is a hint and no more: whoever hears it reads the feed, and whoever could not hear it (its connection was away for a
moment) reads all feeds now and then in any case.

Rejected: a blocking read of all feeds. The follower names every one of them anew for every write, and Redis looks each
up and notes who waits: with 333 stores 1.1 ms of the replica and 1.4 ms of Redis, which everybody waits for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import NoPermissionError, RedisError

from common import keys
from common.errors import TruthUnavailable
from common.truth import truth

MOST_AT_ONCE = 1000
"""hints, before they are acted upon"""

log = logging.getLogger("facegrid.hints")


class Hints:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._channels: PubSub | None = None
        self._heard_of: set[str] = set()
        self._may_listen = True

    async def listen(self, stores: Iterable[str]) -> None:
        """Hear of these stores and of the map from now on, and of no others. What happened before is not told."""
        if not self._may_listen:
            return
        wanted = {keys.MAP_FEED, *map(keys.feed, stores)}
        with truth():
            if self._channels is None:
                self._channels = self._redis.pubsub()
            if new := wanted - self._heard_of:
                await self._channels.subscribe(*new)
            if gone := self._heard_of - wanted:
                await self._channels.unsubscribe(*gone)
        self._heard_of = wanted

    async def wait(self, seconds: float) -> set[str]:
        """The stores heard of, as soon as there is one; after `seconds`, or when only the map changed, none."""
        if self._channels is None:
            await asyncio.sleep(seconds)
            return set()
        heard: set[str] = set()
        try:
            with truth():
                message: Any = await self._channels.get_message(timeout=seconds)
                for _ in range(MOST_AT_ONCE):
                    if message is None:
                        break
                    if message["type"] == "message" and message["channel"] != keys.MAP_FEED.encode():
                        heard.add(keys.store_of_feed(message["channel"]))
                    message = await self._channels.get_message(timeout=0)
        except TruthUnavailable as error:
            if not isinstance(error.__cause__, NoPermissionError):
                raise
            log.warning("Redis lets this user hear no channels (&fg:*): writes are seen a heartbeat later")
            self._may_listen = False
            await self.close()
        return heard

    async def close(self) -> None:
        """Hear nothing any more, until `listen` is called again."""
        channels, self._channels, self._heard_of = self._channels, None, set()
        if channels is not None:
            with contextlib.suppress(RedisError, OSError):
                await channels.aclose()  # type: ignore[no-untyped-call]  # redis-py has no types for it
