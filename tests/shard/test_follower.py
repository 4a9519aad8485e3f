"""Following against a real server: what the truth says, a replica soon says too, and nothing that it says no more."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import numpy as np
import ormsgpack
import pytest
from redis.asyncio import Redis

from common.cluster_map import ClusterMap, GroupView
from common.ledger import Ledger, Put
from common.types import VISITOR, Kind, KnownAs, ReplicaState, StoreView, Vectors
from tests.shard.helpers import PATIENCE_S, Running, Writer, eventually, ready, running, settings_for, truth_of, unit

ROWS = unit(50)


def named(first: int, last: int) -> dict[str, Vectors]:
    return {f"f{at}": ROWS[at] for at in range(first, last)}


def same(held: dict[str, Vectors], wanted: dict[str, Vectors]) -> bool:
    return held.keys() == wanted.keys() and all(np.array_equal(held[face_id], row) for face_id, row in wanted.items())


def held_up(one: Running) -> AbstractAsyncContextManager[None]:
    """Inside, the follower comes as far as its next write and waits there."""
    return one.replica.gate.searching()


async def writes_wait(one: Running) -> None:
    await eventually(lambda: not one.replica.gate._open.is_set())


async def test_stores_of_its_shard_are_loaded_and_found(redis: Redis, redis_url: str) -> None:
    writer = Writer(redis)
    await writer.put(await writer.open("A"), named(0, 10))
    await writer.put(await writer.open("B"), named(10, 15))
    await writer.put(await writer.open("C", shard="s2"), named(15, 20))
    async with ready(settings_for(redis_url)) as one:
        reply = await one.search(["A", "B", "C"], ROWS[[3, 12, 16]])
        assert reply.searched == {"A": StoreView(10, 10), "B": StoreView(5, 5)}
        faces = {"A": named(0, 10), "B": named(10, 15)}
        assert list(reply.candidates) == [truth_of(faces, ROWS[at], 5) for at in (3, 12, 16)]


async def test_puts_deletes_and_returns_are_followed(redis: Redis, redis_url: str) -> None:
    writer = Writer(redis)
    config = await writer.open("A")
    async with ready(settings_for(redis_url)) as one:
        assert await one.reach("A", await writer.put(config, named(0, 5))) == 5
        assert same(one.faces("A"), named(0, 5))
        assert await one.reach("A", await writer.delete(config, ["f1", "f3"])) == 7
        assert same(one.faces("A"), {face: row for face, row in named(0, 5).items() if face not in ("f1", "f3")})
        assert await one.reach("A", await writer.put(config, {"f1": ROWS[40], "f0": ROWS[41]})) == 9
        assert same(one.faces("A"), {"f0": ROWS[41], "f1": ROWS[40], "f2": ROWS[2], "f4": ROWS[4]})


async def test_who_a_face_is_is_loaded_and_followed(redis: Redis, redis_url: str) -> None:
    writer = Writer(redis)
    config = await writer.open("A")
    rows = {"x": ROWS[0], "y": ROWS[1]}
    await writer.put(config, {"y": ROWS[1]})
    await writer.put(config, {"x": ROWS[0]}, known_as=(Kind.MEMBER, "c-1"))

    async def found(one: Running) -> dict[str, KnownAs]:
        (hits,) = (await one.search(["A"], ROWS[:1])).candidates
        return {hit.face_id: (hit.kind, hit.member_id) for hit in hits}

    async with ready(settings_for(redis_url)) as one:
        assert await found(one) == {"x": (Kind.MEMBER, "c-1"), "y": VISITOR}
        digest = one.replica.index["A"].gallery.digest()
        version = await writer.put(config, {"x": ROWS[0]}, known_as=(Kind.MEMBER, "c-2"))
        assert await one.reach("A", version) == version
        assert await found(one) == {"x": (Kind.MEMBER, "c-2"), "y": VISITOR}
        assert one.replica.index["A"].gallery.digest() != digest
        await one.reach("A", await writer.put(config, rows, known_as=(Kind.STAFF, None)))
        assert await found(one) == dict.fromkeys(rows, (Kind.STAFF, None))
        await one.reach("A", await writer.put(config, rows))
        assert await found(one) == dict.fromkeys(rows, VISITOR)


async def test_an_idle_shard_without_stores_is_ready_and_takes_a_store_later(redis: Redis, redis_url: str) -> None:
    async with ready(settings_for(redis_url)) as one:
        assert one.replica.stores == {}
        writer = Writer(redis)
        config = await writer.open("A")
        assert await one.reach("A", await writer.put(config, named(0, 2))) == 2


async def test_a_store_loaded_while_it_is_written_to_ends_as_the_truth(redis: Redis, redis_url: str) -> None:
    writer = Writer(redis)
    config = await writer.open("A")
    rows = unit(6000, 4)
    for first in range(0, 5000, 1000):
        await writer.put(config, {f"g{at}": rows[at] for at in range(first, first + 1000)})
    async with running(settings_for(redis_url)) as one:
        version = 0
        for at in range(5000, 5200):
            await writer.put(config, {f"g{at}": rows[at], f"g{at - 5000}": rows[at]})
            version = await writer.delete(config, [f"g{at - 4500}", f"g{at - 1}"])
        assert await one.reach("A", version) == version
        wanted = {face: record.row async for batch in Ledger(redis).load("A") for face, record in batch}
        assert same(one.faces("A"), wanted)


async def test_a_trimmed_feed_makes_it_load_again_and_answer_from_the_old_rows_meanwhile(
    redis: Redis, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    writer = Writer(redis, feed_length=100)
    config = await writer.open("A")
    await writer.put(config, named(0, 10))
    async with ready(settings_for(redis_url)) as one:
        async with held_up(one):
            await writer.put(config, {"late": ROWS[20]})
            await writes_wait(one)
            for turn in range(10):
                version = await writer.put(config, {f"t{turn}-{at}": ROWS[at] for at in range(50)})
            await writer.delete(config, ["f0"])
        assert await one.reach("A", version + 1) == version + 1
        assert "trimmed" in caplog.text
        wanted = {face: record.row async for batch in Ledger(redis).load("A") for face, record in batch}
        assert same(one.faces("A"), wanted)
        assert await one.reach("A", await writer.put(config, {"after": ROWS[30]})) == version + 2


async def test_a_store_moved_away_is_dropped_and_its_new_shard_serves_it(redis: Redis, redis_url: str) -> None:
    writer, stores = Writer(redis), ClusterMap(redis)
    config = await writer.open("A")
    await writer.put(config, named(0, 3))
    settings = settings_for(redis_url)
    async with ready(settings) as one, ready(settings.model_copy(update={"shard": "s2"})) as two:
        assert "A" in one.replica.stores
        await stores.update(config, replace(config, shard="s2"))
        assert await two.reach("A", 3) == 3
        await eventually(lambda: "A" not in one.replica.stores)
        assert (await one.search(["A"], ROWS[:1])).searched == {}


async def test_a_store_on_its_way_is_served_by_both_shards_and_loaded_once(redis: Redis, redis_url: str) -> None:
    writer, stores = Writer(redis), ClusterMap(redis)
    config = await writer.open("A")
    await writer.put(config, named(0, 3))
    settings = settings_for(redis_url)
    async with ready(settings) as one, ready(settings.model_copy(update={"shard": "s2"})) as two:
        at_source = one.replica.index["A"].gallery
        loading = replace(config, moving_to="s2")
        await stores.update(config, loading)
        assert await two.reach("A", 3) == 3
        at_target = two.replica.index["A"].gallery
        leaving = replace(config, shard="s2", moving_from="s1")
        await stores.update(loading, leaving)
        version = await writer.put(config, {"late": ROWS[9]})
        assert [await replica.reach("A", version) for replica in (one, two)] == [version, version]
        assert (one.replica.index["A"].gallery, two.replica.index["A"].gallery) == (at_source, at_target)
        await stores.update(leaving, replace(config, shard="s2"))
        await eventually(lambda: "A" not in one.replica.stores)
        assert two.replica.index["A"].gallery is at_target


async def test_a_store_created_again_shows_only_its_new_faces(redis: Redis, redis_url: str) -> None:
    writer, stores = Writer(redis), ClusterMap(redis)
    config = await writer.open("A")
    await writer.put(config, named(0, 5))
    async with ready(settings_for(redis_url)) as one:
        async with held_up(one):  # so that it sees the end of the one and the start of the other at once
            await writer.put(config, {"late": ROWS[8]})
            await writes_wait(one)
            await stores.delete(config)
            again = await writer.open("A")
            await writer.put(again, {"other": ROWS[9]})
            await writer.put(again, named(20, 27))  # further than the old incarnation ever came
            seen = asyncio.create_task(_faces_at(one, 8))
        assert same(await seen, {"other": ROWS[9], **named(20, 27)})
        assert same(one.faces("A"), {"other": ROWS[9], **named(20, 27)})


async def test_a_deleted_store_is_dropped(redis: Redis, redis_url: str) -> None:
    writer = Writer(redis)
    config = await writer.open("A")
    await writer.put(config, named(0, 5))
    async with ready(settings_for(redis_url)) as one:
        await ClusterMap(redis).delete(config)
        await eventually(lambda: "A" not in one.replica.stores)


async def test_a_change_of_a_stores_settings_does_not_disturb_it(redis: Redis, redis_url: str) -> None:
    writer = Writer(redis)
    config = await writer.open("A")
    await writer.put(config, named(0, 5))
    async with ready(settings_for(redis_url)) as one:
        gallery = one.replica.index["A"].gallery
        await ClusterMap(redis).update(config, replace(config, timezone="Asia/Tokyo"))
        await writer.open("B")
        await eventually(lambda: "B" in one.replica.stores)  # so the map was read
        assert one.replica.index["A"].gallery is gallery


async def test_a_store_that_changes_its_group_takes_its_rows_along_and_is_followed_on(
    redis: Redis, redis_url: str
) -> None:
    writer = Writer(redis)
    config = await writer.open("A")
    await writer.put(config, named(0, 5))
    await writer.put(await writer.open("B"), named(5, 7))
    async with ready(settings_for(redis_url)) as one:
        gallery = one.replica.index["A"].gallery
        await ClusterMap(redis).update(config, replace(config, group="north"))
        await eventually(lambda: one.replica.index["A"].group == "north")
        assert [(group.name, group.rows.count) for group in one.replica.index.groups] == [("default", 2), ("north", 5)]
        assert one.replica.index["A"].gallery is gallery
        await one.reach("A", await writer.put(config, named(7, 9)))
        (hits,) = (await one.search(["A", "B"], ROWS[8:9])).candidates
        faces = {"A": named(0, 5) | named(7, 9), "B": named(5, 7)}
        assert hits == truth_of(faces, ROWS[8], 5)


@pytest.mark.parametrize("wrong", ["another space", "another dimension", "not of unit length", "not a number"])
async def test_a_record_that_cannot_be_searched_is_left_out_by_name(
    redis: Redis, redis_url: str, caplog: pytest.LogCaptureFixture, wrong: str
) -> None:
    row = {"another dimension": ROWS[0][:64], "not of unit length": ROWS[0] * 2, "not a number": ROWS[0] * np.nan}
    space = "another-space" if wrong == "another space" else "dlib-resnet-v1"
    writer = Writer(redis)
    config = await writer.open("A")
    await writer.put(config, {"loaded": row.get(wrong, ROWS[0])}, space)
    async with ready(settings_for(redis_url)) as one:
        await one.reach("A", await writer.put(config, named(1, 3)))
        version = await writer.put(config, {"f2": row.get(wrong, ROWS[0])}, space)  # once good, now bad
        assert await one.reach("A", version) == version
        assert same(one.faces("A"), named(1, 2))
    for face_id in ("loaded", "f2"):
        assert f"Store A: face {face_id} " in caplog.text
    assert str(ROWS[0][0])[:6] not in caplog.text


async def beaten_twice(redis: Redis) -> None:
    """Return once the replica was announced as ready, and again."""
    heard: set[float] = set()
    async with asyncio.timeout(PATIENCE_S):
        while len(heard) < 2:
            heard |= {beat.at for beat in await ClusterMap(redis).replicas() if beat.state is ReplicaState.READY}
            await asyncio.sleep(0.01)


async def test_an_unreadable_record_holds_up_its_own_store_only(
    redis: Redis, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    writer = Writer(redis)
    bad, good = await writer.open("A"), await writer.open("B")
    await writer.put(bad, named(0, 2))
    async with ready(settings_for(redis_url)) as one:
        await beaten_twice(redis)  # after the first beat it searches nothing before it has what was committed by then
        await writer.put(bad, {"x": ROWS[5]})
        await one.reach("A", 3)
        junk = Put("y", ormsgpack.packb({"row": b"", "unheard": 1}), b"")
        await Ledger(redis).commit("A", bad.incarnation, puts=[junk])
        await eventually(lambda: "Store A: a record cannot be read" in caplog.text)
        assert await one.reach("B", await writer.put(good, named(3, 6))) == 3
        assert (await one.search(["A"], ROWS[:1], 1)).candidates[0][0].face_id == "f0"
        await writer.put(bad, {"y": ROWS[7]})
        assert await one.reach("A", 5) == 5
        assert same(one.faces("A"), {**named(0, 2), "x": ROWS[5], "y": ROWS[7]})


async def test_a_store_of_another_space_is_served_by_its_dimension_and_rows_of_other_lengths_are_left_out(
    redis: Redis, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A shard knows no models: what the map says of a store's space is all it needs."""
    writer = Writer(redis)
    short = await writer.open("A", space="arcface", dimension=64)
    await writer.put(short, {"a": unit(1, dimension=64)[0], "b": ROWS[1]}, space="arcface")
    await writer.put(await writer.open("B"), named(0, 2))
    async with ready(settings_for(redis_url)) as one:
        assert one.replica.stores == {"A": StoreView(2, 1), "B": StoreView(2, 2)}
    assert "face b is no arcface row" in caplog.text


