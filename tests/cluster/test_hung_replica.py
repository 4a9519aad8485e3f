"""A real replica that is stopped (it accepts connections, and never answers) costs searches next to nothing."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import numpy as np
import pytest

from deploy.local.cluster import LocalCluster
from deploy.local.embedded_redis import free_port

pytestmark = pytest.mark.cluster
SHARD_TIMEOUT_S = 2.0
"""the default: what every request would wait if hung replicas were only timed out"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path_factory.mktemp("cluster"), shards=1, replicas=2, port=free_port()) as running:
        yield running


@contextmanager
def stopped(cluster: LocalCluster, name: str) -> Iterator[None]:
    process = cluster.process(name)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert cluster.process(name).pid == process.pid  # nobody restarted it


def test_a_stopped_replica_costs_no_timeout_and_takes_over_when_it_goes_on(cluster: LocalCluster) -> None:
    row = np.random.default_rng(1).standard_normal(128).tolist()
    with httpx.Client(base_url=cluster.url, timeout=20, trust_env=False) as http:
        http.put("/v1/stores/A", json={}).raise_for_status()
        assert http.post("/v1/stores/A/faces", json={"embeddings": [row], "face_id": "ada"}).status_code == 201

        def search() -> float:
            started = time.monotonic()
            (found,) = http.post("/v1/stores/A/search", json={"embeddings": [row]}).json()["results"]
            assert (found["verdict"], found["candidates"][0]["face_id"]) == ("match", "ada")
            assert found["coverage"]["shards"]["failed"] == []
            return time.monotonic() - started

        for victim in ("s1/a", "s1/b"):
            with stopped(cluster, victim):
                took = [search() for _ in range(100)]
            assert max(took) < SHARD_TIMEOUT_S / 2
            cluster.wait_ready()
