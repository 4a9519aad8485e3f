"""`python -m tests.bench.scaling`: how cost grows with rows, stores, shards and clients, as a picture.

Four panels, measured one after another and kept in `deploy/bench/scaling.json` as they are done: the command goes on
with those that are missing, and `--panels` measures the named ones again. `deploy/bench/scaling.png` is drawn from that
file. All of it takes about ten minutes on two cores, the load generator among it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.bench.faces import Faces
from tests.bench.filled import Layout, Truth
from tests.bench.in_process import InProcess
from tests.bench.questions import BATCH
from tests.bench.report import machine, middle
from tests.bench.scaling_plot import draw
from tests.bench.searches import Loads, Served

FOLDER = Path(__file__).parents[2] / "deploy/bench"
FIGURES, PICTURE = FOLDER / "scaling.json", FOLDER / "scaling.png"
ROWS = (10_000, 100_000, 1_000_000, 10_000_000)
STORES = (1, 10, 100, 1000, 10_000)
SHARDS = (1, 2, 4, 8)
CLIENTS = (1, 2, 4, 8, 16, 32, 64)
SERVED_ROWS = 200_000
"""behind the panels of stores, shards and clients"""
SERVED_STORES, SERVED_SHARDS, SERVED_CLIENTS = 200, 3, 16
ALONE_S = 3.0
BYTES_A_ROW = 1300
"""of the process that searches alone: the rows, the index's own rows, its codes and names, and what building takes"""

Point = dict[str, float]


async def rows(say: Callable[[str], None]) -> list[Point]:
    """In process, one core; stops where the memory of the machine ends."""
    points = []
    for count in ROWS:
        if BYTES_A_ROW * count > _memory_left():
            say(f"{count:,} rows would need {BYTES_A_ROW * count / 1e9:.0f} GB")
            break
        async with InProcess.started(Layout(count, max(1, count // 1000))) as alone:
            flat = (await alone.ask("flat", seconds=ALONE_S))["per_second"]
            singly, blocks = [
                (await alone.ask("search", seconds=ALONE_S, block=block, threads=1))["per_second"]
                for block in (1, BATCH)
            ]
            recall = (await alone.ask("recall"))["strangers"]
        points.append({"rows": count, "flat": flat, "singly": singly, "blocks": blocks, "recall": recall})
        say(f"{count:,} rows: {_told(points[-1])}")
    return points


async def stores(say: Callable[[str], None]) -> list[Point]:
    points = []
    for count in STORES:
        async with _served(Layout(SERVED_ROWS, count), SERVED_SHARDS) as served:
            points.append({"stores": count, **await _look(served)})
        say(f"{count:,} stores: {_told(points[-1])}")
    return points


async def shards(say: Callable[[str], None]) -> list[Point]:
    points = []
    for count in SHARDS:
        async with _served(Layout(SERVED_ROWS, SERVED_STORES), count) as served:
            points.append({"shards": count, **await _look(served)})
        say(f"{count} shards: {_told(points[-1])}")
    return points


async def clients(say: Callable[[str], None]) -> list[Point]:
    points = []
    async with _served(Layout(SERVED_ROWS, SERVED_STORES), SERVED_SHARDS) as served:
        for count in CLIENTS:
            told = middle([await served.home(clients=count)])
            points.append({"clients": count, "home": told.per_second, "p50_ms": told.p50_ms, "p99_ms": told.p99_ms})
            say(f"{count} clients: {_told(points[-1])}")
    return points


PANELS: dict[str, Callable[[Callable[[str], None]], Awaitable[list[Point]]]] = {
    "rows": rows,
    "stores": stores,
    "shards": shards,
    "clients": clients,
}


@asynccontextmanager
async def _served(layout: Layout, shards: int) -> AsyncIterator[Served]:
    with tempfile.TemporaryDirectory() as folder:
        truth, faces = Truth(Path(folder)), Faces.load()
        try:
            await truth.fill(faces, layout, shards)
            async with truth.cluster(shards) as cluster:
                served = Served.by(cluster, Loads.of(faces, layout), SERVED_CLIENTS, shards)
                await served.warm()
                yield served
        finally:
            truth.close()


async def _look(served: Served) -> Point:
    """Searches a second of both kinds, and probes a second in batches."""
    home, strangers = middle([await served.home()]), middle([await served.strangers()])
    batches, stranger_batches = middle([await served.home_batches()]), middle([await served.stranger_batches()])
    return {
        "home": home.per_second,
        "home_batches": BATCH * batches.per_second,
        "strangers": strangers.per_second,
        "stranger_batches": BATCH * stranger_batches.per_second,
    }


def _memory_left() -> float:
    """Bytes; where the system does not tell, enough for a million rows."""
    told = Path("/proc/meminfo")
    lines = told.read_text().splitlines() if told.exists() else []
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), 4e9)


def _told(point: Point) -> str:
    return ", ".join(f"{name} {value:,.4g}" for name, value in point.items())


def kept() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FIGURES.read_text()) if FIGURES.exists() else {"panels": {}}
    return found


async def measure(names: Sequence[str]) -> None:
    for name in names:
        points = await PANELS[name](print)
        told = kept()
        told["machine"] = machine()
        told["behind"] = {"rows": SERVED_ROWS, "stores": SERVED_STORES, "shards": SERVED_SHARDS}
        told["panels"][name] = points
        FOLDER.mkdir(exist_ok=True)
        FIGURES.write_text(json.dumps(told, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scaling", description=__doc__)
    parser.add_argument("--panels", nargs="+", choices=list(PANELS), help="measured again; default: what is missing")
    asked = parser.parse_args().panels
    os.environ["FACEGRID_ENCODER_WORKERS"] = "0"
    asyncio.run(measure(asked or [name for name in PANELS if name not in kept()["panels"]]))
    draw(kept(), PICTURE)
    print(f"{PICTURE.relative_to(FOLDER.parents[1])} and {FIGURES.name}")


if __name__ == "__main__":
    main()
