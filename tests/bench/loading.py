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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table

from common import keys
from common.cluster_map import ClusterMap, GroupView, Heartbeat, StoreConfig
from common.ledger import Ledger
from common.records import FaceRecord, pack_vectors
from common.truth import connect
from common.types import DLIB_DIMENSION, DLIB_SPACE, Kind, ReplicaState
from deploy.local.children import start_child
from deploy.local.embedded_redis import free_port, start_embedded_redis
from shard.loader import load_store, usable
from shard.recipe import CODED_FROM
from tests.bench.faces import Faces

D = 128
BATCH = 2000


async def fill(redis: Redis, stores: int, each: int) -> None:
    """Face ids as the gateway makes them up, one template a face, no thumbnails."""
    rows = Faces.load().rows(stores * each, seed=1)
    for at in range(stores):
        store = f"store-{at}"
        await ClusterMap(redis).create(StoreConfig(store, "s1"))
        for start in range(at * each, (at + 1) * each, BATCH):
            batch = rows[start : min(start + BATCH, (at + 1) * each)]
            names = [uuid4().hex for _ in batch]
            records = [FaceRecord(row, DLIB_SPACE, Kind.VISITOR, 1.7e9, 1.7e9, 1).pack() for row in batch]
            pipe = redis.pipeline(transaction=False)
            pipe.hset(keys.faces(store), mapping=dict(zip(names, records, strict=True)))
            pipe.hset(keys.templates(store), mapping={n: pack_vectors(r) for n, r in zip(names, batch, strict=True)})
            await pipe.execute()


async def used_memory(redis: Redis) -> int:
    info: Any = await redis.info("memory")
    return int(info["used_memory"])


@contextmanager
def replica(redis_url: str, shard: str) -> Iterator[subprocess.Popen[bytes]]:
    ours = {"REDIS_URL": redis_url, "PORT": str(free_port()), "HEARTBEAT_S": "0.1", "REDIS_TIMEOUT_S": "30"}
    ours["SHARD"] = shard
    env = dict(os.environ) | {f"FACEGRID_{name}": value for name, value in ours.items()}
    child = start_child([sys.executable, "-m", "shard"], env=env)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def resident(pid: int) -> tuple[int, int]:
    """Bytes in memory now, and at the most."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    now, most = (1024 * int(status[name].split()[0]) for name in ("VmRSS", "VmHWM"))
    return now, most


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Loaded:
    took_s: float
    """from the replica's first heartbeat to `ready`"""
    cpu_s: float
    """of the replica, as of Redis"""
    redis_cpu_s: float
    empty: int
    """bytes in memory of a replica without rows"""
    resident: int
    """the same once it has its codes"""
    peak: int
    groups: tuple[GroupView, ...]


async def load_once(redis: Redis, url: str, server: int) -> Loaded:
    """A fresh replica from its first heartbeat to `ready`, and until its codes are built."""
    with replica(url, "empty") as child:
        await beat_of(redis, "empty", lambda beat: beat.state is ReplicaState.READY)
        empty, _ = resident(child.pid)
    redis_before = cpu_s(server)
    with replica(url, "s1") as child:
        await beat_of(redis, "s1", lambda _: True)
        started, before = time.perf_counter(), cpu_s(child.pid)
        await beat_of(redis, "s1", lambda beat: beat.state is ReplicaState.READY)
        took, cpu, redis_cpu = time.perf_counter() - started, cpu_s(child.pid) - before, cpu_s(server) - redis_before
        beat = await beat_of(redis, "s1", lambda beat: all(_is_settled(group) for group in beat.groups))
        return Loaded(took, cpu, redis_cpu, empty, *resident(child.pid), beat.groups)


def _is_settled(group: GroupView) -> bool:
    return group.rows < CODED_FROM or (group.recall is not None and group.coded > group.rows - 1000)


async def beat_of(redis: Redis, shard: str, wanted: Callable[[Heartbeat], bool]) -> Heartbeat:
    """The first heartbeat of the shard that is as wanted."""
    while True:
        beats = [beat for beat in await ClusterMap(redis).replicas() if beat.shard == shard and wanted(beat)]
        if beats:
            return beats[0]
        await asyncio.sleep(0.02)


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
        count = stores * each
        per_face_redis = (await used_memory(redis) - empty) / count
        loaded = await load_once(redis, url, server.pid)
        parts = await stages(redis, each)
        table = Table("what", "measured", box=None)
        table.add_row("faces, stores", f"{count:,}, {stores}")
        table.add_row("loaded in, first heartbeat to ready", f"{loaded.took_s:.1f} s")
        table.add_row("rows a second", f"{count / loaded.took_s:,.0f}")
        table.add_row("CPU of the replica, of Redis", f"{loaded.cpu_s:.1f} s, {loaded.redis_cpu_s:.1f} s")
        table.add_row("rows a second of replica CPU", f"{count / loaded.cpu_s:,.0f}")
        for what, rate in parts.items():
            table.add_row(what, f"{rate:,.0f} rows/s")
        slowest = min((what for what in parts if "load_store" not in what), key=lambda what: parts[what])
        table.add_row("bound by", f"one core of the replica, {slowest.partition(': ')[2]} most of all")
        table.add_row("Redis, bytes a face", f"{per_face_redis:,.0f}")
        face = (loaded.resident - loaded.empty) / count
        table.add_row("replica, bytes a face", f"{face:,.0f} = {face / (4 * D):.2f} times a row")
        table.add_row("replica at its peak, bytes a face", f"{(loaded.peak - loaded.empty) / count:,.0f}")
        table.add_row("empty replica", f"{loaded.empty / 2**20:,.0f} MiB")
        for group in loaded.groups:
            table.add_row(f"group {group.group}", f"{group.coded:,} of {group.rows:,} rows coded, {group.index}")
        console.print(table)
    finally:
        await redis.aclose()
        server.kill()
        server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=1_000_000)
    parser.add_argument("--stores", type=int, default=1000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(chosen.faces, chosen.stores, Path(folder), Console()))


if __name__ == "__main__":
    main()
