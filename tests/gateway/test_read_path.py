"""The whole read path over real shard apps: hung and stale replicas, stores on the move, what coverage tells."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from common import wire
from common.cluster_map import StoreConfig
from common.types import StoreView, Vectors
from gateway.coverage import Coverage
from gateway.deadline import Deadline
from gateway.replica_set import Question, ReplicaSet
from gateway.router import Found, Router
from gateway.shard_client import ShardClient
from gateway.store_set import StoreSet
from gateway.view import ClusterView
from shard.replica import Replica
from tests.gateway.in_process import Cluster, Hung, cluster, unit

ADA, BOB, STRANGER = unit(1), unit(2), unit(3)


class Counting(Hung):
    """Hangs, and counts how often it was called."""

    def __init__(self) -> None:
        self.calls = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        return await super().handle_async_request(request)


class Refusing(httpx.AsyncBaseTransport):
    """Refuses every call in which somebody asks for seven candidates; remembers how many asked in each."""

    def __init__(self, shard: httpx.AsyncBaseTransport) -> None:
        self.shard = shard
        self.asked: list[int] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        queries = wire.unpack_call(await request.aread()).queries
        self.asked.append(len(queries))
        if any(query.top_k == 7 for query in queries):
            return httpx.Response(422, json={"code": "INVALID_REQUEST"})
        return await self.shard.handle_async_request(request)


@pytest.fixture
async def pair(redis_url: str) -> AsyncIterator[Cluster]:
    """One shard with two replicas; store A with Ada."""
    async with cluster(redis_url, shards=1, replicas=2, shard_timeout_s=5, deadline_s=2) as running:
        await running.create("A")
        await running.enrol("A", ADA, face_id="ada")
        yield running


async def ask(running: Cluster, store: str, probe: Vectors, **params: Any) -> httpx.Response:
    return await running.http.post(f"/v1/stores/{store}/search", params=params, json={"embeddings": probe.tolist()})


async def result(running: Cluster, store: str, probe: Vectors, **params: Any) -> dict[str, Any]:
    response = await ask(running, store, probe, **params)
    assert response.status_code == 200, response.text
    (found,) = response.json()["results"]
    assert isinstance(found, dict)
    return found


async def routed(running: Cluster, stores: list[StoreConfig], probe: Vectors) -> Found:
    async with Deadline(10) as deadline:
        return await running.services.identifier._router.search(
            StoreSet(stores), Question(stores[0].space, probe, 5), deadline
        )


def replica(running: Cluster, host: str) -> Replica:
    transport = running.shards.apps[host]
    assert isinstance(transport, httpx.ASGITransport)
    found: Replica = transport.app.state.replica  # type: ignore[attr-defined]  # our own app
    return found


async def test_searches_of_one_moment_in_many_stores_that_move_are_answered_together(redis_url: str) -> None:
    """Each search that goes on to where the stores still are has a mapping of them of its own, all equal."""
    async with cluster(redis_url, shards=2) as running:
        for nth in range(wire.MANY):
            await running.create(f"S{nth}", shard="s1")
        await running.enrol("S0", ADA, face_id="ada")
        async with asyncio.timeout(5):
            while len(running.services.view.stores) < wire.MANY:
                await asyncio.sleep(0.01)
        moving = [replace(one, shard="s2", moving_from="s1") for one in running.services.view.stores.values()]
        for found in await asyncio.gather(*(routed(running, moving, ADA) for _ in range(4))):
            assert found.coverage.full
            assert found.candidates[0][0].face_id == "ada"


async def test_a_hung_replica_costs_one_hedge_and_not_one_timeout_a_request(pair: Cluster) -> None:
    hung = Counting()
    pair.shards.apps["s1-a"] = hung
    async with asyncio.timeout(2):
        for _ in range(50):
            assert (await result(pair, "A", ADA))["verdict"] == "match"
    assert hung.calls <= 2  # the first, and one more if the cool-off passed meanwhile


async def test_all_requests_that_a_freshly_hung_replica_holds_up_are_hedged(pair: Cluster) -> None:
    pair.shards.apps["s1-a"] = Hung()
    async with asyncio.timeout(2):
        answers = await asyncio.gather(*(result(pair, "A", ADA) for _ in range(40)))
    assert {answer["verdict"] for answer in answers} == {"match"}


async def test_every_cause_is_told(pair: Cluster) -> None:
    await result(pair, "A", ADA)
    pair.shards.faults = {"s1-a": lambda _: httpx.Response(500), "s1-b": lambda _: httpx.Response(200, html="<p>")}
    response = await ask(pair, "A", ADA)
    assert (response.status_code, response.json()["code"]) == (503, "NOTHING_SEARCHED")
    coverage = response.json()["coverage"]
    (failed,) = coverage["shards"]["failed"]
    assert {(cause["replica"], cause["code"]) for cause in failed["causes"]} == {
        ("a", "SHARD_UNREACHABLE"),
        ("b", "SHARD_GARBAGE"),
    }
    assert (coverage["rows"], coverage["rows_missing"]) == (0, 1)


async def test_a_refusal_is_not_repeated_at_the_sibling(pair: Cluster) -> None:
    asked: list[str] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(422, json={"code": "WRONG_SPACE"})

    pair.shards.faults = {"s1-a": refuse, "s1-b": refuse}
    assert (await ask(pair, "A", ADA)).status_code == 503
    assert len(asked) == 1


async def announced(view: ClusterView, shard: str) -> int:
    """Rows that the shard's first replica announces now."""
    await view.refresh()
    return sum(served.rows for served in view.shards[shard][0].stores.values())


