"""A limit of time: one for each request, set where it enters and sent on as the time that remains, and one for each
call to a shard.

Written out, although asyncio.timeout does the same: a search waits within two of them, and with those that cost its
gateway a twentieth of all it does.
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType

from common.errors import DeadlineExceeded


class Deadline:
    """`async with Deadline(10.0) as deadline:` raises DeadlineExceeded if the block is not done in ten seconds, or had
    not called `waive` by then. Enter it at once, and once."""

    __slots__ = ("_cancelling", "_end", "_over", "_seconds", "_task", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self._over = False

    def remaining_s(self) -> float:
        return max(0.0, self._end - time.monotonic())

    def waive(self) -> None:
        """Call it before a write: from here on the block is not interrupted, for "too late" has to mean that nothing
        was changed. What follows must be short by itself: `remaining_s` goes on counting."""
        self._timer.cancel()

    async def __aenter__(self) -> Deadline:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None  # noqa: S101  # narrows the type: this is a coroutine
        self._task, self._cancelling = task, task.cancelling()
        self._timer = loop.call_later(self._seconds, self._interrupt)
        return self

    def _interrupt(self) -> None:
        self._over = True
        self._task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        # If somebody else cancelled the task meanwhile, that is what goes on.
        if self._over and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise DeadlineExceeded(
                f"The request took longer than {self._seconds:g} s.", field="deadline_s", limit=self._seconds
            ) from error
