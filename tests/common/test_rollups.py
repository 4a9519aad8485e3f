"""Roll-ups in Redis: what was written is read back, persons are united, nothing is left behind."""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis.asyncio import Redis

from common import keys
from common.cluster_map import ClusterMap, StoreConfig
from common.rollups import HLL_ERROR, Came, Day, Head, Rollups, Sums

NOBODY = Came()
SUMS = Sums(pv=3, new=2, new_in_group=1, dwell_ms=600_000, minutes={0: 1, 5: 2}, person_ms=500_000, peak=2)
DAY = Day("2026-03-10", 1000, 2000, SUMS)


@pytest.fixture
async def store(redis: Redis) -> StoreConfig:
    return await ClusterMap(redis).create(StoreConfig("A", "s1"))


def crowd(first: int, last: int) -> list[str]:
    return [f"A/00000000/f{number}" for number in range(first, last)]


async def test_a_day_is_read_as_it_was_written_and_the_head_moves_with_it(redis: Redis, store: StoreConfig) -> None:
    rollups = Rollups(redis)
    head = await rollups.roll(store, Head(), DAY, NOBODY)
    assert head == Head(2000, "2026-03-10")
    noted = Day("2026-03-11", 2000, 3000)
    assert await rollups.note(store, head, noted, NOBODY)
    assert await rollups.days("A", ["2026-03-11", "2026-03-10", "2026-03-12"]) == (
        head,
        {"2026-03-10": DAY, "2026-03-11": noted},
    )


async def test_who_has_not_seen_the_latest_writes_nothing(redis: Redis, store: StoreConfig) -> None:
    rollups = Rollups(redis)
    assert await rollups.roll(store, Head(), DAY, NOBODY) is not None
    assert await rollups.roll(store, Head(), replace(DAY, sums=Sums()), Came(crowd(0, 9))) is None
    assert not await rollups.note(store, Head(), replace(DAY, date="2026-03-11"), Came(crowd(0, 9)))
    assert (await rollups.days("A", ["2026-03-10", "2026-03-11"]))[1] == {"2026-03-10": DAY}
    assert not await redis.exists(keys.distinct("A", "2026-03-10"), keys.distinct("A", "2026-03-11"))


async def test_persons_of_several_days_and_stores_count_once_within_the_error(redis: Redis, store: StoreConfig) -> None:
    rollups = Rollups(redis)
    head = Head()
    for nth, date in enumerate(("2026-03-10", "2026-03-11")):
        everybody = crowd(6000 * nth, 6000 * nth + 12_000)
        following = await rollups.roll(store, head, replace(DAY, date=date), Came(everybody, everybody[:500]))
        assert following is not None
        head = following
    both = await rollups.union("A", ["2026-03-10", "2026-03-11", "2026-03-12"], Came(crowd(17_000, 20_000)))
    other = await rollups.union("B", ["2026-03-10"], Came(crowd(19_000, 21_000)))
    united, alone, elsewhere = await rollups.count([both.persons, other.persons], [[0, 1], [0], [1]])
    (members,) = await rollups.count([both.members], [[0]])
    for found, exact in ((united, 21_000), (alone, 20_000), (elsewhere, 2_000), (members, 1_000)):
        assert abs(found - exact) <= 4 * HLL_ERROR * exact, (found, exact)
    assert await redis.keys("*union*") == []


async def test_nobody_at_all_is_nought(redis: Redis) -> None:
    rollups = Rollups(redis)
    nothing = await rollups.union("A", [], NOBODY)
    assert await rollups.count([nothing.persons, nothing.members], [[0], [0, 1]]) == [0, 0]
