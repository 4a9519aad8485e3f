"""The hot lane against real sockets: whatever a peer does becomes a fault of the shard, in bounded time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import uvloop

from common.errors import ShardFault, ShardGarbage, ShardRejected, ShardTimeout, ShardUnreachable
from common.wire import CONTENT_TYPE, AwaitCall, pack_version
from deploy.local.embedded_redis import free_port
from gateway.shard_client import ShardClient
from gateway.transport import SocketTransport, target_of

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
CALL = AwaitCall("A", "incarnation", 7, remaining_ms=9000)
HASTY = AwaitCall("A", "incarnation", 7, remaining_ms=50)
"""for a peer that never comes to an end"""
VERSION = pack_version(7)


def answer(body: bytes = VERSION, status: str = "200 OK", kind: str = CONTENT_TYPE, length: int | None = None) -> bytes:
    length = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n".encode() + body


async def read_request(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    (length,) = [int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    await reader.readexactly(length)


@contextlib.asynccontextmanager
async def client(behaviour: Behaviour) -> AsyncIterator[tuple[ShardClient, str]]:
    """A client and the URL of a peer that behaves like this on every connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await behaviour(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport = SocketTransport()
    try:
        yield ShardClient(transport, cluster_key="secret"), f"http://127.0.0.1:{port}"
    finally:
        await transport.close()
        server.close()


def says(raw: bytes) -> Behaviour:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(raw)
        await writer.drain()

    return behave


async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    for byte in answer(b"x" * 1000):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.01)


