"""Server-sent events as a response: framing, pings, and readers that do not take what they asked for.

Rejected: FastAPI's own `EventSourceResponse`. It holds an event back in two queues of its own (one that was sent as
far as the route knows need not be), has no way to let go of a reader whose socket is full, and cannot refuse a request
with a problem body once the route is a generator.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator

from starlette.responses import StreamingResponse
from starlette.types import Send

MEDIA_TYPE = "text/event-stream"
PING_S = 15.0
"""between two comments while nothing happens: less than any proxy's patience"""
RETRY_MS = 1000
"""how long a browser waits before it comes back"""
SLOW_S = 30.0
"""how long a reader may leave its socket full"""
PING = b": ping\n\n"

log = logging.getLogger("facegrid.gateway")


def hello(position: str) -> bytes:
    """Comes first. It is no event, but a browser notes the id: should it be cut off before there is one, it resumes."""
    return f"retry: {RETRY_MS}\nid: {position}\n\n".encode()


def frame(event: str, event_id: str, data: str) -> bytes:
    """One event; none of the three may hold a line break (JSON has none)."""
    return f"event: {event}\nid: {event_id}\ndata: {data}\n\n".encode()


class EventStream(StreamingResponse):
    """Sends frames until there are no more, the reader hangs up, or it takes none for SLOW_S."""

    media_type = MEDIA_TYPE

    def __init__(self, frames: AsyncGenerator[bytes, None], slow_s: float = SLOW_S) -> None:
        # no-store: a card is personal. X-Accel-Buffering: nginx would hold events back to send them together.
        super().__init__(frames, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._frames = frames
        self._slow_s = slow_s

    async def stream_response(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with contextlib.aclosing(self._frames):
            try:
                async for frame in self._frames:
                    await self._send(send, frame, more=True)
                await self._send(send, b"", more=False)
            except TimeoutError:
                log.info("A reader of events took none for %g s and is let go", self._slow_s)

    async def _send(self, send: Send, body: bytes, *, more: bool) -> None:
        async with asyncio.timeout(self._slow_s):
            await send({"type": "http.response.body", "body": body, "more_body": more})
