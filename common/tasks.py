"""Ending background tasks for certain."""

from __future__ import annotations

import asyncio

AGAIN_S = 0.1


async def end(task: asyncio.Task[None]) -> None:
    """Cancel the task until it is done.

    Once is not enough: `asyncio.wait_for` of Python 3.11, which redis-py awaits, swallows a cancellation that arrives
    together with the result it waits for.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=AGAIN_S)
