"""The same rows in one process, without a wire: exact search, and the ShardIndex that a replica has.

It is the yardstick of everything that goes through the cluster, so it waits in a process of its own between the
turns: `InProcess` starts it (`python -m tests.bench.in_process ROWS STORES`) and asks it by lines of JSON, which it
answers in the same way. Nothing of it runs while others are measured.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import faiss
import numpy as np

from common.types import DLIB_SPACE, Vectors
from common.wire import Query, SearchCall
from shard.gallery import Gallery
from shard.recipe import Recipes
from shard.shard_index import ServedStore, ShardIndex
from tests.bench.faces import Faces
from tests.bench.filled import ROWS_SEED, Layout, face_id
from tests.bench.index import coded

PROBES = 1000
"""the first half strangers, the others enrolled"""
STRANGERS_SEED, AGAIN, DICE = 20, 30, 40
TOP_K = 5
"""as a search asks by default"""
PASSES = 0.9535
"""the score that two strangers reach once in 100,000 times: the threshold of a store of a thousand rows"""
SCANNED_FOR_ALL, FEWER = 2_000_000, 5
"""beyond so many rows the exact answer takes minutes: one of five probes is asked about then"""
INCARNATION = "1"


@dataclass(frozen=True, slots=True)
class Probes:
    strangers: Vectors
    known: Vectors
    numbers: list[int]
    """of the rows whose people the known ones are"""

    @classmethod
    def of(cls, faces: Faces, rows: int, count: int = PROBES) -> Probes:
        numbers = np.random.default_rng(DICE).integers(rows, size=count // 2)
        known = faces.known(numbers, ROWS_SEED, AGAIN)
        return cls(faces.strangers(count // 2, STRANGERS_SEED), known, numbers.tolist())


class Rows:
    """The rows as one array and as a ShardIndex."""

    def __init__(self, layout: Layout) -> None:
        faces = Faces.load()
        probes = Probes.of(faces, layout.rows)
        self.strangers, self.both = probes.strangers, np.concatenate([probes.strangers, probes.known])
        self.rows = faces.rows(layout.rows, ROWS_SEED)
        started = time.perf_counter()
        self.index = index_of(layout, self.rows)
        self.built_s = time.perf_counter() - started
        self.stores = dict.fromkeys((store for store, _ in layout.runs()), INCARNATION)

    def flat(self, seconds: float) -> dict[str, float]:
        """Exact searches in a second of CPU time, one probe at a time."""
        faiss.omp_set_num_threads(1)
        probes = cycle(self.strangers)

        def one() -> int:
            faiss.knn(next(probes)[None], self.rows, TOP_K, metric=faiss.METRIC_INNER_PRODUCT)
            return 1

        return {"per_second": _rate(seconds, one, time.thread_time)}

    def search(self, seconds: float, block: int, threads: int) -> dict[str, float]:
        """Strangers through the ShardIndex, `block` probes a call: one thread's in a second of its CPU time, those of
        several threads in a second."""
        clock = time.thread_time if threads == 1 else time.perf_counter

        starts = cycle(range(0, len(self.strangers) - block + 1, block))

        def one() -> int:
            at = next(starts)
            return len(self._answer(self.strangers[at : at + block]))

        with ThreadPoolExecutor(threads) as pool:
            rates = [pool.submit(_rate, seconds, one, clock) for _ in range(threads)]
        return {"per_second": sum(rate.result() for rate in rates)}

    def recall(self) -> dict[str, float]:
        """Shares of the probes whose best row is the exact best: of strangers, of the known, of those that pass."""
        probes = self.both[:: 1 if len(self.rows) <= SCANNED_FOR_ALL else FEWER]
        faiss.omp_set_num_threads(2)
        scores, found = faiss.knn(probes, self.rows, 1, metric=faiss.METRIC_INNER_PRODUCT)
        blocks = [self._answer(probes[at : at + 8]) for at in range(0, len(probes), 8)]
        right = np.concatenate(blocks) == found[:, 0]
        half = len(probes) // 2
        told = {
            "strangers": right[:half],
            "known": right[half:],
            "passing": right[scores[:, 0] >= PASSES],
            "all": right,
        }
        return {name: float(each.mean()) for name, each in told.items()} | {"built_s": self.built_s}

    def _answer(self, probes: Vectors) -> list[int]:
        """The number of the best row of each probe."""
        faiss.omp_set_num_threads(1)
        (reply,) = self.index.answer(SearchCall(DLIB_SPACE, (Query(self.stores, probes, TOP_K),), 10_000))
        return [int(candidates[0].face_id, 16) for candidates in reply.candidates]


def index_of(layout: Layout, rows: Vectors) -> ShardIndex:
    """As a replica has it once its codes are built."""
    index = ShardIndex()
    for store, numbers in layout.runs():
        gallery = Gallery(rows.shape[1])
        gallery.put([face_id(number) for number in numbers], rows[numbers.start : numbers.stop])
        index.install(store, ServedStore(INCARNATION, DLIB_SPACE, gallery, 1))
    asyncio.run(coded(index, Recipes()))
    return index


def _rate(seconds: float, work: Callable[[], int], clock: Callable[[], float]) -> float:
    """What `work` does in a second of the clock; it says how much it did."""
    work()  # first touches
    done, started, ends = 0, clock(), time.perf_counter() + seconds
    while time.perf_counter() < ends:
        done += work()
    return done / (clock() - started)


class InProcess:
    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self._child = child

    @classmethod
    @asynccontextmanager
    async def started(cls, layout: Layout) -> AsyncIterator[InProcess]:
        command = [sys.executable, "-m", "tests.bench.in_process", str(layout.rows), str(layout.stores)]
        child = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            yield cls(child)
        finally:
            if child.returncode is None:
                child.kill()
            await child.wait()

    async def ask(self, what: str, **arguments: float) -> dict[str, float]:
        """`what`: flat, search or recall, of Rows. Raises RuntimeError if the process has ended."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps({"what": what, **arguments}).encode() + b"\n")
        line = await self._child.stdout.readline()
        if not line:
            raise RuntimeError("The process that searches without a cluster has ended.")
        told: dict[str, float] = json.loads(line)
        return told


def _asked() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


def main() -> None:
    rows = Rows(Layout(*map(int, sys.argv[1:3])))
    for asked in _asked():
        print(json.dumps(getattr(rows, asked.pop("what"))(**asked)), flush=True)


if __name__ == "__main__":
    main()
