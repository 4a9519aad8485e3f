"""A client's connection: uvicorn's, with bounds (`common/bounded`), but for hot requests (`common/direct`), which are
answered without a detour."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from starlette.types import Message, Scope
from uvicorn.config import Config
from uvicorn.server import ServerState

from common.bounded import BoundedConnection
from common.direct import Direct


class HotCycle:
    """A hot request and its answer. To uvicorn it is like a cycle of its own: there is one at a time, and what a client
    sends before the answer is there waits for it."""

    def __init__(self, connection: Connection, direct: Direct, scope: Scope) -> None:
        self._connection = connection
        self._direct = direct
        self._scope = scope
        self._unread = True
        self._changed: asyncio.Future[None] | None = None
        # What uvicorn looks at, and sets.
        self.body = b""
        self.more_body = True
        self.keep_alive = True
        self.disconnected = False
        self.response_started = False
        self.response_complete = False

    @property
    def message_event(self) -> HotCycle:
        """Which uvicorn sets; itself, but without a reference to itself, which would be the garbage collector's."""
        return self

    def set(self) -> None:
        """More of the body is there, or the client has gone."""
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    async def run(self) -> None:
        """Answer, even where the body does not come: the endpoint knows how long it waits."""
        connection = self._connection
        try:
            response = await self._direct.answer(self._scope, self._receive)
            if self._direct.drain.begun:
                self.keep_alive = False
            if not self.disconnected:
                head = connection.head(response.status_code, response.raw_headers, keep_alive=self.keep_alive)
                connection.transport.write(head + bytes(response.body))
        except BaseException:
            self.keep_alive = False  # what the client waits for will not come
            raise
        finally:
            connection.tasks.discard(asyncio.current_task())  # a callback for when it is done would cost a microsecond
            self.response_complete = True
            if not self.keep_alive:
                connection.transport.close()
            connection.on_response_complete()

    async def _receive(self) -> Message:
        """The body in one piece, and whoever asks again waits for the client to go."""
        while not self.disconnected:
            if self._unread and not self.more_body:
                self._unread = False
                body, self.body = self.body, b""
                return {"type": "http.request", "body": body, "more_body": False}
            self._changed = asyncio.get_running_loop().create_future()
            await self._changed
        return {"type": "http.disconnect"}


class Connection(BoundedConnection):
    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._direct: Direct | None = getattr(getattr(config.app, "state", None), "direct", None)

    def on_headers_complete(self) -> None:
        direct, scope = self._direct, cast(Scope, self.scope)
        if direct is None or not self._is_plain() or not direct.takes(self.parser.get_method(), self.url, scope):
            super().on_headers_complete()
            return
        self._in_head = False
        hot = HotCycle(self, direct, scope)
        self.cycle = self._running = cast(Any, hot)
        self.tasks.add(self.loop.create_task(hot.run()))  # which uvicorn waits for when it stops

    def _is_plain(self) -> bool:
        """Whether nothing has to be minded but the request itself."""
        parser = self.parser
        return (
            self.is_free
            and not self.expect_100_continue
            and not parser.should_upgrade()
            and parser.should_keep_alive()
            and parser.get_http_version() == "1.1"
        )
