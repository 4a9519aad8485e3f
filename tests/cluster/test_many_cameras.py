"""Two gateways, 32 cameras at once, and the same strangers seen by three of them in the same second: one face each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from deploy.local.cluster import LocalCluster
from deploy.local.embedded_redis import free_port
from tests.footfall.camera import Account, cameras, open_stores
from tests.footfall.report import CHAIN, fetch
from tests.footfall.traffic import Sighting, separate_people
from tests.footfall.truth import Figures

pytestmark = pytest.mark.cluster
STRANGERS, CAMERAS, VIEWS = 200, 32, 3


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEGRID_ENCODER_WORKERS", "0")
        data = tmp_path_factory.mktemp("cluster")
        with LocalCluster(data, shards=2, gateways=2, port=free_port()) as running:
            yield running


def seen_by_three(stores: list[str], at_ms: int, seed: int) -> list[Sighting]:
    """The three views of a stranger follow each other, so that as many cameras have them in hand at the same time."""
    people = separate_people(STRANGERS, photos=VIEWS, seed=seed)
    return [
        Sighting(person, stores[at % len(stores)], at_ms, photos[view : view + 1], camera=f"cam{view}")
        for at, (person, photos) in enumerate(people.items())
        for view in range(VIEWS)
    ]


@pytest.mark.parametrize("stores", [1, 4])
def test_strangers_photographed_by_three_cameras_in_the_same_second_become_one_face_each(
    cluster: LocalCluster, stores: int
) -> None:
    group = f"of-{stores}"
    names = [f"{group}-{nth}" for nth in range(stores)]
    asyncio.run(open_stores(cluster.urls, {name: {"group": group} for name in names}))
    at_ms = 1000 * (int(time.time()) - 60)
    account = Account()
    asyncio.run(cameras(cluster.urls, seen_by_three(names, at_ms, seed=stores), CAMERAS, account))
    assert account.outcomes == {"counted": STRANGERS * VIEWS}
    assert account.duplicates == {}
    assert account.false_joins == {}
    faces = [httpx.get(f"{cluster.url}/v1/stores/{name}", timeout=20).json()["faces"] for name in names]
    assert sum(faces) == STRANGERS
    report = fetch(cluster.url, group, datetime.fromtimestamp(at_ms / 1000, UTC).date(), days=1)
    assert report.total(CHAIN) == Figures(STRANGERS, STRANGERS, STRANGERS, 0.0)
