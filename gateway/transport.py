"""The hot lane's HTTP: one POST to a replica, on aiohttp.

An argument of the app, so that tests can put real shard apps of the same process behind it. httpx serves a third of the
requests on this path and is for everything that is not hot. How long to wait is the caller's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import aiohttp

from common.errors import ShardGarbage, ShardUnreachable

IDLE_S = 30.0
"""we close a resting connection before the shard does (75 s), so that we never write into a closing one"""
MAX_REPLY_BYTES = 64_000_000


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    content_type: str
    body: bytes


class Transport(Protocol):
    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> Reply:
        """Raises ShardUnreachable where no whole answer came, ShardGarbage where it was not worth reading."""

    async def close(self) -> None: ...


class AiohttpTransport:
    """Make it inside the event loop that uses it."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S),
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    async def close(self) -> None:
        await self._session.close()

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> Reply:
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                if response.content_length is None or response.content_length > MAX_REPLY_BYTES:
                    raise ShardGarbage(f"{url} answered {response.content_length} bytes.", limit=MAX_REPLY_BYTES)
                return Reply(response.status, response.content_type, await response.read())
        except (aiohttp.ClientError, OSError) as error:
            raise ShardUnreachable(f"{url}: {type(error).__name__}.") from error