async def test_missing_rows_are_told_as_last_known(redis_url: str) -> None:
    async with cluster(redis_url, shards=2) as running:
        for store, shard in (("A", "s1"), ("B", "s2")):
            await running.create(store, shard=shard)
            await running.enrol(store, BOB)
        view = ClusterView(running.services.view._map, refresh_s=60)  # read once, for nothing to change below
        async with asyncio.timeout(5):
            while await announced(view, "s2") != 1:
                await asyncio.sleep(0.01)
        stores, question = StoreSet(view.stores[store] for store in "AB"), Question(view.stores["A"].space, STRANGER, 5)
        replicas = ReplicaSet(ShardClient(running.shards, ""), call_timeout_s=5)
        router = Router(view, replicas)

        async def missing(router: Router) -> tuple[list[str], int | None]:
            async with Deadline(10) as deadline:
                coverage = (await router.search(stores, question, deadline)).coverage
            return coverage.missing, coverage.rows_missing

        assert await missing(router) == ([], 0)
        del running.shards.apps["s2-a"]
        assert await missing(Router(view, replicas)) == (["B"], 1)  # as its replica announced
        del view.shards["s2"]
        assert await missing(router) == (["B"], 1)  # as the last search saw
        assert await missing(Router(view, replicas)) == (["B"], None)


async def test_partial_coverage_is_refused_on_request_with_the_same_report(redis_url: str) -> None:
    async with cluster(redis_url, shards=2) as running:
        for store, shard, row in (("A", "s1", ADA), ("B", "s2", BOB)):
            await running.create(store, shard=shard)
            await running.enrol(store, row)
        assert (await result(running, "A", STRANGER, allow_partial=False))["verdict"] == "no_match"
        del running.shards.apps["s2-a"]
        told = (await result(running, "A", STRANGER))["coverage"]
        for scope in ("auto", "group"):
            refused = await ask(running, "A", STRANGER, allow_partial=False, scope=scope)
            assert (refused.status_code, refused.json()["code"]) == (503, "PARTIAL_COVERAGE")
            assert refused.json()["coverage"] == told
        assert (await ask(running, "A", ADA, allow_partial=False, scope="group")).status_code == 503
        assert (await result(running, "A", ADA, allow_partial=False))["verdict"] == "match"  # needed only home


