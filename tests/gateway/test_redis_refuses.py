"""Redis that is full, read-only, empty, restored from a backup, or away for longer than heartbeats live."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.gateway.in_process import Cluster, cluster, unit
from tests.redis_server import Server

TTL_S = 5.0
"""a heartbeat's, by default"""


@asynccontextmanager
async def on_its_own_server(data: Path) -> AsyncIterator[tuple[Cluster, Server]]:
    """Ada is enrolled at A on s1; B is on s2."""
    server = Server(data)
    server.start()
    try:
        async with cluster(server.url, shards=2, redis_timeout_s=1) as running:
            await running.create("A", shard="s1")
            await running.create("B", shard="s2")
            await running.enrol("A", unit(1), face_id="ada")
            await until(lambda: is_answered(running, "no_match", 2))
            yield running, server
    finally:
        server.kill()


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(20):
        while not await condition():
            await asyncio.sleep(0.02)


async def search(running: Cluster, seed: int) -> tuple[str, str]:
    """The verdict and the state of the truth."""
    response = await running.http.post("/v1/stores/A/search", json={"embeddings": unit(seed).tolist()})
    assert response.status_code == 200, response.text
    answer = response.json()
    return answer["results"][0]["verdict"], answer["truth"]


async def is_answered(running: Cluster, verdict: str, seed: int) -> bool:
    return (await search(running, seed))[0] == verdict


async def try_to_enrol(running: Cluster, seed: int) -> tuple[int, str]:
    response = await running.http.post("/v1/stores/A/faces", json={"embeddings": unit(seed).tolist()})
    return response.status_code, response.json().get("outcome", "")


async def searches_go_on(running: Cluster, seconds: float) -> None:
    """Also after every heartbeat has expired: all that was enrolled is found, strangers are told for certain."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        assert [(await search(running, seed))[0] for seed in (1, 2)] == ["match", "no_match"]
        await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("refuse", "accept"),
    [
        (("config", "set", "maxmemory", "1"), ("config", "set", "maxmemory", "0")),
        (("replicaof", "127.0.0.1", "1"), ("replicaof", "no", "one")),
    ],
    ids=["full", "read-only"],
)
async def test_a_server_that_accepts_no_writes_stops_no_search(
    tmp_path: Path, refuse: tuple[str, ...], accept: tuple[str, ...]
) -> None:
    async with on_its_own_server(tmp_path) as (running, server):
        await server.tell(*refuse)
        assert await try_to_enrol(running, 3) == (503, "unchanged")
        await searches_go_on(running, TTL_S + 2)
        assert (await search(running, 1))[1] == "unreachable"
        assert (await running.http.get("/readyz")).status_code == 200
        await server.tell(*accept)
        await searches_go_on(running, 1)
        async with asyncio.timeout(20):
            while (await search(running, 1))[1] != "ok":
                await asyncio.sleep(0.02)
        assert (await running.enrol("A", unit(3), face_id="bob"))["visible"] is True


async def test_a_server_away_for_longer_than_heartbeats_live_stops_no_search_when_it_is_back(tmp_path: Path) -> None:
    async with on_its_own_server(tmp_path) as (running, server):
        server.kill()
        await searches_go_on(running, TTL_S + 1)
        server.start()
        await searches_go_on(running, 2)
        assert (await running.enrol("A", unit(3), face_id="bob"))["visible"] is True


async def test_a_server_that_comes_back_empty_has_no_stores_and_nothing_is_served(tmp_path: Path) -> None:
    async with on_its_own_server(tmp_path) as (running, server):
        server.kill()
        shutil.rmtree(tmp_path)
        server.start()

        async def is_unknown() -> object:
            response = await running.http.post("/v1/stores/A/search", json={"embeddings": unit(1).tolist()})
            return response.status_code == 404 and response.json()["code"] == "UNKNOWN_STORE"

        await until(is_unknown)
        await running.create("A", shard="s1")

        async def is_a_stranger() -> object:
            response = await running.http.post("/v1/stores/A/search", json={"embeddings": unit(1).tolist()})
            if response.status_code != 200:  # until the new store is loaded
                return False
            assert response.json()["results"][0]["verdict"] != "match"
            return response.json()["results"][0]["verdict"] == "no_match"

        await until(is_a_stranger)

        async def dropped() -> object:
            shards = (await running.http.get("/v1/shards")).json()["shards"]
            return [shard["rows"] for shard in shards] == [0, 0]

        await until(dropped)


async def test_a_backup_is_served_as_it_is_and_not_what_came_after_it(tmp_path: Path) -> None:
    """Versions go backwards: ada is of the backup, bob came later; cem is enrolled at bob's version."""
    data, backup = tmp_path / "data", tmp_path / "backup"
    async with on_its_own_server(data) as (running, server):
        server.kill()
        shutil.copytree(data, backup)
        server.start()
        bob = await running_again(running, 3, "bob")
        assert await is_answered(running, "match", 3)
        server.kill()
        shutil.rmtree(data)
        shutil.copytree(backup, data)
        server.start()
        cem = await running_again(running, 4, "cem")
        assert cem["version"] == bob["version"]
        await until(lambda: is_answered(running, "match", 4))
        await until(lambda: is_answered(running, "no_match", 3))
        assert await is_answered(running, "match", 1)


async def running_again(running: Cluster, seed: int, face_id: str) -> dict[str, object]:
    """Enrol as soon as Redis takes it."""
    async with asyncio.timeout(20):
        while True:
            body = {"embeddings": unit(seed).tolist(), "face_id": face_id}
            response = await running.http.post("/v1/stores/A/faces", json=body)
            if response.status_code == 201:
                answer: dict[str, object] = response.json()
                return answer
            await asyncio.sleep(0.05)
