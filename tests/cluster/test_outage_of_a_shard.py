"""A shard without a replica is killed in the middle of an hour's traffic and comes back later: in the end the report is
that of an hour in which nothing happened, and nobody has two faces.

Both hours are the same people at stores of two groups of one cluster, one after the other. Sightings are posted in the
order of time and one by one, so that the undisturbed hour has one right answer; in the disturbed one the same calls are
made, through the same gateway, while a third of the stores cannot be searched.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import httpx
import pytest

from common.types import Vectors
from deploy.local.cluster import LocalCluster
from deploy.local.embedded_redis import free_port
from tests.cluster.test_local_cluster import until
from tests.footfall.camera import Account, cameras, open_stores
from tests.footfall.encoder_limit import cut_among, told_apart
from tests.footfall.report import Report, expected, fetch, pending
from tests.footfall.traffic import EMBEDDINGS, Sighting, hour, in_time, real_people, separate_people

pytestmark = pytest.mark.cluster
SHARDS = ["s1", "s2", "s3"]
STORES = [f"shop-{nth}" for nth in range(6)]
START = datetime.now(UTC).replace(hour=10, minute=0, second=0, microsecond=0) - timedelta(days=2)
SIGHTINGS = 300
MOST_PHOTOS = 18


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEGRID_ENCODER_WORKERS", "0")
        with LocalCluster(tmp_path_factory.mktemp("cluster"), shards=len(SHARDS), port=free_port()) as running:
            yield running


def separate() -> dict[str, Vectors]:
    return separate_people(count=100, photos=3, seed=1)


def real() -> dict[str, Vectors]:
    """People whom the encoder tells apart, those with several photos first, so that the report can be held against the
    truth too."""
    people = everybody()
    by_photos = sorted(people, key=lambda person: -len(people[person]))
    return told_apart({person: people[person][:MOST_PHOTOS] for person in by_photos}, alike=0.95, apart=cut_among(1))


def everybody() -> dict[str, Vectors]:
    """Real people as they come: some are missed and some taken for others, whichever the hour."""
    if not EMBEDDINGS.is_file():
        pytest.skip(f"no real embeddings at {EMBEDDINGS}")
    return dict(real_people(EMBEDDINGS))


def traffic(people: Mapping[str, Vectors]) -> Sequence[Sighting]:
    """Of everybody who comes more than once, and of as many others as make the number full."""
    seen = list(hour(people, STORES, START, seed=1).sightings)
    times = Counter(sighting.person for sighting in seen)
    return in_time(sorted(seen, key=lambda sighting: -times[sighting.person])[:SIGHTINGS])


def at_group(cluster: LocalCluster, group: str, sightings: Sequence[Sighting]) -> list[Sighting]:
    """The same at stores of a new group, two on each shard."""
    stores = {
        f"{group}-{store}": {"group": group, "shard": SHARDS[nth % len(SHARDS)]} for nth, store in enumerate(STORES)
    }
    asyncio.run(open_stores([cluster.url], stores))
    return [replace(sighting, store=f"{group}-{sighting.store}") for sighting in sightings]


def post(cluster: LocalCluster, sightings: Sequence[Sighting], account: Account) -> None:
    asyncio.run(cameras([cluster.url], sightings, 1, account))


def undisturbed(cluster: LocalCluster, sightings: Sequence[Sighting]) -> tuple[Account, Report]:
    account = Account()
    post(cluster, sightings, account)
    return account, fetch(cluster.url, sightings[0].store.partition("-")[0], START.date(), days=1)


def disturbed(cluster: LocalCluster, sightings: Sequence[Sighting]) -> tuple[Account, Report]:
    account, group = Account(), sightings[0].store.partition("-")[0]
    third = len(sightings) // 3
    post(cluster, sightings[:third], account)
    with cluster.held_down("s2/a"):
        post(cluster, sightings[third : 2 * third], account)
        waiting = pending(cluster.url, group, START.date(), days=1)
    post(cluster, sightings[2 * third :], account)
    assert waiting > third // 10, account.outcomes
    until(lambda: pending(cluster.url, group, START.date(), days=1) == 0)
    return account, fetch(cluster.url, group, START.date(), days=1)


def faces(cluster: LocalCluster, group: str) -> dict[str, int]:
    """By store, without the group's name."""
    answer = httpx.get(f"{cluster.url}/v1/stores", timeout=20).json()
    return {one["store"].removeprefix(f"{group}-"): one["faces"] for one in answer["stores"] if one["group"] == group}


def both(
    cluster: LocalCluster, sightings: Sequence[Sighting], name: str
) -> tuple[tuple[Account, Report], tuple[Account, Report]]:
    """The undisturbed hour and the disturbed one; stores have the same names in both reports."""
    calm = undisturbed(cluster, at_group(cluster, f"{name}calm", sightings))
    hit = disturbed(cluster, at_group(cluster, f"{name}hit", sightings))
    return (calm[0], calm[1].without(f"{name}calm-")), (hit[0], hit[1].without(f"{name}hit-"))


@pytest.mark.parametrize("people", [separate, real], ids=["separate", "real"])
def test_after_an_outage_every_figure_is_that_of_an_undisturbed_hour_and_nobody_has_two_faces(
    cluster: LocalCluster, people: Callable[[], dict[str, Vectors]]
) -> None:
    sightings = traffic(people())
    name = people.__name__
    (calm, undisturbed_report), (hit, report) = both(cluster, sightings, name)
    assert calm.outcomes == {"counted": SIGHTINGS}
    assert hit.outcomes["pending"] > 0
    assert undisturbed_report.differences(expected(sightings, ZoneInfo("UTC"), START.date(), days=1)) == []
    assert report.differences(undisturbed_report) == []
    assert sum(faces(cluster, f"{name}hit").values()) == len({sighting.person for sighting in sightings})
    assert hit.duplicates == hit.false_joins == {}


def test_an_outage_changes_no_figure_either_where_the_encoder_errs(cluster: LocalCluster) -> None:
    sightings = traffic(everybody())
    (_, undisturbed_report), (hit, report) = both(cluster, sightings, "everybody")
    assert hit.outcomes["pending"] > 0
    assert report.differences(undisturbed_report) == []
    assert faces(cluster, "everybodyhit") == faces(cluster, "everybodycalm")
