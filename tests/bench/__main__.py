"""`make bench`: every hot path beside its yardstick, in one run of at most ten minutes, as one table and as JSON.

Ratios are what travels between machines; rates are for this one, with the load generator on the same cores. The people
are invented, their embeddings spread as real ones (`faces`). A section that would not end in time is left out, and the
table says so. `--rows` above a million are for what needs no cluster: truth and replicas of ten million would not fit a
small machine; the cluster then gets a million.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from tests.bench import ingest_rates, peers_beside
from tests.bench.faces import Faces
from tests.bench.filled import Layout, Truth
from tests.bench.in_process import InProcess
from tests.bench.photo_searches import photos
from tests.bench.replica_alone import Replica, measured, report_loaded
from tests.bench.report import Line, Report
from tests.bench.searches import (
    Loads,
    OneLook,
    Served,
    at_home,
    costs,
    half_load,
    shards_compared,
    strangers,
    two_gateways,
)

LIMIT_S = 600.0
SHARDS = 3
CLUSTER_ROWS = 1_000_000
STORE_ROWS = 1000
"""faces of a store, where --stores does not say otherwise"""
FLAT_S, INDEX_S = 3.0, 2.0
BLOCKS = (1, 8, 64)
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Profile:
    rows: int
    stores: int
    clients: int
    peers: tuple[str, ...]

    @property
    def served(self) -> Layout:
        rows = min(self.rows, CLUSTER_ROWS)
        return Layout(rows, min(self.stores, rows))


class Bench:
    def __init__(self, profile: Profile, report: Report) -> None:
        self.profile = profile
        self.report = report
        self.faces = Faces.load()
        self._ends = time.monotonic() + LIMIT_S

    def fits(self, section: str, fixed_s: float, per_million_s: float = 0.0) -> bool:
        """Whether there is time for a section that takes about so long; if not, the report says so."""
        needs = fixed_s + per_million_s * self.profile.served.rows / 1e6
        left = self._ends - time.monotonic()
        if left < needs:
            self.report.leave_out(section, f"it takes about {needs:.0f} s, {max(0, left):.0f} s are left")
        return left >= needs

    def left_s(self) -> float:
        return self._ends - time.monotonic()

    async def run(self) -> None:
        try:
            async with asyncio.timeout(LIMIT_S) as limit:
                await self.sections()
        except TimeoutError:
            if not limit.expired():
                raise
            self.report.leave_out("what would have come next", f"{LIMIT_S:.0f} s were over")

    async def sections(self) -> None:
        layout = self.profile.served
        if self.profile.rows > layout.rows:
            async with InProcess.started(Layout(self.profile.rows, self.profile.stores)) as alone:
                await self.in_process(alone, self.profile.rows)
        with tempfile.TemporaryDirectory() as folder:
            async with InProcess.started(layout) as alone:
                if self.profile.rows == layout.rows:
                    await self.in_process(alone, layout.rows)
                await self.on_a_cluster(Path(folder), alone)
            if self.fits("photos", 20):
                await photos(Path(folder), CORES, self.report)
        await self.peers()

    async def in_process(self, alone: InProcess, rows: int) -> None:
        """Must show 1."""
        self.report.say(f"{rows:,} rows are drawn and indexed ...")
        section = f"in process, {rows:,} rows, one core, CPU time"
        flat = (await alone.ask("flat", seconds=FLAT_S))["per_second"]
        self.report.add(Line(section, "exact, flat, one probe at a time", flat, "probes/s"))
        for block in BLOCKS:
            told = await alone.ask("search", seconds=INDEX_S, block=block, threads=1)
            line = Line(section, f"ShardIndex, {block} at a time", told["per_second"], "probes/s")
            self.report.add(line.beside(told["per_second"] / flat, "exact", "≥ 15" if block == 1 else ""))
        told = await alone.ask("recall")
        for name, wanted in (("all", "≥ 0.998"), ("strangers", ""), ("passing", "≥ 0.9995")):
            line = Line(section, f"recall@1, {name}", told[name], "")
            self.report.add(line.beside(told[name], "exact", wanted))
        self.report.add(Line(section, "ShardIndex built", rows / told["built_s"], "faces/s"))

    async def on_a_cluster(self, folder: Path, alone: InProcess) -> None:
        layout, truth = self.profile.served, Truth(folder)
        try:
            empty, before = await measured(truth, "s9"), await truth.used()
            self.report.say(f"{layout.rows:,} faces are written to {layout.stores:,} stores ...")
            await truth.fill(self.faces, layout, shards=1)
            await self.replica_alone(truth, empty, before)
            await truth.place(SHARDS)
            await self.on_three_shards(truth, alone)
        finally:
            truth.close()

    async def replica_alone(self, truth: Truth, empty: Replica, before: int) -> None:
        if self.fits("one replica with all of it, restarted", 10, 30):
            report_loaded(
                self.report, self.profile.served.rows, empty, await measured(truth), await truth.used() - before
            )

    async def on_three_shards(self, truth: Truth, alone: InProcess) -> None:
        layout, report, loads = self.profile.served, self.report, Loads.of(self.faces, self.profile.served)
        compare = self.fits("one shard instead of three", 150, 30)
        async with truth.cluster(SHARDS) as cluster:
            served = Served.by(cluster, loads, self.profile.clients, SHARDS)
            full = await at_home(served, report)
            if self.fits("strangers", 30):
                await strangers(served, alone, CORES, report)
            if self.fits("CPU", 15):
                await costs(served, report)
            if self.fits("half of that load", 15):
                await half_load(served, self.faces, layout, full, report)
            if self.fits("two gateways", 25):
                await two_gateways(served, truth.url, report)
            three = await OneLook.at(served) if compare else None
            if self.fits("ingest", 40):
                await ingest_rates.measure(cluster.port, truth, self.faces, layout, self.profile.clients, report)
        if three is not None and self.fits("one shard instead of three", 30, 30):
            await truth.place(1)
            async with truth.cluster(1) as cluster:
                served = Served.by(cluster, loads, self.profile.clients, 1)
                await served.warm()
                shards_compared(three, await OneLook.at(served), report)

    async def peers(self) -> None:
        if self.profile.peers:
            profile = self.profile
            await peers_beside.measure(profile.peers, profile.served, profile.clients, self.left_s(), self.report)


def _number(text: str) -> int:
    """1e6 as well as 1000000."""
    return int(float(text))


def chosen(arguments: Sequence[str] | None = None) -> tuple[Profile, Path]:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rows", type=_number, default=100_000, help="enrolled people, such as 1e6")
    parser.add_argument("--stores", type=_number, help="stores they are spread over; default: one for each 1,000")
    parser.add_argument("--clients", type=int, default=16, help="connections that search at once")
    parser.add_argument(
        "--peers",
        type=peers_beside.named,
        default=(),
        help="all, none, or names as python -m tests.bench.peers --help has",
    )
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"), help="where the figures go as JSON")
    told = parser.parse_args(arguments)
    stores = told.stores or max(1, told.rows // STORE_ROWS)
    return Profile(told.rows, stores, told.clients, told.peers), told.out


def main() -> None:
    profile, out = chosen()
    console = Console(width=None if Console().is_terminal else 140)
    report = Report(console, wanted=profile.rows >= CLUSTER_ROWS)
    started = time.monotonic()
    asyncio.run(Bench(profile, report).run())
    took = time.monotonic() - started
    layout = profile.served
    title = (
        f"{layout.rows:,} faces in {layout.stores:,} stores, {SHARDS} shards, {profile.clients} clients, {CORES} cores "
        f"with the load generator; {took:.0f} s"
    )
    console.print("", report.table(title))
    for section, why in report.left_out.items():
        console.print(f"Left out: {section}; {why}.")
    report.write(out, {"rows": profile.rows, "stores": layout.stores, "clients": profile.clients, "seconds": took})
    console.print(f"Figures: {out}")


if __name__ == "__main__":
    main()
