"""Days whose visits are dropped: the report stays the same, exactly where it claims so, else within the error."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from redis.asyncio import Redis

from common import keys
from common.cluster_map import ClusterMap
from common.errors import InvalidRequest, TruthUnavailable
from common.intervals import DAY_MS
from common.pending import Waiting
from common.rollups import HLL_ERROR, Came, Head
from common.visits import Seen, utc_date
from gateway.footfall.calendar import Bucket, midnight
from gateway.footfall.figures import Figures
from gateway.footfall.report import Report
from gateway.footfall.rollup import DAYS_A_TURN, days_after
from tests.gateway.footfall_world import KEPT_DAYS, MINUTE, ROW, VIENNA, World, ms

FIRST, LAST, DAYS = "2026-03-10", "2026-05-09", 60
"""with the change to summer time"""
NOW = ms("2026-05-09T12:00:00")
TOLERANCE = 5 * HLL_ERROR
NOBODY = Came()


@pytest.fixture
async def world(redis: Redis) -> AsyncIterator[World]:
    async with World(redis) as found:
        yield found


async def day_figures(world: World, first: str, last: str, **where: str) -> list[Figures]:
    return (await world.report(first, last, Bucket.DAY, **where)).stores[0].buckets


def sums(figures: Figures) -> tuple[object, ...]:
    """What is exact in any case."""
    dwell = None if figures.dwell_average_s is None else round(figures.dwell_average_s, 6)
    return figures.span, figures.pv, figures.new, dwell, round(figures.occupancy_average, 9)


def same_within_the_error(before: Report, after: Report, stores: int = 2) -> None:
    rows = [*zip(before.stores, after.stores, strict=True)]
    assert len(rows) == stores
    for was, now in rows:
        for one, other in zip([was.total, *was.buckets], [now.total, *now.buckets], strict=True):
            assert sums(one) == sums(other)
            assert one.occupancy_peak == other.occupancy_peak
            _estimated(one, other)
    assert before.chain is not None
    assert after.chain is not None
    for one, other in zip(
        [before.chain.total, *before.chain.buckets], [after.chain.total, *after.chain.buckets], strict=True
    ):
        assert sums(one) == sums(other)
        assert other.occupancy_peak == (one.occupancy_peak if other.exact else None)
        _estimated(one, other)


def _estimated(exact: Figures, found: Figures) -> None:
    if found.exact:
        assert found == exact
        return
    assert abs(found.uv - exact.uv) <= max(1, TOLERANCE * exact.uv)
    assert abs(found.members - exact.members) <= max(1, TOLERANCE * exact.members)
    assert (found.dwell_median_s is None) == (exact.dwell_median_s is None)
    if exact.dwell_median_s is not None and found.dwell_median_s is not None:
        assert 0 <= exact.dwell_median_s - found.dwell_median_s < 60


@pytest.mark.parametrize("bucket", [Bucket.DAY, Bucket.WEEK, Bucket.MONTH])
async def test_the_report_of_rolled_up_days_is_that_of_their_visits(world: World, bucket: Bucket) -> None:
    await world.months_of_trade(FIRST, DAYS, seed=7)
    before = await world.report(FIRST, LAST, bucket, group="default")
    assert await world.roll_until_done(NOW) > DAYS
    after = await world.report(FIRST, LAST, bucket, group="default")
    assert before.exact
    assert not after.exact
    same_within_the_error(before, after)
    assert before.overlap is not None
    assert after.overlap is not None
    (was,), (now,) = before.overlap, after.overlap
    assert now.error is not None
    assert abs(was.visitors - now.visitors) <= max(1, 5 * now.error)


async def test_visits_are_dropped_as_far_as_nothing_needs_them_and_recent_days_stay_exact(world: World) -> None:
    await world.months_of_trade(FIRST, DAYS, seed=8)
    recent = str(date.fromisoformat(LAST) - timedelta(days=KEPT_DAYS))
    before = await world.report(recent, LAST, Bucket.HOUR, group="default")
    await world.roll_until_done(NOW)
    assert await world.report(recent, LAST, Bucket.HOUR, group="default") == before
    oldest = utc_date(NOW - (KEPT_DAYS + 4) * DAY_MS)
    for store in world.stores:
        assert min(await world.visits.dates(store)) > oldest
        assert not await world.redis.exists(keys.visits(store, oldest))


async def test_further_turns_and_a_second_leader_change_nothing(world: World) -> None:
    await world.months_of_trade(FIRST, DAYS, seed=9, people=20)
    await world.roll_until_done(NOW)
    before = await world.report(FIRST, LAST, Bucket.DAY, group="default")
    assert await world.roll_up.turn(NOW) == 0
    store = world.stores["A"]
    _, days = await world.rollups.days("A", ["2026-03-20"])
    # One that read its visits when the first day was not rolled up yet, and is late.
    assert await world.rollups.roll(store, Head(), days["2026-03-20"], came=NOBODY) is None
    assert await world.report(FIRST, LAST, Bucket.DAY, group="default") == before


async def test_killed_between_the_figures_and_the_dropping_the_next_turn_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.months_of_trade(FIRST, DAYS, seed=10)
    before = await world.report(FIRST, LAST, Bucket.DAY, group="default")
    drop, dice = world.visits.drop_date, random.Random(10)

    async def dies(store: str, day: str) -> None:
        if dice.random() < 0.3:
            raise TruthUnavailable("killed here")
        await drop(store, day)

    monkeypatch.setattr(world.visits, "drop_date", dies)
    deaths = 0
    while True:
        try:
            if not await world.roll_up.turn(NOW):
                break
        except TruthUnavailable:
            deaths += 1
    assert deaths
    same_within_the_error(before, await world.report(FIRST, LAST, Bucket.DAY, group="default"))


async def test_a_turn_is_bounded(world: World) -> None:
    await world.months_of_trade(FIRST, DAYS, seed=11, people=10)
    assert await world.roll_up.turn(NOW) == DAYS_A_TURN


async def test_a_visitor_erased_between_two_roll_ups_is_not_counted_twice(world: World) -> None:
    """Who came all the month is erased when some of its days are rolled up and others are not."""
    await world.create("A")
    for number in range(200):
        await world.enrol("A", f"f{number}")
        await world.see("A", "A", f"f{number}", [ms("2026-03-10T10:00:00") + step * DAY_MS for step in (0, 6, 12)])
    await world.roll_until_done(ms("2026-03-24T12:00:00"))  # the first day is rolled up, the others are noted
    for number in range(200):
        await world.erase("A", f"f{number}")
    for now in ("2026-03-24T13:00:00", "2026-05-01T00:00:00"):
        await world.roll_until_done(ms(now))
        (row,) = (await world.report("2026-03-10", "2026-03-30", store="A")).stores
        assert row.total.pv == 600
        assert abs(row.total.uv - 200) <= 200 * TOLERANCE, now


async def test_a_visitor_who_becomes_a_member_between_two_roll_ups_is_not_counted_twice(world: World) -> None:
    await world.create("A")
    for number in range(200):
        await world.enrol("A", f"f{number}")
        await world.see("A", "A", f"f{number}", [ms("2026-03-10T10:00:00") + step * DAY_MS for step in (0, 6, 12)])
    await world.roll_until_done(ms("2026-03-24T12:00:00"))  # the first day is rolled up, the others are noted
    for number in range(200):
        await world.enrol("A", f"a{number}", seen_ms=1)  # photographed for the card, and first by name
        await world.enrol_member(f"c-{number}", ("A", f"f{number}"), ("A", f"a{number}"))
    for now in ("2026-03-24T13:00:00", "2026-05-01T00:00:00"):
        await world.roll_until_done(ms(now))
        (row,) = (await world.report("2026-03-10", "2026-03-30", store="A")).stores
        assert row.total.pv == 600
        assert abs(row.total.uv - 200) <= 200 * TOLERANCE, now
        assert abs(row.total.members - 200) <= 200 * TOLERANCE, now


async def test_a_sighting_that_came_late_is_in_the_final_figures(world: World) -> None:
    await world.create("A")
    await world.enrol("A", "ada")
    await world.enrol("A", "bob")
    await world.see("A", "A", "ada", [ms("2026-03-10T10:00:00")])
    await world.roll_until_done(ms("2026-03-12T12:00:00"))  # noted
    await world.see("A", "A", "bob", [ms("2026-03-10T11:00:00")])
    await world.roll_until_done(ms("2026-04-01T12:00:00"))
    (day,) = await day_figures(world, "2026-03-10", "2026-03-11", store="A")
    assert (day.pv, day.uv, day.exact) == (2, 2, False)


async def test_nothing_is_rolled_up_while_a_sighting_of_that_time_waits(world: World) -> None:
    store = await world.create("A")
    await world.enrol("A", "ada")
    await world.see("A", "A", "ada", [ms("2026-03-10T10:00:00")])
    await world.pending.add(store, Waiting(ROW[0], ms("2026-03-11T10:00:00")))
    await world.roll_until_done(NOW)
    assert (await world.rollups.days("A", []))[0] == Head()
    (waiting,) = await world.pending.entries("A")
    await world.visits.record(Seen(store, store, "ada", waiting.at_ms, pending_id=waiting.id))
    await world.roll_until_done(NOW)
    assert [day.pv for day in await day_figures(world, "2026-03-10", "2026-03-12", store="A")] == [1, 1]
    assert await world.visits.dates("A") == set()


async def test_a_visit_over_midnight_belongs_to_the_day_it_starts_on_whichever_of_them_is_rolled_up(
    world: World,
) -> None:
    await world.create("A")
    await world.enrol("A", "ada")
    late = ms("2026-03-10T23:50:00")
    await world.see("A", "A", "ada", [late + step * 20 * MINUTE for step in range(6)])
    before = await day_figures(world, "2026-03-10", "2026-03-13", store="A")
    final = ms("2026-03-11") + (KEPT_DAYS + 1) * DAY_MS
    for now in (final, final + DAY_MS):
        assert await world.roll_until_done(now)
        after = await day_figures(world, "2026-03-10", "2026-03-13", store="A")
        assert [sums(day) for day in after] == [sums(day) for day in before]
    assert [day.pv for day in after] == [1, 0, 0]
    assert [day.occupancy_peak for day in after] == [1, 1, 0]


async def test_of_rolled_up_days_no_hours_and_no_parts_are_told(world: World) -> None:
    await world.months_of_trade(FIRST, DAYS, seed=12, people=10)
    await world.roll_until_done(NOW)
    head, _ = await world.rollups.days("A", [])
    with pytest.raises(InvalidRequest) as hours:
        await world.report(FIRST, LAST, Bucket.HOUR, store="A")
    assert hours.value.field == "bucket"
    assert ms(str(hours.value.limit)[:10]) == head.until_ms
    for field, first, last in (("from", f"{FIRST}T06:00:00Z", LAST), ("to", FIRST, "2026-03-12T05:00:00Z")):
        with pytest.raises(InvalidRequest) as part:
            await world.report(first, last, Bucket.DAY, store="A")
        assert (part.value.field, part.value.limit) == (field, hours.value.limit)


async def test_deleting_a_store_leaves_nothing_of_its_roll_ups(world: World) -> None:
    await world.months_of_trade(FIRST, DAYS, seed=13, people=10)
    await world.roll_until_done(NOW)
    await ClusterMap(world.redis).delete(world.stores["A"])
    assert await world.redis.keys("*{A}*") == []


async def test_a_store_of_the_same_name_created_anew_gets_no_figures_of_the_old_one(world: World) -> None:
    await world.months_of_trade(FIRST, DAYS, seed=14, people=10)
    old = world.stores["A"]
    await world.roll_until_done(NOW)
    _, days = await world.rollups.days("A", ["2026-03-20"])
    await world.map.delete(old)
    new = await world.create("A")
    assert not await world.rollups.note(old, Head(), days["2026-03-20"], NOBODY)
    assert await world.rollups.note(new, Head(), days["2026-03-20"], NOBODY)


def test_days_follow_one_another_also_where_the_time_zone_of_the_store_is_changed() -> None:
    vienna, new_york = ZoneInfo(VIENNA), ZoneInfo("America/New_York")
    for first, then in ((vienna, new_york), (new_york, vienna)):
        days = list(days_after(Head(), "2026-03-01", first, midnight(date(2026, 3, 20), first)))
        assert all(one.end_ms == other.start_ms for one, other in pairwise(days))
        last = days[-1]
        more = list(days_after(Head(last.end_ms, last.date), "2026-03-01", then, midnight(date(2026, 3, 25), then)))
        assert more[0].start_ms == last.end_ms
        assert len({day.date for day in days + more}) == len(days + more)
        assert more[-1].end_ms == midnight(date(2026, 3, 25), then)


async def test_a_report_in_another_time_zone_still_has_every_visit_once(world: World) -> None:
    await world.months_of_trade(FIRST, DAYS, seed=15, people=20)
    before = await world.report("2026-03-01", "2026-06-01", group="default")
    made = sum(row.total.pv for row in before.stores)
    await world.map.update(world.stores["B"], replace(world.stores["B"], timezone="Asia/Kathmandu"))
    await world.view.refresh()
    await world.roll_until_done(NOW)
    for zone in ("America/New_York", VIENNA):
        report = await world.report("2026-03-01", "2026-06-01", Bucket.DAY, group="default", timezone=zone)
        assert report.chain is not None
        assert report.chain.total.pv == made
        assert sum(day.pv for day in report.chain.buckets) == made
