"""Searches through the gateway: at home, everywhere, in batches, beside writes, and what more processes bring.

Yardsticks and what stands beside them take turns, and a ratio is the median of the turns' ratios: other work on the
machine then weighs on both.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from statistics import median

import httpx

from deploy.local.children import start_child
from deploy.local.cluster import LocalCluster
from deploy.local.embedded_redis import free_port
from tests.bench.faces import Faces
from tests.bench.filled import Layout
from tests.bench.in_process import InProcess
from tests.bench.load import Measured, load
from tests.bench.processes import cpu_s
from tests.bench.questions import BATCH, MATCH, enrolments, everywhere, routed
from tests.bench.report import Line, Report, middle

AT_HOME = "at home, through the gateway"
EVERYWHERE = "strangers: missed at home, then searched for everywhere"
TURNS = 3
AT_HOME_TURNS = 7
"""more of them: one turn's ratio may be a tenth off, as the scheduler places the processes on few cores"""
TURN_S = 2.0
"""of one load in one turn"""
OPEN_CLIENTS = 64
"""of an open loop: so many that a request hardly ever waits for a connection"""
INGEST_RATE = 200
HALF_S = 6.0
KEPT_UP = 0.9
"""of the requests that were due, in the time from the first to the last answer"""


@dataclass(frozen=True, slots=True)
class Loads:
    """Prepared once, sent again and again."""

    home: list[bytes]
    home_batches: list[bytes]
    strangers: list[bytes]
    stranger_batches: list[bytes]

    @classmethod
    def of(cls, faces: Faces, layout: Layout) -> Loads:
        return cls(*routed(faces, layout), *everywhere(faces, layout))


@dataclass(frozen=True, slots=True)
class Served:
    """A cluster that answers, and what it is asked."""

    port: int
    loads: Loads
    clients: int
    processes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """what they are → their process ids"""

    @classmethod
    def by(cls, cluster: LocalCluster, loads: Loads, clients: int, shards: int) -> Served:
        names = {"gateway": ["gateway"], "shards": [f"s{1 + nth}/a" for nth in range(shards)]}
        pids = {what: [cluster.process(name).pid for name in those] for what, those in names.items()}
        return cls(cluster.port, loads, clients, pids)

    async def home(self, clients: int = 0, seconds: float = TURN_S) -> Measured:
        return await load(self.port, self.loads.home, clients or self.clients, MATCH, seconds=seconds)

    async def home_batches(self) -> Measured:
        """`per_second` counts batches."""
        return await load(self.port, self.loads.home_batches, self.clients, MATCH, times=BATCH, seconds=TURN_S)

    async def strangers(self) -> Measured:
        return await load(self.port, self.loads.strangers, self.clients, seconds=TURN_S)

    async def stranger_batches(self) -> Measured:
        return await load(self.port, self.loads.stranger_batches, self.clients, seconds=TURN_S)

    async def bare(self, port: int) -> Measured:
        """The bare endpoint, sent what the routed searches send."""
        asked = [b"POST / " + each.partition(b" ")[2].partition(b" ")[2] for each in self.loads.home[:64]]
        return await load(port, asked, self.clients, seconds=TURN_S)

    async def warm(self) -> int:
        """Touch every path once; bytes of a routed search's answer."""
        first = await load(self.port, self.loads.home[:64], 2, MATCH)
        middle([first])
        for requests in (self.loads.strangers[:64], self.loads.home_batches[:8], self.loads.stranger_batches[:8]):
            middle([await load(self.port, requests, 2)])
        return len(first.answer)


def ratio(some: Sequence[Measured], of: Sequence[Measured], times: int = 1) -> float:
    """The median over the turns."""
    return median(times * one.per_second / other.per_second for one, other in zip(some, of, strict=True))


def timed(section: str, what: str, turns: Sequence[Measured], times: int = 1) -> Line:
    """`times` probes a request."""
    told = middle(turns)
    unit = "searches/s" if times == 1 else "probes/s"
    return Line(section, what, times * told.per_second, unit, told.p50_ms, told.p99_ms)


@asynccontextmanager
async def bare_endpoint(size: int) -> AsyncIterator[int]:
    """The port of a bare FastAPI endpoint whose answers have so many bytes."""
    port = free_port()
    child = subprocess.Popen([sys.executable, "-m", "tests.bench.bare", str(port), str(size)])
    try:
        await answering(port)
        yield port
    finally:
        child.kill()
        child.wait()


async def answering(port: int) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def at_home(served: Served, report: Report) -> Measured:
    """Must show 2. The routed searches, for those that build on them."""
    async with bare_endpoint(await served.warm()) as port:
        turns = [
            (await served.bare(port), await served.home(), await served.home_batches()) for _ in range(AT_HOME_TURNS)
        ]
    bare, singles, batches = zip(*turns, strict=True)
    report.add(timed(AT_HOME, f"bare FastAPI endpoint, {served.clients} clients", bare))
    line = timed(AT_HOME, f"search, {served.clients} clients", singles)
    report.add(line.beside(ratio(singles, bare), "bare endpoint", "≥ 0.45"))
    report.add(timed(AT_HOME, "search, 1 client", [await served.home(clients=1)]))
    line = timed(AT_HOME, f"search:batch of {BATCH}, {served.clients} clients", batches, BATCH)
    report.add(line.beside(ratio(batches, singles, BATCH), "singly", "≥ 8"))
    return middle(singles)


