"""Redis away: searches go on from memory and say so; writes are refused and change nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from common.settings import GatewaySettings
from deploy.local.embedded_redis import free_port, start_embedded_redis
from tests.gateway.in_process import Cluster, ShardApps, cluster, gateway_app, unit


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def search(running: Cluster, seed: int) -> dict[str, object]:
    response = await running.http.post("/v1/stores/A/search", json={"embeddings": unit(seed).tolist()})
    assert response.status_code == 200, response.text
    answer: dict[str, object] = response.json()
    return answer


def verdict(answer: dict[str, object]) -> str:
    results = answer["results"]
    assert isinstance(results, list)
    return str(results[0]["verdict"])


async def test_reads_go_on_writes_are_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    port = free_port()
    server = start_embedded_redis(tmp_path, port)
    try:
        async with cluster(f"redis://127.0.0.1:{port}/0", shards=2, redis_timeout_s=1) as running:
            await running.create("A")
            await running.create("B")
            await running.enrol("A", unit(1), face_id="ada")
            assert (await search(running, 1))["truth"] == "ok"
            async with asyncio.timeout(10):
                while verdict(await search(running, 2)) != "no_match":  # until B is loaded
                    await asyncio.sleep(0.01)

            server.kill()
            server.wait()
            await until(lambda: not running.services.view.truth_reachable)
            answer = await search(running, 1)
            assert (answer["truth"], verdict(answer)) == ("unreachable", "match")
            assert verdict(await search(running, 2)) == "no_match"  # every shard still answers for its stores
            assert (await running.http.get("/v1/stores")).json()["truth"] == "unreachable"
            assert (await running.http.get("/v1/shards")).json()["shards"][0]["replicas"][0]["lag"] is None
            body = {"embeddings": unit(2).tolist()}
            for method, path, json in (
                ("POST", "/v1/stores/A/faces", body),
                ("DELETE", "/v1/stores/A/faces/ada", None),
                ("PUT", "/v1/stores/C", {}),
                ("PUT", "/v1/stores/A", {"group": "other"}),
                ("DELETE", "/v1/stores/A?force=true", None),
            ):
                response = await running.http.request(method, path, json=json)
                assert (response.status_code, response.json()["code"]) == (503, "TRUTH_UNAVAILABLE"), path
                assert response.json()["outcome"] in {"unchanged", "unknown"}

            server = start_embedded_redis(tmp_path, port)
            await until(lambda: running.services.view.truth_reachable)
            assert sorted(running.services.view.stores) == ["A", "B"]
            assert [f["face_id"] for f in (await running.http.get("/v1/stores/A/faces")).json()["faces"]] == ["ada"]
            assert (await running.enrol("A", unit(2), face_id="bob"))["visible"] is True
            assert verdict(await search(running, 2)) == "match"
    finally:
        server.kill()
        server.wait()


async def test_a_gateway_that_never_reached_redis_does_not_say_that_there_are_no_stores() -> None:
    settings = GatewaySettings(redis_url=f"redis://127.0.0.1:{free_port()}/0", encoder_workers=0)
    async with gateway_app(settings, ShardApps()) as running:
        for response in (
            await running.http.get("/v1/stores"),
            await running.http.get("/v1/shards"),
            await running.http.post("/recognize", files={"image": ("a.jpg", b"x")}),
            await running.http.post("/v1/stores/A/search", json={"embeddings": unit(1).tolist()}),
        ):
            assert (response.status_code, response.json()["code"]) == (503, "TRUTH_UNAVAILABLE"), response.request.url


@pytest.mark.parametrize("command", ["maxmemory 1"])
async def test_a_full_server_refuses_writes_and_keeps_answering(tmp_path: Path, command: str) -> None:
    port = free_port()
    server = start_embedded_redis(tmp_path, port)
    try:
        async with cluster(f"redis://127.0.0.1:{port}/0", shards=1) as running:
            await running.create("A")
            await running.enrol("A", unit(1), face_id="ada")
            await running.services.ledger._redis.config_set(*command.split())
            response = await running.http.post("/v1/stores/A/faces", json={"embeddings": unit(2).tolist()})
            assert (response.status_code, response.json()["code"]) == (503, "TRUTH_UNAVAILABLE")
            assert verdict(await search(running, 1)) == "match"
            await running.services.ledger._redis.config_set("maxmemory", "0")
            assert (await running.http.get("/v1/stores/A")).json()["store"] == "A"
            assert await running.services.ledger.version("A") == 1
    finally:
        server.kill()
        server.wait()
