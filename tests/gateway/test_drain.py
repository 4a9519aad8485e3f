"""A gateway that was asked to end says so to load balancers; a replica that goes is asked last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from common.types import ReplicaState
from shard.replica import Replica
from tests.gateway.in_process import Cluster, cluster, unit


@pytest.fixture
async def pair(redis_url: str) -> AsyncIterator[Cluster]:
    async with cluster(redis_url, shards=1, replicas=2, drain_s=60) as running:
        await running.create("A")
        await running.enrol("A", unit(1), face_id="ada")
        yield running


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_gateway_on_its_way_out_is_not_ready_and_answers_all_the_same(pair: Cluster) -> None:
    leaving = asyncio.create_task(pair.services.drain.run())
    await asyncio.sleep(0)
    refused = await pair.http.get("/readyz")
    assert (refused.status_code, refused.json()["reasons"]) == (503, ["draining"])
    assert (await pair.http.get("/healthz")).status_code == 200
    assert (await pair.enrol("A", unit(2)))["visible"] is True
    leaving.cancel()


async def test_a_draining_replica_is_searched_only_if_no_other_answers(pair: Cluster) -> None:
    asked: list[str] = []
    apps = dict(pair.shards.apps)

    class Noted(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            asked.append(request.url.host)
            return await apps[request.url.host].handle_async_request(request)

    replica = replica_of(pair, "s1-a")
    replica.drain.begun = True  # and the grace does not pass
    replica.follower.changed.set()
    await until(lambda: states(pair) == [ReplicaState.DRAINING, ReplicaState.READY])
    pair.shards.apps = dict.fromkeys(apps, Noted())
    for _ in range(20):
        await match(pair)
    assert set(asked) == {"s1-b"}
    assert (await pair.enrol("A", unit(3), face_id="bob"))["visible"] is True  # it is waited for all the same
    assert "s1-a" in asked
    del pair.shards.apps["s1-b"]
    await match(pair)


def replica_of(running: Cluster, host: str) -> Replica:
    transport = running.shards.apps[host]
    assert isinstance(transport, httpx.ASGITransport)
    found: Replica = transport.app.state.replica  # type: ignore[attr-defined]  # a FastAPI app
    return found


def states(running: Cluster) -> list[ReplicaState]:
    return [beat.state for beat in running.services.view.shards["s1"]]


async def match(running: Cluster) -> None:
    answer = await running.http.post("/v1/stores/A/search", json={"embeddings": unit(1).tolist()})
    assert answer.json()["results"][0]["verdict"] == "match", answer.text
