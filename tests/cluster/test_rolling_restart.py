"""An upgrade without a pause: every process is restarted under load, and no request is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from deploy.local.cluster import LocalCluster
from deploy.local.embedded_redis import free_port
from tests.cluster.customers import Client, customers

pytestmark = pytest.mark.cluster
STORES = ["vienna", "graz", "linz", "wels"]
PROCESSES = ["s1/a", "s1/b", "s2/a", "s2/b", "gateway", "gateway-2", "redis"]


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCluster]:
    monkeypatch.setenv("FACEGRID_ENCODER_WORKERS", "0")
    data = tmp_path_factory.mktemp("cluster")
    with LocalCluster(data, shards=2, replicas=2, gateways=2, port=free_port()) as running:
        for at, store in enumerate(STORES):
            settings = {"shard": f"s{1 + at % 2}"}
            httpx.put(f"{running.url}/v1/stores/{store}", json=settings, timeout=20).raise_for_status()
        yield running


async def test_every_process_is_restarted_under_load_and_no_request_is_lost(cluster: LocalCluster) -> None:
    pids = {name: cluster.process(name).pid for name in PROCESSES}
    async with customers(cluster.urls, STORES, clients=4) as account:
        for name in PROCESSES:
            await asyncio.to_thread(cluster.restart, name)
            assert account.wrong == [], f"while {name} was restarted"
    assert account.wrong == []
    assert all(cluster.process(name).pid != pid for name, pid in pids.items())
    assert account.counts["enrolled"] > 100, account.counts
    reader = Client(cluster.urls, account, 0)
    for face_id, (store, seed) in account.acknowledged.items():
        await reader.search(store, seed, face_id)
    await reader.close()
    assert account.wrong == []
    print(dict(account.counts))
