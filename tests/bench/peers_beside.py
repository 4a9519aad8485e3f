"""What others reach on the same machine in the same run, in the bench's table. `tests.bench.peers` measures them."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Sequence

from tests.bench.filled import Layout
from tests.bench.peers.__main__ import Result, Run, compare
from tests.bench.peers.registry import ABSENT, peers
from tests.bench.peers.registry import named as found
from tests.bench.report import Line, Report
from tests.bench.searches import AT_HOME, EVERYWHERE

NONE = "none"
LEAST_S = 30.0
"""time that a peer needs whatever it holds"""
LOAD_S = 3.0
SECTION = "others, each set to recall 0.99 or what it reaches"


def named(text: str) -> tuple[str, ...]:
    """`none`, `all`, or names. Raises ArgumentTypeError for a name that is none."""
    if text == NONE:
        return ()
    try:
        return tuple(found(text, [*ABSENT, *(peer.name for peer in peers())]))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


async def measure(
    names: Sequence[str], layout: Layout, clients: int, left_s: Callable[[], float], report: Report
) -> None:
    """One after another while there is time."""
    for nth, name in enumerate(names):
        if left_s() < LEAST_S:
            report.leave_out(", ".join(names[nth:]), "the time is over")
            return
        report.say(f"{name} ...")
        run = Run(layout.rows, clients, LOAD_S, left_s())
        for result in await asyncio.to_thread(_results, name, run):
            _add(result, layout.rows, clients, report)


def _results(name: str, run: Run) -> list[Result]:
    return list(compare([name], run))


def _add(told: Result, rows: int, clients: int, report: Report) -> None:
    name = told["name"]
    if "absent" in told:
        report.leave_out(name, told["absent"])
        return
    for what, rate, recall, ours in (
        ("every store", told["per_second"], told["recall"], EVERYWHERE),
        ("one store", told["per_second_at_home"], told["recall_at_home"], AT_HOME),
    ):
        line = Line(SECTION, f"{name}, {what}, recall {recall:.3f}", rate, "searches/s")
        of = report.value(ours, f"search, {clients} clients")
        report.add(line if of is None else line.beside(of / rate, "as many through Facegrid"))
    report.add(Line(SECTION, f"{name}, filled", rows / told["ingest_s"], "faces/s"))
