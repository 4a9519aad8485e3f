"""The gateway's calls to shard replicas: the only code that knows their paths and reads their answers.

Every failure becomes a ShardFault that says whether a sibling replica may do better.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from common import wire
from common.errors import DeadlineExceeded, ShardGarbage, ShardRejected, ShardTimeout, ShardUnreachable
from gateway.deadline import Deadline
from gateway.transport import Transport

GRACE_S = 0.25
"""how much longer we listen than we told the replica to work, so that its own "out of time" arrives"""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a call to a replica came to nothing."""

    replica: str | None
    """None: there was none to call"""
    code: str


class ShardClient:
    def __init__(self, transport: Transport, cluster_key: str) -> None:
        self._transport = transport
        self._headers = {"Content-Type": wire.CONTENT_TYPE}
        if cluster_key:
            self._headers["X-API-Key"] = cluster_key

    async def search(self, url: str, call: wire.SearchCall) -> tuple[wire.QueryReply, ...]:
        """The replica's answer to each query. Raises ShardUnreachable, ShardTimeout, ShardRejected or ShardGarbage."""
        raw = await self._post(f"{url}/search", wire.pack_call(call), call.remaining_ms / 1000)
        return wire.unpack_reply(raw, call)

    async def await_version(self, url: str, call: wire.AwaitCall) -> int:
        """The version of the store that the replica has when it has reached the one asked for, or when time is over."""
        return wire.unpack_version(await self._post(f"{url}/await", wire.pack_await(call), call.remaining_ms / 1000))

    async def _post(self, url: str, body: bytes, timeout_s: float) -> bytes:
        try:
            # For the call as a whole: an answer that drips in would never run into a time-out between two reads.
            async with Deadline(timeout_s + GRACE_S):
                reply = await self._transport.post(url, body, self._headers)
        except DeadlineExceeded as error:
            raise ShardTimeout(f"{url} did not answer within {timeout_s:.3f} s.") from error
        if reply.status >= 500:
            raise ShardUnreachable(f"{url} answered {reply.status}.")
        if reply.status >= 400:
            raise ShardRejected(f"{url} answered {reply.status} {_code(reply.body)}.")
        if reply.content_type != wire.CONTENT_TYPE:
            raise ShardGarbage(f"{url} answered something that is not {wire.CONTENT_TYPE}.")
        return reply.body


def _code(problem: bytes) -> str:
    try:
        return str(json.loads(problem)["code"])
    except (ValueError, KeyError, TypeError):
        return ""
