"""Runs search calls under the gate, on threads, each only while its caller can still use the answer.

As many at once as there are threads, each with one OpenMP thread, so that searches never ask for more cores than the
machine was promised to give. A call is one piece of work of one thread: its queries are answered together. A call that
takes less time than handing it to a thread and back, as searches at home do, is answered where it arrives.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from common.errors import DeadlineExceeded
from common.wire import QueryReply, SearchCall
from shard.gate import Gate
from shard.products import use_one_openmp_thread
from shard.shard_index import ShardIndex

MAX_WAIT_MS = 300_000
"""no caller waits longer, whatever it says"""
SHORT = 120_000
"""Rows times probes of a call that is answered where it arrives: 120 searches at home, or 12 by codes, up to three
milliseconds of one core for which everything else waits. The way to a thread and back costs half a millisecond of CPU:
7 probes among 333,000 rows took 390 us each on it, and 330 without; 16 clients who look for strangers everywhere had an
eighth more answers a second with 160,000 than with 80,000, and searches at home beside them waited no longer."""


def nobody_hung_up() -> bool:
    """For callers of the same process."""
    return False


class Searcher:
    def __init__(self, index: ShardIndex, gate: Gate, threads: int) -> None:
        use_one_openmp_thread()  # for the calls that are answered here
        self._index = index
        self._gate = gate
        self._threads = ThreadPoolExecutor(threads, "search", initializer=use_one_openmp_thread)
        self._free = asyncio.Semaphore(threads)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def search(self, call: SearchCall, hung_up: Callable[[], bool] = nobody_hung_up) -> tuple[QueryReply, ...]:
        """Answer the call's queries. Raises WrongSpace; DeadlineExceeded after `remaining_ms`, or if the caller hung up
        before its turn came (a sibling was faster, or this process was stopped for a while)."""
        seconds = min(call.remaining_ms, MAX_WAIT_MS) / 1000
        if seconds <= 0:
            raise DeadlineExceeded("The caller's time was over when the call arrived.", field="remaining_ms")
        if self._is_short(call):
            await asyncio.sleep(0)  # a stream of them must not keep the writer out
            async with self._gate.searching():
                _require_caller(hung_up)
                return self._index.answer(call, time.monotonic() + seconds)
        work = asyncio.create_task(self._run(call, time.monotonic() + seconds, hung_up))
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
        if found is None and self._is_short(call):
            return self._index.answer_fully(call)
        return found

    def _is_short(self, call: SearchCall) -> bool:
        return self._index.products(call) <= SHORT

    async def _run(self, call: SearchCall, give_up_at: float, hung_up: Callable[[], bool]) -> tuple[QueryReply, ...]:
        # The thread first, then the gate: so the writer waits for searches that run, never for those that queue.
        async with self._free, self._gate.searching():
            _require_caller(hung_up)
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._index.answer, call, give_up_at)


def _require_caller(hung_up: Callable[[], bool]) -> None:
    if hung_up():
        raise DeadlineExceeded("The caller hung up before its turn came.")
