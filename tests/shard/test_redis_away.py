"""A server of the test's own, killed, stopped and replaced: searches go on, and following does too, from the truth."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from common import keys
from common.truth import connect
from tests.redis_server import Server
from tests.shard.helpers import Running, Writer, eventually, ready, running, settings_for, unit

ROWS = unit(20)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    one = Server(tmp_path / "redis")
    one.start()
    yield one
    one.kill()


async def best_of(one: Running, at: int) -> str | None:
    candidates = (await one.search(["A"], ROWS[at : at + 1], 1)).candidates[0]
    return candidates[0].face_id if candidates and candidates[0].score > 0.99 else None


async def test_searches_go_on_and_following_resumes_when_a_killed_server_is_back(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    redis = connect(server.url, timeout_s=5)
    writer = Writer(redis)
    config = await writer.open("A")
    await writer.put(config, {"f0": ROWS[0]})
    async with ready(settings_for(server.url)) as one:
        server.kill()
        await eventually(lambda: one.replica.follower.truth_answers is False)
        for _ in range(20):  # some rounds of retries
            assert await best_of(one, 0) == "f0"
            await asyncio.sleep(0.02)
        assert (await one.http.get("/readyz")).status_code == 200
        assert (await one.http.get("/status")).json()["truth"] == "unreachable"
        server.start()
        assert await one.reach("A", await writer.put(config, {"f1": ROWS[1]})) == 2
        assert await best_of(one, 1) == "f1"
        await eventually(lambda: one.replica.follower.truth_answers)
    assert caplog.text.count("Redis is away") == 1
    await redis.aclose()


async def test_a_server_with_another_truth_behind_the_same_versions_is_noticed(server: Server) -> None:
    redis = connect(server.url, timeout_s=5)
    writer = Writer(redis)
    config = await writer.open("A")
    await writer.put(config, {"f0": ROWS[0], "f1": ROWS[1]})
    async with ready(settings_for(server.url)) as one:
        server.kill()
        shutil.rmtree(server.data)  # a failover that lost the last writes, at its worst
        server.start()
        await redis.aclose()  # its connection is that to the server that was
        await redis.set(keys.incarnation("A"), config.incarnation)
        await writer.open("A")
        await writer.put(config, {"f0": ROWS[10], "f2": ROWS[2]})
        await eventually(lambda: set(one.faces("A")) == {"f0", "f2"})
        assert np.array_equal(one.faces("A")["f0"], ROWS[10])
        assert await one.reach("A", await writer.put(config, {"f3": ROWS[3]})) == 3
    await redis.aclose()


async def test_a_hung_server_stops_neither_searches_nor_the_end_of_the_process(server: Server) -> None:
    redis = connect(server.url, timeout_s=5)
    writer = Writer(redis)
    config = await writer.open("A")
    await writer.put(config, {"f0": ROWS[0]})
    async with ready(settings_for(server.url, redis_timeout_s=0.3)) as one:
        server.signal(signal.SIGSTOP)
        await eventually(lambda: one.replica.follower.truth_answers is False)
        assert await best_of(one, 0) == "f0"
        server.signal(signal.SIGCONT)
        assert await one.reach("A", await writer.put(config, {"f1": ROWS[1]})) == 2
        server.signal(signal.SIGSTOP)
    server.signal(signal.SIGCONT)
    await redis.aclose()


async def test_a_replica_that_starts_before_redis_waits_for_it(server: Server) -> None:
    redis = connect(server.url, timeout_s=5)
    writer = Writer(redis)
    await writer.put(await writer.open("A"), {"f0": ROWS[0]})
    server.kill()
    async with running(settings_for(server.url)) as one:
        await eventually(lambda: one.replica.follower.truth_answers is False)
        refused = await one.http.get("/readyz")
        assert refused.status_code == 503
        assert refused.json()["code"] == "UNAVAILABLE"
        assert (await one.search(["A"], ROWS[:1])).searched == {}
        server.start()
        await eventually(lambda: one.replica.follower.state == "ready")
        assert await best_of(one, 0) == "f0"
    await redis.aclose()
