"""A tenth of the simulated week: the command's own path, small enough for every run of the tests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from common.types import Vectors
from deploy.local.cluster import LocalCluster
from deploy.local.embedded_redis import free_port
from tests.footfall.camera import open_stores
from tests.footfall.encoder_limit import faces_of
from tests.footfall.report import CHAIN
from tests.footfall.traffic import EMBEDDINGS, real_people, week
from tests.footfall.week import SETTINGS, STORES, ZONE, figures_table, last_week, people_table, run, summary

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEGRID_ENCODER_WORKERS", "0")
        with LocalCluster(tmp_path_factory.mktemp("cluster"), shards=3, port=free_port()) as cluster:
            asyncio.run(open_stores([cluster.url], dict.fromkeys(STORES, SETTINGS)))
            yield cluster.url


@pytest.fixture(scope="module")
def people() -> dict[str, Vectors]:
    if not EMBEDDINGS.is_file():
        pytest.skip(f"no real embeddings at {EMBEDDINGS}")
    return dict(list(real_people(EMBEDDINGS).items())[::10])


def test_a_week_of_real_people_is_counted_as_well_as_the_encoder_tells_them_apart(
    url: str, people: dict[str, Vectors]
) -> None:
    traffic = week(people, STORES, last_week().date(), ZONE, seed=1)
    outcome = run(url, traffic)
    assert outcome.account.outcomes["pending"] == 0
    assert outcome.account.outcomes["staff"] > 0
    truth, found = outcome.truth.total(), outcome.found.total()
    assert truth.uv > 250
    # Each visit is one sighting, so PV lacks only customers who are taken for staff, or for somebody there just now.
    assert 0.97 * truth.pv <= found.pv <= truth.pv
    staff = {one.person for one in traffic.staff}
    alone = faces_of(traffic.sightings, traffic.staff)
    limit = {face for face, seen in zip(alone, traffic.sightings, strict=True) if seen.person not in staff}
    assert abs(found.uv - len(limit)) <= 0.03 * truth.uv
    assert sum(outcome.found.total(store).pv for store in STORES) == found.pv
    assert sum(outcome.found.total(store).uv for store in STORES) > found.uv  # who goes to two stores is one person
    assert figures_table(outcome).row_count == len([*STORES, CHAIN])
    assert people_table(outcome, people).row_count == 3
    assert len(summary(outcome)) == 3
