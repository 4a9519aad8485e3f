"""The ledger against a real server: all or nothing, gapless versions, and nobody overwrites what they did not see."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import numpy as np
import ormsgpack
import pytest
from redis.asyncio import Redis

from common import keys
from common.cluster_map import ClusterMap, StoreConfig
from common.errors import Conflict, ErasureUnfinished, FaceChanged, TruthUnavailable, UnknownStore, VersionConflict
from common.feed import map_position, read_changes
from common.ledger import ABSENT, Delete, Ledger, Put
from common.records import FaceRecord, pack_vectors
from common.rekeys import Rekeys
from common.scan import START
from common.truth import connect
from common.types import DLIB_SPACE, Kind
from deploy.local.embedded_redis import free_port

ROW = np.eye(1, 128, dtype=np.float32)[0]


def put(face_id: str, replaces: bytes = b"*", created: float = 1.0) -> Put:
    record = FaceRecord(ROW, DLIB_SPACE, Kind.VISITOR, created, created, 1, {"door": "north"})
    return Put(face_id, record.pack(), pack_vectors(ROW), replaces)


@pytest.fixture
async def store(redis: Redis) -> StoreConfig:
    return await ClusterMap(redis).create(StoreConfig("A", shard="s1"))


async def test_every_changed_face_is_one_version_and_one_feed_entry(redis: Redis, store: StoreConfig) -> None:
    ledger = Ledger(redis)
    assert await ledger.version("A") == 0
    done = await ledger.commit("A", store.incarnation, puts=[put("x"), put("y")])
    assert done.version == 2
    done = await ledger.commit("A", store.incarnation, puts=[put("z")], deletes=[Delete("x"), Delete("never-there")])
    assert (done.version, done.deleted) == (4, 1)
    changes = await read_changes(redis, await map_position(redis), {"A": 0}, block_ms=10)
    assert changes.faces == {"A": ["x", "y", "z"]}  # x twice, named once
    assert changes.versions == {"A": 4}
    assert [record is None for record in await ledger.records("A", ["x", "y", "z"])] == [True, False, False]


async def test_commit_at_an_old_version_changes_nothing(redis: Redis, store: StoreConfig) -> None:
    ledger = Ledger(redis)
    await ledger.commit("A", store.incarnation, puts=[put("x")], expected_version=0)
    with pytest.raises(VersionConflict):
        await ledger.commit("A", store.incarnation, puts=[put("y")], expected_version=0)
    assert await ledger.face("A", "y") is None
    assert await ledger.version("A") == 1


@pytest.mark.parametrize("replaces", [ABSENT, b"*"])
async def test_a_face_comes_into_being_under_an_id_only_once_the_last_ones_job_was_done(
    redis: Redis, store: StoreConfig, replaces: bytes
) -> None:
    ledger, rekeys = Ledger(redis), Rekeys(redis)
    await ledger.commit("A", store.incarnation, puts=[put("x"), put("y")])
    await ledger.commit("A", store.incarnation, puts=[put("y")], deletes=[Delete("x")])
    many = [*(put(f"f{nth}", replaces) for nth in range(1500)), put("x", replaces), put("y")]
    with pytest.raises(ErasureUnfinished) as refused:
        await ledger.commit("A", store.incarnation, puts=many)
    assert refused.value.extra == {"face_ids": ["x"], "outcome": "unchanged"}
    assert (await ledger.version("A"), await ledger.counts(["A"])) == (4, {"A": 1})
    assert (await ledger.commit("A", store.incarnation, puts=[put("y"), put("z", replaces)])).version == 6
    (job,) = await rekeys.jobs_of("A", ["x"])
    assert await rekeys.change(job, replace(job, swept=True)) is not None
    assert (await ledger.commit("A", store.incarnation, puts=many)).version == 6 + len(many)


async def test_of_two_commits_at_the_same_version_one_wins(redis: Redis, store: StoreConfig) -> None:
    ledger = Ledger(redis)
    attempts = [ledger.commit("A", store.incarnation, puts=[put(f"f{n}")], expected_version=0) for n in range(8)]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(result, VersionConflict) for result in results) == 7
    assert await ledger.counts(["A"]) == {"A": 1}


async def test_a_put_that_replaces_what_was_read_fails_if_it_changed(redis: Redis, store: StoreConfig) -> None:
    ledger = Ledger(redis)
    await ledger.commit("A", store.incarnation, puts=[put("x", replaces=ABSENT)])
    read = await ledger.face("A", "x")
    assert read is not None
    await ledger.commit("A", store.incarnation, puts=[put("x", created=2.0)])
    with pytest.raises(FaceChanged):
        await ledger.commit("A", store.incarnation, puts=[put("other"), put("x", replaces=read.raw, created=3.0)])
    with pytest.raises(FaceChanged):
        await ledger.commit("A", store.incarnation, puts=[put("x", replaces=ABSENT)])
    assert await ledger.face("A", "other") is None  # all or nothing


async def test_a_template_that_is_the_row_is_kept_once_and_read_all_the_same(redis: Redis, store: StoreConfig) -> None:
    ledger, two = Ledger(redis), np.eye(2, 128, dtype=np.float32)
    several = FaceRecord(ROW, DLIB_SPACE, Kind.VISITOR, 1.0, 1.0, 2).pack()
    await ledger.commit("A", store.incarnation, puts=[put("x"), Put("y", several, pack_vectors(two))])
    assert await redis.hkeys(keys.templates("A")) == [b"y"]
    x, nobody, y = await ledger.stored("A", ["x", "nobody", "y"])
    assert x is not None
    assert y is not None
    assert nobody is None
    assert (x.templates, y.templates) == (pack_vectors(ROW), pack_vectors(two))
    face = await ledger.face("A", "x")
    assert face is not None
    assert face.templates == x.templates
    await ledger.commit("A", store.incarnation, puts=[put("y", replaces=y.raw)])
    assert await redis.exists(keys.templates("A")) == 0
    await redis.hset(keys.templates("A"), "x", pack_vectors(two[1]))  # kept apart, as it was before
    assert [face and face.templates for face in await ledger.stored("A", ["x", "y"])] == [
        pack_vectors(two[1]),
        pack_vectors(ROW),
    ]


async def test_an_erased_face_leaves_no_biometric_data_behind(redis: Redis, store: StoreConfig) -> None:
    ledger = Ledger(redis)
    await ledger.commit("A", store.incarnation, puts=[Put("x", put("x").record, b"t" * 512, thumbnail=b"jpeg")])
    await ledger.commit("A", store.incarnation, deletes=[Delete("x")])
    for key in (keys.faces("A"), keys.templates("A"), keys.thumbnails("A")):
        assert await redis.hlen(key) == 0


async def test_a_deleted_store_accepts_no_commit_even_when_created_again(redis: Redis, store: StoreConfig) -> None:
    ledger, stores = Ledger(redis), ClusterMap(redis)
    await stores.delete(store)
    with pytest.raises(UnknownStore):
        await ledger.commit("A", store.incarnation, puts=[put("x")])
    again = await stores.create(StoreConfig("A", shard="s1"))
    with pytest.raises(UnknownStore):
        await ledger.commit("A", store.incarnation, puts=[put("x")])
    assert (await ledger.commit("A", again.incarnation, puts=[put("x")])).version == 1


async def test_load_and_pages_give_every_face_once_it_is_there(redis: Redis, store: StoreConfig) -> None:
    ledger = Ledger(redis)
    await ledger.commit("A", store.incarnation, puts=[put(f"f{n}") for n in range(2500)])
    loaded = [face_id async for batch in ledger.load("A") for face_id, _ in batch]
    assert sorted(loaded) == sorted(f"f{n}" for n in range(2500))
    cursor, first = await ledger.page("A", START, 100)
    assert cursor is not None
    assert 100 <= len(first) < 500


async def test_a_trimmed_feed_is_reported_as_a_gap(redis: Redis, store: StoreConfig) -> None:
    ledger = Ledger(redis, feed_length=100)
    for at in range(5):
        await ledger.commit("A", store.incarnation, puts=[put(f"f{at}-{n}") for n in range(100)])
    position = await map_position(redis)
    assert (await read_changes(redis, position, {"A": 0}, block_ms=10)).gaps == {"A"}
    assert (await read_changes(redis, position, {"A": 499}, block_ms=10)).faces == {"A": ["f4-99"]}


async def test_an_absent_server_is_an_error_of_its_own_and_quick(redis: Redis) -> None:  # noqa: ARG001
    away = connect(f"redis://127.0.0.1:{free_port()}/0", timeout_s=1)
    with pytest.raises(TruthUnavailable) as caught:
        await Ledger(away).version("A")
    assert caught.value.extra["outcome"] == "unchanged"
    await away.aclose()


def test_a_record_with_fields_of_a_later_version_is_read() -> None:
    read = ormsgpack.unpackb(FaceRecord(ROW, DLIB_SPACE, Kind.VISITOR, 1.0, 1.0, 1).pack())
    assert FaceRecord.unpack(ormsgpack.packb(read | {"invented_later": 1})).space == DLIB_SPACE


async def test_a_store_with_settings_of_a_later_version_is_read_and_not_overwritten(
    redis: Redis, store: StoreConfig
) -> None:
    later = json.loads(store.to_json()) | {"invented_later": 1}
    await redis.hset(keys.MAP_STORES, "A", json.dumps(later))
    read = (await ClusterMap(redis).stores())["A"]
    assert read == store
    with pytest.raises(Conflict):
        await ClusterMap(redis).update(read, replace(read, group="other"))


def test_a_record_survives_packing() -> None:
    record = FaceRecord(ROW, DLIB_SPACE, Kind.STAFF, 1.5, 2.5, 3, {"a": "b"}, member_id="m1", thumbnail=True)
    again = FaceRecord.unpack(record.pack())
    assert np.array_equal(again.row, record.row)
    assert (again.kind, again.labels, again.member_id, again.templates) == (Kind.STAFF, {"a": "b"}, "m1", 3)
