"""`python -m tests.bench.index`: the index of one replica in process, on one core, against exact flat search.

Rows and probes are generated (`tests.bench.faces`): half of the probes are photos of strangers, half of people who are
enrolled. All times are CPU times of the one thread that searches, so that other processes disturb them less. Flat
search is `faiss.knn` over one array of all rows, one probe at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from common.types import DLIB_SPACE, Vectors
from common.wire import Query, SearchCall
from shard.coder import Coder
from shard.gallery import Gallery
from shard.gate import Gate
from shard.products import nearest, use_one_openmp_thread
from shard.recipe import Recipes
from shard.shard_index import ServedStore, ShardIndex
from tests.bench.faces import Faces

STRONG = 0.9535
"""passes the threshold of a thousand rows at 1% FPIR"""
BLOCK = 1 << 16
FLAT_PROBES = 30
SAME = 1e-6


@dataclass(frozen=True, slots=True)
class Way:
    """One way to search, and what came out."""

    way: str
    ms_a_probe: float
    times_flat: float
    recall: float
    recall_strong: float
    """among probes whose best score is at least STRONG"""


def filled(faces: Faces, rows: int, each: int) -> ShardIndex:
    index, store = ShardIndex(), 0
    left = np.empty((0, faces.dimension), dtype=np.float32)
    for block in faces.blocks(rows, seed=1):
        left = np.concatenate([left, block])
        while len(left) >= each:
            gallery = Gallery(faces.dimension)
            gallery.put([f"{store:08x}{nth:024x}" for nth in range(each)], left[:each])
            index.install(f"S{store}", ServedStore("i", DLIB_SPACE, gallery, each))
            left, store = left[each:], store + 1
    return index


async def coded(index: ShardIndex, recipes: Recipes) -> float:
    """Build the codes; CPU seconds of it, the recall measured with it."""
    coder, before = Coder(index, Gate(), recipes), time.process_time()
    await coder.settle()
    coder.close()
    return time.process_time() - before


def measured(index: ShardIndex, probes: Vectors, best: Vectors, block: int, flat_ms: float) -> Way:
    stores, found = dict.fromkeys(index, "i"), []
    started = time.thread_time()
    for at in range(0, len(probes), block):
        (reply,) = index.answer(SearchCall(DLIB_SPACE, (Query(stores, probes[at : at + block], 1),), 60_000))
        found += [hits[0].score for hits in reply.candidates]
    ms = 1000 * (time.thread_time() - started) / len(probes)
    hit = np.array(found) >= best - SAME
    strong = best >= STRONG
    way = f"ShardIndex, {'one at a time' if block == 1 else f'{block} together'}"
    return Way(way, ms, flat_ms / ms, float(hit.mean()), float(hit[strong].mean()))


def at_home(index: ShardIndex, probes: Vectors, together: int) -> float:
    """Microseconds a home search, of so many different stores in one call."""
    stores, started, count = list(index), time.thread_time(), 0
    for at in range(0, len(probes), together):
        queries = [
            Query({stores[(97 * nth) % len(stores)]: "i"}, probes[nth : nth + 1], 5)
            for nth in range(at, min(at + together, len(probes)))
        ]
        count += len(index.answer(SearchCall(DLIB_SPACE, tuple(queries), 60_000)))
    return 1e6 * (time.thread_time() - started) / count


def timed(work: Callable[[], object]) -> float:
    started = time.thread_time()
    work()
    return time.thread_time() - started


def run(rows: int, each: int, count: int, recipes: Recipes) -> tuple[dict[str, object], list[Way]]:
    use_one_openmp_thread()
    faces = Faces.load()
    index = filled(faces, rows, each)
    known = faces.known(np.random.default_rng(2).integers(0, rows, count // 2), seed=1, again=3)
    probes = np.concatenate([faces.strangers(count - len(known), seed=4), known])
    build_s = asyncio.run(coded(index, recipes))
    (group,) = index.groups
    flat = group.rows.between(0, group.rows.end)
    flat_s = timed(lambda: [nearest(probe[None], flat, 1) for probe in probes[:FLAT_PROBES]])
    flat_ms = 1000 * flat_s / FLAT_PROBES
    best = np.concatenate([nearest(probes[at : at + 64], flat, 1)[0][:, 0] for at in range(0, count, 64)])
    ways = [Way("exact flat, one at a time", flat_ms, 1.0, 1.0, 1.0)]
    ways += [measured(index, probes, best, block, flat_ms) for block in (1, 8, 64)]
    home = {f"{together} a call": at_home(index, probes, together) for together in (1, 16)}
    result = {
        "rows": rows,
        "stores": len(index),
        "index": asdict(group.view),
        "build_cpu_s": build_s,
        "ways": [asdict(way) for way in ways],
        "home_search_us": home,
    }
    return result, ways


def show(result: dict[str, object], ways: list[Way], console: Console) -> None:
    table = Table("way", "ms a probe", "times flat", "recall@1", f"recall@1 of scores >= {STRONG}", box=None)
    for way in ways:
        table.add_row(
            way.way,
            f"{way.ms_a_probe:.3f}",
            f"{way.times_flat:.1f}",
            f"{way.recall:.4f}",
            f"{way.recall_strong:.4f}",
        )
    console.print(table)
    console.print({name: value for name, value in result.items() if name != "ways"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=float, default=1e6)
    parser.add_argument("--each", type=int, default=1000, help="rows a store")
    parser.add_argument("--probes", type=int, default=2000)
    parser.add_argument("--spec", default="auto", help="as FACEGRID_INDEX")
    parser.add_argument("--parameters", default="", help="as FACEGRID_INDEX_PARAMETERS")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    chosen = parser.parse_args()
    result, ways = run(int(chosen.rows), chosen.each, chosen.probes, Recipes(chosen.spec, chosen.parameters))
    show(result, ways, Console())
    if chosen.json:
        chosen.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
