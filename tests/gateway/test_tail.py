"""One reader of Redis for all who listen: every event once and in order, whatever happens between."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from common import keys
from common.errors import TruthUnavailable
from common.events import Events, Resumed
from common.tasks import end
from common.truth import connect
from deploy.local.embedded_redis import free_port, start_embedded_redis
from gateway.tail import QUEUED, Reader, Tail
from tests.gateway.checkout import announce, eventually


@contextlib.asynccontextmanager
async def tail_of(redis: Redis) -> AsyncIterator[Tail]:
    tail = Tail(Events(redis), 0.2)
    running = asyncio.create_task(tail.run())
    yield tail
    await end(running)


@pytest.fixture
async def tail(redis: Redis) -> AsyncIterator[Tail]:
    async with tail_of(redis) as running:
        yield running


async def take(reader: Reader, count: int) -> list[str]:
    """The ids of the next `count` events, also through an outage."""
    got: list[str] = []
    async with asyncio.timeout(30):
        while len(got) < count and not reader.over:
            try:
                events = await reader.read(1)
            except TruthUnavailable:
                await reader.pause(0.05)
                continue
            for event in events:
                got.append(event.id)
                reader.had(event.id)
    return got


async def test_readers_that_begin_at_any_moment_get_every_event_once_and_in_order(redis: Redis, tail: Tail) -> None:
    total, written = 1500, list[str]()
    dice = random.Random(4)

    async def write() -> None:
        for _ in range(total):
            written.append(await announce(redis, "A"))

    async def read(begin_at: int) -> tuple[int, list[str]]:
        await eventually(lambda: len(written) > begin_at)
        with tail.reader("A", written[begin_at]) as reader:
            return begin_at, await take(reader, total - begin_at - 1)

    writing = asyncio.create_task(write())
    found = await asyncio.gather(*(read(dice.randrange(total - 1)) for _ in range(12)))
    await writing
    for begun_at, got in found:
        assert got == written[begun_at + 1 :], begun_at


async def flood(redis: Redis, count: int) -> list[str]:
    pipe = redis.pipeline(transaction=False)
    for _ in range(count):
        pipe.xadd(keys.events("A"), {"t": "arrival", "k": "~v00", "a": 1})
    return [event_id.decode() for event_id in await pipe.execute()]


async def live(tail: Tail, redis: Redis, reader: Reader) -> None:
    """Until the reader takes from its queue."""
    await take(reader, 1)
    waiting = asyncio.create_task(take(reader, 1))
    await eventually(lambda: "A" in tail._positions)
    await announce(redis, "A")
    await waiting


async def test_a_reader_whose_queue_is_full_reads_what_it_missed_from_redis(redis: Redis, tail: Tail) -> None:
    await announce(redis, "A")
    with tail.reader("A", "0-0") as reader:
        await live(tail, redis, reader)
        ids = await flood(redis, 3 * QUEUED)
        await eventually(lambda: tail._positions["A"] == ids[-1])
        assert reader._dropped
        assert len(reader._queue) <= QUEUED
        last = await announce(redis, "A")
        assert await take(reader, len(ids) + 1) == [*ids, last]
        assert not reader.over


async def test_a_reader_so_slow_that_its_next_events_are_trimmed_is_let_go(redis: Redis, tail: Tail) -> None:
    await announce(redis, "A")
    with tail.reader("A", "0-0") as reader:
        await live(tail, redis, reader)
        ids = await flood(redis, 2 * QUEUED)
        await eventually(lambda: tail._positions["A"] == ids[-1])
        await redis.xtrim(keys.events("A"), minid=ids[1], approximate=False)
        assert await take(reader, 1) == []
        assert reader.over


async def test_what_was_read_and_not_sent_is_read_again(redis: Redis, tail: Tail) -> None:
    ids = [await announce(redis, "A") for _ in range(3)]
    with tail.reader("A", "0-0") as reader:
        assert [event.id for event in await reader.read(5)] == ids
        reader.had(ids[0])
        assert [event.id for event in await reader.read(5)] == ids[1:]
        reader.had(ids[2])
        live = asyncio.create_task(reader.read(5))
        last = await announce(redis, "A")
        assert [event.id for event in await live] == [last]
        assert [event.id for event in await reader.read(5)] == [last]


async def test_stores_that_nobody_reads_are_not_followed(redis: Redis, tail: Tail) -> None:
    with tail.reader("A", "0-0") as reader:
        await announce(redis, "B")
        only = await announce(redis, "A")
        assert await take(reader, 1) == [only]
        assert tail._positions.keys() == {"A"}
    assert tail._positions == {}


async def test_closing_ends_those_who_read_and_those_who_come_later(tail: Tail) -> None:
    with tail.reader("A", "0-0") as reader:
        waiting = asyncio.create_task(reader.read(60))
        await asyncio.sleep(0)
        tail.close()
        async with asyncio.timeout(5):
            assert await waiting == []
        assert reader.over
    with tail.reader("A", "0-0") as late:
        assert late.over


async def test_an_outage_of_redis_loses_nothing_and_ends_nobody(tmp_path: Path) -> None:
    port = free_port()
    server = start_embedded_redis(tmp_path, port)
    redis = connect(f"redis://127.0.0.1:{port}/0", 1)
    try:
        async with tail_of(redis) as tail:
            with tail.reader("A", "0-0") as reader:
                ids = [await announce(redis, "A")]
                assert await take(reader, 1) == ids
                server.kill()
                server.wait()
                await eventually(lambda: tail._was_away)
                server = start_embedded_redis(tmp_path, port)
                ids = [await announce(redis, "A") for _ in range(3)]
                assert await take(reader, 3) == ids
                assert not reader.over
    finally:
        await redis.aclose()
        server.kill()
        server.wait()


async def test_a_reader_that_leaves_while_the_others_positions_are_looked_at_ends_nobody(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = Events(redis)
    tail = Tail(events, 0.2)
    with contextlib.ExitStack() as stack:
        reader = stack.enter_context(tail.reader("A", "0-0"))
        reader.had(await announce(redis, "A"))
        await tail.follow("A")
        ids = [await announce(redis, "A") for _ in range(3)]
        await redis.xtrim(keys.events("A"), minid=ids[2], approximate=False)
        resume = events.resume

        async def resume_and_leave(store: str, position: str | None) -> Resumed:
            found = await resume(store, position)
            stack.close()
            return found

        monkeypatch.setattr(events, "resume", resume_and_leave)
        tail._was_away = True
        await tail._turn()


async def test_readers_are_let_go_if_events_were_trimmed_while_they_could_not_be_read(redis: Redis) -> None:
    events = Events(redis)
    tail = Tail(events, 0.2)
    with tail.reader("A", "0-0") as reader:
        had = await announce(redis, "A")
        reader.had(had)
        await tail.follow("A")
        tail._was_away = True
        await tail._turn()
        assert not reader.over
        ids = [await announce(redis, "A") for _ in range(3)]
        await redis.xtrim(keys.events("A"), minid=ids[2], approximate=False)
        tail._was_away = True
        await tail._turn()
        assert reader.over
