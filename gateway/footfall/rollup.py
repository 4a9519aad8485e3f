"""Keeps the figures of days whose visits are too old to be kept, and drops those visits. The leader's work.

A local day of a store is rolled up once nothing can change it any more: sightings of it are refused by then
(FACEGRID_VISIT_DAYS), and so are those of the day after, into which its last visits run; and none that was accepted
waits to be resolved. What is written and why in two steps: `common.rollups`. Days follow one another without gaps or
overlaps, also where a store's time zone is changed: the next day begins where the last one ended.

Killed between any two steps, the next turn goes on; two leaders at a time do no harm.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from common.cluster_map import StoreConfig
from common.intervals import DAY_MS
from common.pending import Pending
from common.rollups import Came, Day, Head, Rollups
from common.visits import Visits, midnight_ms, utc_date
from gateway.duty import in_turns
from gateway.footfall.calendar import Span, local, midnight
from gateway.footfall.figures import sums_of
from gateway.footfall.identity import ANONYMOUS
from gateway.footfall.reading import Reader, StoreVisits
from gateway.footfall.reckon import People, Table, Tally, numbered, reckon
from gateway.view import ClusterView

NOTE_AFTER_MS = DAY_MS
"""by then the cameras' late sightings are in, nearly always; those that come later are added with the roll-up"""
DAYS_A_TURN = 20
PAUSE_S = 60.0

log = logging.getLogger("facegrid.footfall")


def days_after(head: Head, first_date: str, zone: ZoneInfo, until_ms: int) -> Iterator[Day]:
    """The local days that ended by `until_ms`, from where the roll-up has come to; `first_date`: the first UTC date
    with visits, before which there is nothing to write down."""
    start = max(head.until_ms, midnight_ms(first_date))
    day = local(start, zone).date()
    if head.day and day <= (last := date.fromisoformat(head.day)):
        day = last + timedelta(days=1)
    else:
        start = max(head.until_ms, midnight(day, zone))
    while (end := midnight(day + timedelta(days=1), zone)) <= until_ms:
        if end > start:
            yield Day(day.isoformat(), start, end)
            start = end
        day += timedelta(days=1)


def came(visits: StoreVisits, span: Span, noted: Iterable[Day], lasting: Mapping[str, str]) -> Came:
    """Whom to add to the HyperLogLogs for visits that start in `span`: everybody, but of days that are noted not those
    whose face was erased since. They are noted under the name they had. Members by the names in `lasting`, or who is
    made one would count twice: in days written down before, and in those after."""
    days = [Span(day.start_ms, day.end_ms) for day in noted]
    found = {
        name
        for name, made in visits.visits.items()
        if any(
            start in span and not (name.startswith(ANONYMOUS) and any(start in day for day in days))
            for start, _ in made
        )
    }
    members = {lasting.get(name, name) for name in found & visits.members}
    return Came(members | (found - visits.members), members)


def tally_of(visits: StoreVisits, span: Span) -> Tally:
    numbers = numbered([visits.visits])
    people = People.of(numbers, visits.firsts, visits.members)
    (tally,) = reckon(Table.of(visits.visits, numbers, span.start), people, [span])
    return tally


class RollUp:
    def __init__(self, view: ClusterView, reader: Reader, truths: tuple[Visits, Pending, Rollups], days: int) -> None:
        """`days`: FACEGRID_VISIT_DAYS."""
        self._view = view
        self._reader = reader
        self._visits, self._pending, self._rollups = truths
        self._kept_ms = days * DAY_MS

    async def run(self, leading: Callable[[], bool]) -> None:
        """Take turns while this gateway leads, until cancelled."""

        async def turn() -> float:
            return 0.1 if await self.turn() else PAUSE_S

        await in_turns("Rolling up days", turn, leading, PAUSE_S)

    async def turn(self, now_ms: int | None = None) -> int:
        """Write a bounded number of days, over all stores; how many. 0: nothing is due. Raises TruthUnavailable."""
        now = int(time.time() * 1000) if now_ms is None else now_ms
        written = 0
        for store in list(self._view.stores.values()):
            if written >= DAYS_A_TURN:
                break
            written += await self._store(store, now, DAYS_A_TURN - written)
        return written

    async def _store(self, store: StoreConfig, now_ms: int, most: int) -> int:
        dates = await self._visits.dates(store.store)
        if not dates:
            return 0
        head, _ = await self._rollups.days(store.store, [])
        days = list(days_after(head, min(dates), ZoneInfo(store.timezone), now_ms - NOTE_AFTER_MS))
        _, noted = await self._rollups.days(store.store, [day.date for day in days])
        written = 0
        for day in (await self._final(store, days, now_ms))[:most]:
            following = await self._roll(store, head, day, noted.get(day.date))
            if following is None:
                return written
            head, written = following, written + 1
        new = [day for day in days if day.date not in noted and day.start_ms >= head.until_ms]
        for day in new[: most - written]:
            written += await self._note(store, head, day)
        await self._drop(store, head, dates)
        return written

    async def _final(self, store: StoreConfig, days: Iterable[Day], now_ms: int) -> list[Day]:
        """Those of the days that nothing can change any more, nor the day after."""
        limit = now_ms - self._kept_ms - DAY_MS
        old = [day for day in days if day.end_ms <= limit]
        if not old:
            return []
        limit = min([limit, *(at - DAY_MS for at in await self._pending.times(store.store))])
        return [day for day in old if day.end_ms <= limit]

    async def _roll(self, store: StoreConfig, head: Head, day: Day, noted: Day | None) -> Head | None:
        span = Span(day.start_ms, day.end_ms)
        visits = await self._reader.read(store, span)
        sums = sums_of(tally_of(visits, span), len(visits.new_in_group))
        who = came(visits, span, [] if noted is None else [noted], await self._reader.lasting(visits))
        return await self._rollups.roll(store, head, Day(day.date, *span, sums), who)

    async def _note(self, store: StoreConfig, head: Head, day: Day) -> bool:
        span = Span(day.start_ms, day.end_ms)
        visits = await self._reader.read(store, span)
        return await self._rollups.note(store, head, day, came(visits, span, [], await self._reader.lasting(visits)))

    async def _drop(self, store: StoreConfig, head: Head, dates: Iterable[str]) -> None:
        """Drop what is older than the UTC date before those that have to be read from now on."""
        before = utc_date(max(0, head.until_ms - DAY_MS))
        for day in sorted(dates):
            if day < before:
                await self._visits.drop_date(store.store, day)
