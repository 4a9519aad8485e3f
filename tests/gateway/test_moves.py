"""Moving, draining, healing: real shard apps and gateways in one process, one Redis, short times."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from redis.asyncio import Redis

from common import keys
from common.cluster_map import ClusterMap, StoreConfig
from common.errors import LeaseLost, TruthUnavailable
from common.settings import GatewaySettings
from gateway.decisions import Change, Step
from gateway.leader import Leader
from tests.gateway.in_process import Cluster, ShardApps, cluster, gateway_app, shard_app, unit, until_ready

QUICK: dict[str, Any] = {"lease_s": 0.6, "move_grace_s": 0.1, "dead_after_s": 0.5, "view_refresh_s": 0.05}


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.01)


@pytest.fixture
async def chain(redis_url: str) -> AsyncIterator[Cluster]:
    async with cluster(redis_url, shards=3, **QUICK) as running:
        yield running


async def put(running: Cluster, store: str, shard: str, faces: int, seed: int = 1) -> None:
    await running.create(store, shard=shard)
    for at, row in enumerate(unit(seed, faces)):
        await running.enrol(store, row[None], face_id=f"{store}-{at}")


async def stores(running: Cluster) -> dict[str, dict[str, Any]]:
    return {body["store"]: body for body in (await running.http.get("/v1/stores")).json()["stores"]}


async def is_on(running: Cluster, store: str, shard: str) -> bool:
    body = (await stores(running))[store]
    return (body["shard"], body["move"]) == (shard, None)


async def found(running: Cluster, store: str, seed: int, at: int, faces: int) -> str | None:
    """The face matched; None if there is no match, or nobody serves the store just now."""
    row = unit(seed, faces)[at]
    answer = await running.http.post(f"/v1/stores/{store}/search", json={"embeddings": [row.tolist()]})
    if answer.status_code == 503:
        return None
    result = answer.json()["results"][0]
    return result["candidates"][0]["face_id"] if result["verdict"] == "match" else None


@dataclass
class Camera:
    """Enrols and searches all the time; every answer must be right."""

    running: Cluster
    store: str
    home: str
    """the store that it looks from; another than `store`: by fan-out"""
    searches: int = 0
    wrong: list[object] = field(default_factory=list)

    async def work(self, ended: asyncio.Event, seed: int) -> None:
        rows = unit(seed, 4000)
        while not ended.is_set():
            at = self.searches
            await self.running.enrol(self.store, rows[at : at + 1], face_id=f"c{seed}-{at}")
            for wanted in {at, at // 2}:
                body = {"embeddings": [rows[wanted].tolist()]}
                answer = await self.running.http.post(f"/v1/stores/{self.home}/search", json=body)
                result = answer.json().get("results", [{}])[0]
                if result.get("verdict") != "match" or result["candidates"][0]["face_id"] != f"c{seed}-{wanted}":
                    self.wrong.append(answer.json())
            self.searches += 1


async def test_a_store_moves_under_searches_and_writes_and_none_misses_a_face(chain: Cluster) -> None:
    await put(chain, "A", "s1", 5)
    await put(chain, "B", "s3", 1, seed=2)
    ended = asyncio.Event()
    cameras = [Camera(chain, "A", "A"), Camera(chain, "A", "B")]
    working = [asyncio.create_task(camera.work(ended, seed)) for seed, camera in enumerate(cameras, 10)]
    for target in ("s2", "s3", "s1", "s2"):
        response = await chain.http.post("/v1/stores/A/move", json={"shard": target})
        assert (response.status_code, response.json()["move"]["target"]) == (202, target)
        await until(lambda target=target: is_on(chain, "A", target))  # type: ignore[misc]  # default binds the loop's value
    ended.set()
    await asyncio.gather(*working)
    assert [camera.wrong for camera in cameras] == [[], []]
    assert all(camera.searches > 10 for camera in cameras)
    shards = {body["shard"]: body for body in (await chain.http.get("/v1/shards")).json()["shards"]}
    assert shards["s2"]["stores"] == ["A"]
    (group,) = shards["s2"]["replicas"][0]["groups"]
    assert (group["group"], group["index"], group["coded"], group["recall"]) == ("default", "flat", 0, None)
    await until(lambda: rows_of(chain, "s1", 0))  # the source has dropped it
    assert (await chain.http.post("/v1/stores/A/move", json={"shard": "s2"})).status_code == 200


async def rows_of(running: Cluster, shard: str, rows: int) -> bool:
    shards = (await running.http.get("/v1/shards")).json()["shards"]
    return any((body["shard"], body["rows"]) == (shard, rows) for body in shards)


@pytest.mark.parametrize(
    ("store", "body", "status", "code"),
    [
        ("nowhere", {"shard": "s2"}, 404, "UNKNOWN_STORE"),
        ("A", {"shard": "s9"}, 404, "UNKNOWN_SHARD"),
        ("A", {"shard": "s3"}, 409, "CONFLICT"),
        ("A", {"shard": "../s2"}, 422, "INVALID_REQUEST"),
        ("A", {}, 422, "INVALID_REQUEST"),
        ("A", {"shard": "s2", "now": True}, 422, "INVALID_REQUEST"),
    ],
)
async def test_a_move_that_cannot_be_is_refused(
    chain: Cluster, store: str, body: dict[str, object], status: int, code: str
) -> None:
    await put(chain, "A", "s1", 0)
    assert (await chain.http.post("/v1/shards/s3/drain")).status_code == 202
    response = await chain.http.post(f"/v1/stores/{store}/move", json=body)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert await is_on(chain, "A", "s1")


async def test_a_drained_shard_gives_its_stores_away_and_gets_none_until_undone(chain: Cluster) -> None:
    for at in range(6):
        await put(chain, f"A{at}", "s1", 3, seed=at)
    answer = await chain.http.post("/v1/shards/s1/drain")
    assert (answer.status_code, answer.json()["draining"], len(answer.json()["stores"])) == (202, True, 6)

    async def empty() -> bool:
        return not any(body["shard"] == "s1" or body["move"] for body in (await stores(chain)).values())

    await until(empty)
    placed = [body["shard"] for body in (await stores(chain)).values()]
    assert sorted(placed) == ["s2"] * 3 + ["s3"] * 3
    for at in range(6):
        assert await found(chain, f"A{at}", at, 2, 3) == f"A{at}-2"
    await chain.create("new")
    assert (await stores(chain))["new"]["shard"] != "s1"
    refused = await chain.http.put("/v1/stores/other", json={"shard": "s1"})
    assert (refused.status_code, refused.json()["code"]) == (409, "CONFLICT")
    undone = await chain.http.delete("/v1/shards/s1/drain")
    assert (undone.status_code, undone.json()["draining"]) == (200, False)
    await chain.create("other")
    assert (await stores(chain))["other"]["shard"] == "s1"


async def test_the_last_shard_that_takes_stores_cannot_be_drained_nor_one_that_is_not_there(chain: Cluster) -> None:
    for shard, status in (("s1", 202), ("s2", 202), ("s3", 409), ("s9", 404), ("s1", 202)):
        assert (await chain.http.post(f"/v1/shards/{shard}/drain")).status_code == status, shard


async def test_a_rebalance_moves_what_its_plan_says(chain: Cluster) -> None:
    for at, faces in enumerate((6, 5, 4, 3)):
        await put(chain, f"A{at}", "s1", faces, seed=at)
    dry = await chain.http.post("/v1/rebalance", params={"dry_run": True})
    assert dry.status_code == 200
    assert {one["shard"]: one["rows_before"] for one in dry.json()["shards"]} == {"s1": 18, "s2": 0, "s3": 0}
    assert all([await is_on(chain, f"A{at}", "s1") for at in range(4)])
    done = await chain.http.post("/v1/rebalance")
    assert (done.status_code, done.json()["moves"]) == (202, dry.json()["moves"])
    for move in done.json()["moves"]:
        await until(lambda move=move: is_on(chain, move["store"], move["target"]))  # type: ignore[misc]  # binds it
    after = {one["shard"]: one["rows_after"] for one in done.json()["shards"]}
    for shard, rows in after.items():
        await until(lambda shard=shard, rows=rows: rows_of(chain, shard, rows))  # type: ignore[misc]  # binds them
    again = await chain.http.post("/v1/rebalance")
    assert (again.status_code, again.json()["moves"]) == (200, [])


@contextlib.asynccontextmanager
async def mortal(redis_url: str, **settings: object) -> AsyncIterator[tuple[Cluster, Callable[[], Awaitable[None]]]]:
    """Shards s1 and s2, of which s1 is stopped by calling the second value."""
    apps, s1 = ShardApps(), contextlib.AsyncExitStack()
    chosen = {"redis_url": redis_url, "encoder_workers": 0} | QUICK | settings
    async with s1, shard_app(redis_url, apps, "s2"):
        await s1.enter_async_context(shard_app(redis_url, apps, "s1"))
        async with gateway_app(GatewaySettings.model_validate(chosen), apps) as running:
            await until_ready(running)
            yield running, s1.aclose


async def test_a_dead_shards_stores_are_served_by_the_survivor_and_stay_when_it_returns(redis_url: str) -> None:
    async with mortal(redis_url) as (running, stop):
        for at in range(10):
            await put(running, f"A{at}", "s1", 2, seed=at)
        await stop()
        for at in range(10):
            await until(lambda at=at: is_on(running, f"A{at}", "s2"))  # type: ignore[misc]  # binds it
            await until(lambda at=at: is_found(running, f"A{at}", at))  # type: ignore[misc]  # binds it
        async with shard_app(redis_url, running.shards, "s1"):
            await until(lambda: has_state(running, "s1", "ready"))
            await asyncio.sleep(0.5)  # several looks of the leader
            assert {body["shard"] for body in (await stores(running)).values()} == {"s2"}
            assert running.services.leader.dead == frozenset()


async def is_found(running: Cluster, store: str, seed: int) -> bool:
    return await found(running, store, seed, 1, 2) == f"{store}-1"


async def has_state(running: Cluster, shard: str, state: str) -> bool:
    shards = (await running.http.get("/v1/shards")).json()["shards"]
    return any((body["shard"], body["state"]) == (shard, state) for body in shards)


async def test_with_nobody_left_the_map_stays_and_it_is_said(redis_url: str) -> None:
    async with mortal(redis_url) as (running, stop):
        await put(running, "A", "s1", 2)
        await running.http.post("/v1/shards/s2/drain")  # not dead, but takes nothing

        async def refused() -> bool:
            return (await running.http.post("/v1/shards/s1/drain")).status_code == 409

        assert await refused()
        await stop()

        async def stranded() -> bool:
            return running.services.leader.stranded == ["s1"]

        await until(stranded)
        ready = await running.http.get("/readyz")
        assert ready.status_code == 503
        assert "no live shard can take the stores of s1" in ready.json()["reasons"]
        assert "facegrid_stranded_shards 1.0" in (await running.http.get("/metrics")).text
        assert await is_on(running, "A", "s1")
        await running.http.delete("/v1/shards/s2/drain")
        await until(lambda: is_on(running, "A", "s2"))


async def test_a_short_absence_moves_nothing(redis_url: str) -> None:
    async with mortal(redis_url, dead_after_s=60) as (running, stop):
        await put(running, "A", "s1", 2)
        await stop()
        await until(lambda: has_state(running, "s1", "down"))
        await asyncio.sleep(0.5)  # several looks of the leader
        assert await is_on(running, "A", "s1")
        assert running.services.leader.dead == frozenset()


async def test_a_target_that_dies_while_it_loads_is_given_up(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_: Leader, step: Step) -> bool:
        return not (isinstance(step, Change) and step.confirm)

    async with mortal(redis_url) as (running, stop):
        await put(running, "B", "s2", 2)
        monkeypatch.setattr(Leader, "_is_confirmed", never)
        await running.http.post("/v1/stores/B/move", json={"shard": "s1"})

        async def loading() -> bool:
            move = (await stores(running))["B"]["move"]
            return move is not None and move["state"] == "loading"

        await until(loading)
        await stop()
        await until(lambda: is_on(running, "B", "s2"))
        assert await is_found(running, "B", 1)


async def test_of_two_gateways_one_leads_and_the_other_takes_over_in_the_middle_of_a_move(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cut_off(_: float) -> str | None:
        raise TruthUnavailable("Redis: TimeoutError; nothing was changed.", outcome="unchanged")

    settings = GatewaySettings.model_validate({"redis_url": redis_url, "encoder_workers": 0} | QUICK)
    async with cluster(redis_url, shards=2, **QUICK) as one:
        await put(one, "A", "s1", 20)
        stack = contextlib.AsyncExitStack()
        two = await stack.enter_async_context(gateway_app(settings, one.shards))
        async with stack:
            assert await leading(one, two) == [True, False]
            assert (await two.http.post("/v1/stores/A/move", json={"shard": "s2"})).status_code == 202

            async def begun() -> bool:
                return (await stores(two))["A"]["move"] not in (None, {"state": "queued"})

            await until(begun)
            monkeypatch.setattr(one.services.leader._lease, "hold", cut_off)

            async def taken_over() -> bool:
                return two.services.leader.leading and not one.services.leader.leading

            await until(taken_over)
            await until(lambda: is_on(two, "A", "s2"))
            assert await found(two, "A", 1, 3, 20) == "A-3"


async def leading(*gateways: Cluster) -> list[bool]:
    """Which of them lead, once one does."""
    leaders = [gateway.services.leader for gateway in gateways]

    async def one_leads() -> bool:
        return any(leader.leading for leader in leaders)

    await until(one_leads)
    return [leader.leading for leader in leaders]


async def test_a_leader_that_was_stopped_past_its_lease_cannot_write(chain: Cluster, redis: Redis) -> None:
    """What it had decided before is refused by Redis, whatever it believes."""
    await put(chain, "A", "s1", 1)
    leader, stores_map = chain.services.leader, ClusterMap(redis)

    async def leads() -> bool:
        return leader.leading

    await until(leads)
    present = (await stores_map.stores())["A"]
    decided: list[Step] = [Change(present, StoreConfig("A", "s3", incarnation=present.incarnation), "decided before")]
    old = leader._token
    assert old is not None
    await redis.set(keys.LEADER, "999:another")
    with pytest.raises(LeaseLost):
        await leader._carry_out(decided, old)
    assert (await stores_map.stores())["A"] == present
    with pytest.raises(LeaseLost):
        await stores_map.order_done("A", "s3", lease=old)


async def test_a_redis_without_memory_of_heartbeats_moves_nothing_before_dead_after(
    redis_url: str, redis: Redis
) -> None:
    """As after a restart or a failover: every heartbeat is gone at once, and with it the leader's lease."""
    async with cluster(redis_url, shards=2, **{**QUICK, "dead_after_s": 1.5}) as running:
        await put(running, "A", "s1", 1)
        before = await ClusterMap(redis).stores()
        for _ in range(5):
            beats = [key async for key in redis.scan_iter("fg:shard:*")]
            await redis.delete(keys.LEADER, *beats)
            await asyncio.sleep(0.1)
        assert await ClusterMap(redis).stores() == before
        assert running.services.leader.dead == frozenset()


