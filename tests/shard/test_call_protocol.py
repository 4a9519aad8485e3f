"""Search calls on a real socket: which are answered where they arrive, and that nobody could tell by the answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
import uvicorn
from fastapi import Response
from redis.asyncio import Redis
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from common import bounded, wire
from common.direct import Direct
from common.settings import ShardSettings
from common.types import DLIB_SPACE
from gateway.shard_client import ShardClient
from gateway.transport import SocketTransport
from shard import searcher
from shard.app import create_app
from shard.call_protocol import CallProtocol
from shard.replica import Replica
from shard.short_calls import LONGEST_BODY
from tests.shard.helpers import PATIENCE_S, Writer, eventually, settings_for, unit
from tests.sockets import dialled

ROWS = unit(20)
KEY = "the-key"


@dataclass
class Served:
    """A replica behind a real socket. Its server is the app's, but for the connections, which are remembered."""

    replica: Replica
    address: tuple[str, int]
    connections: list[CallProtocol]
    by_app: list[str] = field(default_factory=list)
    """the paths of requests that came to the app, or to its endpoints directly"""

    @asynccontextmanager
    async def peer(self) -> AsyncIterator[Peer]:
        async with dialled(*self.address, PATIENCE_S) as streams:
            yield Peer(*streams)


@dataclass(frozen=True)
class Peer:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def answer(self) -> tuple[bytes, bytes]:
        """The next one: head and body."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        (length,) = (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        return head, await self.reader.readexactly(length)

    async def ask(self, *packets: bytes) -> tuple[bytes, bytes]:
        for packet in packets:
            self.writer.write(packet)
            await asyncio.sleep(0.01 if len(packets) > 1 else 0)  # else they would arrive as one
        return await self.answer()

    async def is_closed(self) -> bool:
        return await self.reader.read() == b""


@asynccontextmanager
async def served(settings: ShardSettings, redis: Redis) -> AsyncIterator[Served]:
    app = create_app(settings, redis)
    config = uvicorn.Config(app, log_config=None, ws="none", lifespan="off")
    config.load()
    state, loop, connections = ServerState(), asyncio.get_running_loop(), list[CallProtocol]()
    state.default_headers = [(b"date", b"today")]

    def connected() -> CallProtocol:
        connections.append(CallProtocol(config, state, {}, loop))
        return connections[-1]

    async with app.router.lifespan_context(app):
        replica: Replica = app.state.replica
        await eventually(lambda: replica.follower.state == "ready")
        server = await loop.create_server(connected, "127.0.0.1", 0)
        one = Served(replica, server.sockets[0].getsockname(), connections)
        config.loaded_app = noted(config.loaded_app, one.by_app)
        app.state.direct.answer = noted_directly(app.state.direct, one.by_app)
        yield one
        server.close()


def noted(app: ASGIApp, paths: list[str]) -> ASGIApp:
    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        paths.append(scope["path"])
        await app(scope, receive, send)

    return noting


def noted_directly(direct: Direct, paths: list[str]) -> Callable[[Scope, Receive], Coroutine[Any, Any, Response]]:
    answer = direct.answer

    async def noting(scope: Scope, receive: Receive) -> Response:
        paths.append(scope["path"])
        return await answer(scope, receive)

    return noting


@pytest.fixture
async def one(redis: Redis, redis_url: str) -> AsyncIterator[Served]:
    writer = Writer(redis)
    await writer.put(await writer.open("A"), {f"f{at}": ROWS[at] for at in range(10)})
    async with served(settings_for(redis_url), redis) as it:
        yield it


def call(one: Served, at: int = 0, *, remaining_ms: int = 5000) -> wire.SearchCall:
    """Whose answer has the face `at` first."""
    stores = {"A": one.replica.index["A"].incarnation}
    return wire.SearchCall(DLIB_SPACE, (wire.Query(stores, ROWS[at : at + 1], 3),), remaining_ms)


def request(body: bytes, *headers: str, length: int | None = None, version: str = "1.1", kind: str = "") -> bytes:
    """As gateways write it, but for what is given."""
    lines = [
        f"POST /search HTTP/{version}",
        "Host: localhost",
        f"Content-Length: {len(body) if length is None else length}",
    ]
    lines += [f"Content-Type: {kind or wire.CONTENT_TYPE}", *headers]
    return "\r\n".join([*lines, "\r\n"]).encode() + body


def found(body: bytes, asked: wire.SearchCall) -> str:
    return wire.unpack_reply(body, asked)[0].candidates[0][0].face_id


def problem(answer: tuple[bytes, bytes]) -> tuple[bytes, str]:
    head, body = answer
    return head[:12], json.loads(body)["code"]


async def test_a_short_call_never_comes_to_the_app_and_is_answered_to_the_byte_as_there(one: Served) -> None:
    asked = call(one, 3)
    async with one.peer() as peer:
        here = await peer.ask(request(wire.pack_call(asked)))
        assert one.by_app == []
        there = await peer.ask(request(wire.pack_call(asked), "Accept: */*"))
        again = await peer.ask(request(wire.pack_call(asked)))
    assert one.by_app == ["/search"]
    assert here == there == again
    assert here[0].startswith(b"HTTP/1.1 200 OK\r\ndate: today\r\n")
    assert found(here[1], asked) == "f3"
    assert one.connections[0].server_state.total_requests == 3


async def test_what_a_gateway_sends_is_a_short_call(redis: Redis, redis_url: str) -> None:
    writer = Writer(redis)
    await writer.put(await writer.open("A"), {"f0": ROWS[0]})
    settings = settings_for(redis_url).model_copy(update={"cluster_key": KEY})
    async with served(settings, redis) as one:
        client = ShardClient(transport := SocketTransport(), KEY)
        host, port = one.address
        (reply,) = await client.search(f"http://{host}:{port}", call(one))
        await transport.close()
        assert (reply.candidates[0][0].face_id, one.by_app) == ("f0", [])


async def test_a_body_in_several_packets_is_collected(one: Served) -> None:
    asked = call(one, 4)
    raw = request(wire.pack_call(asked))
    cuts = [0, raw.index(b"\r\n\r\n") + 4, 400, 500, len(raw)]
    async with one.peer() as peer:
        _, body = await peer.ask(*[raw[start:stop] for start, stop in pairwise(cuts)])
        assert (found(body, asked), one.by_app) == ("f4", [])


async def test_a_head_in_several_packets_is_read_by_uvicorn(one: Served) -> None:
    asked = call(one, 4)
    raw = request(wire.pack_call(asked))
    async with one.peer() as peer:
        _, body = await peer.ask(raw[:10], raw[10:60], raw[60:])
        assert (found(body, asked), one.by_app) == ("f4", ["/search"])
        await peer.ask(raw)
        assert one.by_app == ["/search"]


async def test_calls_in_one_packet_are_answered_in_their_order(one: Served) -> None:
    calls = [call(one, at) for at in range(5)]
    async with one.peer() as peer:
        peer.writer.write(b"".join(request(wire.pack_call(asked)) for asked in calls))
        assert [found((await peer.answer())[1], asked) for asked in calls] == ["f0", "f1", "f2", "f3", "f4"]


async def test_a_call_behind_one_that_waits_is_answered_after_it(one: Served) -> None:
    calls = [call(one, at) for at in range(2)]
    async with one.peer() as peer:
        async with one.replica.gate.writing():
            peer.writer.write(request(wire.pack_call(calls[0])))
            await eventually(lambda: one.by_app)
        # The gate is open again, and nothing has been answered yet.
        one.connections[0].data_received(request(wire.pack_call(calls[1])))
        assert [found((await peer.answer())[1], asked) for asked in calls] == ["f0", "f1"]
        assert one.by_app == ["/search", "/search"]


async def test_a_call_waits_while_a_writer_is_inside_or_at_the_gate(one: Served) -> None:
    asked = call(one)
    async with one.peer() as peer, one.peer() as other:
        async with one.replica.gate.writing():
            peer.writer.write(request(wire.pack_call(asked)))
            await eventually(lambda: one.by_app == ["/search"])
        assert found((await peer.answer())[1], asked) == "f0"

        async with one.replica.gate.searching():
            writing = asyncio.create_task(write(one.replica))
            await eventually(lambda: not one.replica.gate.is_open)
            other.writer.write(request(wire.pack_call(asked)))
            await eventually(lambda: one.by_app == ["/search", "/search"])
            assert not writing.done()
        assert found((await other.answer())[1], asked) == "f0"
        await writing


async def write(replica: Replica) -> None:
    async with replica.gate.writing():
        pass


async def test_calls_without_pause_do_not_keep_the_writer_out(one: Served) -> None:
    raw, over = request(wire.pack_call(call(one))), False

    async def keep_asking() -> None:
        async with one.peer() as peer:
            while not over:
                await peer.ask(raw)

    clients = [asyncio.create_task(keep_asking()) for _ in range(8)]
    for _ in range(50):
        await write(one.replica)
    over = True
    await asyncio.gather(*clients)


@pytest.mark.parametrize("key", ["", "another", KEY[:-1]])
async def test_a_call_without_the_key_is_refused_and_its_body_is_never_read_as_a_call(
    redis: Redis, redis_url: str, key: str
) -> None:
    settings = settings_for(redis_url).model_copy(update={"cluster_key": KEY})
    async with served(settings, redis) as one, one.peer() as peer:
        asked = wire.SearchCall(DLIB_SPACE, (wire.Query({"A": "i"}, ROWS[:1], 3),), 5000)
        allowed = request(wire.pack_call(asked), f"X-API-Key: {KEY}")
        refused = request(b"", *([f"X-API-Key: {key}"] if key else []), length=len(allowed))
        assert problem(await peer.ask(refused)) == (b"HTTP/1.1 401", "UNAUTHORIZED")
        peer.writer.write(allowed)  # all of it the refused one's body
        await asyncio.sleep(0.05)
        assert one.connections[0].server_state.total_requests == 1
        head, _ = await peer.ask(allowed)
        assert head.startswith(b"HTTP/1.1 200")
        assert one.by_app == ["/search"]


@pytest.mark.parametrize(
    ("kind", "length", "expected"),
    [
        ("application/json", None, (b"HTTP/1.1 415", "UNSUPPORTED_MEDIA_TYPE")),
        ("", 32_000_001, (b"HTTP/1.1 413", "BODY_TOO_LARGE")),
    ],
)
async def test_a_head_that_the_app_refuses_is_refused(
    one: Served, kind: str, length: int | None, expected: tuple[bytes, str]
) -> None:
    async with one.peer() as peer:
        body = wire.pack_call(call(one))
        assert problem(await peer.ask(request(body, kind=kind, length=length))) == expected


async def test_what_is_wrong_with_a_call_is_said_by_the_app(one: Served) -> None:
    async with one.peer() as peer:
        good = wire.pack_call(call(one))
        longer = wire.SearchCall(DLIB_SPACE, (wire.Query({"A": "i"}, ROWS[:1] * 2, 3),), 5000)
        assert problem(await peer.ask(request(wire.pack_call(longer)))) == (b"HTTP/1.1 400", "MALFORMED_BODY")
        assert problem(await peer.ask(request(b""))) == (b"HTTP/1.1 400", "MALFORMED_BODY")
        other_space = good.replace(DLIB_SPACE.encode(), b"another-space-")
        assert problem(await peer.ask(request(other_space))) == (b"HTTP/1.1 422", "WRONG_SPACE")
        late = wire.pack_call(call(one, remaining_ms=0))
        assert problem(await peer.ask(request(late))) == (b"HTTP/1.1 504", "DEADLINE_EXCEEDED")
        assert one.by_app == ["/search"] * 4
        assert (await peer.ask(request(good)))[0].startswith(b"HTTP/1.1 200")
        assert one.by_app == ["/search"] * 4


async def test_what_nobody_foresaw_is_said_by_the_app(one: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = request(wire.pack_call(call(one)))
    monkeypatch.setattr(one.replica.index, "answer_at_home", lambda *_: 1 / 0)
    async with one.peer() as peer:
        assert problem(await peer.ask(raw)) == (b"HTTP/1.1 500", "INTERNAL")


async def test_a_long_call_is_not_answered_where_it_arrives(one: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = call(one)
    async with one.peer() as peer:
        many = wire.SearchCall(DLIB_SPACE, asked.queries * (LONGEST_BODY // 512), 5000)
        assert found((await peer.ask(request(wire.pack_call(many))))[1], many) == "f0"
        assert one.by_app == ["/search"]
        monkeypatch.setattr(searcher, "SHORT", 9)
        assert found((await peer.ask(request(wire.pack_call(asked))))[1], asked) == "f0"
        assert one.by_app == ["/search"] * 2


async def test_heads_that_are_not_as_gateways_write_them_are_left_to_uvicorn(one: Served) -> None:
    asked = call(one, 5)
    body = wire.pack_call(asked)
    chunked = request(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    async with one.peer() as peer:
        answers = [
            await peer.ask(chunked + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)),
            await peer.ask(request(body, "X-API-Key: 1", "X-API-Key: 2")),
            await peer.ask(request(body).replace(b"/search", b"/search?x=1")),
        ]
        assert [found(body, asked) for _, body in answers] == ["f5"] * 3
        expecting = request(body, "Expect: 100-continue")
        peer.writer.write(expecting[: -len(body)])
        assert await peer.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert found((await peer.ask(body))[1], asked) == "f5"
    assert one.by_app == ["/search"] * 4


@pytest.mark.parametrize(("version", "headers"), [("1.0", []), ("1.1", ["Connection: close"])])
async def test_a_connection_that_is_not_to_be_kept_is_closed(one: Served, version: str, headers: list[str]) -> None:
    asked = call(one)
    async with one.peer() as peer:
        head, body = await peer.ask(request(wire.pack_call(asked), *headers, version=version))
        assert b"connection: close" in head
        assert found(body, asked) == "f0"
        assert await peer.is_closed()


async def test_a_replica_that_leaves_says_so_with_each_answer(one: Served) -> None:
    asked = call(one)
    async with one.peer() as peer:
        await peer.ask(request(wire.pack_call(asked)))
        one.replica.drain.begun = True
        head, body = await peer.ask(request(wire.pack_call(asked)))
        assert b"connection: close" in head
        assert found(body, asked) == "f0"
        assert await peer.is_closed()


async def test_a_call_whose_rest_is_still_to_come_is_answered_before_its_connection_is_closed(one: Served) -> None:
    asked = call(one)
    raw = request(wire.pack_call(asked))
    async with one.peer() as peer, one.peer() as resting:
        await resting.ask(raw)
        peer.writer.write(raw[:-100])
        await asyncio.sleep(0.05)
        for connection in one.connections:
            connection.shutdown()
        assert await resting.is_closed()
        head, body = await peer.ask(raw[-100:])
        assert b"connection: close" in head
        assert found(body, asked) == "f0"
        assert await peer.is_closed()


async def test_a_connection_is_closed_once_it_has_rested_long_enough(one: Served) -> None:
    raw = request(wire.pack_call(call(one)))
    async with one.peer() as peer:
        await peer.ask(raw)
        (connection,) = one.connections
        connection._until = 0.0
        await peer.ask(raw)  # which moves the time
        connection._look()
        await peer.ask(raw)
        connection.timeout_keep_alive = 0
        await peer.ask(raw)
        connection._look()
        assert await peer.is_closed()


async def test_half_a_call_has_as_long_as_a_head_and_not_longer_for_every_byte(
    one: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = request(wire.pack_call(call(one)))
    async with one.peer() as peer:
        await peer.ask(raw)
        one.connections[0].timeout_keep_alive = 1000
        monkeypatch.setattr(bounded, "HEAD_S", 0.2)
        closed = asyncio.create_task(peer.is_closed())
        peer.writer.write(raw[:-300])
        while not closed.done():
            peer.writer.write(b"x")
            await asyncio.sleep(0.01)
