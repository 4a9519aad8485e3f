"""The gate and the searcher: a writer never meets a search, neither side starves the other."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from common.errors import DeadlineExceeded
from common.types import DLIB_SPACE
from common.wire import Query, QueryReply, SearchCall
from shard.answers import ALONE, Company
from shard.gate import Gate
from shard.searcher import Searcher
from shard.shard_index import ShardIndex
from tests.shard.helpers import PATIENCE_S, eventually, unit

CALL = SearchCall(DLIB_SPACE, (Query({"A": "i"}, unit(1), 5),), remaining_ms=20_000)


class SlowIndex(ShardIndex):
    """An index whose search lasts until the test lets it end."""

    def __init__(self) -> None:
        super().__init__()
        self.started = 0
        self.may_end = threading.Event()

    def products(self, call: SearchCall) -> int:  # noqa: ARG002  # as any call that needs a thread
        return 10**9

    def answer(self, call: SearchCall, give_up_at: float = 0.0, company: Company = ALONE) -> tuple[QueryReply, ...]:
        if time.monotonic() > give_up_at:
            raise DeadlineExceeded("too late")
        self.started += 1
        assert self.may_end.wait(PATIENCE_S)
        return super().answer(call, give_up_at, company)


async def test_a_waiting_writer_goes_before_new_searches_and_after_running_ones() -> None:
    gate, order = Gate(), list[str]()
    first_may_end = asyncio.Event()

    async def search(name: str, may_end: asyncio.Event | None = None) -> None:
        async with gate.searching():
            order.append(f"{name} in")
            if may_end is not None:
                await may_end.wait()
            order.append(f"{name} out")

    async def write() -> None:
        async with gate.writing():
            order.append("write")

    first = asyncio.create_task(search("first", first_may_end))
    await eventually(lambda: order == ["first in"])
    writer = asyncio.create_task(write())
    for _ in range(3):
        await asyncio.sleep(0)
    second = asyncio.create_task(search("second"))
    for _ in range(10):
        await asyncio.sleep(0)
    assert order == ["first in"]
    first_may_end.set()
    await asyncio.gather(first, writer, second)
    assert order == ["first in", "first out", "write", "second in", "second out"]


async def test_searches_get_their_turn_between_writes_that_never_pause() -> None:
    gate = Gate()
    searched = asyncio.Event()

    async def search() -> None:
        async with gate.searching():
            searched.set()

    async with gate.writing():
        task = asyncio.create_task(search())
        await asyncio.sleep(0)
    for _ in range(3):
        async with gate.writing():
            pass
    assert searched.is_set()
    await task


async def test_a_stream_of_searches_does_not_keep_the_writer_out() -> None:
    index, gate = ShardIndex(), Gate()
    searcher = Searcher(index, gate, threads=2)
    over = False

    async def keep_searching() -> None:
        while not over:
            await searcher.search(CALL)

    clients = [asyncio.create_task(keep_searching()) for _ in range(8)]
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(50):
            async with gate.writing():
                pass
    over = True
    await asyncio.gather(*clients)
    searcher.close()


async def test_a_search_whose_caller_left_still_keeps_the_writer_out() -> None:
    index, gate = SlowIndex(), Gate()
    searcher = Searcher(index, gate, threads=1)
    caller = asyncio.create_task(searcher.search(CALL))
    await eventually(lambda: index.started)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05), gate.writing():
            pytest.fail("the writer met a running search")
    index.may_end.set()
    async with asyncio.timeout(PATIENCE_S), gate.writing():
        pass
    searcher.close()


async def test_the_writer_does_not_wait_for_searches_that_queue_for_a_thread() -> None:
    index, gate = SlowIndex(), Gate()
    searcher = Searcher(index, gate, threads=1)
    calls = [asyncio.create_task(searcher.search(CALL)) for _ in range(3)]
    await eventually(lambda: index.started == 1)
    written = asyncio.Event()

    async def write() -> None:
        async with gate.writing():
            assert index.started == 1
            written.set()

    writer = asyncio.create_task(write())
    for _ in range(5):
        await asyncio.sleep(0)
    index.may_end.set()
    await asyncio.gather(writer, *calls)
    assert written.is_set()
    assert index.started == 3
    searcher.close()


async def test_a_call_that_waited_too_long_for_a_thread_is_answered_and_never_searched(
    caplog: pytest.LogCaptureFixture,
) -> None:
    index = SlowIndex()
    searcher = Searcher(index, Gate(), threads=1)
    running = asyncio.create_task(searcher.search(CALL))
    await eventually(lambda: index.started)
    with pytest.raises(DeadlineExceeded):
        await searcher.search(SearchCall(DLIB_SPACE, CALL.queries, remaining_ms=20))
    index.may_end.set()
    await running
    await searcher.search(CALL)
    assert index.started == 2
    assert caplog.text == ""  # its late error is nobody's any more
    searcher.close()
