"""A store changes its space while a replica follows or loads it: never a part of the one and a part of the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from redis.asyncio import Redis

from common import keys
from common.cluster_map import ClusterMap
from common.ledger import Ledger, Put
from common.records import FaceRecord
from common.types import Kind
from tests.shard.helpers import Writer, eventually, ready, running, settings_for, unit

ROWS = unit(4)
OTHER = "another-space"


async def test_a_face_of_the_next_space_drops_no_row_before_the_map_says_so(redis: Redis, redis_url: str) -> None:
    """It is followed although the map still says the old space: the face was changed a moment before the flip."""
    writer = Writer(redis)
    config = await writer.open("A")
    await writer.put(config, {"f0": ROWS[0], "f1": ROWS[1]})
    async with ready(settings_for(redis_url)) as one:
        await one.reach("A", 2)
        after = replace(config, space=OTHER, incarnation=config.incarnation[:8] + "0" * 24)
        await redis.set(keys.incarnation("A"), after.incarnation)
        await writer.put(after, {"f0": ROWS[2]}, OTHER)
        await writer.put(after, {"f1": ROWS[3]}, OTHER)
        await eventually(lambda: one.replica.follower._stale)
        found = await one.search(["A"], ROWS[:2], 1)
        assert [hits[0].face_id for hits in found.candidates] == ["f0", "f1"]
        assert one.replica.stores["A"].version == 2

        await ClusterMap(redis).update(config, after)
        await eventually(lambda: "A" in one.replica.index and one.replica.index["A"].space == OTHER)
        assert (one.faces("A")["f0"] == ROWS[2]).all()
        assert one.replica.stores["A"].version == 4


async def test_a_store_is_not_loaded_from_faces_of_the_next_space(redis: Redis, redis_url: str) -> None:
    writer = Writer(redis)
    config = await writer.open("A")
    await writer.put(await writer.open("B"), {"f9": ROWS[3]})
    after = replace(config, space=OTHER, incarnation=config.incarnation[:8] + "0" * 24)
    await redis.set(keys.incarnation("A"), after.incarnation)
    await writer.put(after, {"f0": ROWS[0]}, OTHER)
    async with running(settings_for(redis_url)) as one:
        await eventually(lambda: "B" in one.replica.index and not one.replica.follower._loader.busy)
        assert ("A" in one.replica.index, one.replica.follower.missing) == (False, ["A"])
        await ClusterMap(redis).update(config, after)
        await eventually(lambda: "A" in one.replica.index)
        assert (one.faces("A")["f0"] == ROWS[0]).all()


async def test_a_face_that_was_left_behind_has_no_row_and_is_no_fault(
    redis: Redis, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    writer = Writer(redis)
    config = await writer.open("A")
    await writer.put(config, {"f0": ROWS[0]})
    nobody = FaceRecord(np.zeros(128, dtype=np.float32), config.space, Kind.VISITOR, 1.0, 1.0, templates=0)
    async with ready(settings_for(redis_url)) as one:
        put = Put("f1", nobody.pack(), b"")
        done = await Ledger(redis).commit("A", config.incarnation, puts=[put])
        await one.reach("A", done.version)
        assert list(one.faces("A")) == ["f0"]
    assert "f1" not in caplog.text
    assert await redis.smembers(keys.left_behind("A")) == {b"f1"}
