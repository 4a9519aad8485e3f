"""`python -m tests.bench.loading`: how fast a replica loads its stores from Redis, and what a face costs in memory.

A real server, a real `python -m shard`. The faces are written as the ledger writes them, but for the feeds: a store
that was enrolled face by face has a feed of at most 100,000 entries besides, however large it is.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table

from common import keys
from common.cluster_map import ClusterMap, StoreConfig
from common.ledger import Ledger
from common.records import FaceRecord, pack_vectors
from common.truth import connect
from common.types import DLIB_DIMENSION, DLIB_SPACE, Kind, ReplicaState, Vectors
from deploy.local.children import start_child
from deploy.local.embedded_redis import free_port, start_embedded_redis
from shard.loader import load_store, usable

D = 128
BATCH = 2000


def unit(seed: int, count: int) -> Vectors:
    rows = np.random.default_rng(seed).standard_normal((count, D), dtype=np.float32)
    scaled: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


async def fill(redis: Redis, stores: int, each: int) -> None:
    """Face ids as the gateway makes them up, one template a face, no thumbnails."""
    for at in range(stores):
        store = f"store-{at}"
        await ClusterMap(redis).create(StoreConfig(store, "s1"))
        for start in range(0, each, BATCH):
            rows = unit(at * each + start, min(BATCH, each - start))
            names = [f"{at:08x}{start + nth:024x}" for nth in range(len(rows))]
            records = [FaceRecord(row, DLIB_SPACE, Kind.VISITOR, 1.7e9, 1.7e9, 1).pack() for row in rows]
            pipe = redis.pipeline(transaction=False)
            pipe.hset(keys.faces(store), mapping=dict(zip(names, records, strict=True)))
            pipe.hset(keys.templates(store), mapping={n: pack_vectors(r) for n, r in zip(names, rows, strict=True)})
            await pipe.execute()


async def used_memory(redis: Redis) -> int:
    info: Any = await redis.info("memory")
    return int(info["used_memory"])


@contextmanager
def replica(redis_url: str) -> Iterator[subprocess.Popen[bytes]]:
    ours = {"REDIS_URL": redis_url, "PORT": str(free_port()), "HEARTBEAT_S": "0.1", "REDIS_TIMEOUT_S": "30"}
    env = dict(os.environ) | {f"FACEGRID_{name}": value for name, value in ours.items()}
    child = start_child([sys.executable, "-m", "shard"], env=env)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def peak_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError("no VmHWM: this needs Linux")


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def load_once(redis: Redis, url: str, server: int) -> tuple[float, float, float, int]:
    """A fresh replica's seconds from its first heartbeat to `ready`, CPU seconds of it and of Redis, peak memory."""
    redis_before = cpu_s(server)
    with replica(url) as child:
        while not (beats := await ClusterMap(redis).replicas()):
            await asyncio.sleep(0.01)
        started, before = time.perf_counter(), cpu_s(child.pid)
        while beats[0].state is not ReplicaState.READY:
            await asyncio.sleep(0.02)
            beats = await ClusterMap(redis).replicas()
        took = time.perf_counter() - started
        measured = took, cpu_s(child.pid) - before, cpu_s(server) - redis_before, peak_bytes(child.pid)
    await ClusterMap(redis).retire("s1", "a")
    return measured


async def stages(redis: Redis, each: int) -> dict[str, float]:
    """Seconds for one store: what Redis and the client need, what reading the records needs, what the whole needs."""
    ledger, store = Ledger(redis), "store-0"
    started, cursor, raw = time.perf_counter(), -1, []
    while cursor != 0:
        found: Any
        cursor, found = await redis.hscan(keys.faces(store), cursor=max(cursor, 0), count=1000)
        raw.append(found)
    scanned = time.perf_counter()
    batches = [[(name.decode(), FaceRecord.unpack(record)) for name, record in found.items()] for found in raw]
    unpacked = time.perf_counter()
    for batch in batches:
        usable(store, DLIB_SPACE, DLIB_DIMENSION, batch)
    checked = time.perf_counter()
    await load_store(ledger, (await ClusterMap(redis).stores())[store])
    loaded = time.perf_counter()
    parts = {
        "one store: HSCAN alone": scanned - started,
        "one store: unpacking": unpacked - scanned,
        "one store: checking and stacking": checked - unpacked,
        "one store: load_store": loaded - checked,
    }
    return {what: each / seconds for what, seconds in parts.items()}


async def measure(faces: int, stores: int, folder: Path, console: Console) -> None:
    port = free_port()
    server = start_embedded_redis(folder, port)
    url = f"redis://127.0.0.1:{port}/0"
    redis = connect(url, timeout_s=60)
    try:
        await redis.config_set("appendfsync", "no")  # only the filling would feel it
        empty = await used_memory(redis)
        each = faces // stores
        started = time.perf_counter()
        await fill(redis, stores, each)
        console.print(f"{stores * each:,} faces written in {time.perf_counter() - started:.0f} s")
        per_face_redis = (await used_memory(redis) - empty) / (stores * each)
        took, cpu, redis_cpu, peak = await load_once(redis, url, server.pid)
        parts = await stages(redis, each)
        table = Table("what", "measured", box=None)
        table.add_row("faces, stores", f"{stores * each:,}, {stores}")
        table.add_row("loaded in, first heartbeat to ready", f"{took:.1f} s")
        table.add_row("rows a second", f"{stores * each / took:,.0f}")
        table.add_row("CPU of the replica, of Redis", f"{cpu:.1f} s, {redis_cpu:.1f} s")
        table.add_row("rows a second of replica CPU", f"{stores * each / cpu:,.0f}")
        for what, rate in parts.items():
            table.add_row(what, f"{rate:,.0f} rows/s")
        slowest = min((what for what in parts if "load_store" not in what), key=lambda what: parts[what])
        table.add_row("bound by", f"one core of the replica, {slowest.partition(': ')[2]} most of all")
        table.add_row("Redis, bytes a face", f"{per_face_redis:,.0f}")
        table.add_row("replica at its peak, bytes a face", f"{peak / (stores * each):,.0f} (a row is {4 * D})")
        console.print(table)
    finally:
        await redis.aclose()
        server.kill()
        server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=1_000_000)
    parser.add_argument("--stores", type=int, default=100)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(chosen.faces, chosen.stores, Path(folder), Console()))


if __name__ == "__main__":
    main()
