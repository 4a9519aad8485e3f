"""A connection to a replica: short search calls are answered in the socket's callback.

A search at home takes less time than uvicorn's cycle, its task, the app's layers and the Request around it. So a call
that arrives while the connection rests, and alone, is answered with one write. Everything else is handed on as it came:
uvicorn's parser never saw any of it, so it goes on from where it was.

The parser decides where messages end: one that is still being read or answered is never interrupted, and what follows
a call in the same packet goes with it to uvicorn, which answers pipelined requests in their order. A body that comes in
several packets is collected here.
"""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from common import wire
from common.connection import Connection
from shard.short_calls import ShortCalls


class CallProtocol(Connection):
    """The app has its `ShortCalls` as `app.state.short_calls`."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._calls: ShortCalls = config.app.state.short_calls  # type: ignore[union-attr]  # the app itself, no name
        self._collected = b""
        """of a call whose body is still to come"""

    def data_received(self, data: bytes) -> None:
        begun, self._collected = self._collected, b""
        if not (self._rests and self._is_answered(begun + data, is_new=not begun)):
            super().data_received(begun + data)

    def shutdown(self) -> None:
        if self._collected:  # uvicorn knows how to wait for the rest of it
            data, self._collected = self._collected, b""
            super().data_received(data)
        super().shutdown()

    @property
    def _rests(self) -> bool:
        """Nothing is being read, answered or left to be sent."""
        return not self._in_message and self.is_free and not self.transport.is_closing()

    def _is_answered(self, data: bytes, *, is_new: bool) -> bool:
        """Whether it is the business of this class: a short call, answered now or once the rest of it is there."""
        extent = self._calls.extent(data)
        if extent is None or len(data) > extent[1]:
            return False
        start, end = extent
        if len(data) < end:
            self._collected = data
            if is_new:
                self._await_head()
            return True
        answer = self._calls.answer(data[start:])
        if answer is None:
            return False
        self._send(answer)
        return True

    def _send(self, answer: bytes) -> None:
        """As what the app's route answers is written."""
        headers = [(b"content-length", b"%d" % len(answer)), (b"content-type", wire.CONTENT_TYPE.encode())]
        self.transport.write(self.head(200, headers, keep_alive=True) + answer)
        self.server_state.total_requests += 1
        self._until = self.loop.time() + self.timeout_keep_alive