async def strangers(served: Served, alone: InProcess, cores: int, report: Report) -> None:
    """Must show 3."""
    turns, yardsticks = [], []
    for _ in range(TURNS):
        yardsticks.append((await alone.ask("search", seconds=TURN_S, block=BATCH, threads=cores))["per_second"])
        turns.append((await served.strangers(), await served.stranger_batches()))
    singles, batches = zip(*turns, strict=True)
    limit = f"ShardIndex in process, {cores} threads, blocks of {BATCH}"
    report.add(Line(EVERYWHERE, limit, median(yardsticks), "probes/s"))
    for what, told, times, wanted in (
        (f"search, {served.clients} clients", singles, 1, ""),
        (f"search:batch of {BATCH}", batches, BATCH, "≥ 0.6"),
    ):
        share = median(times * each.per_second / of for each, of in zip(told, yardsticks, strict=True))
        report.add(timed(EVERYWHERE, what, told, times).beside(share, "in process", wanted))


async def costs(served: Served, report: Report) -> None:
    """Where the CPU goes: what a plan for many machines is made of."""
    section = "CPU"
    for what, send, times in (
        ("search at home", served.home, 1),
        (f"search:batch of {BATCH} at home", served.home_batches, BATCH),
        ("search for a stranger", served.strangers, 1),
        (f"search:batch of {BATCH} strangers", served.stranger_batches, BATCH),
    ):
        before = {name: sum(map(cpu_s, pids)) for name, pids in served.processes.items()}
        told = middle([await send()])
        probes = times * told.per_second * TURN_S
        for name, pids in served.processes.items():
            used = 1e6 * (sum(map(cpu_s, pids)) - before[name]) / probes
            report.add(Line(section, f"{what}, {name}", used, "µs/probe"))
        report.add(Line(section, f"{what}, load generator", told.cpu_us / times, "µs/probe"))


async def half_load(served: Served, faces: Faces, layout: Layout, full: Measured, report: Report) -> None:
    """Must show 5: an open loop at half of what saturates it, while new faces come in."""
    section = f"half of that load, {INGEST_RATE} new faces a second beside it"
    new, offered = enrolments(faces, layout, int(INGEST_RATE * HALF_S)), full.per_second / 2
    searched, enrolled = await asyncio.gather(
        load(served.port, served.loads.home, OPEN_CLIENTS, MATCH, seconds=HALF_S, rate=offered),
        load(served.port, new, OPEN_CLIENTS, rate=INGEST_RATE),
    )
    # Where it cannot keep up, all of them wait alike, and p99 by p50 says nothing.
    kept_up = searched.per_second >= KEPT_UP * offered
    line = timed(section, f"search, {offered:,.0f} offered" + ("" if kept_up else ", OVERLOADED"), [searched])
    report.add(line.beside(searched.p99_ms / searched.p50_ms, "its p50 (p99)", "≤ 5"))
    told = middle([enrolled])
    report.add(Line(section, "enrol, visible everywhere", told.per_second, "faces/s", told.p50_ms, told.p99_ms))


@contextmanager
def another_gateway(redis_url: str) -> Iterator[int]:
    """A second gateway of the same cluster, as a process of its own; its port."""
    port = free_port()
    env = {"FACEGRID_HOST": "127.0.0.1", "FACEGRID_PORT": str(port), "FACEGRID_REDIS_URL": redis_url}
    child = start_child([sys.executable, "-P", "-m", "gateway"], env=os.environ | env)
    try:
        yield port
    finally:
        child.kill()
        child.wait()


async def ready(port: int) -> None:
    """Return once the gateway knows the cluster."""
    async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False) as http:
        while not (await http.get(f"http://127.0.0.1:{port}/readyz")).is_success:
            await asyncio.sleep(0.05)


async def two_gateways(served: Served, redis_url: str, report: Report) -> None:
    """Must show 8, first half: the clients are split."""
    section = "more processes on the same cores"
    with another_gateway(redis_url) as port:
        await answering(port)
        await ready(port)
        other = Served(port, served.loads, served.clients // 2)
        half = Served(served.port, served.loads, served.clients // 2)
        await other.warm()
        turns = [(await served.home(), await asyncio.gather(half.home(), other.home())) for _ in range(TURNS)]
    one, two = [turn[0] for turn in turns], [turn[1] for turn in turns]
    both = [sum(each.per_second for each in pair) for pair in two]
    share = median(each / of.per_second for each, of in zip(both, one, strict=True))
    slower = [middle(side) for side in zip(*two, strict=True)]
    p50, p99 = (max(getattr(each, name) for each in slower) for name in ("p50_ms", "p99_ms"))
    report.add(timed(section, "search, one gateway", one))
    report.add(Line(section, "search, two gateways", median(both), "searches/s", p50, p99).beside(share, "one gateway"))


@dataclass(frozen=True, slots=True)
class OneLook:
    """What a cluster does with the default loads; to compare one with another."""

    home: Measured
    stranger_batches: Measured

    @classmethod
    async def at(cls, served: Served) -> OneLook:
        turns = [(await served.home(), await served.stranger_batches()) for _ in range(TURNS)]
        return cls(*map(middle, zip(*turns, strict=True)))


def shards_compared(three: OneLook, one: OneLook, report: Report) -> None:
    """Must show 8, second half. Not in turns: both cannot be up at once."""
    section = "more processes on the same cores"
    for what, many, few, times in (
        ("search at home", three.home, one.home, 1),
        (f"search:batch of {BATCH} strangers", three.stranger_batches, one.stranger_batches, BATCH),
    ):
        report.add(timed(section, f"{what}, one shard", [few], times))
        line = timed(section, f"{what}, three shards", [many], times)
        report.add(line.beside(many.per_second / few.per_second, "one shard"))
