"""All that a report reads of one store: visits, rolled-up days, what waits, what was rejected."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from common.cluster_map import StoreConfig
from common.intervals import DAY_MS
from common.pending import Pending
from common.rollups import Day, Head, Rollups, Union
from common.visits import Visits, window_ms
from gateway.footfall.calendar import Span, local
from gateway.footfall.provisional import Waiting
from gateway.footfall.reading import Reader, StoreVisits
from gateway.footfall.rollup import came


@dataclass(frozen=True, slots=True)
class Source:
    head: Head
    kept: StoreVisits
    """visits from `head` on"""
    lasting: dict[str, str]
    """of members who made them: see `Reader.lasting`; only where there are `rolled` days"""
    rolled: Sequence[Day]
    """before it; those that the range touches"""
    noted: Sequence[Day]
    """after it"""
    waiting: Waiting
    rejected: dict[str, int]
    """faces by reason"""

    def rolled_in(self, span: Span) -> list[Day]:
        return [day for day in self.rolled if day.middle_ms in span]


class Sources:
    def __init__(self, visits: Visits, pending: Pending, rollups: Rollups, reader: Reader) -> None:
        self._visits = visits
        self._pending = pending
        self._rollups = rollups
        self._reader = reader

    async def read(self, store: StoreConfig, span: Span) -> Source:
        """Raises TruthUnavailable."""
        name = store.store
        dates = _local_dates(span, ZoneInfo(store.timezone))
        head, days = await self._rollups.days(name, dates)
        while True:
            kept, times, rejections = await asyncio.gather(
                self._reader.read(store, Span(max(span.start, head.until_ms), span.end)),
                self._pending.times(name),
                self._visits.rejections(name),
            )
            before = head
            head, days = await self._rollups.days(name, dates)
            if head == before:  # else visits may have been dropped while they were read
                break
        rolled = [day for day in days.values() if day.sums is not None and day.touches(*span)]
        return Source(
            head=head,
            kept=kept,
            lasting=await self._reader.lasting(kept) if rolled else {},
            rolled=rolled,
            noted=[day for day in days.values() if day.sums is None and day.start_ms >= head.until_ms],
            waiting=Waiting(times, window_ms(store)),
            rejected=_rejected(rejections, span),
        )

    async def union(self, source: Source, span: Span) -> Union:
        """The persons of a span, as HyperLogLogs. Raises TruthUnavailable."""
        noted = [day for day in source.noted if day.start_ms >= span.start and day.end_ms <= span.end]
        dates = [day.date for day in (*source.rolled_in(span), *noted)]
        return await self._rollups.union(source.kept.store.store, dates, came(source.kept, span, noted, source.lasting))

    async def count(self, sketches: Sequence[bytes], groups: Sequence[Sequence[int]]) -> list[int]:
        """As `Rollups.count`."""
        return await self._rollups.count(sketches, groups)


def _local_dates(span: Span, zone: ZoneInfo) -> list[str]:
    """Of the store; a date more at either side, for days that began by another clock."""
    first, last = local(span.start - DAY_MS, zone).date(), local(span.end + DAY_MS, zone).date()
    return [(first + timedelta(days=nth)).isoformat() for nth in range((last - first).days + 1)]


def _rejected(rejections: dict[str, int], span: Span) -> dict[str, int]:
    """By reason, of the hours (UTC) that begin in the span."""
    found: Counter[str] = Counter()
    for name, count in rejections.items():
        hour, _, reason = name.partition(" ")
        begin = int(datetime.fromisoformat(f"{hour}:00").replace(tzinfo=UTC).timestamp()) * 1000
        if begin in span:
            found[reason] += count
    return dict(sorted(found.items()))
