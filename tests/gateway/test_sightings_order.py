"""Any order, repetition and split over two gateways of the same sightings gives the same report as one ordered run, and
as the plain reckoning of `tests.footfall.truth`.

People are well separated, so that only the counting can go wrong. Times lie where it could: at the edge of the
re-entry window to the millisecond, and around local midnight, midnight UTC and the changes of the clocks. What is left
out is two stores that see a person for the first time in the same moment: those make two faces by design.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from common.settings import GatewaySettings
from tests.footfall.camera import Account, query_of, see, until_searched
from tests.footfall.report import Report, expected, query, read
from tests.footfall.traffic import Sighting, in_time, separate_people
from tests.gateway.in_process import Cluster, cluster, gateway_app

ZONES = ["Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]
PEOPLE = separate_people(count=5, photos=3, seed=1)
STORES = "ABC"
DAYS = 4
MINUTE_MS = 60_000
STEPS_MS = [0, 1, 10 * MINUTE_MS, 30 * MINUTE_MS - 1, 30 * MINUTE_MS, 30 * MINUTE_MS + 1, 60 * MINUTE_MS]
LONG_DAYS = {"visit_days": 500}
"""so that both changes of the clocks of the past year can be reported"""


@dataclass(frozen=True)
class Pair:
    """Two gateways on the same shards and the same Redis."""

    one: Cluster
    other: Cluster

    async def create(self, group: str, zone: str) -> None:
        for store in STORES:
            await self.one.create(f"{group}-{store}", group=group, timezone=zone, retention_days=3650)
        names = [f"{group}-{store}" for store in STORES]
        async with asyncio.timeout(20):
            for gateway in (self.one, self.other):
                await until_searched(gateway.http, f"/v1/stores/{names[0]}/search", names)


@pytest.fixture
async def pair(redis_url: str) -> AsyncIterator[Pair]:
    async with contextlib.AsyncExitStack() as stack:
        one = await stack.enter_async_context(cluster(redis_url, shards=2, **LONG_DAYS))
        settings = {"redis_url": redis_url, "encoder_workers": 0, "view_refresh_s": 0.05} | LONG_DAYS
        other = await stack.enter_async_context(gateway_app(GatewaySettings.model_validate(settings), one.shards))
        yield Pair(one, other)


def changes_of_the_clocks(zone: ZoneInfo) -> list[datetime]:
    """In UTC, to the hour; those of the past year, leaving out the last week."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=7)
    hours = [now - timedelta(hours=back) for back in range(24 * 366)]
    return [
        at for at in hours if at.astimezone(zone).utcoffset() != (at - timedelta(hours=1)).astimezone(zone).utcoffset()
    ]


def ms(at: datetime) -> int:
    return int(1000 * at.timestamp())


@dataclass(frozen=True)
class Scene:
    zone: str
    first: date
    """local date of the first day reported"""
    sightings: tuple[Sighting, ...]
    """in order of time; the store is a letter"""
    seed: int


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    zone = draw(st.sampled_from(ZONES))
    local = ZoneInfo(zone)
    around = draw(st.sampled_from([datetime.now(UTC) - timedelta(days=9), *changes_of_the_clocks(local)]))
    day = around.astimezone(local).date()
    midnights = [datetime.combine(day + timedelta(days=ahead), datetime.min.time(), local) for ahead in (0, 1)]
    anchors = [ms(around), *map(ms, midnights), ms(datetime.combine(day, datetime.min.time(), UTC))]
    seen = st.builds(
        lambda person, nth, store, anchor, step, sign: Sighting(
            person, store, anchor + sign * step, PEOPLE[person][nth : nth + 1]
        ),
        st.sampled_from(sorted(PEOPLE)),
        st.integers(0, 2),
        st.sampled_from(STORES),
        st.sampled_from(anchors),
        st.sampled_from(STEPS_MS),
        st.sampled_from([-1, 1]),
    )
    made = draw(st.lists(seen, min_size=20, max_size=60))
    return Scene(zone, day - timedelta(days=1), in_time(made), draw(st.integers(0, 10**6)))


async def post(gateway: Cluster, sighting: Sighting, account: Account) -> None:
    async def call(one: Sighting) -> tuple[int, Any]:
        answer = await gateway.http.post(
            f"/v1/stores/{one.store}/sightings?{query_of(one)}",
            content=one.photos.tobytes(),
            headers={"content-type": "application/octet-stream"},
        )
        return answer.status_code, answer.json()

    await see(call, sighting, account)


def at_group(sightings: Sequence[Sighting], group: str) -> list[Sighting]:
    return [replace(sighting, store=f"{group}-{sighting.store}") for sighting in sightings]


def in_one_go(sightings: Sequence[Sighting], most: int = 6) -> list[list[Sighting]]:
    """Batches to be posted at the same time: in none is a person at two stores."""
    batches: list[list[Sighting]] = [[]]
    for sighting in sightings:
        elsewhere = any(one.person == sighting.person and one.store != sighting.store for one in batches[-1])
        if elsewhere or len(batches[-1]) == most:
            batches.append([])
        batches[-1].append(sighting)
    return batches


async def ordered(pair: Pair, sightings: Sequence[Sighting]) -> Account:
    account = Account()
    for sighting in sightings:
        await post(pair.one, sighting, account)
    return account


async def anyhow(pair: Pair, sightings: Sequence[Sighting], seed: int) -> Account:
    """Shuffled, a third of them repeated, several at a time, each through either gateway."""
    dice, account = random.Random(seed), Account()
    again = [*sightings, *dice.sample(sightings, len(sightings) // 3)]
    dice.shuffle(again)
    for batch in in_one_go(again):
        await asyncio.gather(*(post(dice.choice([pair.one, pair.other]), sighting, account) for sighting in batch))
    return account


async def reported(http: httpx.AsyncClient, group: str, scene: Scene) -> Report:
    answer = await http.get("/v1/footfall", params=query(group, scene.first, DAYS))
    assert answer.status_code == 200, answer.text
    return read(answer.json())


@settings(
    max_examples=8,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink an example would take many minutes
)
@given(scene=scenes())
async def test_any_order_repetition_and_split_over_two_gateways_gives_the_same_report(pair: Pair, scene: Scene) -> None:
    run = f"r{random.SystemRandom().randrange(10**12)}"
    reports = []
    for way in ("ordered", "anyhow"):
        group = f"{run}-{way}"
        await pair.create(group, scene.zone)
        sightings = at_group(scene.sightings, group)
        account = await (ordered(pair, sightings) if way == "ordered" else anyhow(pair, sightings, scene.seed))
        assert set(account.outcomes) == {"counted"}
        assert account.duplicates == {}
        assert account.false_joins == {}
        report = await reported(pair.other.http, group, scene)
        assert report.differences(expected(sightings, ZoneInfo(scene.zone), scene.first, DAYS)) == []
        reports.append(report.without(f"{group}-"))
    assert reports[0].differences(reports[1]) == []
