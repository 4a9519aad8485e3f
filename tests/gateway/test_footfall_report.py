"""Reports from visits that are kept, written and read through a real Redis."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from redis.asyncio import Redis

from common.errors import InvalidRequest, UnknownStore
from common.intervals import DAY_MS
from common.pending import Waiting
from common.types import Kind
from gateway.footfall import report as report_module
from gateway.footfall.calendar import Bucket
from gateway.footfall.figures import Figures
from gateway.footfall.report import Report, Row, Shared
from tests.gateway.footfall_world import MINUTE, ROW, VIENNA, World, ms
from tests.gateway.plain_footfall import LABELS, bounds, plain
from tests.gateway.test_footfall_reckon import as_plain, close

NINE = ms("2026-11-20T09:00:00")
DAY = ("2026-11-20", "2026-11-21")


@pytest.fixture
async def world(redis: Redis) -> AsyncIterator[World]:
    async with World(redis) as found:
        for store in ("A", "B"):
            await found.create(store)
        for home, face_id in (("A", "ada"), ("A", "bob"), ("B", "eve")):
            await found.enrol(home, face_id)
        yield found


def counts(row: Row | None) -> tuple[int, int, int, int]:
    assert row is not None
    return _counts(row.total)


def _counts(figures: Figures) -> tuple[int, int, int, int]:
    """pv, uv, new, members"""
    return figures.pv, figures.uv, figures.new, figures.members


async def of_store(world: World, store: str = "A", first: str = DAY[0], last: str = DAY[1]) -> Figures:
    return (await world.report(first, last, store=store)).stores[0].total


async def of_chain(world: World) -> Report:
    return await world.report(*DAY, group="default")


async def test_a_person_seen_at_two_stores_counts_once_in_the_chain(world: World) -> None:
    await world.see("A", "A", "ada", [NINE, NINE + 90 * MINUTE])
    await world.see("B", "A", "ada", [NINE + 40 * MINUTE])
    await world.see("B", "B", "eve", [NINE])
    report = await of_chain(world)
    assert [counts(row) for row in report.stores] == [(2, 1, 1, 0), (2, 2, 2, 0)]
    assert counts(report.chain) == (4, 2, 2, 0)
    assert report.overlap == [Shared("A", "B", 1, None)]


async def test_new_to_a_store_is_not_new_to_the_group(world: World) -> None:
    await world.see("A", "A", "ada", [NINE - DAY_MS])
    await world.see("B", "A", "ada", [NINE])
    assert _counts(await of_store(world, "B")) == (1, 1, 1, 0)
    report = await of_chain(world)
    assert counts(report.chain) == (1, 1, 0, 0)
    assert report.chain is not None
    assert report.chain.total.returning == 1


async def test_two_faces_of_a_member_are_one_person_whose_visits_are_joined(world: World) -> None:
    await world.enrol_member("c-1", ("A", "one"), ("B", "two"))
    await world.see("A", "A", "one", [NINE, NINE + 40 * MINUTE])
    await world.see("A", "B", "two", [NINE + 20 * MINUTE, NINE + 50 * MINUTE])
    found = await of_store(world)
    assert _counts(found) == (1, 1, 1, 1)
    assert found.dwell_average_s == 50 * 60


async def test_a_member_who_came_before_with_another_face_is_not_new(world: World) -> None:
    await world.enrol_member("c-1", ("A", "one"), ("B", "two"), ("B", "three"))
    await world.see("A", "A", "one", [NINE - 20 * DAY_MS])
    await world.see("B", "B", "three", [NINE - 10 * DAY_MS])
    await world.see("A", "B", "two", [NINE])
    assert _counts(await of_store(world)) == (1, 1, 0, 1)
    assert counts((await of_chain(world)).chain) == (1, 1, 0, 1)


async def test_a_face_that_is_another_members_by_now_says_nothing_about_this_one(world: World) -> None:
    await world.enrol_member("c-1", ("A", "one"), ("B", "two"))
    await world.see("B", "B", "two", [NINE - DAY_MS])
    await world.see("A", "A", "one", [NINE])
    await world.enrol("B", "two", "m:c-2", Kind.MEMBER)  # the set of c-1 still names it
    assert counts((await of_chain(world)).chain) == (1, 1, 1, 1)


@pytest.mark.parametrize("standing", ["s", "s:c-1"])
async def test_staff_do_not_count_also_not_in_days_before_they_were_made_staff(world: World, standing: str) -> None:
    await world.enrol_member("c-1", ("A", "ada"))
    await world.see("A", "A", "ada", [NINE])
    await world.see("A", "A", "bob", [NINE])
    assert (await of_store(world)).pv == 2
    await world.enrol("A", "bob", standing, Kind.STAFF)
    assert _counts(await of_store(world)) == (1, 1, 1, 1)
    await world.erase("A", "bob")
    assert _counts(await of_store(world)) == (1, 1, 1, 1)


async def test_whose_face_was_erased_stays_counted_once_everywhere(world: World) -> None:
    await world.enrol_member("c-1", ("A", "one"))
    for face_id in ("ada", "one"):
        for store in ("A", "B"):
            await world.see(store, "A", face_id, [NINE, NINE + 60 * MINUTE])
    before = await of_chain(world)
    await world.erase("A", "ada")
    await world.erase("A", "one")
    after = await of_chain(world)
    assert counts(after.chain) == counts(before.chain) == (8, 2, 2, 1)
    assert after.overlap == before.overlap


async def test_erased_and_new_in_the_group_are_told_apart(world: World) -> None:
    await world.see("A", "A", "ada", [NINE - DAY_MS])
    await world.see("B", "A", "ada", [NINE])
    await world.erase("A", "ada")
    assert counts((await of_chain(world)).chain) == (1, 1, 0, 0)


async def test_a_face_of_a_store_created_anew_is_not_the_one_it_was(world: World) -> None:
    await world.see("A", "B", "eve", [NINE])
    await world.map.delete(world.stores["B"])
    await world.create("B")
    await world.enrol("B", "eve", "s", Kind.STAFF)
    assert _counts(await of_store(world)) == (1, 1, 1, 0)


@pytest.mark.parametrize("zone", [VIENNA, "UTC", "America/New_York"])
async def test_a_visit_over_the_ends_of_the_range_is_whole_and_belongs_to_where_it_starts(
    world: World, zone: str
) -> None:
    midnight = ms("2026-11-21", zone)
    await world.see("A", "A", "ada", [midnight + step * 25 * MINUTE for step in range(-2, 60)])  # past midnight UTC too
    days = ("2026-11-20", "2026-11-21", "2026-11-22")
    before, after = [
        (await world.report(*span, store="A", timezone=zone)).stores[0].total for span in itertools.pairwise(days)
    ]
    assert (before.pv, before.dwell_average_s) == (1, 61 * 25 * 60)
    assert (before.occupancy_peak, round(before.occupancy_average * 24 * 60)) == (1, 50)
    assert (after.pv, after.uv, after.dwell_average_s, after.occupancy_peak) == (0, 0, None, 1)
    assert round(after.occupancy_average, 6) == 1


@pytest.mark.parametrize("zone", [VIENNA, "Australia/Lord_Howe", "America/New_York", "Asia/Kathmandu"])
@pytest.mark.parametrize("bucket", [Bucket.HOUR, Bucket.WEEK])
async def test_the_report_is_the_plain_reckoning_of_the_sightings(world: World, zone: str, bucket: Bucket) -> None:
    dice = random.Random(f"{zone} {bucket}")
    start, end = ms("2026-10-01", zone), ms("2026-11-03", zone)
    for store in ("A", "B"):
        for home, face_id in (("A", "ada"), ("A", "bob"), ("B", "eve")):
            times = [dice.randrange(start - 2 * DAY_MS, end + DAY_MS) for _ in range(8)]
            times += [at + dice.randrange(40 * MINUTE) for at in times for _ in range(2)]
            dice.shuffle(times)
            await world.see(store, home, face_id, times)
    report = await world.report("2026-10-01", "2026-11-03", bucket, group="default", timezone=zone)
    for row in report.stores:
        times_of = world.sightings[row.store or ""]
        wanted = [plain(times_of, 30 * MINUTE, span) for span in bounds(start, end, ZoneInfo(zone), LABELS[bucket])]
        for mine, theirs in zip(map(as_plain, row.buckets), wanted, strict=True):
            assert close(mine, theirs), (mine, theirs)
        assert close(as_plain(row.total), plain(times_of, 30 * MINUTE, (start, end)))


async def test_stores_in_several_time_zones_need_one_to_be_named(world: World) -> None:
    await world.map.update(world.stores["B"], replace(world.stores["B"], timezone="America/New_York"))
    await world.view.refresh()
    with pytest.raises(InvalidRequest) as refused:
        await of_chain(world)
    assert (refused.value.field, refused.value.limit) == ("timezone", ["America/New_York", VIENNA])
    await world.see("B", "B", "eve", [ms("2026-11-20T23:00:00", "America/New_York")])
    named = await world.report(*DAY, group="default", timezone="America/New_York")
    assert counts(named.chain) == (1, 1, 1, 0)


async def test_sightings_that_wait_and_faces_that_were_rejected_are_told_with_the_figures(world: World) -> None:
    await world.see("A", "A", "ada", [NINE, NINE + 45 * MINUTE])
    for at in (NINE - DAY_MS, NINE + MINUTE, NINE + 20 * MINUTE):
        await world.pending.add(world.stores["A"], Waiting(ROW[0], at))
    for at, mark in ((NINE, "1"), (NINE + MINUTE, "2"), (NINE + 3 * 60 * MINUTE, "3"), (NINE + DAY_MS, "4")):
        await world.visits.rejected(world.stores["A"], at, ["BLURRED"], mark)
    (row,) = (await world.report(*DAY, store="A")).stores
    assert row.rejected == {"BLURRED": 3}
    assert (row.provisional.pending, row.provisional.pv, row.provisional.uv) == (2, (0, 4), (1, 3))
    chain = (await of_chain(world)).chain
    assert chain is not None
    assert (chain.provisional, chain.rejected) == (row.provisional, row.rejected)


async def test_a_window_of_its_own_holds_for_each_store(world: World) -> None:
    await world.map.update(world.stores["B"], replace(world.stores["B"], reentry_window_s=300))
    await world.view.refresh()
    world.stores = world.view.stores
    for store in ("A", "B"):
        await world.see(store, "A", "ada", [NINE, NINE + 10 * MINUTE])
    assert [counts(row)[0] for row in (await of_chain(world)).stores] == [1, 2]


async def test_one_store_or_one_group_has_to_be_named(world: World) -> None:
    with pytest.raises(InvalidRequest, match="either"):
        await world.report(*DAY)
    with pytest.raises(InvalidRequest, match="either"):
        await world.report(*DAY, store="A", group="default")


async def test_a_group_without_stores_is_not_found(world: World) -> None:
    with pytest.raises(UnknownStore) as refused:
        await world.report(*DAY, group="mars")
    assert refused.value.field == "group"


async def test_more_rows_than_anybody_reads_are_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_module, "MAX_ROWS", 47)
    with pytest.raises(InvalidRequest) as refused:
        await world.report(*DAY, Bucket.HOUR, group="default")
    assert (refused.value.field, refused.value.limit) == ("bucket", 47)


async def test_where_nobody_ever_came_the_figures_are_nought(world: World) -> None:
    report = await of_chain(world)
    assert counts(report.chain) == (0, 0, 0, 0)
    assert (report.exact, report.overlap) == (True, [])
