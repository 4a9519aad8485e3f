"""The gateway's calls to shard replicas: the only code that knows their paths and reads their answers.

Every failure becomes a ShardFault that says whether a sibling replica may do better.
"""

from __future__ import annotations

import asyncio

import httpx

from common import wire
from common.errors import ShardGarbage, ShardRejected, ShardTimeout, ShardUnreachable

MAX_REPLY_BYTES = 64_000_000
GRACE_S = 0.25
"""how much longer we listen than we told the replica to work, so that its own "out of time" arrives"""


class ShardClient:
    def __init__(self, transport: httpx.AsyncBaseTransport | None, cluster_key: str) -> None:
        headers = {"Content-Type": wire.CONTENT_TYPE}
        if cluster_key:
            headers["X-API-Key"] = cluster_key
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        self._http = httpx.AsyncClient(transport=transport, headers=headers, limits=limits, trust_env=False)

    async def close(self) -> None:
        await self._http.aclose()

    async def search(self, url: str, call: wire.SearchCall) -> tuple[wire.QueryReply, ...]:
        """The replica's answer to each query. Raises ShardUnreachable, ShardTimeout, ShardRejected or ShardGarbage."""
        raw = await self._post(f"{url}/search", wire.pack_call(call), call.remaining_ms / 1000)
        return wire.unpack_reply(raw, call)

    async def await_version(self, url: str, call: wire.AwaitCall) -> int:
        """The version of the store that the replica has when it has reached the one asked for, or when time is over."""
        return wire.unpack_version(await self._post(f"{url}/await", wire.pack_await(call), call.remaining_ms / 1000))

    async def _post(self, url: str, body: bytes, timeout_s: float) -> bytes:
        try:
            # httpx bounds each read, not the whole: an answer that drips in would take for ever.
            async with asyncio.timeout(timeout_s + GRACE_S):
                response = await self._http.post(url, content=body, timeout=None)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise ShardTimeout(f"{url} did not answer within {timeout_s:.3f} s.") from error
        except httpx.DecodingError as error:
            raise ShardGarbage(f"{url} answered something that cannot be decoded.") from error
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise ShardUnreachable(f"{url}: {type(error).__name__}.") from error
        if response.status_code >= 500:
            raise ShardUnreachable(f"{url} answered {response.status_code}.")
        if response.status_code >= 400:
            raise ShardRejected(f"{url} answered {response.status_code} {_code(response)}.")
        if response.headers.get("content-type") != wire.CONTENT_TYPE or len(response.content) > MAX_REPLY_BYTES:
            raise ShardGarbage(f"{url} answered something that is not {wire.CONTENT_TYPE}.")
        return response.content


def _code(response: httpx.Response) -> str:
    try:
        return str(response.json()["code"])
    except (ValueError, KeyError, TypeError):
        return ""
