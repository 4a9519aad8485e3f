"""One blocking read of Redis per gateway for all checkouts that listen, whatever their number, fanned out to them.

A reader first reads from Redis what it has missed, page by page, and then takes what the tail hands it. It is
registered before its last page is read, and passes over what it has had already: nothing falls between the two,
nothing comes twice. What the tail hands out waits in a bounded queue; where that is full, the reader has missed
something once more. After Redis was away the tail goes on where it was. A reader whose next events were trimmed before
it, or the tail, got to them is let go: as it resumes, it is told that there is a gap.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from common.errors import TruthUnavailable
from common.events import PAGE, Event, Events, order

QUEUED = 1000
"""events that may wait for one reader"""

log = logging.getLogger("facegrid.gateway")


class Tail:
    def __init__(self, events: Events, wait_s: float) -> None:
        """`wait_s` must stay below the socket timeout of the events' client."""
        self._events = events
        self._wait_s = wait_s
        self._positions: dict[str, str] = {}
        self._readers: dict[str, set[Reader]] = {}
        self._wanted = asyncio.Event()
        self._was_away = False
        self._closed = False

    @contextmanager
    def reader(self, store: str, position: str) -> Iterator[Reader]:
        """Who reads the store's events after `position`, as long as the block runs."""
        reader = Reader(self, store, position)
        reader.over = self._closed
        self._readers.setdefault(store, set()).add(reader)
        try:
            yield reader
        finally:
            self._readers[store].discard(reader)
            if not self._readers[store]:
                del self._readers[store]
                self._positions.pop(store, None)

    def close(self) -> None:
        """Let every reader go, and those that still come: the process ends."""
        self._closed = True
        for store in list(self._readers):
            self._let_go(store)

    async def run(self) -> None:
        """Follow the stores that somebody reads, until cancelled."""
        while True:
            self._wanted.clear()
            if not self._positions:
                await self._wanted.wait()
            try:
                await self._turn()
            except TruthUnavailable as error:
                if not self._was_away:
                    log.warning("Events cannot be read: %s", error.detail)
                self._was_away = True
                await asyncio.sleep(self._wait_s)

    async def _turn(self) -> None:
        if self._was_away:
            for store, position in list(self._positions.items()):
                if (await self._events.resume(store, position)).gap:
                    self._let_go(store)
            self._was_away = False
        if not self._positions:
            return
        for store, events in (await self._events.wait(dict(self._positions), self._wait_s)).items():
            if store in self._positions:
                self._positions[store] = max(self._positions[store], events[-1].id, key=order)
                for reader in self._readers[store]:
                    reader.offer(events)

    def _let_go(self, store: str) -> None:
        for reader in self._readers.get(store, ()):  # the last one may have left while Redis was asked
            reader.let_go()

    async def follow(self, store: str) -> None:
        """Hand out the store's events from now on, if that is not done already. Raises TruthUnavailable."""
        last = (await self._events.resume(store, None)).position
        if store in self._readers:
            self._positions.setdefault(store, last)
            self._wanted.set()

    async def missed(self, store: str, position: str, *, may_be_gone: bool) -> list[Event] | None:
        """The next page after `position`; None if some of it may be kept no more. Raises TruthUnavailable."""
        page = await self._events.after(store, position)
        if may_be_gone and (await self._events.resume(store, position)).gap:
            return None
        return page


class Reader:
    """One who reads a store's events in order, each once."""

    def __init__(self, tail: Tail, store: str, position: str) -> None:
        self._tail = tail
        self._store = store
        self._position = position
        self._queue: deque[Event] = deque()
        self._stirred = asyncio.Event()
        self._missed_up_to: str | None = None
        """from there on the queue has everything; None while that is not known"""
        self._dropped = 0
        """how often its queue was full"""
        self._followed = False
        self.over = False
        """it was let go"""

    async def read(self, wait_s: float) -> list[Event]:
        """The next events, perhaps none: then nothing came within `wait_s`, or it is over. The same again until `had`.

        Raises TruthUnavailable.
        """
        if not self._followed:
            await self._tail.follow(self._store)
            self._followed = True
        while not self.over and (self._missed_up_to is None or order(self._position) < order(self._missed_up_to)):
            if page := await self._read_missed():
                return page
        while not self.over:
            self._pass_over()
            if self._queue:
                return list(self._queue)
            self._stirred.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._stirred.wait()
            except TimeoutError:
                break
        return []

    async def _read_missed(self) -> list[Event]:
        dropped = self._dropped
        page = await self._tail.missed(self._store, self._position, may_be_gone=dropped > 0)
        if page is None:
            self.let_go()
            return []
        if len(page) < PAGE and self._dropped == dropped:
            self._missed_up_to = page[-1].id if page else self._position
        return page

    def had(self, event_id: str) -> None:
        """The reader goes on after this event."""
        self._position = event_id
        self._pass_over()

    def _pass_over(self) -> None:
        """What it has already: also while it reads what it missed, or its queue would fill with that."""
        while self._queue and order(self._queue[0].id) <= order(self._position):
            self._queue.popleft()

    async def pause(self, seconds: float) -> None:
        """Wait so long, or until it is let go."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self.over:
                    self._stirred.clear()
                    await self._stirred.wait()

    def offer(self, events: list[Event]) -> None:
        """Hand over what came; a reader with too much left to take will read it from Redis."""
        self._stirred.set()
        if len(self._queue) + len(events) <= QUEUED:
            self._queue.extend(events)
            return
        self._queue.clear()
        self._dropped += 1
        self._missed_up_to = None

    def let_go(self) -> None:
        self.over = True
        self._queue.clear()
        self._stirred.set()
