"""A report as `GET /v1/footfall` answers it, and the same from the truth, in one form: to be compared with `==`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from tests.footfall.traffic import Sighting
from tests.footfall.truth import WINDOW_S, Figures, Visit, by_store, figures, visits_of

CHAIN = "chain"
"""the name under which the figures of the whole group are kept"""
TOTAL = -1
"""instead of the start of a bucket: of the whole range"""

Buckets = dict[int, Figures]
"""start of the bucket, ms → figures; without those in which nothing happened"""


@dataclass(frozen=True, slots=True)
class Report:
    stores: dict[str, Buckets]
    """those without a visit are left out; the chain is CHAIN"""

    def without(self, prefix: str) -> Report:
        """The same with stores that had other names."""
        return Report({store.removeprefix(prefix): buckets for store, buckets in self.stores.items()})

    def total(self, store: str = CHAIN) -> Figures:
        return self.stores.get(store, {}).get(TOTAL, Figures(0, 0, 0, None))

    def differences(self, other: Report) -> list[str]:
        """What this report says otherwise than the other one, a line a figure."""
        lines = []
        for store in sorted(self.stores.keys() | other.stores.keys()):
            here, there = self.stores.get(store, {}), other.stores.get(store, {})
            for start in sorted(here.keys() | there.keys()):
                if here.get(start) != there.get(start):
                    name = "in total" if start == TOTAL else datetime.fromtimestamp(start / 1000, UTC).isoformat()
                    lines.append(f"{store} {name}: {here.get(start)}, not {there.get(start)}")
        return lines


def expected(sightings: Sequence[Sighting], zone: ZoneInfo, first: date, days: int) -> Report:
    """By local day, from the first on, and in total; the sightings are those of one group."""
    midnights = [ms_of(first + timedelta(days=nth), zone) for nth in range(days + 1)]
    visits = visits_of(sightings, WINDOW_S)
    rows = {CHAIN: visits, **by_store(visits)}
    return Report({store: made for store, of in rows.items() if (made := _buckets(of, midnights))})


def _buckets(visits: Sequence[Visit], midnights: Sequence[int]) -> Buckets:
    ranges = {start: (start, end) for start, end in pairwise(midnights)}
    ranges[TOTAL] = (midnights[0], midnights[-1])
    made = {name: figures(visits, _between(*bounds)) for name, bounds in ranges.items()}
    return {name: found for name, found in made.items() if found.pv}


def _between(start: int, end: int) -> Callable[[int], bool]:
    return lambda at_ms: start <= at_ms < end


def ms_of(day: date, zone: ZoneInfo) -> int:
    """Local midnight, Unix ms."""
    return int(1000 * datetime.combine(day, time(), zone).timestamp())


def query(group: str, first: date, days: int) -> dict[str, str]:
    """Of the report that `expected` reckons."""
    return {"group": group, "from": str(first), "to": str(first + timedelta(days=days)), "bucket": "day"}


def read(answer: Mapping[str, Any]) -> Report:
    """Of a group's report by buckets; checks what must hold within every answer."""
    assert answer["exact"], answer
    rows = {row["store"]: row for row in answer["stores"]} | {CHAIN: answer["chain"]}
    return Report({store: buckets for store, row in rows.items() if (buckets := _read_row(row))})


def _read_row(row: Mapping[str, Any]) -> Buckets:
    total, found = row["total"], row["buckets"]
    assert sum(bucket["pv"] for bucket in found) == total["pv"], row
    assert sum(bucket["new"] for bucket in found) == total["new"], row
    assert all(bucket["uv"] == bucket["new"] + bucket["returning"] for bucket in [*found, total]), row
    named = {int(1000 * datetime.fromisoformat(bucket["start"]).timestamp()): bucket for bucket in found}
    return {start: _read_figures(bucket) for start, bucket in [*named.items(), (TOTAL, total)] if bucket["pv"]}


def _read_figures(bucket: Mapping[str, Any]) -> Figures:
    return Figures(bucket["pv"], bucket["uv"], bucket["new"], bucket["dwell"]["average_s"])


def fetch(url: str, group: str, first: date, days: int) -> Report:
    """What the gateway reports. Raises httpx.HTTPStatusError."""
    return read(_get(url, query(group, first, days)))


def pending(url: str, group: str, first: date, days: int) -> int:
    """How many sightings of these days wait."""
    waiting: int = _get(url, query(group, first, days))["chain"]["provisional"]["pending"]
    return waiting


def _get(url: str, params: dict[str, str]) -> Any:
    return httpx.get(f"{url}/v1/footfall", params=params, timeout=30).raise_for_status().json()
