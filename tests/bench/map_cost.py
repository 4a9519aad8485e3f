"""`python -m tests.bench.map_cost --stores 10000`: what it costs to know where the stores are, and to follow them.

A real server. Each gateway reads the map and the heartbeats twice a second and at every change of the map; each replica
writes its heartbeat once a second and waits for entries in the feeds of all its stores in one command, which it sends
again after every entry.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table

from common import keys
from common.cluster_map import ClusterMap, Heartbeat, StoreConfig
from common.feed import read_changes
from common.types import ReplicaState, StoreView
from tests.bench.faces import Faces
from tests.bench.filled import Layout, Truth, store_name
from tests.bench.processes import cpu_s

SHARDS = 10
TIMES = 20
URL = "http://shard-0000.example:8100"


def beat(nth: int, stores: int) -> Heartbeat:
    """Of a shard with its share of the stores."""
    views = {store_name(at): StoreView(1_000_000, 100_000) for at in range(nth, stores, SHARDS)}
    return Heartbeat(f"s{nth}", "a", URL, ReplicaState.READY, "0" * 32, 1.7e9, views)


async def timed(work: Callable[[], Awaitable[object]], server: int) -> tuple[float, float]:
    """CPU milliseconds of this process for one call, and of Redis: other work on the machine counts for neither."""
    await work()
    own, redis = time.process_time(), cpu_s(server)
    for _ in range(TIMES):
        await work()
    return 1000 * (time.process_time() - own) / TIMES, 1000 * (cpu_s(server) - redis) / TIMES


async def measure(redis: Redis, server: int, stores: int) -> Table:
    told = ClusterMap(redis)
    beats = [beat(nth, stores) for nth in range(SHARDS)]
    for each in beats:
        await told.announce(each, 600)
    mine = dict.fromkeys(beats[0].stores, 1)
    position = "9999999999999-0"  # nothing comes after it
    costs = {
        f"map of {stores:,} stores, read": await timed(told.stores, server),
        f"heartbeats of {SHARDS} replicas, read": await timed(told.replicas, server),
        f"heartbeat of {len(mine):,} stores, written": await timed(lambda: told.announce(beats[0], 600), server),
        f"feeds of {len(mine):,} stores, waited for": await timed(
            lambda: read_changes(redis, position, mine, 1), server
        ),
    }
    entry = StoreConfig(store_name(stores), "s1", timezone="Europe/Vienna", incarnation="0" * 32)
    table = Table("what", "its CPU, ms", "Redis' CPU, ms", box=None)
    for what, (own, of_redis) in costs.items():
        table.add_row(what, f"{own:.1f}", f"{of_redis:.1f}")
    table.add_row("map, bytes a store", f"{len(entry.to_json()) + len(entry.store)}", "")
    table.add_row("heartbeat, bytes a store", f"{len(beats[0].to_json()) / len(mine):.0f}", "")
    table.add_row("keys of the feeds, bytes a store", f"{len(keys.feed(store_name(stores))) + 12}", "")
    return table


async def run(folder: Path, stores: int) -> Table:
    truth = Truth(folder)
    try:
        await truth.fill(Faces.load(), Layout(stores, stores), SHARDS)
        async with truth.connected() as redis:
            return await measure(redis, truth.process.pid, stores)
    finally:
        truth.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.map_cost", description=__doc__)
    parser.add_argument("--stores", type=int, default=10_000)
    stores = parser.parse_args().stores
    with tempfile.TemporaryDirectory() as folder:
        Console().print(asyncio.run(run(Path(folder), stores)))


if __name__ == "__main__":
    main()
