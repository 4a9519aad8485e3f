"""What goes over the wire, and a reader that takes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from starlette.types import Message

from deploy.client.events import Message as Read
from deploy.client.events import messages
from gateway.sse import PING, EventStream, frame, hello


def test_what_is_framed_is_read_the_same() -> None:
    raw = hello("7-0") + PING + frame("arrival", "8-0", '{"name": "Ädа: \u2028"}') + frame("gap", "9-1", "{}")
    assert list(messages([raw])) == [
        Read("", "7-0", ""),
        Read("arrival", "8-0", '{"name": "Ädа: \u2028"}'),
        Read("gap", "9-1", "{}"),
    ]


async def test_a_reader_whose_socket_stays_full_is_let_go_and_its_frames_are_closed() -> None:
    closed: list[bool] = []
    sent: list[Message] = []

    async def frames() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield PING
        finally:
            closed.append(True)

    async def send(message: Message) -> None:
        sent.append(message)
        if len(sent) > 3:
            await asyncio.Event().wait()

    async with asyncio.timeout(5):
        await EventStream(frames(), slow_s=0.05).stream_response(send)
    assert closed == [True]
    assert all(message.get("more_body", True) for message in sent)


@pytest.mark.parametrize("count", [0, 3])
async def test_a_stream_that_ends_is_complete(count: int) -> None:
    sent: list[Message] = []

    async def frames() -> AsyncGenerator[bytes, None]:
        for _ in range(count):
            yield PING

    async def send(message: Message) -> None:
        sent.append(message)

    await EventStream(frames()).stream_response(send)
    assert [message.get("more_body") for message in sent] == [None, *[True] * count, False]
