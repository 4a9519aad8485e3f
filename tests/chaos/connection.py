"""One kept connection to a gateway that costs little: on two cores the load must not be what is measured."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

from common.types import Vectors
from tests.conformance import Page, Said

TIMEOUT_S = 30.0


class NoAnswer(Exception):
    """The connection was refused or broke; what was asked may or may not have happened."""


class Connection:
    def __init__(self, url: str, page: Page) -> None:
        self._address = urlsplit(url)
        self._page = page
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, method: str, path: str, rows: Vectors | None = None, query: str = "") -> tuple[int, Any]:
        """Status and body of the answer. Raises NoAnswer; Unpromised for an answer that the OpenAPI page does not
        list."""
        body = b"" if rows is None else rows.tobytes()
        head = f"{method} {path}?{query} HTTP/1.1\r\nHost: {self._address.netloc}\r\nContent-Length: {len(body)}\r\n"
        kind = "" if rows is None else "Content-Type: application/octet-stream\r\n"
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status, media_type, raw = await self._exchange(f"{head}{kind}\r\n".encode() + body)
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError) as error:
            self.close()
            raise NoAnswer(type(error).__name__) from error
        self._page.check(Said(method, path, status, media_type, raw))
        return status, json.loads(raw)

    async def _exchange(self, request: bytes) -> tuple[int, str, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._address.hostname, self._address.port)
        reader, writer = self._streams
        writer.write(request)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        raw = await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection", "").lower() == "close":
            self.close()
        return int(lines[0].split(" ")[1]), headers["content-type"].partition(";")[0], raw

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
