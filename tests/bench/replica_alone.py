"""One replica with all the rows and nobody who asks: how fast it loads from Redis, and what it holds in memory."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from common.cluster_map import ClusterMap
from common.types import ReplicaState
from deploy.local.children import start_child
from deploy.local.embedded_redis import free_port
from tests.bench.filled import Truth
from tests.bench.processes import cpu_s, quiet, resident
from tests.bench.report import Line, Report

ROW_BYTES = 512
"""128 float32"""
HEARTBEAT_S = 0.1
"""so often that the moment of `ready` is known well enough"""


@dataclass(frozen=True, slots=True)
class Replica:
    seconds: float
    """from its first heartbeat to `ready`"""
    redis_cpu_s: float
    """of Redis meanwhile"""
    resident: int
    """bytes, once nothing more is built"""


@contextmanager
def _started(redis_url: str, shard: str) -> Iterator[int]:
    ours = {
        "SHARD": shard,
        "REPLICA": "a",
        "REDIS_URL": redis_url,
        "PORT": str(free_port()),
        "HEARTBEAT_S": str(HEARTBEAT_S),
    }
    env = dict(os.environ) | {f"FACEGRID_{name}": value for name, value in ours.items()}
    child = start_child([sys.executable, "-P", "-m", "shard"], env=env)
    try:
        yield child.pid
    finally:
        child.kill()
        child.wait()


async def measured(truth: Truth, shard: str = "s1") -> Replica:
    """A fresh replica of the shard, which no other process serves now."""
    async with truth.connected() as redis:
        told = ClusterMap(redis)
        with _started(truth.url, shard) as pid:
            while not (beats := await told.replicas()):
                await asyncio.sleep(0.01)
            started, cpu = time.perf_counter(), cpu_s(truth.process.pid)
            while beats[0].state is not ReplicaState.READY:
                await asyncio.sleep(0.02)
                beats = await told.replicas() or beats
            seconds, cpu = time.perf_counter() - started, cpu_s(truth.process.pid) - cpu
            await quiet([pid])
            held = resident(pid)
        await told.retire(shard, "a")
    return Replica(seconds, cpu, held)


def report_loaded(report: Report, rows: int, empty: Replica, full: Replica, redis_bytes: int) -> None:
    """Must show 6, second half, and 7."""
    section = "one replica with all of it, restarted"
    report.add(Line(section, "loaded from Redis", rows / full.seconds, "faces/s"))
    report.add(Line(section, "CPU of Redis meanwhile", 1e6 * full.redis_cpu_s / rows, "µs/face"))
    share = (full.resident - empty.resident) / rows
    line = Line(section, "memory, beyond an empty replica's", share, "bytes/face")
    report.add(line.beside(share / ROW_BYTES, "the raw row", "≤ 1.35"))
    share = redis_bytes / rows
    report.add(Line(section, "Redis", share, "bytes/face").beside(share / ROW_BYTES, "the raw row"))
