"""The load generator against a real server that behaves as each test needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tests.bench.load import load, request

Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[int]:
    """Reads requests one after another and leaves the answers to `answer`, which gets the body; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                break
            body = await reader.readexactly(int(head.rpartition(b"Content-Length: ")[2]))
            await answer(body, writer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        yield listening.sockets[0].getsockname()[1]


def ok(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def numbered(count: int) -> list[bytes]:
    return [request("/", f"<{nth}>".encode()) for nth in range(count)]


async def test_every_request_is_sent_once_however_many_clients_there_are() -> None:
    got: list[bytes] = []

    async def answer(body: bytes, writer: asyncio.StreamWriter) -> None:
        got.append(body)
        writer.write(ok(body))

    async with server(answer) as port:
        measured = await load(port, numbered(50), 7, expected=b"<")
    assert sorted(got) == sorted(f"<{nth}>".encode() for nth in range(50))
    assert measured.failures == 0
    assert measured.answer in got


async def test_wrong_answers_and_closed_connections_are_failures_and_the_first_is_kept() -> None:
    async def answer(body: bytes, writer: asyncio.StreamWriter) -> None:
        match body:
            case b"<3>":
                writer.write(ok(b"no such thing", "404 Not Found"))
            case b"<4>":
                writer.write(ok(b"< and < only"))
            case b"<5>":
                writer.close()
            case _:
                writer.write(ok(b"<<<"))

    async with server(answer) as port:
        measured = await load(port, numbered(10), 1, expected=b"<", times=3)
    assert measured.failures == 3
    assert measured.answer == b"no such thing"


async def test_an_answer_in_pieces_is_put_together() -> None:
    async def answer(body: bytes, writer: asyncio.StreamWriter) -> None:
        for piece in (b"HTTP/1.1 200 OK\r\nCONTENT-le", b"ngth: 9\r\n", b"\r\nlate ", body):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)

    async with server(answer) as port:
        measured = await load(port, [request("/", b"<ok>")] * 3, 2, expected=b"late <ok>")
    assert measured.failures == 0
    assert measured.answer == b"late <ok>"


async def test_an_open_loop_counts_the_time_that_a_request_waits_for_a_connection() -> None:
    held_s, waited = 0.6, False

    async def answer(body: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal waited
        if not waited:
            waited = True
            await asyncio.sleep(held_s)
        writer.write(ok(body))

    async with server(answer) as port:
        measured = await load(port, numbered(100), 1, rate=1000)
    # All hundred were due in the first 0.2 s, and none was answered before the first one.
    assert measured.p50_ms > 1000 * (held_s - 0.2)
    assert measured.failures == 0


async def test_a_generator_that_cannot_connect_says_so() -> None:
    async with server(lambda _, writer: writer.drain()) as port:
        pass
    with pytest.raises(RuntimeError, match="exit code 1"):
        await load(port, numbered(1), 1)
