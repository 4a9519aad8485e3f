"""The gateway's view of the cluster: nothing unreadable ends it, and callers that wait for Redis wait once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from common import keys
from common.cluster_map import ClusterMap, StoreConfig
from common.errors import TruthUnavailable
from gateway.view import ClusterView
from tests.gateway.in_process import Cluster, cluster, unit


@pytest.fixture
async def chain(redis_url: str) -> AsyncIterator[Cluster]:
    async with cluster(redis_url, shards=1) as running:
        await running.create("A")
        yield running


async def refreshed(view: ClusterView) -> None:
    """Return once the view was read anew."""
    asked = time.monotonic()
    async with asyncio.timeout(5):
        while view.age_s > time.monotonic() - asked:
            await asyncio.sleep(0.01)


async def test_a_heartbeat_that_cannot_be_read_is_passed_over(chain: Cluster, redis: Redis) -> None:
    for replica, beat in (("a", b"{}"), ("b", b"\xff"), ("c", b'{"state": "moving"}'), ("d", b"[]")):
        name = keys.heartbeat("s9", replica)
        await redis.set(name, beat)
        await redis.sadd(keys.REPLICAS, name)
    await refreshed(chain.services.view)
    assert list(chain.services.view.shards) == ["s1"]


@pytest.mark.parametrize("entry", ["{", "[]", "{}"])
async def test_a_map_entry_that_cannot_be_read_leaves_the_last_view_in_use(
    chain: Cluster, redis: Redis, entry: str
) -> None:
    """Without that store a search would claim to have looked everywhere."""
    await redis.hset(keys.MAP_STORES, "B", entry)
    async with asyncio.timeout(5):
        while chain.services.view.truth_reachable:
            await asyncio.sleep(0.01)
    response = await chain.http.post("/v1/stores/A/search", json={"embeddings": unit(1).tolist()})
    assert (response.status_code, response.json()["truth"]) == (200, "unreachable")
    refused = await chain.http.put("/v1/stores/C", json={})
    assert (refused.status_code, refused.json()["code"]) == (503, "TRUTH_UNAVAILABLE")
    await redis.hdel(keys.MAP_STORES, "B")
    await refreshed(chain.services.view)
    assert chain.services.view.truth_state == "ok"


class Away(ClusterMap):
    """Redis that takes a while to fail."""

    reads = 0

    async def stores(self) -> dict[str, StoreConfig]:
        self.reads += 1
        await asyncio.sleep(0.05)
        raise TruthUnavailable("Redis: TimeoutError; nothing was changed.", outcome="unchanged")


async def test_callers_that_queue_while_redis_hangs_share_its_failure(redis: Redis) -> None:
    away = Away(redis)
    view = ClusterView(away, refresh_s=60)
    results = await asyncio.gather(*(view.refresh() for _ in range(20)), return_exceptions=True)
    assert {type(result) for result in results} == {TruthUnavailable}
    assert away.reads <= 2
