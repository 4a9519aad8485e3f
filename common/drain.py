"""Leaving without losing a request: first everybody is told, then nobody new is let in.

On SIGTERM a process says that it goes and serves on for a grace in which those who call it see that and turn to others.
Only then does it stop listening (`common/serve`). While it is on its way out every answer says `Connection: close`: a
connection that is kept would be closed under the hands of a client that has just sent its next request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Drain:
    """`begun`: the process was asked to end; that is never taken back."""

    def __init__(self, grace_s: float, *steps: Callable[[], Awaitable[None]]) -> None:
        """`steps` are done one after another, each followed by an equal part of the grace."""
        self.begun = False
        self._last: list[Callable[[], None]] = []
        self._steps = steps or (_nothing,)
        self._pause_s = grace_s / len(self._steps)

    async def run(self) -> None:
        """Returns when the process may stop listening. A step must not raise."""
        self.begun = True
        for step in self._steps:
            await step()
            await asyncio.sleep(self._pause_s)

    def at_end(self, step: Callable[[], None]) -> None:
        """Do this when the process stops listening: answers that would never end by themselves are ended by it."""
        self._last.append(step)

    def end(self) -> None:
        """It stops listening now, with or without a grace before."""
        for step in self._last:
            step()


async def _nothing() -> None:
    """For those who are asked whether they go, and have nobody to tell."""


class LastAnswers:
    """ASGI middleware: answers given while the process leaves close their connection."""

    def __init__(self, app: ASGIApp, drain: Drain) -> None:
        self._app = app
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start" and self._drain.begun:
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        await self._app(scope, receive, sent)
