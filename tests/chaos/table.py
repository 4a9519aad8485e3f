"""The table at the end."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from tests.chaos.record import PROMISES, Record, Weather

SHOWN = 5
"""broken promises printed of each kind"""


def show(record: Record, people: int, faces: int) -> int:
    """Print what happened; 1 if a promise was broken, else 0."""
    console = Console(width=120, highlight=False)
    console.print(counts(record, people, faces))
    console.print(times(record))
    for promise, broken in record.broken.items():
        for why in broken[:SHOWN]:
            console.print(f"{promise}: {why}", markup=False)
    return 1 if any(record.broken.values()) else 0


def counts(record: Record, people: int, faces: int) -> Table:
    table = Table("what", "number", "of which", box=None)
    table.add_row("faults", str(record.faults.total()), listed(record.faults))
    table.add_row("requests", f"{record.requests.total():,}", listed(record.requests))
    table.add_row("errors", str(record.errors.total()), listed(record.errors))
    table.add_row("inconclusive", str(record.inconclusive), "allowed only while coverage was broken")
    table.add_row("older than acknowledged", str(record.older), "allowed where min_version was not sent")
    table.add_row("people, faces", f"{people:,}, {faces:,}", "")
    for promise in PROMISES:
        broken = len(record.broken[promise])
        table.add_row(promise, str(broken), "must be 0" if broken == 0 else "BROKEN: must be 0")
    return table


def listed(counted: dict[str, int]) -> str:
    return ", ".join(f"{what} {number:,}" for what, number in sorted(counted.items(), key=lambda one: -one[1]))


def times(record: Record) -> Table:
    table = Table("p50 / p99 in ms (answers)", *Weather, box=None)
    for what in sorted(record.requests):
        table.add_row(what, *(cell(record, what, weather) for weather in Weather))
    return table


def cell(record: Record, what: str, weather: Weather) -> str:
    median, slowest = (record.quantile_ms(what, weather, quantile) for quantile in (0.5, 0.99))
    if median is None or slowest is None:
        return "–"
    return f"{median:.1f} / {slowest:.1f} ({record.answered(what, weather):,})"
