"""Requests as they come from a socket: the hot ones pass the framework by, are answered in the same words, and keep
their turn; nobody fills the memory before a key is checked."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import pytest
from fastapi import APIRouter, FastAPI, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT

from common.bounded import MAX_HEAD_BYTES
from common.direct import MOST_BYTES, Direct, PlainRoute
from common.drain import Drain, LastAnswers
from common.errors import MalformedBody
from common.http import Admission, BodyLimit, WithoutKey, install_problems
from tests.sockets import listening

KEY = "a key"
LIMIT = 1000
HOT = b"POST /hot/%s HTTP/1.1\r\nHost: x\r\nX-API-Key: a key\r\nContent-Length: %d\r\n\r\n%s"


@dataclass
class Served:
    """An app behind a real socket."""

    drain: Drain = field(default_factory=lambda: Drain(0.0))
    let: asyncio.Event = field(default_factory=asyncio.Event)
    """what waits at /hot/slow goes on"""
    by_framework: list[str] = field(default_factory=list)
    """paths of the requests that came by way of the app"""
    told: list[str] = field(default_factory=list)
    """what endpoints were told after the body"""
    port: int = 0

    def app(self) -> FastAPI:
        router = APIRouter(route_class=PlainRoute)

        @router.post("/hot/{what}")
        async def hot(request: Request) -> Response:
            match request.path_params["what"]:
                case "slow":
                    await self.let.wait()
                case "watchful":
                    await request.body()
                    self.told.append((await request.receive())["type"])
                case "wrong":
                    raise MalformedBody("This is no body.", field="body")
                case "broken":
                    raise LookupError
                case "hurried":
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(0.05):
                            await request.body()
                    return Response(b"too late")
            return Response(await request.body() + request.scope["query_string"], media_type="text/plain")

        app = FastAPI()
        install_problems(app)
        app.include_router(router)

        @app.get("/cold")
        async def cold() -> str:
            return "cold"

        refusal = WithoutKey([KEY])
        app.add_middleware(BodyLimit, limit=LIMIT)
        app.add_middleware(Admission, refusal=refusal)
        app.add_middleware(LastAnswers, drain=self.drain)
        app.add_middleware(Noted, paths=self.by_framework)
        app.state.direct = Direct(app, self.drain, refusal, LIMIT, router)
        return app

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        yield reader, writer
        writer.close()


class Noted:
    def __init__(self, app: ASGIApp, paths: list[str]) -> None:
        self._app = app
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._paths.append(scope["path"])
        await self._app(scope, receive, send)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    made = Served()
    async with listening(made.app()) as made.port, asyncio.timeout(20):
        yield made


def post(what: bytes, body: bytes = b"", head: bytes = b"") -> bytes:
    return (HOT % (what, len(body), body)).replace(b"\r\n\r\n", b"\r\n" + head + b"\r\n", 1)


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """The next one: status, headers, body."""
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


async def test_a_hot_request_is_answered_without_the_framework(served: Served) -> None:
    async with served.connection() as (reader, writer):
        for body in (b"one", b"", b"three" * 100):
            writer.write(post(b"echo?and=more", body))
            status, headers, said = await answer(reader)
            assert (status, said, headers["content-type"]) == (200, body + b"and=more", "text/plain; charset=utf-8")
            assert "connection" not in headers
    assert served.by_framework == []


@pytest.mark.parametrize("what", [b"echo", b"wrong", b"broken"])
async def test_it_is_answered_in_the_words_of_the_framework(served: Served, what: bytes) -> None:
    async with served.connection() as (reader, writer):
        writer.write(post(what, b"body"))
        directly = await answer(reader)
        assert served.by_framework == []
        writer.write(post(what, b"body", b"Connection: close\r\n"))
        status, headers, body = await answer(reader)
    assert len(served.by_framework) == 1
    del headers["connection"]
    assert directly == (status, headers, body)


async def test_the_log_of_a_defect_names_the_route_and_not_the_path(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    async with served.connection() as (reader, writer):
        writer.write(post(b"broken?face=ada"))
        assert (await answer(reader))[0] == 500
    text = "\n".join(logging.Formatter().format(record) for record in caplog.records)
    assert "POST /hot/{what} failed" in text
    assert "ada" not in text
    assert served.by_framework == []


def unusual() -> Iterator[tuple[str, bytes, int]]:
    """Hot paths, but not in the ordinary way; and the status."""
    yield "chunked", HOT.replace(b"Content-Length: %d", b"Transfer-Encoding: chunked") % (b"echo", b"0\r\n\r\n"), 200
    yield "without a length", b"POST /hot/echo HTTP/1.1\r\nHost: x\r\nX-API-Key: a key\r\n\r\n", 200
    yield "another escape of the path", post(b"%65cho"), 200
    yield "with a fragment", post(b"echo#fragment"), 200
    yield "to be closed", post(b"echo", head=b"Connection: close\r\n"), 200
    yield "old", post(b"echo").replace(b"HTTP/1.1", b"HTTP/1.0"), 200
    yield "to be told to go on", post(b"echo", head=b"Expect: 100-continue\r\n"), 100
    yield "without the key", post(b"echo").replace(b"a key", b"no key"), 401
    yield "too long", post(b"echo", b"x" * (LIMIT + 1)), 413
    yield "a length that is none", post(b"echo").replace(b"Content-Length: 0", b"Content-Length: x"), 400
    yield "another method", post(b"echo").replace(b"POST", b"PUT"), 405
    yield "another path", post(b"echo/er"), 404


@pytest.mark.parametrize(("sent", "status"), [pytest.param(*each, id=name) for name, *each in unusual()])
async def test_what_is_not_ordinary_goes_the_way_of_the_framework(served: Served, sent: bytes, status: int) -> None:
    async with served.connection() as (reader, writer):
        writer.write(sent)
        assert (await reader.readuntil(b"\r\n")).split()[1] == str(status).encode()
    assert len(served.by_framework) == (status not in {400})  # which is the parser's


def test_hot_bodies_are_so_small_that_uvicorn_would_not_pause_reading_them() -> None:
    assert MOST_BYTES <= HIGH_WATER_LIMIT


async def test_a_body_may_come_in_pieces(served: Served) -> None:
    sent = post(b"echo", b"some words")
    async with served.connection() as (reader, writer):
        for at in range(0, len(sent), 7):
            writer.write(sent[at : at + 7])
            await writer.drain()
            await asyncio.sleep(0.001)
        assert (await answer(reader))[2] == b"some words"
    assert served.by_framework == []


async def test_an_answer_does_not_wait_for_a_body_that_nobody_waits_for(served: Served) -> None:
    sent = post(b"hurried", b"some words")
    async with served.connection() as (reader, writer):
        writer.write(sent[:-5])
        assert (await answer(reader))[2] == b"too late"
        writer.write(sent[-5:] + post(b"echo", b"and on"))
        assert (await answer(reader))[2] == b"and on"
    assert served.by_framework == []


async def test_what_is_sent_before_the_answer_is_there_waits_for_its_turn(served: Served) -> None:
    cold = b"GET /cold HTTP/1.1\r\nHost: x\r\nX-API-Key: a key\r\n\r\n"
    async with served.connection() as (reader, writer):
        writer.write(post(b"slow", b"first") + post(b"echo", b"second") + cold + post(b"echo", b"last"))
        await asyncio.sleep(0.05)
        served.let.set()
        assert [(await answer(reader))[2] for _ in range(4)] == [b"first", b"second", b'"cold"', b"last"]
        writer.write(post(b"echo", b"and on"))
        assert (await answer(reader))[2] == b"and on"


async def test_while_the_process_leaves_answers_close_their_connection(served: Served) -> None:
    async with served.connection() as (reader, writer):
        writer.write(post(b"slow", b"last words"))
        await asyncio.sleep(0.05)
        served.drain.begun = True
        served.let.set()
        _, headers, body = await answer(reader)
        assert (headers["connection"], body) == ("close", b"last words")
        assert await reader.read() == b""


async def test_an_endpoint_that_asks_on_learns_that_the_client_has_gone(served: Served) -> None:
    async with served.connection() as (_, writer):
        writer.write(post(b"watchful", b"words"))
        await asyncio.sleep(0.05)
        assert served.told == []
    while not served.told:
        await asyncio.sleep(0.01)
    assert served.told == ["http.disconnect"]


async def test_headers_without_end_are_refused(served: Served) -> None:
    async with served.connection() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-More: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                writer.write(b"x" * 10_000)
                await writer.drain()
            assert await reader.read(12) == b"HTTP/1.1 400"


async def test_heads_within_the_limit_are_read_request_after_request(served: Served) -> None:
    async with served.connection() as (reader, writer):
        for _ in range(3):
            head = b"GET /cold HTTP/1.1\r\nHost: x\r\nX-API-Key: a key\r\nX-More: " + b"x" * (MAX_HEAD_BYTES // 2)
            writer.write(head)
            await writer.drain()
            writer.write(b"\r\n\r\n")
            assert (await answer(reader))[::2] == (200, b'"cold"')
