"""A Redis full of people, and clusters that stand on it one after another.

The faces are written by the ledger, as gateways do it, but before any shard runs: every cluster then begins with a
load, and several of them (three shards, one shard) show the same faces.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from redis.asyncio import Redis

from common.cluster_map import ClusterMap, StoreConfig
from common.ledger import Committed, Ledger, Put
from common.records import FaceRecord, pack_vectors
from common.truth import connect
from common.types import DLIB_SPACE, Kind, Vectors
from deploy.local.cluster import LocalCluster
from deploy.local.embedded_redis import free_port, start_embedded_redis
from tests.bench.faces import PHOTOS, Faces
from tests.bench.processes import quiet

T = TypeVar("T")
ROWS_SEED = 10
COMMIT = 500
"""faces of one commit"""
AT_ONCE = 8
"""commits under way: one fsync serves all of them"""


@dataclass(frozen=True, slots=True)
class Layout:
    """`rows` people over `stores` stores, a contiguous part each; store n is on shard 1 + n % shards."""

    rows: int
    stores: int

    @property
    def each(self) -> int:
        return self.rows // self.stores

    def home(self, number: int) -> str:
        """The store of a row."""
        return store_name(min(number // self.each, self.stores - 1))

    def runs(self) -> Iterator[tuple[str, range]]:
        """(store, numbers of its rows)."""
        for nth in range(self.stores):
            end = self.rows if nth == self.stores - 1 else (nth + 1) * self.each
            yield store_name(nth), range(nth * self.each, end)


def store_name(nth: int) -> str:
    return f"store-{nth}"


def face_id(number: int) -> str:
    """As long as those that the gateway makes up."""
    return f"{number:032x}"


class Truth:
    """The embedded server with its append-only file under `folder`, every write on disk before it is answered."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        port = free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        self.process = start_embedded_redis(folder / "redis", port)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Redis]:
        async with connect(self.url, timeout_s=60) as redis:
            yield redis

    async def used(self) -> int:
        """Bytes that the data takes."""
        async with self.connected() as redis:
            info: Any = await redis.info("memory")
            return int(info["used_memory"])

    async def fill(self, faces: Faces, layout: Layout, shards: int) -> None:
        async with self.connected() as redis:
            told, ledger = ClusterMap(redis), Ledger(redis)
            new = [StoreConfig(store_name(nth), f"s{1 + nth % shards}") for nth in range(layout.stores)]
            stores = {config.store: config for config in await _all(told.create(config) for config in new)}
            commits = Commits()
            runs = layout.runs()
            store, numbers = next(runs)
            at = 0
            for block in faces.blocks(layout.rows, ROWS_SEED):
                first, end = at, at + len(block)
                while at < end:
                    if at == numbers.stop:
                        store, numbers = next(runs)
                    until = min(end, numbers.stop, at + COMMIT)
                    puts = [put(number, block[number - first]) for number in range(at, until)]
                    await commits.start(ledger.commit(store, stores[store].incarnation, puts=puts))
                    at = until
            await commits.done()

    async def place(self, shards: int) -> None:
        """Say in the map, while no gateway and no shard runs, that there are so many shards."""
        async with self.connected() as redis:
            told = ClusterMap(redis)
            stores = sorted((await told.stores()).values(), key=lambda config: int(config.store.rpartition("-")[2]))
            wanted = [replace(config, shard=f"s{1 + nth % shards}") for nth, config in enumerate(stores)]
            await _all(told.update(config, new) for config, new in zip(stores, wanted, strict=True))

    @asynccontextmanager
    async def cluster(self, shards: int) -> AsyncIterator[LocalCluster]:
        """All is loaded and built. No encoders: they would take memory and no part in what is measured."""
        os.environ["FACEGRID_ENCODER_WORKERS"] = "0"
        with LocalCluster(self._folder / "data", shards=shards, port=free_port(), redis_url=self.url) as cluster:
            await quiet([cluster.process(f"s{1 + nth}/a").pid for nth in range(shards)])
            yield cluster


def put(number: int, row: Vectors) -> Put:
    record = FaceRecord(row, DLIB_SPACE, Kind.VISITOR, 1.7e9, 1.7e9, 1, photos=PHOTOS)
    return Put(face_id(number), record.pack(), pack_vectors(row))


class Commits:
    """At most AT_ONCE of them under way."""

    def __init__(self) -> None:
        self._busy: set[asyncio.Task[Committed]] = set()

    async def start(self, commit: Coroutine[None, None, Committed]) -> None:
        self._busy.add(asyncio.create_task(commit))
        if len(self._busy) >= AT_ONCE:
            await self._wait(asyncio.FIRST_COMPLETED)

    async def done(self) -> None:
        if self._busy:
            await self._wait(asyncio.ALL_COMPLETED)

    async def _wait(self, until: str) -> None:
        done, self._busy = await asyncio.wait(self._busy, return_when=until)
        for task in done:
            task.result()


async def _all(work: Iterable[Awaitable[T]]) -> list[T]:
    """The results in order; a connection's share of them at once."""
    results: list[T] = []
    waiting = iter(work)
    while part := list(islice(waiting, 64)):
        results += await asyncio.gather(*part)
    return results
