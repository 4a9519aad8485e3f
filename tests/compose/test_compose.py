"""The compose file as a user gets it: faces enrolled and found in real containers, some of them killed meanwhile."""

from __future__ import annotations

import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from common.types import Vectors
from tests.compose.stack import SHARD_OF, Stack, run, until

pytestmark = pytest.mark.compose

DIMENSION = 128
FACES_A_STORE = 40
STORES = {f"store-{shard}": shard for shard in SHARD_OF.values()}


def unit_rows(seed: int, count: int) -> Vectors:
    """(count, 128) random directions: any two of them score near 0, so only a row itself can match."""
    rows = np.random.default_rng(seed).standard_normal((count, DIMENSION))
    unit: Vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


ROWS = {store: unit_rows(seed, FACES_A_STORE) for seed, store in enumerate(STORES)}
STRANGER = unit_rows(99, 1)[0]


def enrol(stack: Stack, store: str, face_id: str, row: Vectors) -> None:
    body = {"embeddings": [row.tolist()], "face_id": face_id}
    answer = stack.http.post(f"/v1/stores/{store}/faces", json=body)
    assert answer.status_code == httpx.codes.CREATED, answer.text


def search(stack: Stack, store: str, row: Vectors) -> dict[str, Any]:
    """The one result of a search for one probe, as the gateway gives it."""
    answer = stack.http.post(f"/v1/stores/{store}/search", json={"embeddings": [row.tolist()]})
    results: list[dict[str, Any]] = answer.raise_for_status().json()["results"]
    assert len(results) == 1
    return results[0]


def best(result: dict[str, Any]) -> tuple[str, str]:
    return result["candidates"][0]["store"], result["candidates"][0]["face_id"]


def face_ids(stack: Stack, store: str) -> set[str]:
    page = stack.http.get(f"/v1/stores/{store}/faces", params={"limit": 1000}).raise_for_status().json()
    assert page["cursor"] is None
    return {face["face_id"] for face in page["faces"]}


def is_conclusive(stack: Stack) -> bool:
    """Every store is looked at again: a stranger is told from the members of all of them."""
    return bool(search(stack, "store-s1", STRANGER)["verdict"] == "no_match")


@pytest.fixture(scope="module")
def cluster(stack: Stack) -> Stack:
    """Three stores on three shards, with the same number of faces each."""
    for store, shard in STORES.items():
        assert stack.http.put(f"/v1/stores/{store}", json={"shard": shard}).status_code == httpx.codes.CREATED
        for number, row in enumerate(ROWS[store]):
            enrol(stack, store, f"{store}.{number}", row)
    return stack


def test_every_store_is_on_the_shard_it_was_given(cluster: Stack) -> None:
    assert {store: shard["shard"] for shard in cluster.shards() for store in shard["stores"]} == STORES
    rows = dict.fromkeys(STORES.values(), FACES_A_STORE)
    # The counts come with the heartbeats, once a second.
    until("the rows to be counted", lambda: {shard["shard"]: shard["rows"] for shard in cluster.shards()} == rows)


@pytest.mark.parametrize("service", ["redis", *SHARD_OF, "gateway"])
def test_the_engine_calls_the_container_healthy(cluster: Stack, service: str) -> None:
    until("its health check to succeed", lambda: cluster.inspect(service)["State"]["Health"]["Status"] == "healthy")


def test_a_face_is_found_at_home_and_from_another_store(cluster: Stack) -> None:
    home = search(cluster, "store-s2", ROWS["store-s2"][7])
    away = search(cluster, "store-s1", ROWS["store-s2"][7])
    assert best(home) == best(away) == ("store-s2", "store-s2.7")
    assert (home["verdict"], home["route"]["mode"]) == ("match", "home")
    assert (away["verdict"], away["route"]["mode"]) == ("match", "fan_out")
    assert away["coverage"]["shards"] == {"total": 3, "ok": 3, "failed": []}


def test_a_stranger_is_told_apart_after_looking_everywhere(cluster: Stack) -> None:
    result = search(cluster, "store-s1", STRANGER)
    assert result["verdict"] == "no_match"
    assert result["coverage"]["stores"]["searched"] == len(STORES)


def test_a_photo_is_encoded_and_recognised_in_the_container(cluster: Stack) -> None:
    data = pytest.importorskip("skimage.data")
    photo = io.BytesIO()
    Image.fromarray(data.astronaut()[:256, 64:384]).save(photo, "JPEG", quality=90)
    cluster.http.put("/v1/stores/photos", json={"group": "photos"}).raise_for_status()
    form = {"image": ("astronaut.jpg", photo.getvalue(), "image/jpeg")}
    enrolled = cluster.http.post("/v1/stores/photos/faces", files=form, data={"face_id": "astronaut"})
    assert enrolled.status_code == httpx.codes.CREATED, enrolled.text
    recognised = cluster.http.post("/recognize", files=form, data={"store": "photos"})
    assert recognised.raise_for_status().json() == {"result": "astronaut"}
    cluster.http.delete("/v1/stores/photos", params={"force": True}).raise_for_status()


