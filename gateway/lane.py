"""One shard's lane: queries that arrive while calls are under way leave together in the next one.

No timers: idle → at once, busy → together. As many calls at a time as the shard has replicas; one that takes longer
than the shard's patience does not hold up those behind it. (More at a time would carry fewer queries each.) A call
lasts as long as somebody waits for a part of its answer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from common.cluster_map import Heartbeat
from common.wire import Query, QueryReply
from gateway.deadline import Deadline
from gateway.shard_client import Cause

MOST_PROBES = 256
"""of a call with several queries: more would keep the first of them waiting"""


class First(NamedTuple):
    """What the first call gave a query."""

    reply: QueryReply | None
    left: Sequence[Heartbeat]
    """replicas that may still be asked: they neither answered nor failed"""
    causes: Sequence[Cause] = ()


@dataclass(slots=True)
class Waiting:
    query: Query
    deadline: Deadline
    outcome: asyncio.Future[First]
    call: Call | None = None
    """the one that it left with"""


@dataclass(slots=True)
class Call:
    waiting: Sequence[Waiting] = ()
    holds: bool = True
    """it counts among those at once"""
    task: asyncio.Task[None] | None = None


class Lane:
    def __init__(
        self,
        send: Callable[[Sequence[Waiting]], Awaitable[Sequence[First]]],
        at_once: Callable[[], int],
        patience_s: Callable[[], float],
    ) -> None:
        """`send` makes the call and says what each query got. `at_once`: so many calls at a time."""
        self._send = send
        self._at_once = at_once
        self._patience_s = patience_s
        self._queue: deque[Waiting] = deque()
        self._holding = 0
        self._due = False

    def enter(self, queries: Sequence[Query], deadline: Deadline) -> list[Waiting]:
        """Let them leave with the next call; `outcomes` waits for what they get."""
        loop = asyncio.get_running_loop()
        waiting = [Waiting(query, deadline, loop.create_future()) for query in queries]
        self._queue += waiting
        if not self._due and self._holding < self._at_once():
            self._due = True
            loop.call_soon(self._leave)  # not now: what this turn of the loop brings leaves together
        return waiting

    def _leave(self) -> None:
        self._due = False
        if self._queue and self._holding < self._at_once():
            call = Call()
            self._holding += 1
            call.task = asyncio.create_task(self._run(call))

    def _next_ones(self) -> list[Waiting]:
        found: list[Waiting] = []
        probes = 0
        while self._queue:
            probes += len(self._queue[0].query.probes)
            if found and probes > MOST_PROBES:
                break
            one = self._queue.popleft()
            if not one.outcome.done():  # its caller has gone
                found.append(one)
        return found

    async def _run(self, call: Call) -> None:
        call.waiting = self._next_ones()  # only now: more have come since the call was due
        for one in call.waiting:
            one.call = call
        self._leave()  # with what this call does not take
        if not call.waiting:
            self._let_pass(call)
            return
        timer = asyncio.get_running_loop().call_later(self._patience_s(), self._let_pass, call)
        try:
            for one, first in zip(call.waiting, await self._send(call.waiting), strict=True):
                if not one.outcome.done():
                    one.outcome.set_result(first)
        except BaseException as error:
            for one in call.waiting:  # a defect: those who wait must not wait for ever
                if not one.outcome.done():
                    one.outcome.set_exception(RuntimeError(f"the call ended: {type(error).__name__}"))
            raise
        finally:
            timer.cancel()
            for one in call.waiting:
                one.call = None  # it goes now, with all that hangs on it, and not when the garbage collector comes
            self._let_pass(call)

    def _let_pass(self, call: Call) -> None:
        if call.holds:
            call.holds = False
            self._holding -= 1
            self._leave()


async def outcomes(waiting: Sequence[Waiting]) -> list[First]:
    """What each gets, in whatever lanes they are. Rejected: a task for each lane or query, which costs as much as all
    else that is done for it."""
    try:
        return [await one.outcome for one in waiting]
    except BaseException:
        _give_up(waiting)
        raise


def _give_up(waiting: Sequence[Waiting]) -> None:
    for one in waiting:
        if one.outcome.done() and not one.outcome.cancelled():
            one.outcome.exception()  # looked at, or asyncio logs that nobody did
        one.outcome.cancel()
    for call in {id(one.call): one.call for one in waiting}.values():
        if call is not None and call.task is not None and all(one.outcome.done() for one in call.waiting):
            call.task.cancel()
