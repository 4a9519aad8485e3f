"""Callers that wait for a store to reach a version, woken by the follower when it has applied it."""

from __future__ import annotations

import asyncio
from collections import defaultdict


class Waiters:
    def __init__(self) -> None:
        self.waiting: defaultdict[str, set[tuple[int, asyncio.Event]]] = defaultdict(set)

    async def wait(self, store: str, version: int, timeout_s: float) -> None:
        """Return once `reached` is told of `version` or a later one, or when the time is over."""
        waiter = (version, asyncio.Event())
        self.waiting[store].add(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                await waiter[1].wait()
        except TimeoutError:
            pass
        finally:
            self.waiting[store].discard(waiter)
            if not self.waiting[store]:
                del self.waiting[store]

    def reached(self, store: str, version: int) -> None:
        for wanted, event in self.waiting.get(store, ()):
            if wanted <= version:
                event.set()
