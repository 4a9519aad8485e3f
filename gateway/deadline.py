"""One deadline per request: set where it enters, sent on as the time that remains."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType

from common.errors import DeadlineExceeded


class Deadline:
    """`async with Deadline(10.0) as deadline:` raises DeadlineExceeded if the block is not done in ten seconds, or had
    not called `waive` by then."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self._timeout = asyncio.timeout(seconds)

    def remaining_s(self) -> float:
        return max(0.0, self._end - time.monotonic())

    def waive(self) -> None:
        """Call it before a write: from here on the block is not interrupted, for "too late" has to mean that nothing
        was changed. What follows must be short by itself: `remaining_s` goes on counting."""
        if self._timeout.when() is not None and not self._timeout.expired():
            self._timeout.reschedule(None)

    async def __aenter__(self) -> Deadline:
        await self._timeout.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError as late:
            raise DeadlineExceeded(
                f"The request took longer than {self._seconds:g} s.", field="deadline_s", limit=self._seconds
            ) from late
