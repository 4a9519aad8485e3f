"""How the services read requests: nobody fills their memory before a key is checked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI
from uvicorn.server import ServerState

from common.serve import MAX_HEAD_BYTES, Http, OneWrite


@contextlib.asynccontextmanager
async def connection() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    app = FastAPI()

    @app.get("/")
    async def hello() -> str:
        return "hello"

    config = uvicorn.Config(app, log_config=None, ws="none", lifespan="off")
    config.load()
    state, loop = ServerState(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Http(config, state, {}, loop), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    yield reader, writer
    writer.close()
    server.close()


async def test_headers_without_end_are_refused() -> None:
    async with asyncio.timeout(10), connection() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-More: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                writer.write(b"x" * 10_000)
                await writer.drain()
            assert await reader.read(12) == b"HTTP/1.1 400"


async def test_heads_within_the_limit_are_read_request_after_request() -> None:
    async with asyncio.timeout(10), connection() as (reader, writer):
        for _ in range(3):
            head = b"GET / HTTP/1.1\r\nHost: x\r\nX-More: " + b"x" * (MAX_HEAD_BYTES // 2)
            writer.write(head)
            await writer.drain()
            writer.write(b"\r\n\r\n")
            assert (await reader.readuntil(b'"hello"')).startswith(b"HTTP/1.1 200")


class Wire(asyncio.Transport):
    """Remembers what was written to it, write by write."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


async def test_what_is_written_in_one_turn_leaves_in_one_write() -> None:
    wire = Wire()
    transport = OneWrite(wire, asyncio.get_running_loop())
    transport.write(b"head ")
    transport.write(b"body")
    assert wire.written == []
    transport.flush()
    transport.flush()
    assert wire.written == [b"head body"]


async def test_a_head_whose_body_is_late_does_not_wait_for_it() -> None:
    wire = Wire()
    transport = OneWrite(wire, asyncio.get_running_loop())
    transport.write(b"head")
    await asyncio.sleep(0)
    assert wire.written == [b"head"]
    transport.write(b"event")
    await asyncio.sleep(0)
    assert wire.written == [b"head", b"event"]


async def test_what_was_written_leaves_before_the_connection_closes() -> None:
    wire = Wire()
    transport = OneWrite(wire, asyncio.get_running_loop())
    transport.write(b"last words")
    transport.close()
    assert (wire.written, wire.closed) == ([b"last words"], True)
    await asyncio.sleep(0)
    transport.write(b"nobody hears")
    await asyncio.sleep(0)
    assert wire.written == [b"last words"]
