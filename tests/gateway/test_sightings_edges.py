"""Sightings where something else happens in the middle: erasures, deletions, look-alikes, a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from redis.asyncio import Redis

from common import keys
from common.cluster_map import ClusterMap
from common.errors import SightingsWaiting, UnknownStore
from common.ledger import Ledger
from common.pending import Pending, Waiting
from common.rekeys import Rekeys
from common.types import Vectors
from common.visits import Recorded, Seen, Visits
from gateway.deadline import Deadline
from gateway.look import Frame, Look, Looker, Sighting
from gateway.pictures import Picture, Place, Rejected
from gateway.quality import Reason
from gateway.routes import sightings
from gateway.sight import Outcome
from tests.gateway.in_process import Cluster, cluster, unit
from tests.gateway.test_sight import NOW, faces_of, near, sight, until_served, until_settled


@pytest.fixture
async def running(redis_url: str) -> AsyncIterator[Cluster]:
    """Store A on s1, store B on s2, both served."""
    async with cluster(redis_url, shards=2) as started:
        for store, shard in (("A", "s1"), ("B", "s2")):
            await started.create(store, shard=shard)
        await until_served(started)
        yield started


async def test_two_strangers_of_one_picture_who_look_alike_are_two_also_if_they_have_to_wait(running: Cluster) -> None:
    gone = running.shards.apps.pop("s2-a")
    twins = np.concatenate([unit(2), near(unit(2), 0.99)])
    for _ in range(2):  # the camera repeats itself
        assert {face["outcome"] for face in await sight(running, "A", twins, 5)} == {"pending"}
    running.shards.apps["s2-a"] = gone
    await until_settled(running)
    assert await faces_of(running, "A", "B") == 2


async def test_somebody_behind_all_the_faces_of_a_member_in_the_same_picture_is_found(running: Cluster) -> None:
    ada = unit(1)
    assert (await running.http.put("/v1/members/c-1", json={"display_name": "Ada"})).is_success
    for nth in range(4):
        await running.enrol("A", near(ada, 0.999, 50 + nth), face_id=f"ada-{nth}")
        assert (await running.http.put(f"/v1/members/c-1/faces/A/ada-{nth}")).is_success
    sister = near(ada, 0.985, 77)
    await running.enrol("A", near(sister, 0.965, 78), face_id="eve")
    one, other = await sight(running, "A", np.concatenate([ada, sister]))
    assert (one["member_id"], other["face_id"]) == ("c-1", "eve")


@pytest.mark.parametrize("again", [False, True])
async def test_a_face_too_poor_at_a_store_that_is_deleted_meanwhile_is_counted_nowhere(
    running: Cluster, redis: Redis, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    async def deleted_while_encoding(*_: object, **__: object) -> list[Picture]:
        assert (await running.http.delete("/v1/stores/A?force=true")).is_success
        if again:
            await running.create("A")
        return [Picture(unit(1)[:0], [], [Rejected(Place(0), (Reason.BLURRED,), "mark")])]

    monkeypatch.setattr(sightings, "of_photos", deleted_while_encoding)
    response = await running.http.post("/v1/stores/A/sightings", files={"image": ("a.jpg", b"a photo")})
    assert (response.status_code, response.json()["code"]) == (404, "UNKNOWN_STORE")
    assert await Visits(redis).rejections("A") == {}
    assert await redis.keys("fg:{A}*") == ([b"fg:{A}:incarnation"] if again else [])


async def test_a_store_deleted_meanwhile_leaves_nothing_behind(
    running: Cluster, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Looker.first

    async def deleted_before(self: Looker, frame: Frame, probes: Vectors) -> list[Look | None]:
        assert (await running.http.delete("/v1/stores/A?force=true")).is_success
        return await first(self, frame, probes)

    monkeypatch.setattr(Looker, "first", deleted_before)
    response = await running.http.post("/v1/stores/A/sightings", json={"embeddings": unit(1).tolist()})
    assert (response.status_code, response.json()["code"]) == (404, "UNKNOWN_STORE")
    assert await redis.keys("fg:{A}*") == []


async def test_a_store_created_again_takes_no_sighting_of_the_old_one(running: Cluster) -> None:
    store = replace(running.services.view.stores["A"], incarnation="another")
    with pytest.raises(UnknownStore):
        await running.services.pending.add(store, Waiting(unit(1)[0], 0))


async def test_a_probe_that_an_erasure_has_taken_is_not_enrolled_by_a_resolver_that_had_read_it(
    running: Cluster, redis: Redis
) -> None:
    await running.enrol("B", unit(1), face_id="ada")
    gone = running.shards.apps.pop("s2-a")
    await sight(running, "A", unit(1), 5)
    (read,) = await running.services.pending.entries("A")
    assert (await running.http.delete("/v1/stores/B/faces/ada")).is_success
    running.shards.apps["s2-a"] = gone
    await until_settled(running)
    before = await redis.hgetall(keys.visits("A", NOW.date().isoformat()))
    sighting = Sighting(running.services.view.stores["A"], read.at_ms, waited=read)
    async with Deadline(5) as deadline:
        (sighted,) = await running.services.sighter.sight(sighting, unit(1), deadline)
    assert sighted.outcome is Outcome.PENDING
    assert await faces_of(running, "A", "B") == 0
    assert await redis.hgetall(keys.visits("A", NOW.date().isoformat())) == before


async def test_what_waits_no_more_is_neither_committed_nor_counted(running: Cluster) -> None:
    await running.enrol("A", unit(1), face_id="ada")
    store = running.services.view.stores["A"]
    with pytest.raises(SightingsWaiting):
        await running.services.ledger.commit("A", store.incarnation, waiting="1-0")
    assert await running.services.visits.record(Seen(store, store, "ada", 0, pending_id="1-0")) is None


async def test_the_deadline_does_not_interrupt_what_is_being_kept(
    running: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.shards.apps.pop("s2-a")
    add = Pending.add

    async def slow(self: Pending, *args: object, **kwargs: object) -> None:
        await asyncio.sleep(0.5)
        await add(self, *args, **kwargs)  # type: ignore[arg-type]  # handed on as they came

    monkeypatch.setattr(Pending, "add", slow)
    sighting = Sighting(running.services.view.stores["A"], int(time.time() * 1000))
    async with Deadline(0.4) as deadline:
        (sighted,) = await running.services.sighter.sight(sighting, unit(1), deadline)
    assert sighted.outcome is Outcome.PENDING
    assert await running.services.pending.counts(["A"]) == {"A": 1}


async def test_somebody_erased_before_the_checkout_is_told_is_not_told_of(
    running: Cluster, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await running.create("C", shard="s1")
    await running.enrol("C", unit(1), face_id="ada")
    running.shards.apps.pop("s2-a")

    async def face_gone(*_: object) -> bool:
        return False

    monkeypatch.setattr(Rekeys, "carry", face_gone)
    (face,) = await sight(running, "A", unit(1))
    assert (face["outcome"], face["face_id"]) == ("pending", "ada")
    (kept,) = await running.services.pending.entries("A")
    assert kept.announced == ""
    assert await redis.xlen(keys.events("A")) == 0


async def test_a_store_that_changes_its_group_meanwhile_is_no_error(
    running: Cluster, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await running.enrol("A", unit(1), face_id="ada")
    store = running.services.view.stores["A"]

    async def moved(self: Visits, seen: Seen) -> Recorded | None:  # noqa: ARG001
        monkeypatch.undo()
        await ClusterMap(redis).update(store, replace(store, group="other"))
        await running.services.view.refresh()
        return None

    monkeypatch.setattr(Visits, "record", moved)
    (face,) = await sight(running, "A", unit(1))
    assert face["outcome"] == "pending"


async def test_a_replica_ahead_of_a_redis_that_lost_its_end_does_not_make_a_busy_loop(
    running: Cluster, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in (3, 4):
        await running.enrol("A", unit(seed))
    newest: Any = await redis.xrevrange(keys.feed("A"), count=1)
    await redis.xdel(keys.feed("A"), newest[0][0])
    asked: list[int] = []
    changes_since = Ledger.changes_since

    async def counted(self: Ledger, store: str, version: int) -> object:
        asked.append(version)
        return await changes_since(self, store, version)

    monkeypatch.setattr(Ledger, "changes_since", counted)
    (face,) = await sight(running, "A", unit(5))
    assert face["outcome"] == "pending"
    assert len(asked) < 10
