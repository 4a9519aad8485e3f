"""The hot lane's HTTP: one POST to a replica over a kept connection, whose answers httptools reads.

Measured, CPU of the caller: 57 microseconds a call on aiohttp, 15 here; httpx serves a third of the requests of aiohttp
and is for everything that is not hot. An argument of the app, so that tests can put real shard apps of the same
process behind it. How long to wait is the caller's business.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import defaultdict
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import NamedTuple, Protocol, cast
from urllib.parse import urlsplit

import httptools

from common.errors import ShardFault, ShardGarbage, ShardUnreachable

IDLE_S = 30.0
"""we close a resting connection before the shard does (75 s), so that we never write into a closing one"""
MAX_REPLY_BYTES = 64_000_000
MAX_HEAD_BYTES = 64_000
"""before the body"""


class Reply(NamedTuple):
    status: int
    content_type: str
    body: bytes


class Transport(Protocol):
    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> Reply:
        """Raises ShardUnreachable where no whole answer came, ShardGarbage where it was not worth reading."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Target:
    host: str
    port: int
    tls: bool
    path: str

    @property
    def authority(self) -> str:
        """As `Host` says it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def peer(self) -> tuple[str, int, bool]:
        return self.host, self.port, self.tls


@lru_cache(maxsize=4096)
def target_of(url: str) -> Target:
    """Raises ValueError for what is no http:// or https:// URL with a host."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("no URL of a shard")
    tls = parts.scheme == "https"
    return Target(parts.hostname, parts.port or (443 if tls else 80), tls, parts.path or "/")


@lru_cache(maxsize=4096)
def _head(target: Target, *headers: tuple[str, str]) -> bytes:
    """Of a request, but for the length of its body. Raises ValueError where a line would end before its end."""
    lines = [f"POST {target.path} HTTP/1.1", f"Host: {target.authority}"]
    lines += [f"{name}: {value}" for name, value in headers]
    head = "".join(f"{line}\r\n" for line in lines)
    if head.count("\n") != len(lines):
        raise ValueError("a line break within a line")
    return head.encode()


class Connection(asyncio.Protocol):
    """One call at a time. httptools calls the `on_…` methods."""

    def __init__(self) -> None:
        self.rested_since = 0.0
        self._wire: asyncio.WriteTransport | None = None
        self._answer: asyncio.Future[Reply] | None = None

    @property
    def open(self) -> bool:
        return self._wire is not None and not self._wire.is_closing()

    def call(self, request: bytes) -> asyncio.Future[Reply]:
        assert self._wire is not None  # noqa: S101  # narrows the type: it is connected
        self._answer = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._content_type, self._length, self._body = "", -1, bytearray()
        self._head_bytes, self._in_head = 0, True
        self._wire.write(request)
        return self._answer

    def close(self) -> None:
        """At once: a peer that hangs would never read what is still to be sent."""
        if self._wire is not None:
            self._wire.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.WriteTransport, transport)  # uvloop's are none by inheritance

    def data_received(self, data: bytes) -> None:
        if self._answer is None:  # nobody asked: what comes belongs to no call
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(ShardUnreachable(f"no HTTP ({type(error).__name__})"))
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._fail(ShardGarbage("its headers do not end", limit=MAX_HEAD_BYTES))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(ShardUnreachable("it hung up" if exc is None else type(exc).__name__))

    def on_message_begin(self) -> None:
        if self._answer is None:  # a second answer: what it is to belongs to no call
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        match name.lower():
            case b"content-type":
                self._content_type = value.decode("latin-1").partition(";")[0].strip().lower()
            case b"content-length":
                self._length = int(value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if (status := self._parser.get_status_code()) < 200:  # another is to follow, which would be the next call's
            self._fail(ShardGarbage(f"it answered {status}"))
        elif not 0 <= self._length <= MAX_REPLY_BYTES:
            told = "no length" if self._length < 0 else f"{self._length} bytes"
            self._fail(ShardGarbage(f"it answered {told}", limit=MAX_REPLY_BYTES))

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        answer, self._answer = self._answer, None
        body, self._body = bytes(self._body), bytearray()  # not kept while the connection rests
        if not self._parser.should_keep_alive():
            self.close()
        if answer is not None and not answer.done():
            answer.set_result(Reply(self._parser.get_status_code(), self._content_type, body))

    def _fail(self, fault: ShardFault) -> None:
        self.close()
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(fault)


@cache
def _tls() -> ssl.SSLContext:
    """Made once: it reads the machine's certificates."""
    return ssl.create_default_context()


class SocketTransport:
    """Keeps as many connections to a replica as there were calls at once."""

    def __init__(self) -> None:
        self._idle: defaultdict[tuple[str, int, bool], list[Connection]] = defaultdict(list)

    async def close(self) -> None:
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> Reply:
        try:
            target = target_of(url)
            connection = self._rested(target) or await self._connected(target)
            return await self._call(connection, target, body, headers)
        except (OSError, ValueError, ShardUnreachable) as error:
            why = error.detail if isinstance(error, ShardUnreachable) else type(error).__name__
            raise ShardUnreachable(f"{url}: {why}.") from error

    async def _call(self, connection: Connection, target: Target, body: bytes, headers: dict[str, str]) -> Reply:
        try:
            head = _head(target, *headers.items())
            reply = await connection.call(b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body))
        except BaseException:  # given up, too: the answer may still come, and would be the next call's
            connection.close()
            raise
        if connection.open:
            connection.rested_since = time.monotonic()
            self._idle[target.peer].append(connection)
        return reply

    def _rested(self, target: Target) -> Connection | None:
        connections, now = self._idle[target.peer], time.monotonic()
        while connections:
            connection = connections.pop()
            if connection.open and now - connection.rested_since < IDLE_S:
                return connection
            connection.close()
        return None

    async def _connected(self, target: Target) -> Connection:
        self._forget_closed()
        context = _tls() if target.tls else None
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, target.host, target.port, ssl=context)
        return connection

    def _forget_closed(self) -> None:
        """A shard has another port after each start, so nobody asks for what was open to the last one."""
        for peer, connections in list(self._idle.items()):
            connections[:] = [connection for connection in connections if connection.open]
            if not connections:
                del self._idle[peer]
