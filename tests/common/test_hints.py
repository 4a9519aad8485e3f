"""Whom a follower hears of, and what becomes of one that may not listen."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from common.cluster_map import ClusterMap, StoreConfig
from common.hints import Hints
from common.ledger import Ledger, Put
from common.truth import connect

SOON_S, NEVER_S = 10.0, 0.05


@pytest.fixture
async def stores(redis: Redis) -> dict[str, StoreConfig]:
    made = ClusterMap(redis)
    return {name: await made.create(StoreConfig(name, "s1")) for name in "AB"}


@pytest.fixture
async def hints(redis: Redis) -> AsyncIterator[Hints]:
    made = Hints(redis)
    yield made
    await made.close()


async def heard(hints: Hints, seconds: float = SOON_S) -> set[str]:
    """What is told next, past the confirmations that one is listening."""
    for _ in range(5):
        if found := await hints.wait(seconds):
            return found
    return set()


async def write(redis: Redis, store: StoreConfig) -> None:
    await Ledger(redis).commit(store.store, store.incarnation, puts=[Put("ada", b"record", b"templates")])


async def test_a_commit_is_heard_of_by_those_who_listen_to_its_store(
    redis: Redis, stores: dict[str, StoreConfig], hints: Hints
) -> None:
    await hints.listen(["A"])
    await write(redis, stores["B"])
    assert await heard(hints, NEVER_S) == set()
    await write(redis, stores["A"])
    assert await heard(hints) == {"A"}


async def test_who_listens_to_other_stores_hears_of_those(
    redis: Redis, stores: dict[str, StoreConfig], hints: Hints
) -> None:
    await hints.listen(["A"])
    await hints.listen(["B"])
    await write(redis, stores["A"])
    await write(redis, stores["B"])
    assert await heard(hints) == {"B"}
    await hints.close()
    await hints.listen(["A", "B"])
    await write(redis, stores["B"])
    assert await heard(hints) == {"B"}


async def test_a_change_of_the_map_ends_the_wait(redis: Redis, stores: dict[str, StoreConfig], hints: Hints) -> None:
    await hints.listen([])
    assert await heard(hints, NEVER_S) == set()
    await ClusterMap(redis).delete(stores["A"])
    assert await hints.wait(SOON_S * 100) == set()


async def test_who_may_not_listen_waits_and_hears_nothing(redis: Redis, redis_url: str) -> None:
    await redis.acl_setuser("deaf", enabled=True, passwords=["+secret"], keys=["fg:*"], commands=["+@all"], reset=True)
    deaf = connect(redis_url.replace("redis://", "redis://deaf:secret@"), timeout_s=5)
    hints = Hints(deaf)
    await hints.listen(["A"])
    for _ in range(3):
        assert await hints.wait(NEVER_S) == set()
    await hints.listen(["A", "B"])
    assert await hints.wait(NEVER_S) == set()
    await hints.close()
    await deaf.aclose()
    await redis.acl_deluser("deaf")