async def test_the_settings_of_a_store_can_be_changed_while_it_moves(chain: Cluster) -> None:
    await put(chain, "A", "s1", 5)
    await chain.http.post("/v1/stores/A/move", json={"shard": "s2"})
    for at in range(60):
        response = await chain.http.put("/v1/stores/A", json={"group": f"g{at}"})
        assert response.status_code == 200, response.text
        await asyncio.sleep(0.005)
    await until(lambda: is_on(chain, "A", "s2"))
    assert (await stores(chain))["A"]["group"] == "g59"


async def test_metrics_say_how_the_cluster_is_and_name_no_store(chain: Cluster) -> None:
    await put(chain, "A", "s1", 2)

    async def served() -> bool:
        return 'facegrid_stores{state="served"} 1.0' in (await chain.http.get("/metrics")).text

    await until(served)
    answer = await chain.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    assert {line.split("{")[0].split(" ")[0] for line in lines} == {
        "facegrid_leader",
        "facegrid_truth_reachable",
        "facegrid_view_age_seconds",
        "facegrid_stores",
        "facegrid_shards",
        "facegrid_shards_draining",
        "facegrid_moves_queued",
        "facegrid_dead_shards",
        "facegrid_stranded_shards",
        "facegrid_pending_sightings",
    }
    assert 'facegrid_shards{state="ready"} 3.0' in lines
    assert "A-1" not in answer.text
