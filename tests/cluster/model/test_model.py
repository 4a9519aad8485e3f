"""Random operations, kills, pauses and restarts against a plain dict, on real processes.

`pytest tests/cluster/model --operations 20000 --seed 7`: more of them, and the same choices again. (The same choices,
not the same interleaving: processes are killed when they are killed.)
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from deploy.local.cluster import LocalCluster
from deploy.local.embedded_redis import free_port
from tests.cluster.model.client import Client
from tests.cluster.model.faults import Faults
from tests.cluster.model.judge import Wrong
from tests.cluster.model.settle import settle
from tests.cluster.model.walk import Walk
from tests.conformance import page_of_the_gateway

pytestmark = pytest.mark.cluster

STORES = [f"store-{n}" for n in range(6)]
SETTINGS = {"ENCODER_WORKERS": "0", "DEAD_AFTER_S": "2", "MOVE_GRACE_S": "0.3", "VIEW_REFRESH_S": "0.1", "LEASE_S": "1"}
"""short times, so that moves and the placing of a dead shard's stores happen many times in a run"""
CALM, STORMY = (60, 240), (20, 70)
"""operations between two faults, and while one lasts"""


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCluster]:
    for setting, value in SETTINGS.items():
        monkeypatch.setenv(f"FACEGRID_{setting}", value)
    folder = tmp_path_factory.mktemp("model")
    with LocalCluster(folder, shards=2, replicas=2, gateways=2, port=free_port()) as running:
        yield running


def test_the_cluster_does_what_a_dict_would_whatever_is_killed(
    cluster: LocalCluster, pytestconfig: pytest.Config, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = pytestconfig.getoption("--seed")
    seed = random.SystemRandom().randrange(10**6) if chosen is None else int(chosen)
    operations = int(pytestconfig.getoption("--operations"))
    clients = [Client(url, page_of_the_gateway()) for url in cluster.urls]
    walk = Walk(clients, STORES, ["s1", "s2"], seed)
    gateways = dict(zip(["gateway", "gateway-2"], cluster.urls, strict=True))
    replicas = [f"s{shard}/{replica}" for shard in (1, 2) for replica in "ab"]
    walk.faults = Faults(cluster, replicas, gateways, walk.dice, walk.note)
    walk.faults.draining = lambda: walk.draining
    for n, store in enumerate(STORES):
        assert clients[0].json("PUT", f"/v1/stores/{store}", {"shard": f"s{n % 2 + 1}"}).status == 201
    try:
        run(cluster, clients, walk, operations)
    except AssertionError as error:
        journal = "\n".join(walk.journal)
        raise Wrong(f"--seed {seed}: {error}\n{journal}\nlogs: {cluster.folder.logs}") from error
    finally:
        walk.faults.mend()
        with capsys.disabled():
            print(f"\nmodel test, --seed {seed}: {dict(sorted(walk.counts.items()))}")


def run(cluster: LocalCluster, clients: list[Client], walk: Walk, operations: int) -> None:
    assert walk.faults is not None
    settle(cluster, clients, walk)
    done = 0
    while done < operations:
        calm, stormy = walk.dice.randint(*CALM), walk.dice.randint(*STORMY)
        walk.go(calm)
        walk.calm = False
        for _ in range(walk.dice.choice([1, 1, 1, 2])):
            walk.counts[walk.faults.strike()] += 1
            walk.go(stormy // 2)
        walk.faults.mend()
        settle(cluster, clients, walk)
        walk.calm = True
        done += calm + stormy
    walk.counts["operations"] = done