async def test_a_store_is_searched_where_it_comes_from_until_the_new_shard_has_it(redis_url: str) -> None:
    async with cluster(redis_url, shards=2) as running:
        await running.create("A", shard="s1")
        await running.create("B", shard="s2")
        await running.enrol("A", ADA, face_id="ada")
        await running.enrol("B", BOB)
        a, b = (running.services.view.stores[store] for store in "AB")
        for moving in (replace(a, shard="s2", moving_from="s1"), replace(a, shard="s2", moving_to="s1")):
            found = await routed(running, [moving, b], ADA)
            assert found.candidates[0][0].face_id == "ada"
            assert found.coverage.full
            assert (found.coverage.rows, found.coverage.failed) == (2, {})


async def test_a_store_that_both_shards_have_counts_once(redis_url: str) -> None:
    async with cluster(redis_url, shards=2) as running:
        await running.create("A", shard="s1")
        await running.enrol("A", ADA)
        found = await routed(running, [replace(running.services.view.stores["A"], moving_to="s1")], ADA)
        assert (found.coverage.rows, len(found.candidates[0])) == (1, 1)


async def test_a_map_that_is_out_of_date_is_read_again(redis_url: str) -> None:
    async with cluster(redis_url, shards=2) as running:
        await running.create("A", shard="s1")
        await running.enrol("A", ADA, face_id="ada")
        before_it_moved = replace(running.services.view.stores["A"], shard="s2")
        found = await routed(running, [before_it_moved], ADA)
        assert (found.candidates[0][0].face_id, found.coverage.full) == ("ada", True)


async def test_a_dead_target_does_not_hide_the_source(redis_url: str) -> None:
    async with cluster(redis_url, shards=2) as running:
        await running.create("A", shard="s1")
        await running.enrol("A", ADA, face_id="ada")
        del running.shards.apps["s2-a"]
        moving = replace(running.services.view.stores["A"], shard="s2", moving_from="s1")
        found = await routed(running, [moving], ADA)
        assert (found.candidates[0][0].face_id, found.coverage.failed) == ("ada", {})


async def freeze(running: Cluster, host: str) -> None:
    """Let the replica answer for ever what it would say now about Ada: it lags."""
    config = running.services.view.stores["A"]
    client = ShardClient(running.shards, "")
    call = wire.SearchCall(config.space, (wire.Query({"A": config.incarnation}, ADA, 5),), 5000)
    replies = wire.pack_reply(await client.search(f"http://{host}", call), call)
    version = wire.pack_version(
        await client.await_version(f"http://{host}", wire.AwaitCall("A", config.incarnation, 0, 1))
    )

    def stale(request: httpx.Request) -> httpx.Response:
        body = replies if request.url.path == "/search" else version
        return httpx.Response(200, content=body, headers={"content-type": wire.CONTENT_TYPE})

    running.shards.faults[host] = stale


@pytest.mark.parametrize("scope", ["auto", "store", "group"])
async def test_min_version_is_answered_by_the_replica_that_has_it(pair: Cluster, scope: str) -> None:
    for host in ("s1-a", "s1-b"):
        pair.shards.faults.clear()
        await freeze(pair, host)
        version = (await pair.enrol("A", ADA, face_id=f"after-{host}"))["version"]
        found = await result(pair, "A", ADA, min_version=version, scope=scope)
        assert found["route"]["versions"]["A"] == version
        assert f"after-{host}" in {candidate["face_id"] for candidate in found["candidates"]}


async def test_a_version_that_nobody_reaches_is_told_as_stale(pair: Cluster) -> None:
    for host in ("s1-a", "s1-b"):
        await freeze(pair, host)
    response = await ask(pair, "A", ADA, min_version=2)
    assert (response.status_code, response.json()["code"]) == (503, "STALE_REPLICA")
    assert (response.json()["wanted"], response.json()["present"]) == (2, 1)


