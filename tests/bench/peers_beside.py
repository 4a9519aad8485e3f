"""What others reach on the same machine in the same run, in the bench's table. `tests.bench.peers` measures them.

Facegrid is among them, with the same rows and probes and a client like the others': that is their yardstick.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.local.children import kill_group, start_child
from tests.bench.filled import Layout
from tests.bench.peers.__main__ import Result
from tests.bench.peers.registry import ABSENT, peers
from tests.bench.peers.registry import named as found
from tests.bench.report import Line, Report

NONE, OURS = "none", "facegrid"
LOAD_S = 3.0
POLL_S = 0.5
SECTION = "others, each set to recall 0.99 or the best it reaches"


def named(text: str) -> tuple[str, ...]:
    """`none`, `all`, or names. Raises ArgumentTypeError for a name that is none."""
    if text == NONE:
        return ()
    try:
        chosen = found(text, [*ABSENT, *(peer.name for peer in peers())])
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return tuple(dict.fromkeys([OURS, *chosen]))


async def measure(names: Sequence[str], layout: Layout, clients: int, left_s: float, report: Report) -> None:
    """One after another until the time is over; those that have no figures by then are left out."""
    report.say(f"{', '.join(names)} ...")
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "peers.json"
        with _started(names, layout, clients, out) as child:
            ends = asyncio.get_running_loop().time() + left_s
            running = True
            while running and asyncio.get_running_loop().time() < ends:
                running = child.poll() is None  # what it wrote before it ended is read below
                for result in _told(out)[len(results) :]:
                    results.append(result)
                    report.say(f"{result['name']} is done")
                await asyncio.sleep(POLL_S)
    ours = next((result for result in results if result["name"] == OURS), {})
    for result in results:
        _add(result, ours, layout.rows, report)
    shown = {result["name"] for result in results}
    if missing := [name for name in names if name not in shown]:
        report.leave_out(", ".join(missing), "the time was over" if running else "the comparison failed")


@contextmanager
def _started(names: Sequence[str], layout: Layout, clients: int, out: Path) -> Iterator[subprocess.Popen[bytes]]:
    arguments = {"--rows": layout.rows, "--clients": clients, "--seconds": LOAD_S, "--out": out}
    words = [str(word) for pair in arguments.items() for word in pair]
    child = start_child([sys.executable, "-m", "tests.bench.peers", "--peers", ",".join(names), *words])
    try:
        yield child
    finally:
        kill_group(child)
        child.wait()


def _told(out: Path) -> list[Result]:
    """What is written so far; a file that is just being written is read the next time."""
    try:
        results: list[Result] = json.loads(out.read_text())["peers"]
    except (FileNotFoundError, json.JSONDecodeError):
        return []
    return results


def _add(told: Result, ours: Result, rows: int, report: Report) -> None:
    name = told["name"]
    if "absent" in told:
        report.leave_out(name, told["absent"])
        return
    for what, key, recall in (
        ("every store", "per_second", "recall"),
        ("one store", "per_second_at_home", "recall_at_home"),
    ):
        line = Line(SECTION, f"{name}, {what}, recall {told[recall]:.3f}", told[key], "searches/s")
        report.add(_beside(line, ours.get(key), name))
    line = Line(SECTION, f"{name}, filled", rows / told["ingest_s"], "faces/s")
    report.add(_beside(line, rows / ours["ingest_s"] if "ingest_s" in ours else None, name))


def _beside(line: Line, ours: float | None, name: str) -> Line:
    return line if ours is None or name == OURS else line.beside(line.value / ours, OURS)