async def test_an_awaiting_caller_is_woken_by_the_entry_it_waits_for(redis: Redis, redis_url: str) -> None:
    writer = Writer(redis)
    config = await writer.open("A")
    async with ready(settings_for(redis_url)) as one:
        waiting = asyncio.create_task(one.reach("A", 3))
        assert await one.reach("A", await writer.put(config, named(0, 2))) == 2
        assert not waiting.done()
        await writer.put(config, named(2, 4))
        assert await waiting == 4
        assert not one.replica.waiters.waiting


async def test_an_await_answers_what_there_is_when_its_time_is_over(redis: Redis, redis_url: str) -> None:
    writer = Writer(redis)
    await writer.put(await writer.open("A"), named(0, 2))
    async with ready(settings_for(redis_url)) as one:
        assert await one.reach("A", 99, remaining_ms=20) == 2
        assert await one.reach("A", 99, remaining_ms=0) == 2
        assert await one.reach("nowhere", 1, remaining_ms=20) == 0
        assert not one.replica.waiters.waiting


async def test_the_heartbeat_tells_state_and_versions_and_ends_with_the_replica(redis: Redis, redis_url: str) -> None:
    writer, stores = Writer(redis), ClusterMap(redis)
    config = await writer.open("A")
    async with ready(settings_for(redis_url, heartbeat_s=0.1)) as one:
        await one.reach("A", await writer.put(config, named(0, 3)))
        async with asyncio.timeout(10):
            while True:
                beats = await stores.replicas()
                if beats and beats[0].stores == {"A": StoreView(3, 3)}:
                    break
                await asyncio.sleep(0.02)
        assert (beats[0].shard, beats[0].replica, beats[0].state) == ("s1", "a", "ready")
        assert beats[0].url == "http://127.0.0.1:8100"
        assert beats[0].boot == one.replica.boot
        assert beats[0].groups == (GroupView("default", "dlib-resnet-v1", rows=3, index="flat", coded=0),)
    assert await stores.replicas() == []


async def test_a_fault_inside_a_cycle_is_logged_and_survived(
    redis: Redis, redis_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(redis)
    config = await writer.open("A")
    async with ready(settings_for(redis_url)) as one:
        with monkeypatch.context() as broken:
            broken.setattr(one.replica.index, "apply", _break)
            await writer.put(config, named(0, 1))
            await eventually(lambda: "A cycle of the follower failed" in caplog.text)
        assert await one.reach("A", 1) == 1


def _break(*_: object) -> None:
    raise RuntimeError("a fault put in by the test")


async def _faces_at(one: Running, version: int) -> dict[str, Vectors]:
    await one.replica.waiters.wait("A", version, timeout_s=20)
    return one.faces("A")
