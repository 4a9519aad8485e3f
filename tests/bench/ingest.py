"""`python -m tests.bench.ingest`: how fast faces get onto the disk and into every search, beside what bare Redis takes.

A whole cluster of processes with the settings it ships with (the append-only file fsynced for every write), this
process sending on the same cores. An answer to a bulk request comes when every replica serves the faces, so the last
answer is the moment in which all of them can be found; if a replica was too late for an answer, its heartbeat tells.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from common.ledger import ABSENT, Put
from common.records import FaceRecord, pack_vectors
from common.truth import connect
from common.types import DLIB_SPACE, Kind, Vectors
from deploy.client.bulk import send_all
from deploy.client.face_files import read_faces
from deploy.client.http import Client
from deploy.local.cluster import LocalCluster
from deploy.local.embedded_redis import free_port
from tests.bench.faces import unit
from tests.bench.load import load, request
from tests.bench.processes import cpu_s

SHARDS = 3
STORES = 30
SINGLES_S = 5.0
CLIENTS = 16
BARE_CONNECTIONS, BARE_BATCH = 4, 256
BLOCK = 50_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=100_000)
    asyncio.run(measure(parser.parse_args().faces, Console()))


async def measure(faces: int, console: Console) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = write(Path(folder) / "faces.npz", faces)
        with LocalCluster(Path(folder) / "cluster", shards=SHARDS, port=free_port()) as cluster:
            bare = await bare_writes(cluster.redis_url, unit(1, min(faces, BLOCK)))
            rows = await asyncio.to_thread(in_bulk, cluster, file, bare)
            rows += await one_by_one(cluster)
    table = Table("what", "measured", box=None)
    for row in [("bare Redis, pipelined HSET of the same records", f"{bare:,.0f} faces/s"), *rows]:
        table.add_row(*row)
    console.print(table)


def write(file: Path, faces: int) -> Path:
    """Rows of STORES stores, a template a face, with names as long as those that a gateway makes up."""
    rows = np.concatenate([unit(at, min(BLOCK, faces - at)) for at in range(0, faces, BLOCK)])
    stores = np.sort(np.arange(faces) % STORES)
    names = np.array([f"store-{store:02d}" for store in range(STORES)])[stores]
    np.savez(file, embeddings=rows, face_ids=np.array([f"{n:032x}" for n in range(faces)]), stores=names)
    return file


def in_bulk(cluster: LocalCluster, file: Path, bare: float) -> list[tuple[str, str]]:
    """What `facegrid import` does: a million faces would be as many seconds as it says times ten for 100,000."""
    processes = {
        name: cluster.process(name).pid for name in ("redis", "gateway", *(f"s{n}/a" for n in range(1, SHARDS + 1)))
    }
    with Client(cluster.url, cluster.key) as client:
        for nth in range(STORES):
            client.put_store(f"store-{nth:02d}")
        stores = [body["store"] for body in client.stores()]
        empty = asyncio.run(used_memory(cluster.redis_url))
        before = {name: cpu_s(pid) for name, pid in processes.items()}
        count, packages = read_faces(file, None)
        started, own = time.perf_counter(), time.process_time()
        sent = list(send_all(client, packages, stores, create_stores=False))
        if not all(one.visible for one in sent):  # some replica was more than FACEGRID_SHARD_TIMEOUT_S behind
            while sum(replica["rows"] for shard in client.shards() for replica in shard["replicas"]) < count:
                time.sleep(0.01)
        took, own = time.perf_counter() - started, time.process_time() - own
    if sum(one.created for one in sent) != count:
        raise RuntimeError("not every face was created")
    spent = {name: 1e6 * (cpu_s(pid) - before[name]) / count for name, pid in processes.items()}
    spent["all shards"] = sum(spent.pop(f"s{n}/a") for n in range(1, SHARDS + 1))
    spent["this client"] = 1e6 * own / count
    grown = (asyncio.run(used_memory(cluster.redis_url)) - empty) / count
    return [
        (f"in bulk, {count:,} faces of {STORES} stores", f"{count / took:,.0f} faces/s, {took:.1f} s"),
        ("… beside bare Redis", f"{count / took / bare:.2f}"),
        ("… CPU a face", ", ".join(f"{name} {us:.0f} µs" for name, us in spent.items())),
        ("… bytes a face in Redis", f"{grown:,.0f} (a row is 512)"),
    ]


async def one_by_one(cluster: LocalCluster) -> list[tuple[str, str]]:
    rows = []
    for clients, seed in ((1, 10), (CLIENTS, 11)):
        bodies = [
            request(f"/v1/stores/store-{n % STORES:02d}/faces", row.tobytes())
            for n, row in enumerate(unit(seed, 20_000))
        ]
        told = await load(cluster.port, bodies, clients, b'"visible":true', seconds=SINGLES_S)
        if told.failures:
            raise RuntimeError(f"an enrolment failed: {told.answer!r}")
        times = f"p50 {told.p50_ms:.1f} ms, p99 {told.p99_ms:.1f} ms"
        rows.append((f"one by one, {clients} clients", f"{told.per_second:,.0f} faces/s, {times}"))
    return rows


async def bare_writes(url: str, rows: Vectors) -> float:
    """Records a second that Redis writes to disk where a client only pipelines HSET, nothing else is kept of a face,
    and nobody reads."""
    puts = [_put(n, row) for n, row in enumerate(rows)]
    redis = connect(url, timeout_s=60)

    async def writer(first: int) -> None:
        for at in range(first * BARE_BATCH, len(puts), BARE_CONNECTIONS * BARE_BATCH):
            pipe = redis.pipeline(transaction=False)
            for put in puts[at : at + BARE_BATCH]:
                pipe.hset("bare", put.face_id, put.record)
            await pipe.execute()

    started = time.perf_counter()
    await asyncio.gather(*(writer(first) for first in range(BARE_CONNECTIONS)))
    took = time.perf_counter() - started
    await redis.delete("bare")
    await redis.aclose()
    return len(puts) / took


def _put(number: int, row: Vectors) -> Put:
    record = FaceRecord(row, DLIB_SPACE, Kind.VISITOR, 1.7e9, 1.7e9, templates=1)
    return Put(f"{number:032x}", record.pack(), pack_vectors(row), ABSENT)


async def used_memory(url: str) -> int:
    redis = connect(url, timeout_s=60)
    info: Any = await redis.info("memory")
    await redis.aclose()
    return int(info["used_memory"])


if __name__ == "__main__":
    main()
