"""Creating and deleting stores: a deletion erases what its caller meant, or nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from common import keys
from common.cluster_map import ClusterMap, StoreConfig
from common.errors import Conflict, ErasureUnfinished, StoreNotEmpty
from common.ledger import Delete, Ledger
from common.rekeys import Rekeys
from tests.common.test_ledger import put


async def test_a_late_deletion_does_not_erase_the_store_that_was_created_again(redis: Redis) -> None:
    stores, ledger = ClusterMap(redis), Ledger(redis)
    first = await stores.create(StoreConfig("A", shard="s1"))
    await stores.delete(first)
    second = await stores.create(StoreConfig("A", shard="s1"))
    await ledger.commit("A", second.incarnation, puts=[put("x")])
    with pytest.raises(Conflict):
        await stores.delete(first)
    assert await ledger.counts(["A"]) == {"A": 1}
    assert (await ledger.commit("A", second.incarnation, puts=[put("y")])).version == 2


async def test_without_force_a_face_enrolled_just_before_stops_the_deletion(redis: Redis) -> None:
    stores, ledger = ClusterMap(redis), Ledger(redis)
    store = await stores.create(StoreConfig("A", shard="s1"))
    await ledger.commit("A", store.incarnation, puts=[put("x")])
    with pytest.raises(StoreNotEmpty):
        await stores.delete(store, force=False)
    assert (await ledger.commit("A", store.incarnation, puts=[put("y")])).version == 2
    await stores.delete(store, force=True)
    assert await redis.keys("fg:{A}:*") == []
    assert await stores.stores() == {}


@pytest.mark.parametrize("force", [False, True])
async def test_a_store_is_not_deleted_while_the_job_of_a_face_that_is_gone_was_not_done_once(
    redis: Redis, force: bool
) -> None:
    stores, ledger, rekeys = ClusterMap(redis), Ledger(redis), Rekeys(redis)
    store = await stores.create(StoreConfig("A", shard="s1"))
    await ledger.commit("A", store.incarnation, puts=[put("x")])
    await ledger.commit("A", store.incarnation, deletes=[Delete("x")])
    with pytest.raises(ErasureUnfinished):
        await stores.delete(store, force=force)
    (job,) = await rekeys.jobs_of("A", ["x"])
    assert await rekeys.change(job, replace(job, swept=True)) is not None
    await stores.delete(store, force=force)
    assert await redis.keys("fg:{A}:*") == []
    assert await stores.stores() == {}


async def test_a_store_whose_settings_change_meanwhile_is_deleted_all_the_same(redis: Redis) -> None:
    """Not left in the map without its faces."""
    stores = ClusterMap(redis)
    store = await stores.create(StoreConfig("A", shard="s1"))
    await stores.update(store, replace(store, group="north"))
    await stores.delete(store)
    assert await stores.stores() == {}
    await stores.delete(store)  # a second one finds nothing left to do


async def test_a_deletion_that_died_half_way_is_finished_by_repeating_it(redis: Redis) -> None:
    stores = ClusterMap(redis)
    store = await stores.create(StoreConfig("A", shard="s1"))
    await redis.delete(keys.incarnation("A"))
    await stores.delete(store, force=False)
    assert await stores.stores() == {}
    again = await stores.create(StoreConfig("A", shard="s1"))
    assert again.incarnation not in {"", store.incarnation}


async def test_of_many_creations_at_once_one_wins_and_its_incarnation_holds(redis: Redis) -> None:
    stores = ClusterMap(redis)
    attempts = [stores.create(StoreConfig("A", shard="s1")) for _ in range(8)]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    (created,) = [result for result in results if isinstance(result, StoreConfig)]
    assert sum(isinstance(result, Conflict) for result in results) == 7
    assert (await Ledger(redis).commit("A", created.incarnation, puts=[put("x")])).version == 1
