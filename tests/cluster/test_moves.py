"""Moves with real processes: under load, by the command line, after a shard was killed for good."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import httpx
import pytest
from typer.testing import CliRunner, Result

from deploy.cli.app import app
from deploy.local.cluster import LocalCluster
from deploy.local.embedded_redis import free_port
from tests.bench import move
from tests.cluster.test_local_cluster import embedding, enrol, found, put_store, until

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FACEGRID_DEAD_AFTER_S", "2")
        environment.setenv("FACEGRID_HEARTBEAT_TTL_S", "2")
        environment.setenv("FACEGRID_MOVE_GRACE_S", "1")
        with LocalCluster(tmp_path_factory.mktemp("moves"), shards=2, port=free_port()) as running:
            yield running


def facegrid(cluster: LocalCluster, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--url", cluster.url], env={"COLUMNS": "80"})


def test_a_store_moves_under_load_and_no_search_fails_or_misses_a_face(cluster: LocalCluster) -> None:
    result = asyncio.run(move.measure(cluster, faces=5000))
    assert {what: tally.first_trouble for what, tally in result.tallies.items() if tally.first_trouble} == {}
    assert result.troubles == 0
    assert all(len(tally.times) > 20 for tally in result.tallies.values())


def test_the_commands_move_rebalance_and_drain_and_wait_until_it_is_done(cluster: LocalCluster) -> None:
    store, row = put_store(cluster.url, "s1"), embedding()
    face_id = enrol(cluster.url, store, row)
    done = facegrid(cluster, "move", store, "s2")
    assert (done.exit_code, f"Store {store} is on shard s2" in done.output) == (0, True), done.output
    assert found(cluster.url, store, row) == face_id
    again = facegrid(cluster, "move", store, "s2")
    assert (again.exit_code, "already" in again.output) == (0, True)
    assert facegrid(cluster, "move", store, "s9").exit_code == 1

    dry = facegrid(cluster, "rebalance", "--dry-run")
    assert (dry.exit_code, "rows after" in dry.output) == (0, True), dry.output
    assert facegrid(cluster, "rebalance").exit_code == 0

    drained = facegrid(cluster, "drain", "s1")
    assert (drained.exit_code, "Shard s1 is empty" in drained.output) == (0, True), drained.output
    shards = {body["shard"]: body for body in httpx.get(f"{cluster.url}/v1/shards").json()["shards"]}
    assert (shards["s1"]["stores"], shards["s1"]["draining"]) == ([], True)
    assert facegrid(cluster, "drain", "s2").exit_code == 1
    assert facegrid(cluster, "drain", "s1", "--undo").exit_code == 0
    assert found(cluster.url, store, row) == face_id


def test_the_stores_of_a_shard_that_stays_dead_are_found_again_on_the_other(cluster: LocalCluster) -> None:
    cluster.wait_ready()
    store, row = put_store(cluster.url, "s1"), embedding()
    face_id = enrol(cluster.url, store, row)
    with cluster.held_down("s1/a"):
        until(lambda: found(cluster.url, store, row) == face_id)
        assert httpx.get(f"{cluster.url}/v1/stores/{store}").json()["shard"] == "s2"
        until(lambda: httpx.get(f"{cluster.url}/readyz").is_success)
    cluster.wait_ready()
    assert httpx.get(f"{cluster.url}/v1/stores/{store}").json()["shard"] == "s2"


def test_a_redis_that_is_killed_and_comes_back_moves_no_store(cluster: LocalCluster) -> None:
    cluster.wait_ready()
    stores = {put_store(cluster.url, shard): shard for shard in ("s1", "s2", "s1")}
    with cluster.held_down("redis"):
        until(lambda: httpx.get(f"{cluster.url}/v1/stores").json()["truth"] == "unreachable")
        away_since = time.monotonic()
        until(lambda: time.monotonic() - away_since > 4)  # longer than `dead_after`: every heartbeat has expired
    cluster.wait_ready()
    assert shard_of(cluster, stores) == stores


def shard_of(cluster: LocalCluster, stores: dict[str, str]) -> dict[str, str]:
    listed = httpx.get(f"{cluster.url}/v1/stores").json()["stores"]
    return {body["store"]: body["shard"] for body in listed if body["store"] in stores}
