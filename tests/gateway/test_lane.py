"""What leaves together, and what a call that hangs, fails or is given up means for those that wait."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Sequence

import numpy as np
import pytest

from common.wire import Query
from gateway.deadline import Deadline
from gateway.lane import MOST_PROBES, First, Lane, Waiting, outcomes
from gateway.shard_client import Cause

CALLS_AT_ONCE = 2


def query(probes: int = 1) -> Query:
    return Query({"A": "i"}, np.zeros((probes, 2), dtype=np.float32), 5)


class Shard:
    """Answers each call when it is let; `calls` are the numbers of queries in them."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.probes: list[int] = []
        self.cancelled = 0
        self.gate = asyncio.Event()

    async def send(self, waiting: Sequence[Waiting]) -> list[First]:
        self.calls.append(len(waiting))
        self.probes.append(sum(len(one.query.probes) for one in waiting))
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return [First(None, ()) for _ in waiting]


async def ask(lane: Lane, *queries: Query) -> list[First]:
    return await outcomes(lane.enter(queries, Deadline(10)))


def asked(lane: Lane, count: int, probes: int = 1) -> list[asyncio.Task[list[First]]]:
    return [asyncio.create_task(ask(lane, query(probes))) for _ in range(count)]


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_comes_in_one_turn_of_the_loop_leaves_in_one_call() -> None:
    shard = Shard()
    tasks = asked(Lane(shard.send, lambda: CALLS_AT_ONCE, lambda: 60), 7)
    await settled()
    assert shard.calls == [7]
    shard.gate.set()
    assert len(await asyncio.gather(*tasks)) == 7


async def test_what_comes_before_a_call_really_leaves_goes_with_it() -> None:
    shard = Shard()
    lane = Lane(shard.send, lambda: 1, lambda: 60)
    waiting = lane.enter([query()], Deadline(10))
    await asyncio.sleep(0)  # the call is due, and has not begun
    waiting += lane.enter([query()], Deadline(10))
    await settled()
    assert shard.calls == [2]
    shard.gate.set()
    assert len(await outcomes(waiting)) == 2


async def test_what_comes_while_all_calls_are_under_way_leaves_together_in_the_next() -> None:
    shard = Shard()
    lane, tasks = Lane(shard.send, lambda: CALLS_AT_ONCE, lambda: 60), []
    for _ in range(CALLS_AT_ONCE + 5):
        tasks += asked(lane, 1)
        await settled()
    assert shard.calls == [1] * CALLS_AT_ONCE
    shard.gate.set()
    await asyncio.gather(*tasks)
    assert shard.calls == [1] * CALLS_AT_ONCE + [5]


async def test_a_call_takes_no_more_probes_than_are_good_for_the_first_of_them() -> None:
    shard = Shard()
    shard.gate.set()
    await asyncio.gather(*asked(Lane(shard.send, lambda: CALLS_AT_ONCE, lambda: 60), 5, MOST_PROBES // 2))
    assert shard.probes == [MOST_PROBES, MOST_PROBES, MOST_PROBES // 2]


async def test_one_query_with_more_probes_than_that_goes_by_itself() -> None:
    shard = Shard()
    shard.gate.set()
    await asyncio.gather(*asked(Lane(shard.send, lambda: CALLS_AT_ONCE, lambda: 60), 2, MOST_PROBES + 1))
    assert shard.calls == [1, 1]


async def test_calls_that_exceed_the_patience_do_not_hold_up_those_behind_them() -> None:
    shard = Shard()
    lane, tasks = Lane(shard.send, lambda: CALLS_AT_ONCE, lambda: 0.001), []
    async with asyncio.timeout(5):
        while len(shard.calls) <= CALLS_AT_ONCE:
            tasks += asked(lane, 1)
            await asyncio.sleep(0.001)
    shard.gate.set()
    await asyncio.gather(*tasks)


async def test_a_call_goes_on_until_the_last_that_waits_for_it_has_gone() -> None:
    shard = Shard()
    first, second = asked(Lane(shard.send, lambda: CALLS_AT_ONCE, lambda: 60), 2)
    await settled()
    first.cancel()
    await settled()
    assert shard.cancelled == 0
    second.cancel()
    await settled()
    assert shard.cancelled == 1


async def test_one_that_goes_before_its_call_leaves_is_not_sent() -> None:
    shard = Shard()
    lane = Lane(shard.send, lambda: CALLS_AT_ONCE, lambda: 60)
    stays, goes = asked(lane, 2)
    await asyncio.sleep(0)  # both have asked; the call leaves in the next turn
    goes.cancel()
    shard.gate.set()
    await stays
    assert sum(shard.calls) == 1


async def test_a_defect_in_a_call_reaches_all_that_wait_and_the_lane_goes_on() -> None:
    async def broken(_: Sequence[Waiting]) -> list[First]:
        raise KeyError("a defect")

    lane = Lane(broken, lambda: CALLS_AT_ONCE, lambda: 60)
    for _ in range(CALLS_AT_ONCE + 1):
        with pytest.raises(RuntimeError, match="KeyError"):
            await ask(lane, query())


async def test_queries_of_one_caller_leave_together_and_each_gets_its_own() -> None:
    async def numbered(waiting: Sequence[Waiting]) -> list[First]:
        return [First(None, (), (Cause(str(len(one.query.probes)), ""),)) for one in waiting]

    lane = Lane(numbered, lambda: CALLS_AT_ONCE, lambda: 60)
    firsts = await ask(lane, query(1), query(MOST_PROBES), query(2))
    assert [first.causes[0].replica for first in firsts] == ["1", str(MOST_PROBES), "2"]


async def test_a_caller_with_several_queries_who_goes_leaves_no_call_behind() -> None:
    shard = Shard()
    lane = Lane(shard.send, lambda: CALLS_AT_ONCE, lambda: 60)
    many = [query(MOST_PROBES)] * (CALLS_AT_ONCE + 1)
    goes = asyncio.create_task(ask(lane, *many))
    await settled()
    goes.cancel()
    await settled()
    assert (shard.calls, shard.cancelled) == ([1] * CALLS_AT_ONCE, CALLS_AT_ONCE)
    shard.gate.set()
    await ask(lane, query())


async def test_a_defect_in_a_call_is_told_once_to_a_caller_with_several_queries(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(_: Sequence[Waiting]) -> list[First]:
        raise ValueError("a defect")

    lane = Lane(broken, lambda: CALLS_AT_ONCE, lambda: 60)
    with pytest.raises(RuntimeError, match="ValueError"):
        await ask(lane, query(), query())
    gc.collect()
    assert "RuntimeError" not in caplog.text


async def test_what_was_answered_is_no_garbage_for_the_collector() -> None:
    shard = Shard()
    shard.gate.set()
    gc.disable()
    try:
        (waiting,) = Lane(shard.send, lambda: CALLS_AT_ONCE, lambda: 60).enter([query()], Deadline(10))
        outcome = weakref.ref(waiting.outcome)
        await outcomes([waiting])
        await settled()
        del waiting
        assert outcome() is None
    finally:
        gc.enable()
