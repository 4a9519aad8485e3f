"""Whatever a client sends, or leaves unsent, has an end: in memory, in time, and in a problem body."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop
from starlette.types import Receive, Scope, Send

from common import bounded
from common.bounded import MAX_HEAD_BYTES, PIECE_BYTES
from common.connection import Connection
from tests.sockets import dialled, listening

GET = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"POST /%b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
PATIENCE_S = 60
MALFORMED = (400, "MALFORMED_REQUEST")


@dataclass
class Served:
    """A plain ASGI app behind a real socket: each path is another way to deal with a request."""

    port: int = 0
    connections: list[Connection] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    """how many requests waited when one was begun with"""
    told: list[str] = field(default_factory=list)
    """what came after the body"""
    let: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.waiting.append(len(self.connections[-1].pipeline))
        match scope["path"]:
            case "/read":
                if not await self._read(receive):
                    return
                await answer(send, repr(scope["headers"]).encode())
            case "/slow":
                await self._read(receive)
                await self.let.wait()
                await answer(send, b"slow")
            case "/stream":
                await self._stream(receive, send)
            case "/big":
                await answer(send, b"x" * 5_000_000)
            case path:  # without a look at the body
                await answer(send, path.encode())

    async def _read(self, receive: Receive) -> bool:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.told.append("http.disconnect")
                return False
            if not message["more_body"]:
                return True

    async def _stream(self, receive: Receive, send: Send) -> None:
        """Until it is told that the client has gone."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        watching = asyncio.create_task(self._watch(receive))
        while not watching.done():
            await send({"type": "http.response.body", "body": b".", "more_body": True})
            await asyncio.sleep(0.01)

    async def _watch(self, receive: Receive) -> None:
        while (message := await receive())["type"] != "http.disconnect":
            pass
        self.told.append(message["type"])

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[Peer]:
        async with dialled("127.0.0.1", self.port, PATIENCE_S) as streams:
            yield Peer(*streams)


