"""Keeps each group's codes as they should be, beside the searches: builds them, adds fresh rows, builds them again.

    group grows beyond CODED_FROM rows              → build
    more than FRESH_ROWS fresh rows                 → code them, a few milliseconds' worth at a time
    1/8 of the codes dead, or 4 times the rows      → build anew; the old codes serve until the new ones are done
    the group shrinks below half of CODED_FROM      → no codes

A build is a second set of codes that follows all writes from its first row on, so nothing stops for it. Rows are copied
a chunk at a time, between two writes, coded on a thread, and registered if they still are what was coded. Only the
codes exist twice meanwhile, 40 bytes a row, never the rows.

After a build its recall is measured: for CHECKED rows, how often the codes find the nearest other row of a scan.

What runs here on the event loop without waiting cannot meet a write, which runs there too; what runs on the thread and
reads rows does so under the gate.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

import numpy as np

from common.errors import InvalidIndex
from common.types import Vectors
from shard.codes import Codes
from shard.gate import Gate
from shard.group import Group
from shard.nominees import Part, coded
from shard.products import nearest, quick_scores, use_one_openmp_thread
from shard.recipe import Recipe, Recipes
from shard.rows import NOBODY, Rows, Slots
from shard.shard_index import ShardIndex

FRESH_ROWS = 256
"""scanned row by row with every probe, 30 to 80 ns each, until they are coded together"""
SAMPLE = 65_536
"""rows trained on at most"""
CHUNK = 2048
"""rows copied at once: 1 MB, less than a millisecond of the event loop"""
WRITE_S = 0.003
"""how long searches wait while fresh rows are added to the codes that serve"""
DEAD, GROWN = 8, 4
CHECKED = 100
CHECKED_AT_ONCE = 10
LEAST_RECALL = 0.99
SCANNED_AT_ONCE = 8192
"""rows scanned at once for the recall: 10 ms for which a writer may have to wait"""
SAME = 1e-5
"""quick scores of one row and probe differ by less"""
RETRY_S = 1.0
"""after a defect"""

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger("facegrid.shard.coder")


class Coder:
    """`wait` says whether to leave it for later: while stores are loaded, codes would be built again and again."""

    def __init__(
        self, index: ShardIndex, gate: Gate, recipes: Recipes, wait: Callable[[], bool] = lambda: False
    ) -> None:
        self._index = index
        self._gate = gate
        self._recipes = recipes
        self._wait = wait
        self._thread = ThreadPoolExecutor(1, "coder", initializer=use_one_openmp_thread)
        self._dice = np.random.default_rng()

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._index.written.wait()
            self._index.written.clear()
            if self._wait():
                continue
            try:
                await self.settle()
            # Whatever it is: a coder that ended would leave codes behind that nobody keeps up.
            except Exception as error:
                log.error("The codes could not be kept up", exc_info=error)
                await asyncio.sleep(RETRY_S)
                self._index.written.set()

    async def settle(self) -> None:
        """Do what is due now."""
        for group in self._index.groups:
            recipe = self._due(group)
            if recipe is not None:
                await self._build(group, recipe)
            elif group.codes is not None and self._recipes.of(2 * group.rows.count, group.dimension) is None:
                await self._swap(group, None)
            await self._catch_up(group)

    def _due(self, group: Group) -> Recipe | None:
        """What to build, if anything is to be built."""
        rows, codes = group.rows.count, group.codes
        recipe = self._recipes.of(rows, group.dimension)
        if codes is None:
            return None if rows < 2 * group.given_up_at else recipe
        if codes.dead(group.rows) > len(codes) // DEAD or rows >= GROWN * codes.rows_then:
            return recipe
        near = codes.rows_then // 2 < rows < 2 * codes.rows_then
        return None if near or recipe == codes.recipe else recipe

    async def _build(self, group: Group, recipe: Recipe) -> None:
        started, rows = time.monotonic(), group.rows
        try:
            codes = await self._on_thread(Codes, recipe, await self._sample(rows), rows.count)
            await self._fill(rows, codes)
        except (RuntimeError, InvalidIndex) as error:
            log.error("Group %s gets no codes %s at %d rows: %s", group.name, recipe.spec, rows.count, error)
            group.given_up_at = rows.count
            return
        await self._swap(group, codes)
        took = time.monotonic() - started
        group.recall = await self._recall(group)
        say = log.info if group.recall >= LEAST_RECALL else log.warning
        spec = codes.suited.spec
        say("Group %s: %d codes %s in %.1f s, recall %.3f", group.name, len(codes), spec, took, group.recall)

    async def _swap(self, group: Group, codes: Codes | None) -> None:
        async with self._gate.writing():
            old, group.codes = group.codes, codes
        group.recall = None
        if old is not None:
            group.rows.watchers.remove(old)

    async def _sample(self, rows: Rows) -> Vectors:
        async with self._gate.searching():
            return await self._on_thread(self._some, rows, SAMPLE)

    def _some(self, rows: Rows, count: int) -> Vectors:
        slots = np.flatnonzero(rows.owners != NOBODY)
        few = np.sort(self._dice.choice(slots, min(count, len(slots)), replace=False, shuffle=False))
        sample: Vectors = rows.vectors[few]
        return sample

    async def _fill(self, rows: Rows, codes: Codes) -> None:
        """Let the codes follow the rows, and code all but a few; what is written meanwhile too."""
        codes.follow(rows)
        try:
            while len(fresh := codes.fresh(rows)) > FRESH_ROWS:
                for at in range(0, len(fresh), CHUNK):
                    slots = fresh[at : at + CHUNK]
                    slots = slots[slots < len(rows.owners)]
                    vectors = rows.vectors[slots]
                    await self._on_thread(codes.add, vectors)
                    codes.register(slots, vectors, rows)
        except (RuntimeError, asyncio.CancelledError):
            rows.watchers.remove(codes)
            raise

    async def _catch_up(self, group: Group) -> None:
        """Add fresh rows to the codes that serve, as many at once as searches can wait for."""
        rows, at_once = group.rows, FRESH_ROWS
        while (codes := group.codes) is not None and len(codes.fresh(rows)) > FRESH_ROWS:
            async with self._gate.writing():
                started = time.perf_counter()
                slots = codes.fresh(rows)[:at_once]
                vectors = rows.vectors[slots]
                codes.add(vectors)
                codes.register(slots, vectors, rows)
                took = time.perf_counter() - started
            at_once = max(1, min(CHUNK, int(at_once * WRITE_S / took)))

    async def _recall(self, group: Group) -> float:
        """How often the codes find the nearest other row of CHECKED rows, or one that is as near."""
        rows = group.rows
        slots = np.flatnonzero(rows.owners != NOBODY)
        slots = self._dice.choice(slots, min(CHECKED, len(slots)), replace=False)
        probes, nearest_other = rows.vectors[slots], np.full(len(slots), -np.inf, dtype=np.float32)
        for start in range(0, rows.end, SCANNED_AT_ONCE):
            async with self._gate.searching():
                scores, found = await self._on_thread(nearest, probes, rows.between(start, start + SCANNED_AT_ONCE), 2)
            scores[found + start == slots[:, None]] = -np.inf
            np.maximum(nearest_other, scores.max(axis=1), out=nearest_other)
        hits = 0
        for at in range(0, len(slots), CHECKED_AT_ONCE):
            here = slice(at, at + CHECKED_AT_ONCE)
            async with self._gate.searching():
                scores = await self._on_thread(best_others, group, probes[here], slots[here])
            hits += int(np.count_nonzero(scores >= nearest_other[here] - SAME))
        return hits / max(1, len(slots))

    async def _on_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(work, *args, **kwargs))


def best_others(group: Group, probes: Vectors, own: Slots) -> Vectors:
    """The best quick score (q,) of each probe that the codes find outside of its own slot."""
    slots = coded(Part.of(group, group.present), probes, None, 2)
    if slots is None:
        return np.full(len(probes), np.inf, dtype=np.float32)
    scores = quick_scores(probes, group.rows.vectors, np.where(slots == own[:, None], -1, slots))
    best: Vectors = scores.max(axis=1)
    return best
