"""Reading page by page while the server is killed and started again: another process, which hashes otherwise."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from common import keys
from common.cluster_map import ClusterMap, StoreConfig
from common.ledger import Ledger, Put
from common.records import FaceRecord, pack_vectors
from common.rekeys import Rekeys
from common.scan import START, hash_page, set_page
from common.truth import connect
from common.types import DLIB_SPACE, Kind
from tests.gateway.in_process import unit
from tests.redis_server import Server

NAMES = {f"f{n}" for n in range(3000)}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = Server(tmp_path)
    started.start()
    yield started
    started.kill()


@pytest.fixture
async def redis(server: Server) -> AsyncIterator[Redis]:
    client = connect(server.url, timeout_s=5)
    yield client
    await client.aclose()


async def restart(server: Server) -> None:
    """In another thread, so that the client hears of its broken connection, as it does where nobody waits."""
    server.kill()
    await asyncio.to_thread(server.start)


@pytest.mark.parametrize("kind", ["hash", "set"])
async def test_a_cursor_of_another_process_begins_again_and_its_own_goes_on(
    server: Server, redis: Redis, kind: str
) -> None:
    await redis.hset("hash", mapping=dict.fromkeys(NAMES, 1))
    await redis.sadd("set", *NAMES)
    pages: list[set[str]] = []
    cursor: str | None = START
    while cursor is not None:
        if len(pages) == 3:
            await restart(server)
        cursor, found = await (hash_page if kind == "hash" else set_page)(redis, kind, cursor, 500)
        pages.append({name.decode() for name in found})
    assert set().union(*pages) == NAMES
    assert len(pages) > 6
    assert set().union(*pages[3:]) == NAMES
    assert sum(map(len, pages)) < 2 * len(NAMES)


async def test_a_cursor_that_names_no_process_begins_again(redis: Redis) -> None:
    """As they were before they did."""
    await redis.hset("x", mapping=dict.fromkeys(NAMES, 1))
    cursor, first = await hash_page(redis, "x", START, 500)
    assert cursor is not None
    assert await hash_page(redis, "x", cursor.rpartition("-")[2], 500) == (cursor, first)
    assert (await hash_page(redis, "x", cursor, 500))[1].keys().isdisjoint(first)


async def test_every_face_is_loaded_though_the_server_is_started_again(server: Server, redis: Redis) -> None:
    store = await ClusterMap(redis).create(StoreConfig("A", shard="s1"))
    record = FaceRecord(unit(1)[0], DLIB_SPACE, Kind.VISITOR, 1.0, 1.0, 1).pack()
    puts = [Put(name, record, pack_vectors(unit(1))) for name in NAMES]
    await Ledger(redis).commit("A", store.incarnation, puts=puts)
    loaded: set[str] = set()
    batches = 0
    async for batch in Ledger(redis).load("A"):
        loaded |= {face_id for face_id, _ in batch}
        batches += 1
        if batches == 1:
            await restart(server)
    assert loaded == NAMES


async def test_every_job_is_found_though_the_server_is_started_again(server: Server, redis: Redis) -> None:
    job = json.dumps({"from": "A/0/f", "to": "~v1", "at": 1, "places": ""})
    await redis.hset(keys.rekeys("A"), mapping=dict.fromkeys(NAMES, job))
    found: set[str] = set()
    batches = 0
    async for jobs in Rekeys(redis).jobs("A"):
        found |= {one.face_id for one in jobs}
        batches += 1
        if batches == 2:
            await restart(server)
    assert found == NAMES