async def hang_up(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await read_request(reader)


FAULTS: dict[str, tuple[Behaviour, type[ShardFault]]] = {
    "hung": (hang, ShardTimeout),
    "dripping": (drip, ShardTimeout),
    "hangs up": (hang_up, ShardUnreachable),
    "cut off": (says(answer(length=100)), ShardUnreachable),
    "no HTTP": (says(b"-ERR unknown command\r\n"), ShardUnreachable),
    "an error": (says(answer(status="500 Oops")), ShardUnreachable),
    "a refusal": (says(answer(b'{"code": "WRONG_SPACE"}', "422 No", "application/problem+json")), ShardRejected),
    "a refusal that is no JSON": (says(answer(b"<html>", "404 Not Found", "text/html")), ShardRejected),
    "a redirect": (says(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"), ShardGarbage),
    "another type": (says(answer(kind="text/html")), ShardGarbage),
    "garbage": (says(answer(b"\xc1")), ShardGarbage),
    "no length": (says(b"HTTP/1.1 200 OK\r\nContent-Type: application/msgpack\r\n\r\n" + VERSION), ShardGarbage),
    "too long": (says(answer(length=10**12)), ShardGarbage),
    "a first word that is no answer": (
        says(answer(b"", "103 Early Hints") + answer()),
        ShardGarbage,
    ),
    "another protocol": (
        says(b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 0\r\n\r\n"),
        ShardFault,
    ),
    "headers without end": (says(b"HTTP/1.1 200 OK\r\n" + b"X-More: and more\r\n" * 500_000), ShardGarbage),
    "a header without end": (says(b"HTTP/1.1 200 OK\r\nX-More: " + b"x" * 8_000_000), ShardGarbage),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_misbehaviour_is_a_fault_of_the_shard(fault: str) -> None:
    behaviour, expected = FAULTS[fault]
    async with asyncio.timeout(10), client(behaviour) as (shard, url):
        with pytest.raises(expected):
            await shard.await_version(url, HASTY if expected is ShardTimeout else CALL)


@pytest.mark.parametrize("url", [f"http://127.0.0.1:{free_port()}", "http://[", "not a url", "http://nobody.invalid:1"])
async def test_nobody_at_that_address_is_unreachable(url: str) -> None:
    async with client(hang) as (shard, _):
        with pytest.raises(ShardUnreachable):
            await shard.await_version(url, CALL)


async def test_one_connection_serves_many_calls_and_carries_the_key() -> None:
    connections, heads = 0, []

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            (length,) = [int(h.split(b":")[1]) for h in heads[-1].lower().split(b"\r\n") if b"content-length" in h]
            await reader.readexactly(length)
            writer.write(answer())

    async with client(behave) as (shard, url):
        assert [await shard.await_version(url, CALL) for _ in range(5)] == [7] * 5
    assert connections == 1
    assert b"x-api-key: secret" in heads[0].lower()


async def test_a_call_that_is_given_up_takes_its_connection_with_it() -> None:
    """Its answer may still come, and must not be taken for the next call's."""
    asked, given_up = asyncio.Event(), asyncio.Event()

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        late = not asked.is_set()
        asked.set()
        await given_up.wait()
        writer.write(answer(pack_version(8 if late else 7)))
        await writer.drain()

    async with client(behave) as (shard, url):
        first = asyncio.create_task(shard.await_version(url, CALL))
        await asked.wait()
        first.cancel()
        await asyncio.wait([first])
        given_up.set()
        assert await shard.await_version(url, CALL) == 7


async def test_a_peer_that_says_it_closes_gets_a_new_connection_for_the_next_call() -> None:
    connections = 0

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await read_request(reader)
        writer.write(answer().replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        await writer.drain()
        await reader.read()

    async with client(behave) as (shard, url):
        assert [await shard.await_version(url, CALL) for _ in range(3)] == [7] * 3
    assert connections == 3


async def test_a_connection_that_the_peer_closed_meanwhile_is_not_used_again() -> None:
    async with client(says(answer())) as (shard, url):  # it closes after each answer, and does not say so
        for _ in range(3):
            assert await shard.await_version(url, CALL) == 7
            await asyncio.sleep(0.02)


def test_calls_work_on_the_loop_that_serves() -> None:
    async def call() -> None:
        async with client(says(answer())) as (shard, url):
            assert await shard.await_version(url, CALL) == 7

    uvloop.run(call())


async def test_a_key_is_sent_as_shards_compare_it_and_adds_no_header_of_its_own() -> None:
    heads = []

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer())
        await writer.drain()

    async with asyncio.timeout(10), client(behave) as (_, url):
        transport = SocketTransport()
        assert (await transport.post(url, b"", {"X-API-Key": "schlüssel-ключ"})).status == 200
        with pytest.raises(ShardUnreachable):
            await transport.post(url, b"", {"X-API-Key": "secret\nX-More: 1"})
        await transport.close()
    assert len(heads) == 1
    assert "X-API-Key: schlüssel-ключ\r\n".encode() in heads[0]


async def test_a_second_answer_to_one_call_is_not_taken_for_that_of_the_next() -> None:
    connections = 0

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await read_request(reader)
        # The second comes along with the first up to its last byte, so that the connection looks as if it rested.
        writer.write(answer() + answer(pack_version(8))[:-1])
        await writer.drain()
        await read_request(reader)
        writer.write(pack_version(8))
        await writer.drain()

    async with client(behave) as (shard, url):
        assert [await shard.await_version(url, CALL) for _ in range(3)] == [7] * 3
    assert connections == 3


async def test_what_a_given_up_call_still_had_to_send_is_dropped_with_its_connection() -> None:
    """A replica that hangs reads nothing, so its connections would stay open until it goes on."""
    accepted, given_up, ended, received = asyncio.Event(), asyncio.Event(), asyncio.Event(), 0

    async def behave(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        nonlocal received
        accepted.set()
        await given_up.wait()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1_000_000):
                received += len(data)
        ended.set()

    body = bytes(30_000_000)
    async with asyncio.timeout(10), client(behave) as (_, url):
        transport = SocketTransport()
        call = asyncio.create_task(transport.post(url, body, {}))
        await accepted.wait()
        await asyncio.sleep(0.01)  # by now it has written, or there would be nothing to drop
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        given_up.set()
        await ended.wait()
    assert received < len(body)


async def test_connections_that_shards_closed_are_forgotten_though_nobody_asks_there_again() -> None:
    transport = SocketTransport()
    for _ in range(3):  # each start of a shard is at another port
        async with client(says(answer())) as (_, url):
            await transport.post(url, b"", {})
            async with asyncio.timeout(5):
                while any(connection.open for kept in transport._idle.values() for connection in kept):
                    await asyncio.sleep(0.001)
    assert sum(map(len, transport._idle.values())) <= 1
    await transport.close()


async def test_a_shard_at_an_ipv6_address_is_named_as_http_names_it() -> None:
    assert target_of("http://[::1]:8080/x").authority == "[::1]:8080"
    assert target_of("http://shard/x").authority == "shard:80"
