"""`python -m tests.bench.hung`: what a hung replica costs those who search.

A real cluster of three shards with two replicas each; one replica is stopped (SIGSTOP: it accepts connections and never
answers) while the load goes on. Heartbeats are made to outlive the run, so that the gateway is not told: all it has is
what its own calls do. Every answer is checked; healthy and hung are measured in turns, in one run.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import httpx
from rich.console import Console
from rich.table import Table

from common.types import Vectors
from deploy.local.cluster import LocalCluster
from deploy.local.embedded_redis import free_port
from tests.bench.faces import unit
from tests.bench.load import Measured, load, request

SHARDS, STORES, FACES = 3, 12, 1200
CLIENTS = 8
REQUESTS = 1000
ROUNDS = 3
VICTIM = "s1/a"
MOST = 3.0
"""times the healthy p99 that a fan-out may take"""


async def fill(port: int, rows: Vectors) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
        for store in range(STORES):
            body = {"shard": f"s{1 + store % SHARDS}"}
            (await http.put(f"/v1/stores/S{store}", json=body)).raise_for_status()
    enrolments = [
        request(f"/v1/stores/S{at % STORES}/faces?face_id=f{at}&wait=committed", row.tobytes())
        for at, row in enumerate(rows)
    ]
    assert (await load(port, enrolments, CLIENTS)).failures == 0
    last = [request(f"/v1/stores/S{at}/faces", row.tobytes()) for at, row in enumerate(unit(3, STORES))]
    assert (await load(port, last, 1)).failures == 0  # visible, and so is all that came before


async def home(port: int, rows: Vectors) -> Measured:
    found = [request(f"/v1/stores/S{at % STORES}/search", rows[at % len(rows)].tobytes()) for at in range(REQUESTS)]
    return await load(port, found, CLIENTS, expected=b'"verdict":"match"')


async def fan_out(port: int, seed: int) -> Measured:
    strangers = [
        request(f"/v1/stores/S{at % STORES}/search", row.tobytes()) for at, row in enumerate(unit(seed, REQUESTS))
    ]
    return await load(port, strangers, CLIENTS, expected=b'"verdict":"no_match"')


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def measure(cluster: LocalCluster) -> dict[str, list[Measured]]:
    rows = unit(1, FACES)
    await fill(cluster.port, rows)
    await home(cluster.port, rows)  # connections and caches
    await fan_out(cluster.port, 100)
    figures: defaultdict[str, list[Measured]] = defaultdict(list)
    for turn in range(ROUNDS):
        figures["home, healthy"].append(await home(cluster.port, rows))
        figures["fan-out, healthy"].append(await fan_out(cluster.port, 200 + turn))
        with stopped(cluster.process(VICTIM).pid):
            figures["fan-out, one replica hung"].append(await fan_out(cluster.port, 300 + turn))
            figures["home, one replica hung"].append(await home(cluster.port, rows))
    return dict(sorted(figures.items()))


def table(figures: dict[str, list[Measured]]) -> Table:
    shown = Table("search", "requests", "wrong", "a second", "p50 ms", "p99 ms", "slowest ms", box=None)
    for what, taken in figures.items():
        shown.add_row(
            what,
            str(REQUESTS * len(taken)),
            str(sum(one.failures for one in taken)),
            f"{median(one.per_second for one in taken):,.0f}",
            f"{median(one.p50_ms for one in taken):.1f}",
            f"{median(one.p99_ms for one in taken):.1f}",
            f"{max(one.max_ms for one in taken):.0f}",
        )
    return shown


def main() -> None:
    os.environ |= {"FACEGRID_ENCODER_WORKERS": "0", "FACEGRID_HEARTBEAT_TTL_S": "600"}
    console = Console()
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(Path(folder) / "data", shards=SHARDS, replicas=2, port=free_port()) as cluster,
    ):
        figures = asyncio.run(measure(cluster))
    ratio = median(
        hung.p99_ms / healthy.p99_ms
        for hung, healthy in zip(figures["fan-out, one replica hung"], figures["fan-out, healthy"], strict=True)
    )
    console.print(f"{SHARDS} shards x 2 replicas, {CLIENTS} clients, {os.cpu_count()} cores with the load generator")
    console.print(table(figures))
    console.print(f"fan-out p99 with {VICTIM} hung: {ratio:.2f} x healthy (median of {ROUNDS} turns; at most {MOST:g})")
    assert ratio <= MOST
    assert not any(one.failures for taken in figures.values() for one in taken)


if __name__ == "__main__":
    main()
