"""Runs search calls under the gate, on threads, each only while its caller can still use the answer.

As many threads at once as there are, each with one OpenMP thread, so that searches never ask for more cores than the
machine was promised to give. A call is answered by one thread, its queries together, and a long one by those too that
nobody else needs when its turn comes. A call that takes less time than handing it to a thread and back, as searches at
home do, is answered where it arrives.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial

from common.errors import DeadlineExceeded
from common.wire import QueryReply, SearchCall
from shard.answers import Company, Task, one_by_one
from shard.gate import Gate
from shard.products import use_one_openmp_thread
from shard.shard_index import ShardIndex

MAX_WAIT_MS = 300_000
"""no caller waits longer, whatever it says"""
SHORT = 120_000
"""Rows times probes of a call that is answered where it arrives: 120 searches at home, or 15 by codes of 333,000 rows,
up to three milliseconds of one core for which everything else waits. The way to a thread and back costs half a
millisecond of CPU: 7 probes among 333,000 rows took 390 us each on it, and 330 without; 16 clients who look for
strangers everywhere had an eighth more answers a second with 160,000 than with 80,000, and searches at home beside them
waited no longer."""


def nobody_hung_up() -> bool:
    """For callers of the same process."""
    return False


class Searcher:
    def __init__(self, index: ShardIndex, gate: Gate, threads: int) -> None:
        use_one_openmp_thread()  # for the calls that are answered here
        self._index = index
        self._gate = gate
        self._threads = _started(threads)
        self._size = threads
        self._free = asyncio.Semaphore(threads)
        self._running = 0
        """calls that are answered on threads"""

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def search(self, call: SearchCall, hung_up: Callable[[], bool] = nobody_hung_up) -> tuple[QueryReply, ...]:
        """Answer the call's queries. Raises WrongSpace; DeadlineExceeded after `remaining_ms`, or if the caller hung up
        before its turn came (a sibling was faster, or this process was stopped for a while)."""
        seconds = min(call.remaining_ms, MAX_WAIT_MS) / 1000
        if seconds <= 0:
            raise DeadlineExceeded("The caller's time was over when the call arrived.", field="remaining_ms")
        products = self._index.products(call)
        if products <= SHORT:
            await asyncio.sleep(0)  # a stream of them must not keep the writer out
            async with self._gate.searching():
                _require_caller(hung_up)
                return self._index.answer(call, time.monotonic() + seconds)
        work = asyncio.create_task(self._run(call, products, time.monotonic() + seconds, hung_up))
        work.add_done_callback(lambda done: done.cancelled() or done.exception())  # else asyncio logs a late error
        try:
            async with asyncio.timeout(seconds):
                # Shielded: a thread cannot be stopped from outside, and the gate must stay held until it is done.
                return await asyncio.shield(work)
        except TimeoutError:
            raise DeadlineExceeded("The search ran out of time.") from None

    def at_once(self, call: SearchCall) -> tuple[QueryReply, ...] | None:
        """The same for a short call that nothing has to wait for; None for any other, and for one that came too late.

        Let the event loop turn between two of them: that is when a writer comes to wait at the gate.
        """
        if call.remaining_ms <= 0 or not self._gate.is_open:
            return None
        found = self._index.answer_at_home(call, SHORT)
        if found is None and self._index.products(call) <= SHORT:
            return self._index.answer_fully(call)
        return found

    async def _run(
        self, call: SearchCall, products: int, give_up_at: float, hung_up: Callable[[], bool]
    ) -> tuple[QueryReply, ...]:
        # The thread first, then the gate: so the writer waits for searches that run, never for those that queue.
        async with self._free, self._gate.searching():
            _require_caller(hung_up)
            self._running += 1
            try:
                others = max(0, min(self._size - self._running, products // SHORT - 1))
                company = Company(others, partial(self._share, others, self._running))
                answer = partial(self._index.answer, call, give_up_at, company)
                return await asyncio.get_running_loop().run_in_executor(self._threads, answer)
            finally:
                self._running -= 1

    def _share(self, others: int, running: int, tasks: Sequence[Task]) -> None:
        """On a thread: do them here and on so many others, which leave as soon as more than the `running` calls do."""
        left = iter(tasks)  # a list's iterator gives each to one thread only

        def help_out() -> None:
            while self._running <= running and (task := next(left, None)) is not None:
                task()

        helping: list[Future[None]] = []
        try:
            with suppress(RuntimeError):  # the searcher was closed: what runs still ends, by itself
                for _ in range(min(others, len(tasks) - 1)):
                    helping.append(self._threads.submit(help_out))
            one_by_one(left)
        finally:
            deque(left, maxlen=0)  # after a failure nobody begins another
            begun = [helped for helped in helping if not helped.cancel()]
            wait(begun)  # or they would meet the writer
        for helped in begun:
            helped.result()


def _started(threads: int) -> ThreadPoolExecutor:
    """All of them now: a thread that the system refuses later leaves its work behind in the queue, and another one does
    it when nobody expects that. Raises RuntimeError."""
    pool = ThreadPoolExecutor(threads, "search", initializer=use_one_openmp_thread)
    all_here = threading.Barrier(threads)
    try:
        wait([pool.submit(all_here.wait) for _ in range(threads)])
    except RuntimeError:
        all_here.abort()
        raise
    return pool


def _require_caller(hung_up: Callable[[], bool]) -> None:
    if hung_up():
        raise DeadlineExceeded("The caller hung up before its turn came.")
