"""A client's connection as uvicorn has it, but with bounds: whatever somebody sends or leaves unsent, with a key or
without one, costs this process memory and time that have an end.

- A head has `MAX_HEAD_BYTES`, and so have trailers, after a chunked body. They are for nobody here: none is kept, and
  no app ever sees one.
- Requests that come while another one is answered wait, and meanwhile nothing is read. uvicorn alone reads on after
  each answer, however many wait. A packet holds thousands of small requests, so what came is parsed in pieces, the next
  one only when none waits any more.
- A head is there within `HEAD_S`, and a connection rests for as long as the server's settings say. One timer sees to
  both: it looks whether the time is over and sets itself anew, so that a request costs no timer. Once a request is
  being answered, how long its body may take is the endpoint's to say.
- What cannot be read is answered with a problem body, in its turn, and nothing is read after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence, Sized
from functools import lru_cache
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import (
    HEADER_VALUE_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from common.errors import FacegridError, MalformedRequest
from common.http import problem_response

MAX_HEAD_BYTES = 64_000
"""of a request, before its body; uvicorn would collect headers without end, and before any key is checked"""
HEAD_S = 30.0
"""until a head is there: from when the connection is made, or from the first byte of a later request. Many times what
the slowest camera needs; without it a thousand sockets that say nothing would keep everybody else out for good"""
PIECE_BYTES = 16_384
"""parsed at once: 800 of the smallest requests, which are 3 MB while they wait"""


class _Flow(FlowControl):
    """Reads nothing while requests wait, and nothing any more once it has ended."""

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting
        self.ended = False

    def pause_reading(self) -> None:
        if not self._transport.is_closing():  # uvloop raises then
            super().pause_reading()

    def resume_reading(self) -> None:
        if self.read_paused and not self._waiting and not self.ended and not self._transport.is_closing():
            super().resume_reading()

    def end(self) -> None:
        self.ended = True
        self.pause_reading()


class BoundedConnection(HttpToolsProtocol):
    flow: _Flow

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._in_message = False
        """the parser has begun with a request, and not come to its end"""
        self._in_head = False
        self._in_tail = False
        """behind the length of a chunk, and no chunk has come yet: if none does, trailers follow"""
        self._head_bytes = 0
        """what came since the head or the tail began, without the piece in which it did"""
        self._unparsed = memoryview(b"")
        self._running: Any = None
        """the cycle that is answered; `cycle` is the latest"""
        self._last_words: bytes | None = None
        """what is said when all that wait are answered"""
        self._until = 0.0
        """by the loop's clock: when the connection is closed, unless a request is being answered then"""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self.flow = _Flow(transport, self.pipeline)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._unparsed = memoryview(b"")
        self.pipeline.clear()
        running = self._running
        if running is not None and running is not self.cycle and not running.response_complete:
            running.disconnected = True  # uvicorn tells only the latest
            running.message_event.set()
        super().connection_lost(exc)

    # Reading

    def data_received(self, data: bytes) -> None:
        if self._unparsed or len(data) > PIECE_BYTES:
            self._unparsed = memoryview(bytes(self._unparsed) + data)
            self._parse_on()
        else:
            self._parse(data)

    def _parse_on(self) -> None:
        while self._unparsed and not self.pipeline and not self.transport.is_closing():
            piece, self._unparsed = self._unparsed[:PIECE_BYTES], self._unparsed[PIECE_BYTES:]
            self._parse(piece)

    def _parse(self, piece: bytes | memoryview) -> None:
        self._head_bytes += len(piece)
        super().data_received(piece)  # type: ignore[arg-type]  # the parser takes any buffer
        if self._in_message and (self._in_head or self._in_tail):
            self._go_on()

    def _go_on(self) -> None:
        """With a head or a tail of which more is to come."""
        if self._head_bytes > MAX_HEAD_BYTES:
            told = f"The request's line and headers may have at most {MAX_HEAD_BYTES} bytes."
            self._refuse(MalformedRequest(told, field="headers", limit=MAX_HEAD_BYTES))
        elif self._in_head and self._head_bytes == 0 and self.cycle is not None:
            self._await_head()  # it has just begun; for the first one the time runs since the connection was made

    def on_message_begin(self) -> None:
        self._in_message = self._in_head = True
        self._in_tail = False
        self._head_bytes = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:  # a trailer
            return
        name, value = name.lower(), value.rstrip(b" \t")  # what stands before it the parser has left out
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._in_head = False  # only now: whatever was raised, the latest cycle is not of this request

    def on_chunk_header(self) -> None:
        self._in_tail = True
        self._head_bytes = 0

    def on_body(self, body: bytes) -> None:
        self._in_tail = False
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_message = False
        super().on_message_complete()

    # Answering

    @property
    def is_free(self) -> bool:
        """No answer is still to be made, or to be read by the client."""
        return (self.cycle is None or self.cycle.response_complete) and not self.flow.write_paused

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Instead of uvicorn's, which reads on whoever waits, and sets a timer each time."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._last_words is not None:
            self._end_with(self._last_words)
            return
        elif self._in_message:
            self._await_head()  # the rest of a body that nobody read, too, is to be there by then
        else:
            self._until = self.loop.time() + self.timeout_keep_alive
        if self._unparsed:
            self._parse_on()
        self.flow.resume_reading()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's words
        self._refuse(MalformedRequest("This is no HTTP/1.1 request that could be read."))

    def _refuse(self, error: FacegridError) -> None:
        """Where the next request would begin nobody can tell."""
        if self.flow.ended or self.transport.is_closing():
            return
        self.flow.end()
        self._unparsed = memoryview(b"")
        response = problem_response(error)
        said = self.head(response.status_code, response.raw_headers, keep_alive=False) + bytes(response.body)
        if self._in_message and not self._in_head:  # it is the body of the latest cycle's request
            if self.pipeline:
                self.pipeline.popleft()
            else:
                self._give_up(said)
                return
        if self._running is None or self._running.response_complete:
            self._end_with(said)
        else:
            self._last_words = said

    def _give_up(self, said: bytes) -> None:
        """The request that is being answered, or was."""
        if not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._end_with(b"" if self.cycle.response_started else said)

    def _end_with(self, said: bytes) -> None:
        self.transport.write(said)
        self.transport.close()

    def head(self, status: int, headers: Sequence[tuple[bytes, bytes]], *, keep_alive: bool) -> bytes:
        """Of an answer. Raises ValueError for a value that would end its line."""
        lines = [_line(name, value) for name, value in (*self.server_state.default_headers, *headers)]
        return b"".join([STATUS_LINE[status], *lines, b"\r\n" if keep_alive else b"connection: close\r\n\r\n"])

    # Time

    def _await_head(self) -> None:
        self._until = self.loop.time() + HEAD_S
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(HEAD_S, self._look)

    def _look(self) -> None:
        is_answering = self.cycle is not None and not self.cycle.response_complete
        left = HEAD_S if is_answering else self._until - self.loop.time()
        if left > 0:
            self._timer = self.loop.call_later(left, self._look)
        elif not self.transport.is_closing():
            self.transport.close()


@lru_cache(maxsize=1024)
def _line(name: bytes, value: bytes) -> bytes:
    if HEADER_VALUE_RE.search(value):
        raise ValueError("a control character in a header")
    return b"%b: %b\r\n" % (name, value)
