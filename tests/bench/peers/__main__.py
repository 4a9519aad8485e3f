"""`python -m tests.bench.peers --rows 1e5 --peers hnswlib,pgvector`: others' ways to search the same rows, in a table.

One peer after another, each in a process of its own; one that cannot run says why. Every line is measured beside an
exact scan in its own process and minute (`x flat`), because other work on the machine slows both.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from deploy.local.children import kill_group, start_child
from tests.bench.peers.data import Workload
from tests.bench.peers.registry import ABSENT, named, peers

Result = Mapping[str, Any]
"""driver.Figures as JSON, or {"name", "absent": why}"""


@dataclass(frozen=True, slots=True)
class Run:
    """`seconds` of each load; `limit_s` for one peer altogether; `postgres`: see registry.peers."""

    rows: int
    clients: int = 16
    seconds: float = 5.0
    limit_s: float = 3600.0
    postgres: str = ""


def compare(names: Sequence[str], run: Run) -> Iterator[Result]:
    """The figures of each named peer, as soon as it is done."""
    with tempfile.TemporaryDirectory() as folder:
        Workload.make(run.rows).save(Path(folder))
        for name in names:
            why = absent(name, run.postgres)
            yield {"name": name, "absent": why} if why else _measured(name, Path(folder), run)


def absent(name: str, postgres: str) -> str | None:
    """Why the peer cannot run here; None if it can."""
    if name in ABSENT:
        return ABSENT[name]
    return next(peer.available() for peer in peers(postgres) if peer.name == name)


def _measured(name: str, folder: Path, run: Run) -> Result:
    """A peer that fails, or is killed, must not take the others' figures with it, nor leave files behind."""
    arguments = (name, str(folder), str(run.clients), str(run.seconds), run.postgres)
    log = folder / f"{name}.log"
    command = [sys.executable, "-m", "tests.bench.peers.one", *arguments]
    with log.open("wb") as output:
        process = start_child(command, env={**os.environ, "TMPDIR": str(folder)}, output=output)
        try:
            process.wait(run.limit_s)
        except subprocess.TimeoutExpired:
            return {"name": name, "absent": f"took more than {run.limit_s:.0f} s"}
        finally:
            kill_group(process)
            process.wait()
    if process.returncode:
        return {"name": name, "absent": f"failed: {_last_line(log)}"}
    figures: Result = json.loads((folder / f"{name}.json").read_text())
    return figures


def _last_line(log: Path) -> str:
    return (log.read_text(errors="replace").strip() or "without a word").rpartition("\n")[2]


def table(results: Sequence[Result], title: str) -> Table:
    page = Table(title=title, box=None)
    for heading in ("peer", "set to", "ingest s", "recall", "of strangers"):
        page.add_column(heading)
    for heading in ("over all, a second", "x flat", "in one store, a second", "recall there"):
        page.add_column(heading, justify="right")
    for result in results:
        page.add_row(*_cells(result))
    return page


def _cells(result: Result) -> list[str]:
    if "absent" in result:
        return [result["name"], result["absent"]]
    return [
        result["name"],
        f"{result['knob']} {result['effort']}" if result["knob"] else "",
        f"{result['ingest_s']:.1f}" + (f" + {result['stores_s']:.1f}" if result["stores_s"] >= 0.05 else ""),
        f"{result['recall']:.3f}",
        f"{result['recall_of_strangers']:.3f}",
        f"{result['per_second']:,.0f}",
        f"{result['per_second'] / result['flat_per_second']:.1f}",
        f"{result['per_second_at_home']:,.0f}",
        f"{result['recall_at_home']:.3f}",
    ]


def main() -> None:
    usual = Run(rows=100_000)
    everyone = [*ABSENT, *(peer.name for peer in peers())]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, default=usual.rows)
    parser.add_argument("--peers", default="all", help=f"all, or of {', '.join(everyone)}")
    parser.add_argument("--clients", type=int, default=usual.clients)
    parser.add_argument("--seconds", type=float, default=usual.seconds, help="of each load")
    parser.add_argument("--limit", type=float, default=usual.limit_s, help="seconds for one peer")
    parser.add_argument("--postgres", default="", help="libpq connection string of a server with pgvector")
    parser.add_argument("--out", type=Path, default=Path("build/peers.json"))
    asked = parser.parse_args()
    try:
        names = named(asked.peers, everyone)
    except ValueError as error:
        parser.error(str(error))
    run = Run(int(asked.rows), asked.clients, asked.seconds, asked.limit, asked.postgres)
    results = []
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    for result in compare(names, run):
        results.append(result)
        print(json.dumps(result), file=sys.stderr, flush=True)
        asked.out.write_text(json.dumps({"rows": run.rows, "clients": run.clients, "peers": results}, indent=2) + "\n")
    Console(width=160).print(table(results, f"{run.rows:,} rows, {run.clients} clients"))


if __name__ == "__main__":
    main()
