"""Many searches or one write: keeps writers (the follower, and the coder now and then) away from the searches that run
on threads.

Both sides are dispatched by the event loop, so this needs no thread lock. A waiting writer goes before new searches,
and waits only for those that run; after each write the searches that waited get their turn before the next write.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gate:
    def __init__(self) -> None:
        self._searches = 0
        self._open = asyncio.Event()
        self._open.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._writer = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        """No writer is inside or waits to come in. What does not give way to the event loop may search then."""
        return self._open.is_set()

    @asynccontextmanager
    async def searching(self) -> AsyncIterator[None]:
        """Stay inside until the thread is done, cancelled or not: leaving lets the writer in."""
        while not self._open.is_set():
            await self._open.wait()
        self._searches += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._searches -= 1
            if not self._searches:
                self._idle.set()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """One writer at a time. Await nothing inside: every search waits."""
        async with self._writer:
            await asyncio.sleep(0)  # those whom the last write kept waiting have been woken, and enter now
            self._open.clear()
            try:
                await self._idle.wait()
                yield
            finally:
                self._open.set()
