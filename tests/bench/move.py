"""`python -m tests.bench.move`: a large store moves between shards under load; no search fails, none misses a face.

Every answer is checked: clients search known faces at home and by fan-out, and one enrols and looks for what it has
just enrolled, from before the move until after it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import numpy as np
from rich.console import Console
from rich.table import Table

from common.cluster_map import ClusterMap
from common.ledger import Ledger, Put
from common.records import FaceRecord, pack_vectors
from common.truth import connect
from common.types import DLIB_SPACE, Kind, Vectors
from deploy.local.cluster import LocalCluster
from deploy.local.embedded_redis import free_port
from tests.bench.faces import unit

BATCH = 1000
STORE, NEIGHBOUR = "moved", "neighbour"
POLL_S = 0.05


@dataclass
class Tally:
    """What the clients of one kind saw while the store moved."""

    times: list[float] = field(default_factory=list)
    failed: int = 0
    missed: int = 0
    inconclusive: int = 0
    first_trouble: str = ""

    def note(self, seconds: float, status: int, body: bytes, wanted: str) -> None:
        self.times.append(seconds)
        if status != 200:
            self.failed += 1
        else:
            result = json.loads(body)["results"][0]
            if result["verdict"] == "match" and result["candidates"][0]["face_id"] == wanted:
                return
            self.inconclusive += result["verdict"] == "inconclusive"
            self.missed += result["verdict"] != "inconclusive"
        self.first_trouble = self.first_trouble or body[:300].decode()

    def percentile(self, share: float) -> float:
        """Milliseconds."""
        return 1000 * sorted(self.times)[int(share * (len(self.times) - 1))] if self.times else 0.0


@dataclass(frozen=True)
class Result:
    faces: int
    seconds: float
    """from the order to the source having dropped the store"""
    tallies: dict[str, Tally]

    @property
    def troubles(self) -> int:
        return sum(tally.failed + tally.missed + tally.inconclusive for tally in self.tallies.values())


async def fill(cluster: LocalCluster, rows: Vectors) -> None:
    """Straight to the truth, as gateways would, in batches."""
    async with connect(cluster.redis_url, timeout_s=30) as redis:
        stores = await ClusterMap(redis).stores()
        ledger = Ledger(redis)
        for first in range(0, len(rows), BATCH):
            puts = [_put(f"f{first + at}", row) for at, row in enumerate(rows[first : first + BATCH])]
            await ledger.commit(STORE, stores[STORE].incarnation, puts=puts)


def _put(face_id: str, row: Vectors) -> Put:
    return Put(face_id, FaceRecord(row, DLIB_SPACE, Kind.VISITOR, 1.0, 1.0, 1).pack(), pack_vectors(row))


class Clients:
    """Searches and enrolments without a pause, until `ended`."""

    def __init__(self, http: aiohttp.ClientSession, rows: Vectors) -> None:
        self._http = http
        self._rows = rows
        self.ended = asyncio.Event()
        self.tallies = {"search at home": Tally(), "search by fan-out": Tally(), "enrol, then search": Tally()}

    async def search(self, what: str, home: str, seed: int) -> None:
        random = np.random.default_rng(seed)
        while not self.ended.is_set():
            at = int(random.integers(len(self._rows)))
            await self._look(what, home, self._rows[at], f"f{at}")

    async def enrol(self) -> None:
        fresh = unit(77, 100_000)
        for at, row in enumerate(fresh):
            if self.ended.is_set():
                return
            async with self._post(f"/v1/stores/{STORE}/faces?face_id=new{at}", row) as answer:
                created = answer.status == 201
            if not created:
                self.tallies["enrol, then search"].failed += 1
            await self._look("enrol, then search", STORE, row, f"new{at}")

    async def _look(self, what: str, home: str, row: Vectors, wanted: str) -> None:
        started = time.perf_counter()
        async with self._post(f"/v1/stores/{home}/search", row) as answer:
            body = await answer.read()
        self.tallies[what].note(time.perf_counter() - started, answer.status, body, wanted)

    @asynccontextmanager
    async def _post(self, path: str, row: Vectors) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Content-Type": "application/octet-stream"}
        async with self._http.post(path, data=row.tobytes(), headers=headers) as answer:
            yield answer


async def measure(cluster: LocalCluster, faces: int, target: str = "s2") -> Result:
    rows = unit(1, faces)
    async with aiohttp.ClientSession(cluster.url) as http:
        for store, shard in ((STORE, "s1"), (NEIGHBOUR, "s2")):
            (await http.put(f"/v1/stores/{store}", json={"shard": shard})).raise_for_status()
        await fill(cluster, rows)
        await _served(http, "s1", faces)
        clients = Clients(http, rows)
        working = [
            asyncio.create_task(clients.search("search at home", STORE, 1)),
            asyncio.create_task(clients.search("search by fan-out", NEIGHBOUR, 2)),
            asyncio.create_task(clients.search("search by fan-out", NEIGHBOUR, 3)),
            asyncio.create_task(clients.enrol()),
        ]
        started = time.monotonic()
        (await http.post(f"/v1/stores/{STORE}/move", json={"shard": target})).raise_for_status()
        while await _move(http) is not None:
            await asyncio.sleep(POLL_S)
        await _served(http, "s1", 0)
        seconds = time.monotonic() - started
        clients.ended.set()
        await asyncio.gather(*working)
        async with http.get(f"/v1/stores/{STORE}") as answer:
            assert (await answer.json())["shard"] == target, "the move was given up"
    return Result(faces, seconds, clients.tallies)


async def _move(http: aiohttp.ClientSession) -> object:
    async with http.get(f"/v1/stores/{STORE}") as answer:
        return (await answer.json())["move"]


async def _served(http: aiohttp.ClientSession, shard: str, rows: int) -> None:
    """Return once the shard serves exactly so many rows."""
    async with asyncio.timeout(300):
        while True:
            async with http.get("/v1/shards") as answer:
                found = {body["shard"]: body["rows"] for body in (await answer.json())["shards"]}
            if found.get(shard) == rows:
                return
            await asyncio.sleep(POLL_S)


def report(result: Result) -> Table:
    title = f"{result.faces:,} faces moved in {result.seconds:.1f} s, under load"
    table = Table("what", "requests", "failed", "missed", "inconclusive", "p50 ms", "p99 ms", title=title, box=None)
    for what, tally in result.tallies.items():
        counts = (len(tally.times), tally.failed, tally.missed, tally.inconclusive)
        table.add_row(
            what, *(f"{n:,}" for n in counts), f"{tally.percentile(0.5):.1f}", f"{tally.percentile(0.99):.1f}"
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=100_000)
    faces = parser.parse_args().faces
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(Path(folder) / "data", shards=2, port=free_port()) as cluster,
    ):
        result = asyncio.run(measure(cluster, faces))
    Console().print(report(result))
    for what, tally in result.tallies.items():
        if tally.first_trouble:
            Console().print(f"{what}: {tally.first_trouble}")
    raise SystemExit(1 if result.troubles else 0)


if __name__ == "__main__":
    main()