async def test_a_version_that_never_comes_is_given_up_before_the_deadline(pair: Cluster) -> None:
    pair.shards.apps["s1-b"] = Hung()
    response = await ask(pair, "A", ADA, min_version=1000)
    assert (response.status_code, response.json()["code"]) == (503, "STALE_REPLICA")


async def test_a_search_waits_for_its_version(pair: Cluster) -> None:
    waiters = replica(pair, "s1-a").waiters
    searching = asyncio.create_task(result(pair, "A", BOB, min_version=2))
    async with asyncio.timeout(5):
        while not waiters.waiting:
            await asyncio.sleep(0)
    await pair.enrol("A", BOB, face_id="bob")
    assert (await searching)["candidates"][0]["face_id"] == "bob"


async def test_what_is_only_committed_is_seen_by_who_asks_for_its_version(pair: Cluster) -> None:
    for n in range(20):
        row = unit(100 + n)
        response = await pair.http.post("/v1/stores/A/faces?wait=committed", json={"embeddings": row.tolist()})
        found = await result(pair, "A", row, min_version=response.json()["version"])
        assert found["candidates"][0]["face_id"] == response.json()["face_id"]


async def test_min_version_still_finds_members_of_other_stores(pair: Cluster) -> None:
    await pair.create("B")
    await pair.enrol("B", BOB, face_id="bob")
    for scope in ("auto", "group"):
        found = await result(pair, "A", BOB, min_version=1, scope=scope)
        assert (found["verdict"], found["route"]["mode"]) == ("match", "fan_out")
        assert found["coverage"]["stores"]["searched"] == 2


async def test_a_search_that_is_given_up_leaves_no_call_behind(pair: Cluster) -> None:
    replicas = pair.services.identifier._router._replica_set
    for host in ("s1-a", "s1-b"):
        pair.shards.apps[host] = Hung()
    assert (await ask(pair, "A", ADA)).status_code == 504
    async with asyncio.timeout(5):
        while any(health.in_flight for health in replicas._known.values()):
            await asyncio.sleep(0)


async def test_what_a_search_saw_is_forgotten_with_the_map_that_it_followed(pair: Cluster) -> None:
    view = pair.services.view
    await result(pair, "A", ADA)
    before = weakref.ref(view.alone(await view.store("A")))
    assert before() is not None
    await pair.http.put("/v1/stores/A", json={"retention_days": 7})
    await view.refresh()
    await result(pair, "A", ADA)
    gc.collect()
    assert before() is None


def test_a_home_that_left_its_group_meanwhile_does_not_stand_for_a_store_that_was_not_searched() -> None:
    stores = StoreSet(StoreConfig(name, shard="s1") for name in "BC")
    missing = Coverage(stores, {"B": StoreView(1, 10)}, rows_missing=5, failed={"s1": ()})
    both = missing.with_home("A", StoreView(1, 1))
    assert not both.full
    assert both.report()["stores"] == {"total": 2, "searched": 1, "missing": ["C"]}


async def test_a_query_that_is_refused_takes_nothing_from_those_that_left_with_it(pair: Cluster) -> None:
    refusing = {host: Refusing(app) for host, app in pair.shards.apps.items()}
    pair.shards.apps |= refusing
    answers = await asyncio.gather(*(ask(pair, "A", ADA, top_k=7 if at == 3 else 5) for at in range(8)))
    assert max(max(one.asked, default=0) for one in refusing.values()) > 1
    assert [answer.status_code for answer in answers] == [200, 200, 200, 503, 200, 200, 200, 200]
    assert {answer.json()["results"][0]["verdict"] for answer in answers if answer.is_success} == {"match"}
    (failed,) = answers[3].json()["coverage"]["shards"]["failed"]
    assert failed["code"] == "SHARD_REJECTED"
