"""One question to the replicas of one shard, until one of them answers: the read path's only loop.

the first in order ──► answers in time ─────────────────────► that is it
                   ├─► fails ──► the next one, at once
                   ├─► fails, and no replica may help ──► stop
                   └─► takes longer than the patience ──► hedge, if the budget allows: the next one too, and the
                                                          first good answer wins; the loser is cancelled
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, NamedTuple, TypeVar

from common.cluster_map import Heartbeat
from common.errors import ShardFault
from gateway.hedging import Health, Pace

Answer = TypeVar("Answer")


class Runner(NamedTuple):
    beat: Heartbeat
    started: float


class Race(Generic[Answer]):
    """Run it once. `left`, in the order to ask, loses the replicas that answered or failed; those that were only outrun
    stay in it."""

    def __init__(
        self,
        left: list[Heartbeat],
        ask: Callable[[Heartbeat], Coroutine[Any, Any, Answer]],
        pace: Pace,
        health: Callable[[str], Health],
    ) -> None:
        self.left = left
        self._waiting = list(left)
        self._ask = ask
        self._pace = pace
        self._health = health
        self._running: dict[asyncio.Task[Answer], Runner] = {}
        self._over = False
        self.faults: list[tuple[Heartbeat, ShardFault]] = []

    async def run(self) -> Answer | None:
        """The first good answer; None if there is none, and `faults` say why."""
        self._pace.called()
        if len(self._waiting) == 1:
            return await self._alone()
        self._start()
        try:
            while self._running and not self._over:
                patience = self._pace.patience_s if self._waiting else None
                done, _ = await asyncio.wait(self._running, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    self._hedge()
                for task in done:
                    if (answer := self._result(task)) is not None:
                        self._cut_off()
                        return answer
            return None
        finally:
            for task in self._running:
                task.cancel()

    async def _alone(self) -> Answer | None:
        """There is nobody to replace it: no task for it, and no patience."""
        runner = Runner(self._waiting.pop(), time.monotonic())
        known = self._health(runner.beat.url)
        known.called(runner.started)
        try:
            answer = await self._ask(runner.beat)
        except ShardFault as fault:
            known.failed(time.monotonic())
            self.faults.append((runner.beat, fault))
            return None
        else:
            self._answered(runner)
            return answer
        finally:
            known.ended()
            self.left.clear()

    def _answered(self, runner: Runner) -> None:
        now = time.monotonic()
        self._health(runner.beat.url).answered(now)
        self._pace.took(now - runner.started)

    def _start(self) -> None:
        beat = self._waiting.pop(0)
        known, now = self._health(beat.url), time.monotonic()
        known.called(now)
        task = asyncio.create_task(self._ask(beat))
        task.add_done_callback(lambda done: _ended(done, known))
        self._running[task] = Runner(beat, now)

    def _hedge(self) -> None:
        """A replica that others found hung while it held this call is replaced like one that failed, for nothing."""
        hung = all(self._health(one.beat.url).doubted_since(one.started) for one in self._running.values())
        if hung or self._pace.take_hedge():
            self._start()

    def _result(self, task: asyncio.Task[Answer]) -> Answer | None:
        runner = self._running.pop(task)
        self.left.remove(runner.beat)
        try:
            answer = task.result()
        except ShardFault as fault:
            self._health(runner.beat.url).failed(time.monotonic())
            self.faults.append((runner.beat, fault))
            self._replace(fault)
            return None
        self._answered(runner)
        return answer

    def _replace(self, fault: ShardFault) -> None:
        if not fault.replica_may_help:
            self._over = True
        elif self._waiting:
            self._start()

    def _cut_off(self) -> None:
        """What those that still run, now that one has won, tell about their replicas."""
        now = time.monotonic()
        for task, runner in self._running.items():
            if not task.done() and now - runner.started >= self._pace.patience_s:
                self._pace.took(now - runner.started)
                self._health(runner.beat.url).outrun(runner.started, now)


def _ended(task: asyncio.Task[Any], known: Health) -> None:
    known.ended()
    if not task.cancelled():
        task.exception()  # looked at, or asyncio logs that nobody did
