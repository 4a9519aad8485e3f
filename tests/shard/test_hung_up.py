"""A caller that hung up before its turn came costs no search: its other replica was faster."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from starlette.types import ASGIApp, Message, Scope

from common import wire
from common.truth import connect
from common.types import DLIB_SPACE
from shard.app import create_app
from tests.shard.helpers import eventually, settings_for, unit

CALL = wire.SearchCall(DLIB_SPACE, (wire.Query({"A": "i"}, unit(1), 5),), remaining_ms=5000)
SCOPE: Scope = {
    "type": "http",
    "method": "POST",
    "path": "/search",
    "query_string": b"",
    "headers": [(b"content-type", wire.CONTENT_TYPE.encode()), (b"host", b"localhost")],
}


@pytest.fixture
async def shard(redis: Redis, redis_url: str) -> AsyncIterator[ASGIApp]:  # noqa: ARG001  # an empty server
    client = connect(redis_url, timeout_s=5)
    app = create_app(settings_for(redis_url), client)
    async with app.router.lifespan_context(app):
        await eventually(lambda: app.state.replica.follower.state == "ready")
        yield app
    await client.aclose()


async def answer(shard: ASGIApp, *, hangs_up: bool) -> tuple[int, bytes]:
    """What the shard answers to a caller that sends its body and then waits, or hangs up at once."""
    body = wire.pack_call(CALL)
    to_come: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    to_come += [{"type": "http.disconnect"}] * hangs_up
    sent: list[Message] = []

    async def receive() -> Message:
        if not to_come:
            await eventually(lambda: len(sent) == 2)
        return to_come.pop(0) if to_come else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await shard(SCOPE, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


async def test_one_who_waits_is_answered(shard: ASGIApp) -> None:
    status, body = await answer(shard, hangs_up=False)
    assert status == 200
    assert wire.unpack_reply(body, CALL)


async def test_one_who_hung_up_is_not_searched_for(shard: ASGIApp) -> None:
    status, body = await answer(shard, hangs_up=True)
    assert (status, json.loads(body)["code"]) == (504, "DEADLINE_EXCEEDED")
