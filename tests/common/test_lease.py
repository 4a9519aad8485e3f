"""One leader at a time, and none that woke up late can write."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from common import keys
from common.cluster_map import ClusterMap, StoreConfig
from common.errors import LeaseLost
from common.lease import Lease


async def test_of_many_candidates_one_holds_the_lease_and_keeps_it(redis: Redis) -> None:
    candidates = [Lease(redis, f"g{n}") for n in range(5)]
    tokens = await asyncio.gather(*(lease.hold(10) for lease in candidates))
    assert sum(token is not None for token in tokens) == 1
    assert await asyncio.gather(*(lease.hold(10) for lease in candidates)) == tokens


async def test_the_next_leader_has_a_higher_number_and_the_former_cannot_write(redis: Redis) -> None:
    stores = ClusterMap(redis)
    config = await stores.create(StoreConfig("A", shard="s1"))
    first = await Lease(redis, "one").hold(10)
    await redis.delete(keys.LEADER)  # it expired while the first leader was stopped
    second = await Lease(redis, "two").hold(10)
    assert (first, second) == ("1:one", "2:two")
    with pytest.raises(LeaseLost):
        await stores.update(config, replace(config, shard="s2"), lease="1:one")
    assert (await stores.stores())["A"].shard == "s1"
    await stores.update(config, replace(config, shard="s2"), lease="2:two")
    assert (await stores.stores())["A"].shard == "s2"


async def test_a_lease_given_back_is_free_at_once_and_only_its_holder_can_give_it(redis: Redis) -> None:
    one, two = Lease(redis, "one"), Lease(redis, "two")
    assert await one.hold(10) == "1:one"
    await two.release()
    assert await two.hold(10) is None
    await one.release()
    assert await two.hold(10) == "2:two"