def test_without_the_shard_of_a_store_a_stranger_is_inconclusive(cluster: Stack) -> None:
    shard = cluster.container("shard-3")
    run("docker", "kill", shard)
    try:
        assert best(search(cluster, "store-s1", ROWS["store-s2"][3])) == ("store-s2", "store-s2.3")
        for row in (STRANGER, ROWS["store-s3"][3]):
            result = search(cluster, "store-s1", row)
            assert result["verdict"] == "inconclusive"
            assert result["coverage"]["stores"]["missing"] == ["store-s3"]
            assert [failed["shard"] for failed in result["coverage"]["shards"]["failed"]] == ["s3"]
        until("the gateway to miss the shard", lambda: cluster.http.get("/readyz").status_code == 503)
        # It still answers, so nobody may restart it for that: what the engine runs to judge its health succeeds.
        health_check = cluster.inspect("gateway")["Config"]["Healthcheck"]["Test"]
        cluster.execute("gateway", *health_check[1:])
    finally:
        run("docker", "start", shard)
    until("the shard to be searched again", lambda: is_conclusive(cluster))
    assert best(search(cluster, "store-s1", ROWS["store-s3"][3])) == ("store-s3", "store-s3.3")
    cluster.wait_ready()


def test_a_shard_that_crashes_is_restarted_by_the_engine(cluster: Stack) -> None:
    before = cluster.inspect("shard-2")
    cluster.crash("shard-2")
    until(
        "the engine to restart the shard", lambda: cluster.inspect("shard-2")["RestartCount"] > before["RestartCount"]
    )
    until("the shard to be searched again", lambda: is_conclusive(cluster))
    assert best(search(cluster, "store-s1", ROWS["store-s2"][5])) == ("store-s2", "store-s2.5")
    cluster.wait_ready()


def test_a_crash_of_redis_loses_nothing_that_was_acknowledged(cluster: Stack) -> None:
    before = {store: face_ids(cluster, store) for store in STORES}
    late = unit_rows(7, 1)[0]
    enrol(cluster, "store-s1", "late", late)
    redis = cluster.container("redis")
    run("docker", "kill", redis)
    assert best(search(cluster, "store-s2", late)) == ("store-s1", "late")
    run("docker", "start", redis)
    until("Redis to be read again", lambda: cluster.http.get("/v1/stores/store-s1/faces").is_success)
    cluster.wait_ready()
    assert {store: face_ids(cluster, store) for store in STORES} == {
        **before,
        "store-s1": {*before["store-s1"], "late"},
    }
    # A shard that starts now has only Redis to learn the face from.
    run("docker", "restart", "--time", "0", cluster.container("shard-1"))
    until("the late face to be found again", lambda: search(cluster, "store-s1", late)["verdict"] == "match")
    cluster.wait_ready()


def test_a_crash_of_the_gateway_leaves_the_cluster_as_it_was(cluster: Stack) -> None:
    run("docker", "restart", "--time", "0", cluster.container("gateway"))
    cluster.wait_ready()
    assert best(search(cluster, "store-s1", ROWS["store-s3"][1])) == ("store-s3", "store-s3.1")


def test_no_container_runs_as_root_or_writes_its_file_system(cluster: Stack) -> None:
    for service in cluster.services():
        assert int(cluster.execute(service, "id", "-u")) != 0, service
        capabilities = cluster.execute(service, "grep", "CapEff", "/proc/1/status").split()[1]
        assert int(capabilities, 16) == 0, service
        with pytest.raises(RuntimeError, match="Read-only file system"):
            cluster.execute(service, "touch", "/etc/facegrid-was-here")


def test_only_the_gateway_is_reachable_and_only_with_a_key(cluster: Stack) -> None:
    published = {s: cluster.inspect(s)["NetworkSettings"]["Ports"] for s in cluster.services()}
    assert [service for service, ports in published.items() if any((ports or {}).values())] == ["gateway"]
    assert published["gateway"]["8000/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": str(cluster.port)}]
    url = f"http://127.0.0.1:{cluster.port}/v1/stores"
    assert httpx.get(url).status_code == httpx.codes.UNAUTHORIZED
    assert httpx.get(url, headers={"X-API-Key": "wrong"}).status_code == httpx.codes.UNAUTHORIZED


def test_redis_refuses_whoever_has_no_password(cluster: Stack) -> None:
    answer = cluster.execute("redis", "env", "-u", "REDISCLI_AUTH", "redis-cli", "ping")
    assert answer.startswith("NOAUTH")
    assert cluster.execute("redis", "redis-cli", "ping").strip() == "PONG"
