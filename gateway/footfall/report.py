"""A report: who came to a store, or to each store of a group and to all of them together.

Days whose visits are kept are reckoned from them, exactly. Older ones come from the daily roll-ups: what adds up is
exact there too, different persons are estimated by unions of HyperLogLogs (Redis makes them), and the answer says so.
A rolled-up day is whole: it counts in the bucket in which its middle lies, which matters only where the report's time
zone is not the store's.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import hypot
from zoneinfo import ZoneInfo

from common.cluster_map import StoreConfig
from common.errors import InvalidRequest, UnknownStore
from common.rollups import HLL_ERROR
from gateway.footfall.calendar import Bucket, Span, buckets, isoformat, local, midnight, span_of, zone_of
from gateway.footfall.figures import Distinct, Figures, combined, exactly
from gateway.footfall.provisional import Provisional, provisional
from gateway.footfall.reckon import People, Table, Tally, numbered, overlap, reckon
from gateway.footfall.sources import Source, Sources
from gateway.view import ClusterView

MAX_ROWS = 100_000
"""stores times buckets"""
READ_AT_ONCE = 4
"""stores: each takes up to three connections, of which a gateway has a hundred"""
MAX_ESTIMATED_OVERLAP = 50
"""stores: every pair is a union of its own, where the overlap has to be estimated"""


@dataclass(frozen=True, slots=True)
class Asked:
    """`store` or `group`; times as texts, see `calendar.moment`; None: the default."""

    store: str | None = None
    group: str | None = None
    first: str | None = None
    last: str | None = None
    bucket: Bucket | None = None
    timezone: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    store: str | None
    """None: all stores of the group together, where a person counts once"""
    total: Figures
    buckets: list[Figures]
    rejected: dict[str, int]
    provisional: Provisional


@dataclass(frozen=True, slots=True)
class Shared:
    store: str
    other: str
    visitors: int
    """persons who were at both"""
    error: int | None
    """standard error, where it is an estimate"""


@dataclass(frozen=True, slots=True)
class Report:
    span: Span
    zone: ZoneInfo
    bucket: Bucket | None
    group: str | None
    stores: list[Row]
    chain: Row | None
    overlap: list[Shared] | None
    """None: not of a group, or of too many stores to estimate it"""

    @property
    def exact(self) -> bool:
        return all(row.total.exact for row in self.stores)


class Reporter:
    def __init__(self, view: ClusterView, sources: Sources) -> None:
        self._view = view
        self._sources = sources

    async def report(self, asked: Asked, now_ms: int) -> Report:
        """Raises InvalidRequest, UnknownStore, TruthUnavailable."""
        stores = await self._stores(asked)
        zone = _zone(asked.timezone, stores)
        span = span_of(asked.first, asked.last, zone, now_ms)
        spans = [] if asked.bucket is None else buckets(span, asked.bucket, zone)
        if len(spans) * len(stores) > MAX_ROWS:
            raise InvalidRequest(f"At most {MAX_ROWS} rows a report.", field="bucket", limit=MAX_ROWS)
        sources = await self._read(stores, span)
        for source in sources:
            _check_kept(source, span, asked.bucket, zone)
        rows = [await self._row(source.kept.store.store, [source], span, spans) for source in sources]
        if asked.group is None:
            return Report(span, zone, asked.bucket, None, rows, None, None)
        chain = await self._row(None, sources, span, spans)
        return Report(span, zone, asked.bucket, asked.group, rows, chain, await self._overlap(sources, span))

    async def _stores(self, asked: Asked) -> list[StoreConfig]:
        if (asked.store is None) == (asked.group is None):
            raise InvalidRequest("Name either a store or a group.", field="store")
        if asked.store is not None:
            return [await self._view.store(asked.store)]
        found = [
            config for _, config in sorted((await self._view.known_stores()).items()) if config.group == asked.group
        ]
        if not found:
            raise UnknownStore(f"No store belongs to group {asked.group}.", field="group")
        return found

    async def _read(self, stores: Sequence[StoreConfig], span: Span) -> list[Source]:
        limit = asyncio.Semaphore(READ_AT_ONCE)

        async def read(store: StoreConfig) -> Source:
            async with limit:
                return await self._sources.read(store, span)

        return await asyncio.gather(*(read(store) for store in stores))

    async def _row(self, store: str | None, sources: Sequence[Source], span: Span, spans: Sequence[Span]) -> Row:
        # On a thread: a month of a large chain takes seconds, in which searches must go on.
        (whole,), tallies = await asyncio.to_thread(_tallies, sources, [[span], spans], chain=store is None)
        total = await self._figures(sources, span, whole, chain=store is None)
        rejected: Counter[str] = Counter()
        for source in sources:
            rejected.update(source.rejected)
        return Row(
            store=store,
            total=total,
            buckets=[
                await self._figures(sources, one, tally, chain=store is None)
                for one, tally in zip(spans, tallies, strict=True)
            ],
            rejected=dict(sorted(rejected.items())),
            provisional=provisional(total, [source.waiting for source in sources]),
        )

    async def _figures(self, sources: Sequence[Source], span: Span, tally: Tally, *, chain: bool) -> Figures:
        days = [day for source in sources for day in source.rolled_in(span)]
        if not days:
            return exactly(span, tally)
        unions = [await self._sources.union(source, span) for source in sources]
        everybody = list(range(len(unions)))
        (persons,) = await self._sources.count([union.persons for union in unions], [everybody])
        (members,) = await self._sources.count([union.members for union in unions], [everybody])
        return combined(span, tally, days, Distinct(persons, members), chain=chain)

    async def _overlap(self, sources: Sequence[Source], span: Span) -> list[Shared] | None:
        names = [source.kept.store.store for source in sources]
        if not any(source.rolled for source in sources):
            came = {name: source.kept.came(span) for name, source in zip(names, sources, strict=True)}
            return [Shared(*pair, visitors, None) for pair, visitors in overlap(came).items()]
        if len(sources) > MAX_ESTIMATED_OVERLAP:
            return None
        sketches = [(await self._sources.union(source, span)).persons for source in sources]
        pairs = list(combinations(range(len(names)), 2))
        alone = await self._sources.count(sketches, [[at] for at in range(len(names))])
        together = await self._sources.count(sketches, pairs)
        found = (
            _shared((names[one], names[other]), (alone[one], alone[other], union))
            for (one, other), union in zip(pairs, together, strict=True)
        )
        return [shared for shared in found if shared is not None]


def _shared(stores: tuple[str, str], counts: tuple[int, int, int]) -> Shared | None:
    """Of two stores and both together, by inclusion and exclusion; None where no more is seen than the error."""
    one, other, union = counts
    visitors, error = one + other - union, round(HLL_ERROR * hypot(*counts))
    return Shared(*stores, visitors, error) if visitors > error else None


def _zone(name: str | None, stores: Sequence[StoreConfig]) -> ZoneInfo:
    if name is not None:
        return zone_of(name)
    zones = sorted({store.timezone for store in stores})
    if len(zones) > 1:
        detail = f"The stores are in {len(zones)} time zones: name the one whose days the report shall have."
        raise InvalidRequest(detail, field="timezone", limit=zones)
    return zone_of(zones[0])


def _check_kept(source: Source, span: Span, bucket: Bucket | None, zone: ZoneInfo) -> None:
    """Raises InvalidRequest where a rolled-up day would have to be divided."""
    if not source.rolled:
        return
    until_ms, store = source.head.until_ms, source.kept.store.store
    limit = isoformat(until_ms, zone)
    if bucket is Bucket.HOUR:
        detail = f"Hours of store {store} are known from {limit} on; older days only as a whole."
        raise InvalidRequest(detail, field="bucket", limit=limit)
    for field, at_ms in (("from", span.start), ("to", span.end)):
        if at_ms < until_ms and midnight(local(at_ms, zone).date(), zone) != at_ms:
            detail = f"Days of store {store} before {limit} are known only as a whole: {field} must be a date there."
            raise InvalidRequest(detail, field=field, limit=limit)


def _tallies(sources: Sequence[Source], wanted: Sequence[Sequence[Span]], *, chain: bool) -> list[list[Tally]]:
    """The visits that are kept, of all these stores together, in each of the lists of spans."""
    numbers = numbered([source.kept.visits for source in sources])
    firsts: dict[str, int] = {}
    for source in sources:
        firsts |= _first_in_group(source) if chain else source.kept.firsts
    members = {name for source in sources for name in source.kept.members}
    people = People.of(numbers, firsts, members)
    table = Table.together([Table.of(s.kept.visits, numbers, s.kept.span.start) for s in sources])
    return [reckon(table, people, spans) if spans else [] for spans in wanted]


def _first_in_group(source: Source) -> dict[str, int]:
    return {name: at for name, at in source.kept.firsts.items() if name in source.kept.new_in_group}
