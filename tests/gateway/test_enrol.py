"""Enrolling and erasing: visible at once, all or nothing, nobody's template lost, one stranger one face."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest

from common.cluster_map import ClusterMap, Heartbeat, StoreConfig
from common.errors import TruthUnavailable
from common.ledger import Ledger
from common.types import ReplicaState
from gateway import replica_set
from gateway.deadline import Deadline
from gateway.replica_set import ReplicaSet
from gateway.router import Router
from gateway.shard_client import ShardClient
from gateway.view import ClusterView
from tests.gateway.in_process import Cluster, Hung, ShardApps, cluster, gateway_app, unit


@pytest.fixture
async def chain(redis_url: str) -> AsyncIterator[Cluster]:
    async with cluster(redis_url) as running:
        for store in "ABC":
            await running.create(store)
        yield running


async def top(chain: Cluster, probe: np.ndarray, store: str = "A") -> tuple[str, list[str]]:
    response = await chain.http.post(f"/v1/stores/{store}/search", json={"embeddings": probe.tolist()})
    (result,) = response.json()["results"]
    return result["verdict"], [candidate["face_id"] for candidate in result["candidates"]]


async def test_stores_are_spread_over_the_live_shards(chain: Cluster) -> None:
    stores = (await chain.http.get("/v1/stores")).json()["stores"]
    assert sorted(store["shard"] for store in stores) == ["s1", "s2", "s3"]


async def test_the_next_search_sees_what_was_enrolled_and_not_what_was_erased(chain: Cluster) -> None:
    for n in range(20):
        enrolled = await chain.enrol("A", unit(n), face_id=f"f{n}")
        assert (enrolled["new"], enrolled["visible"], enrolled["version"]) == (True, True, n + 1)
        assert await top(chain, unit(n)) == ("match", [f"f{n}", *(await top(chain, unit(n)))[1][1:]])
    for n in range(20):
        gone = (await chain.http.delete(f"/v1/stores/A/faces/f{n}")).json()
        assert (gone["deleted"], gone["visible"]) == (True, True)
        assert f"f{n}" not in (await top(chain, unit(n)))[1]


async def test_adding_templates_moves_the_row_to_their_mean(chain: Cluster) -> None:
    templates = unit(7, 3)
    await chain.enrol("A", templates[:1], face_id="x", kind="member", labels={"door": "north"})
    added = await chain.enrol("A", templates[1:], face_id="x")
    assert (added["new"], added["templates"], added["kind"], added["labels"]) == (
        False,
        3,
        "member",
        {"door": "north"},
    )
    mean = templates.mean(axis=0, keepdims=True)
    response = await chain.http.post("/v1/stores/A/search", json={"embeddings": mean.tolist()})
    (candidate,) = response.json()["results"][0]["candidates"]
    assert candidate["score"] == pytest.approx(1, abs=1e-6)


async def test_no_template_is_lost_when_many_are_added_at_once(chain: Cluster) -> None:
    await asyncio.gather(*(chain.enrol("A", unit(n), face_id="x") for n in range(10)))
    face = (await chain.http.get("/v1/stores/A/faces/x")).json()
    assert face["templates"] == 10


async def test_a_face_without_an_id_gets_one(chain: Cluster) -> None:
    one, other = await chain.enrol("A", unit(1)), await chain.enrol("A", unit(2))
    assert one["face_id"] != other["face_id"]


async def test_raw_float32_and_json_enrol_the_same_row(chain: Cluster) -> None:
    await chain.enrol("A", unit(5), face_id="json")
    await chain.http.post(
        "/v1/stores/B/faces?face_id=raw&kind=staff",
        content=(unit(5) * 3).tobytes(),
        headers={"content-type": "application/octet-stream"},
    )
    assert (await chain.http.get("/v1/stores/B/faces/raw")).json()["kind"] == "staff"
    response = await chain.http.post("/v1/stores/C/search?scope=group", json={"embeddings": unit(5).tolist()})
    scores = [candidate["score"] for candidate in response.json()["results"][0]["candidates"]]
    assert scores == pytest.approx([1, 1], abs=1e-5)


async def test_committed_returns_without_waiting_for_the_shard(chain: Cluster) -> None:
    chain.shards.apps.clear()
    response = await chain.http.post("/v1/stores/A/faces?wait=committed", json={"embeddings": unit(1).tolist()})
    assert (response.status_code, response.json()["visible"]) == (201, False)


async def test_visible_is_false_when_no_replica_confirms(chain: Cluster) -> None:
    chain.shards.apps.clear()
    response = await chain.http.post("/v1/stores/A/faces", json={"embeddings": unit(1).tolist()})
    assert (response.status_code, response.json()["visible"]) == (201, False)


async def test_a_replica_that_hangs_makes_one_enrolment_wait_not_every_one(redis_url: str) -> None:
    async with cluster(redis_url, shards=1, replicas=2, shard_timeout_s=1.5) as running:
        await running.create("A")
        running.shards.apps["s1-b"] = Hung()
        assert (await running.enrol("A", unit(1)))["visible"] is False
        async with asyncio.timeout(1.2):
            assert (await running.enrol("A", unit(2)))["visible"] is False


async def test_a_replica_that_still_loads_is_not_waited_for(redis_url: str) -> None:
    """It reads the write with everything else, and searches go to its sibling."""
    async with cluster(redis_url, shards=1) as running:
        await running.create("A")
        version = (await running.enrol("A", unit(1)))["version"]
        assert isinstance(version, int)
        view = running.services.view
        (ready,) = view.shards["s1"]
        loading = replace(ready, replica="b", url="http://nowhere", state=ReplicaState.LOADING, stores={})
        later = ClusterView(view._map, refresh_s=60)
        later.shards = {"s1": (ready, loading)}
        router = Router(later, ReplicaSet(ShardClient(running.shards, ""), call_timeout_s=5))
        async with Deadline(10) as deadline:
            assert await router.is_visible(view.stores["A"], version, deadline)


async def test_replicas_that_are_gone_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_set, "FORGET_ABOVE", 2)
    replicas = ReplicaSet(ShardClient(ShardApps(), ""), call_timeout_s=1)
    async with Deadline(10) as deadline:
        for n in range(5):
            beat = Heartbeat("s1", "a", f"http://gone-{n}", ReplicaState.READY, "", 0.0)
            assert not await replicas.has_version(beat, StoreConfig("A", "s1"), 1, deadline)
    assert len(replicas._known) <= 2


async def test_expected_version_refuses_a_store_that_changed(chain: Cluster) -> None:
    await chain.enrol("A", unit(1), face_id="x")
    response = await chain.http.post("/v1/stores/A/faces?expected_version=0", json={"embeddings": unit(2).tolist()})
    assert (response.status_code, response.json()["code"]) == (409, "VERSION_CONFLICT")
    response = await chain.http.post("/v1/stores/A/faces?expected_version=1", json={"embeddings": unit(2).tolist()})
    assert response.status_code == 201


async def test_faces_are_listed_page_by_page(chain: Cluster) -> None:
    for n in range(30):
        await chain.enrol("A", unit(n), face_id=f"f{n:02d}")
    seen: list[str] = []
    cursor: str | None = "0"
    while cursor is not None:
        page = (await chain.http.get("/v1/stores/A/faces", params={"cursor": cursor, "limit": 7})).json()
        seen += [face["face_id"] for face in page["faces"]]
        cursor = page["cursor"]
    assert sorted(set(seen)) == [f"f{n:02d}" for n in range(30)]


async def test_a_deleted_store_is_gone_with_its_faces_even_if_created_again(chain: Cluster) -> None:
    await chain.enrol("A", unit(1), face_id="x")
    refused = await chain.http.delete("/v1/stores/A")
    assert (refused.status_code, refused.json()["code"]) == (409, "STORE_NOT_EMPTY")
    assert (await chain.http.delete("/v1/stores/A?force=true")).status_code == 204
    assert (await chain.http.get("/v1/stores/A")).status_code == 404
    await chain.create("A")
    await chain.enrol("A", unit(2), face_id="y")
    assert await top(chain, unit(1)) == ("no_match", ["y"])


async def test_a_change_that_was_made_is_never_answered_with_nothing_was_changed(
    chain: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis goes away between the change of the map and the look at it."""
    create = ClusterMap.create

    async def then_away(self: ClusterMap, config: StoreConfig) -> StoreConfig:
        created = await create(self, config)
        monkeypatch.setattr(ClusterMap, "stores", away)
        monkeypatch.setattr(Ledger, "counts", away)
        return created

    async def away(*_: object) -> None:
        raise TruthUnavailable("Redis: ConnectionError; nothing was changed.", outcome="unchanged")

    monkeypatch.setattr(ClusterMap, "create", then_away)
    response = await chain.http.put("/v1/stores/new", json={})
    assert (response.status_code, response.json()["faces"]) == (201, 0)


async def test_a_store_created_through_one_gateway_is_searched_by_the_other_at_once(redis_url: str) -> None:
    """Not only after the next look at the heartbeats: until then a `no_match` would be said without it."""
    async with (
        cluster(redis_url, shards=1, view_refresh_s=2, redis_timeout_s=8) as one,
        gateway_app(one.services.settings, one.shards) as other,
    ):
        await one.create("A")
        for n in range(3):
            await one.create(f"new-{n}")
            await one.enrol(f"new-{n}", unit(n), face_id="x")
            assert await top(other, unit(n)) == ("match", ["x"] * (n + 1))


async def test_a_store_created_through_one_gateway_is_known_to_the_other_at_once(chain: Cluster) -> None:
    async with gateway_app(chain.services.settings, chain.shards) as other:
        await chain.create("new")
        assert (await other.http.get("/v1/stores/new")).status_code == 200
