"""The hot lane's HTTP: one POST to a replica, on aiohttp.

An argument of the app, so that tests can put real shard apps of the same process behind it. Measured on this path with
16 clients and two cores: httpx serves about a third of the requests that aiohttp does, so httpx is for everything else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import aiohttp

from common.errors import ShardTimeout, ShardUnreachable

IDLE_S = 30.0
"""kept connections are closed by us before a shard's own 75 s, so that we never write into a closing one"""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    content_type: str
    body: bytes


class Transport(Protocol):
    async def post(self, url: str, body: bytes, headers: dict[str, str], timeout_s: float) -> Reply:
        """Raises ShardTimeout or ShardUnreachable where there is no whole answer."""

    async def close(self) -> None: ...


class AiohttpTransport:
    """Make it inside the event loop that uses it."""

    def __init__(self, max_reply_bytes: int) -> None:
        self._max_reply_bytes = max_reply_bytes
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S)
        self._session = aiohttp.ClientSession(
            connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )

    async def close(self) -> None:
        await self._session.close()

    async def post(self, url: str, body: bytes, headers: dict[str, str], timeout_s: float) -> Reply:
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        try:
            async with self._session.post(
                url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                content = await response.read()
                return Reply(response.status, response.content_type, content)
        except TimeoutError as error:
            raise ShardTimeout(f"{url} did not answer within {timeout_s:.3f} s.") from error
        except aiohttp.ClientError as error:
            raise ShardUnreachable(f"{url}: {type(error).__name__}.") from error