@dataclass(frozen=True)
class Peer:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next one: status, headers, body."""
        status, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return int(status.split()[1]), headers, await self.reader.readexactly(int(headers["content-length"]))

    async def ask(self, request: bytes) -> bytes:
        self.writer.write(request)
        status, _, body = await self.answer()
        assert status == 200
        return body

    async def problem(self) -> dict[str, Any]:
        """Of the last answer before the connection is closed."""
        status, headers, body = await self.answer()
        assert (headers["content-type"], headers["connection"]) == ("application/problem+json", "close")
        said: dict[str, Any] = json.loads(body)
        assert status == said["status"]
        await self.is_closed()
        return said

    async def is_closed(self) -> None:
        """Returns when it is; what was sent in vain may have cost the last answer."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65_536):
                pass

    async def send_on(self, what: bytes) -> None:
        """20 MB of it, unless the server has had enough."""
        with contextlib.suppress(ConnectionError):
            for _ in range(20_000_000 // len(what)):
                self.writer.write(what)
                await self.writer.drain()


async def answer(send: Send, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Served]:
    made = Served()
    async with listening(made, made.connections) as made.port:
        yield made


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as made:
        yield made


# Trailers


async def test_what_is_said_after_the_body_is_no_header(served: Served) -> None:
    async with served.connected() as peer:
        seen = await peer.ask(CHUNKED % b"read" + b"3\r\nabc\r\n0\r\nX-API-Key: a key\r\n\r\n")
        assert b"transfer-encoding" in seen
        assert b"x-api-key" not in seen
        assert b"x-api-key" in await peer.ask(b"GET /read HTTP/1.1\r\nX-API-Key: a key\r\n\r\n")


WITHOUT_END = {
    "lines": (b"0\r\n", b"a: b\r\n" * 10_000),
    "one line": (b"0\r\na: ", b"b" * 60_000),
}


@pytest.mark.parametrize("which", WITHOUT_END)
async def test_trailers_without_end_are_refused(served: Served, which: str) -> None:
    begun, on = WITHOUT_END[which]
    async with served.connected() as peer:
        peer.writer.write(CHUNKED % b"read" + b"3\r\nabc\r\n" + begun)
        for _ in range(MAX_HEAD_BYTES // PIECE_BYTES + 2):
            peer.writer.write(on[:PIECE_BYTES])
        said = await peer.problem()
    assert (said["status"], said["code"], said["field"], said["limit"]) == (*MALFORMED, "headers", MAX_HEAD_BYTES)
    assert served.told == ["http.disconnect"]


@pytest.mark.parametrize("which", WITHOUT_END)
async def test_after_the_answer_they_end_the_connection_and_nothing_of_them_is_kept(served: Served, which: str) -> None:
    begun, on = WITHOUT_END[which]
    async with served.connected() as peer:
        assert await peer.ask(CHUNKED % b"unread" + b"3\r\nabc\r\n" + begun) == b"/unread"
        await peer.send_on(on)
        await peer.is_closed()
    assert len(served.connections[0].headers) == 2


async def test_a_body_of_many_small_chunks_is_no_head(served: Served) -> None:
    sent = CHUNKED % b"read" + b"a;b=c\r\n0123456789\r\n" * 10_000 + b"0\r\nX-Last: 1\r\n\r\n"
    async with served.connected() as peer:
        for _ in range(2):
            for at in range(0, len(sent), 7_777):
                peer.writer.write(sent[at : at + 7_777])
                await asyncio.sleep(0)
            assert (await peer.answer())[0] == 200


# Pipelined requests


async def test_requests_at_once_are_answered_in_their_order_and_few_of_them_wait(served: Served) -> None:
    many = 10_000
    async with served.connected() as peer:
        peer.writer.write(b"".join(GET % nth for nth in range(many)))
        for nth in range(many):
            assert (await peer.answer())[2] == b"/%d" % nth
        assert await peer.ask(GET % many) == b"/%d" % many
    assert max(served.waiting) <= PIECE_BYTES // len(GET % 0) + 1


async def test_while_requests_wait_nothing_is_read_even_if_the_one_before_listens(served: Served) -> None:
    async with served.connected() as peer:
        peer.writer.write(CHUNKED % b"slow")
        await eventually(lambda: served.waiting)
        (connection,) = served.connections
        peer.writer.write(b"0\r\n\r\n" + b"".join(GET % nth for nth in range(2000)))
        await eventually(lambda: connection.pipeline)
        for _ in range(3):
            connection.flow.resume_reading()  # as whoever waits for a body, or for the client to go
        assert connection.flow.read_paused
        served.let.set()
        assert (await peer.answer())[2] == b"slow"
        for nth in range(2000):
            assert (await peer.answer())[2] == b"/%d" % nth
        assert not connection.flow.read_paused


async def test_a_body_behind_a_request_that_takes_its_time_is_read_when_its_turn_comes(served: Served) -> None:
    body = b"x" * 1_000_000
    async with served.connected() as peer:
        peer.writer.write(b"GET /slow HTTP/1.1\r\n\r\nPOST /read HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body))
        peer.writer.write(body + GET % 7)
        await eventually(lambda: served.waiting)
        served.let.set()
        assert (await peer.answer())[2] == b"slow"
        assert b"content-length" in (await peer.answer())[2]
        assert (await peer.answer())[2] == b"/7"


async def test_a_client_that_goes_takes_its_waiting_requests_along_and_its_stream_learns_of_it(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    async with served.connected() as peer:
        peer.writer.write(b"GET /stream HTTP/1.1\r\n\r\n" + b"".join(GET % nth for nth in range(2000)))
        await peer.reader.readuntil(b".")
        assert served.connections[0].pipeline
    await eventually(lambda: served.told)
    assert not served.connections[0].pipeline
    assert len(served.waiting) == 1
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_client_that_goes_and_has_read_nothing_leaves_no_error_behind(caplog: pytest.LogCaptureFixture) -> None:
    """On uvloop, as services run: its transports raise when they are written to after that."""

    async def go() -> None:
        async with serving() as served, served.connected() as peer:
            peer.writer.write(b"GET /big HTTP/1.1\r\n\r\n" * 5)
            await eventually(lambda: served.connections and served.connections[0].flow.write_paused)
            (connection,) = served.connections
            await eventually(lambda: connection.tasks and len(served.waiting) > 1)
            peer.writer.transport.abort()
            await eventually(lambda: connection not in connection.connections and not connection.tasks)

    uvloop.run(go())
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


# What cannot be read


@pytest.mark.parametrize(
    "sent",
    [b"GARBAGE\r\n\r\n", b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", b"GET http://[ HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02"],
)
async def test_what_is_no_request_is_answered_with_a_problem(served: Served, sent: bytes) -> None:
    async with served.connected() as peer:
        peer.writer.write(sent)
        said = await peer.problem()
        assert (said["status"], said["code"]) == MALFORMED
    async with served.connected() as peer:  # nor later
        assert await peer.ask(GET % 1) == b"/1"
        peer.writer.write(sent)
        assert (await peer.problem())["code"] == "MALFORMED_REQUEST"


async def test_headers_without_end_are_refused_with_their_limit(served: Served) -> None:
    async with served.connected() as peer:
        peer.writer.write(b"GET / HTTP/1.1\r\nX-More: ")
        for _ in range(MAX_HEAD_BYTES // PIECE_BYTES + 2):
            peer.writer.write(b"x" * PIECE_BYTES)
        said = await peer.problem()
    assert (said["code"], said["field"], said["limit"]) == ("MALFORMED_REQUEST", "headers", MAX_HEAD_BYTES)


async def test_it_is_said_after_the_answers_to_what_came_before(served: Served) -> None:
    async with served.connected() as peer:
        peer.writer.write(b"GET /slow HTTP/1.1\r\n\r\n" + GET % 1 + b"GARBAGE\r\n\r\n" + GET % 2)
        await eventually(lambda: served.waiting)
        served.let.set()
        assert [(await peer.answer())[2] for _ in range(2)] == [b"slow", b"/1"]
        assert (await peer.problem())["code"] == "MALFORMED_REQUEST"


async def test_a_waiting_request_whose_body_cannot_be_read_is_never_begun_with(served: Served) -> None:
    async with served.connected() as peer:
        peer.writer.write(b"GET /slow HTTP/1.1\r\n\r\n" + GET % 1 + CHUNKED % b"read" + b"no length\r\n")
        await eventually(lambda: served.waiting)
        served.let.set()
        assert [(await peer.answer())[2] for _ in range(2)] == [b"slow", b"/1"]
        assert (await peer.problem())["code"] == "MALFORMED_REQUEST"
    assert len(served.waiting) == 2


async def test_an_answer_that_has_begun_is_not_followed_by_another(served: Served) -> None:
    async with served.connected() as peer:
        peer.writer.write(CHUNKED % b"stream")
        await peer.reader.readuntil(b".")
        peer.writer.write(b"no length\r\n")
        assert b"HTTP/1.1" not in await peer.reader.read()
    await eventually(lambda: served.told)


async def test_white_space_around_a_value_is_no_part_of_it(served: Served) -> None:
    async with served.connected() as peer:
        seen = await peer.ask(b"POST /read HTTP/1.1\r\nX-API-Key: \t a key \t\r\nContent-Length: 2 \r\n\r\nab")
    assert seen == repr([(b"x-api-key", b"a key"), (b"content-length", b"2")]).encode()


async def test_an_upgrade_that_is_not_made_leaves_the_connection_as_it_was(served: Served) -> None:
    async with served.connected() as peer:
        for nth in range(3):
            assert (
                await peer.ask(b"GET /%d HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n" % nth) == b"/%d" % nth
            )


# Time


SILENT = {
    "nothing": b"",
    "empty lines": b"\r\n\r\n",
    "half a head": b"GET / HTTP/1.1\r\nHost:",
}


@pytest.mark.parametrize("which", SILENT)
async def test_who_makes_a_connection_and_does_not_ask_is_let_go(
    served: Served, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "HEAD_S", 0.1)
    async with served.connected() as peer:
        peer.writer.write(SILENT[which])
        assert await peer.reader.read() == b""


async def test_half_a_head_after_an_answer_has_as_long_and_not_longer_for_every_byte(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served.connected() as peer:
        await peer.ask(GET % 1)
        served.connections[0].timeout_keep_alive = 1000
        monkeypatch.setattr(bounded, "HEAD_S", 0.2)
        closed = asyncio.create_task(peer.is_closed())
        peer.writer.write(b"GET / HTTP/1.1\r\nX: ")
        while not closed.done():
            peer.writer.write(b"x")
            await asyncio.sleep(0.01)


async def test_half_a_body_that_nobody_reads_any_more_has_as_long(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served.connected() as peer:
        await peer.ask(GET % 1)
        served.connections[0].timeout_keep_alive = 1000
        monkeypatch.setattr(bounded, "HEAD_S", 0.1)
        peer.writer.write(b"POST /unread HTTP/1.1\r\nContent-Length: 1000\r\n\r\nhalf")
        assert (await peer.answer())[2] == b"/unread"
        await peer.is_closed()


async def test_an_answer_may_take_its_time_and_so_may_the_next_request(served: Served) -> None:
    async with served.connected() as peer:
        await peer.ask(GET % 1)
        (connection,) = served.connections
        connection.timeout_keep_alive = 0  # over as soon as an answer is given
        connection._until = 0.0
        peer.writer.write(b"GET /slow HTTP/1.1\r\n\r\n")
        await eventually(lambda: len(served.waiting) == 2)
        connection._look()
        assert not connection.transport.is_closing()
        connection.timeout_keep_alive = 1000
        served.let.set()
        assert (await peer.answer())[2] == b"slow"
        connection._look()
        assert await peer.ask(GET % 2) == b"/2"
        connection.timeout_keep_alive = 0
        assert await peer.ask(GET % 3) == b"/3"
        connection._look()
        assert await peer.reader.read() == b""
