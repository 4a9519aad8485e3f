"""Redis fails over to its replica: a gateway and two shards go on with the Sentinel URL they were started with."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.cluster.sentinel import Servers, servers
from tests.gateway.in_process import Cluster, cluster, unit

pytestmark = pytest.mark.cluster


async def enrol(running: Cluster, seed: int, face_id: str) -> list[str]:
    """Send it until it is acknowledged, as the promise allows; the outcomes that refusals named on the way."""
    outcomes: list[str] = []
    body = {"embeddings": unit(seed).tolist(), "face_id": face_id}
    async with asyncio.timeout(30):
        while True:
            answer = await running.http.post("/v1/stores/A/faces", json=body)
            if answer.status_code in {200, 201}:
                return outcomes
            assert (answer.status_code, answer.json()["code"]) == (503, "TRUTH_UNAVAILABLE"), answer.text
            outcomes.append(answer.json()["outcome"])
            await asyncio.sleep(0.05)


async def found(running: Cluster, seed: int) -> str | None:
    answer = await running.http.post("/v1/stores/A/search", json={"embeddings": unit(seed).tolist()})
    assert answer.status_code == 200, answer.text
    result = answer.json()["results"][0]
    return result["candidates"][0]["face_id"] if result["verdict"] == "match" else None


async def until_found(running: Cluster, seed: int, face_id: str) -> None:
    async with asyncio.timeout(30):
        while await found(running, seed) != face_id:
            await asyncio.sleep(0.02)


async def goes_on(running: Cluster, redis: Servers) -> None:
    """After a failover: writes are acknowledged again, both shards follow the new primary, nothing is forgotten."""
    await enrol(running, 2, "bob")
    await until_found(running, 2, "bob")
    await until_found(running, 1, "ada")
    await enrol(running, 3, "cem")
    await until_found(running, 3, "cem")
    await until_truth(running)
    assert redis.primary()


async def until_truth(running: Cluster) -> None:
    async with asyncio.timeout(30):
        while not running.services.view.truth_reachable:
            await asyncio.sleep(0.02)


async def test_after_the_primary_was_killed_writes_and_follows_go_on_with_the_replica(tmp_path: Path) -> None:
    with servers(tmp_path) as redis:
        async with cluster(redis.url, shards=2, redis_timeout_s=1) as running:
            await running.create("A", shard="s1")
            await enrol(running, 1, "ada")
            await asyncio.to_thread(redis.until_replicated)
            killing = asyncio.create_task(asyncio.to_thread(redis.kill_primary))
            while not killing.done():  # searches go on meanwhile
                assert await found(running, 1) == "ada"
                await asyncio.sleep(0.02)
            await goes_on(running, redis)


async def test_a_primary_that_is_demoted_alive_gets_no_write_and_misleads_nobody(tmp_path: Path) -> None:
    with servers(tmp_path) as redis:
        async with cluster(redis.url, shards=2, redis_timeout_s=1) as running:
            await running.create("A", shard="s1")
            await enrol(running, 1, "ada")
            await asyncio.to_thread(redis.fail_over)
            await goes_on(running, redis)
