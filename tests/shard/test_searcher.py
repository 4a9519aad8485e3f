"""A long call is answered by all threads that are idle, each block of it by one, and as by one thread alone."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest

from common.errors import DeadlineExceeded
from common.types import DLIB_SPACE
from common.wire import Query, QueryReply, SearchCall
from shard import answers, searcher
from shard.answers import ALONE, Company
from shard.gate import Gate
from shard.ranking import Found, Piece, best
from shard.searcher import Searcher
from shard.shard_index import ShardIndex
from tests.shard.helpers import PATIENCE_S, empty_store, eventually, unit

THREADS = 3
PROBES = unit(150, seed=1)
STORES = {"A": "i", "B": "i"}
LONG = SearchCall(
    DLIB_SPACE,
    (
        Query(STORES, PROBES[:90], 3, homes=["A", "B", ""] * 30),
        Query({"B": "i"}, PROBES[90:100], 3),
        Query(STORES, PROBES[100:], 7, exact=True),
    ),
    remaining_ms=20_000,
)

OTHER = SearchCall(DLIB_SPACE, (Query(STORES, PROBES, 5),), remaining_ms=20_000)


@pytest.fixture
def index() -> ShardIndex:
    index = ShardIndex()
    for seed, store in enumerate(STORES):
        served = empty_store()
        served.gallery.put([f"f{number}" for number in range(40)], unit(40, seed))
        index.install(store, served)
    return index


@pytest.fixture
async def searching(index: ShardIndex, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Searcher]:
    monkeypatch.setattr(searcher, "SHORT", 1000)  # of so few rows every call would be a short one
    searching = Searcher(index, Gate(), THREADS)
    yield searching
    searching.close()


async def test_every_idle_thread_takes_blocks_of_a_long_call(
    index: ShardIndex, searching: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = index.answer(LONG)
    everybody, taken = threading.Barrier(THREADS), Counter[int]()

    def together(pieces: Sequence[Piece], top_k: int, *, exact: bool) -> Found:
        taken[threading.get_ident()] += 1
        if taken[threading.get_ident()] <= 2:
            everybody.wait(PATIENCE_S)  # breaks unless all of them are here at the same time, twice
        return best(pieces, top_k, exact=exact)

    monkeypatch.setattr(answers, "best", together)
    monkeypatch.setattr(answers, "BLOCK", 8)
    assert await searching.search(LONG) == alone
    assert len(taken) == THREADS


@pytest.mark.parametrize("fails", ["the thread that asked", "another"])
async def test_what_fails_on_any_thread_fails_the_call_once_all_have_ended(
    index: ShardIndex, searching: Searcher, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    asking, failed, may_end = list[int](), threading.Event(), threading.Event()
    everybody = threading.Barrier(THREADS)

    def answer(call: SearchCall, give_up_at: float, company: Company) -> tuple[QueryReply, ...]:
        asking.append(threading.get_ident())
        return ShardIndex.answer(index, call, give_up_at, company)

    def too_late(pieces: Sequence[Piece], top_k: int, *, exact: bool) -> Found:
        everybody.wait(PATIENCE_S)
        if (threading.get_ident() == asking[0]) == (fails == "the thread that asked"):
            failed.set()
            raise DeadlineExceeded("too late")
        assert may_end.wait(PATIENCE_S)
        return best(pieces, top_k, exact=exact)

    monkeypatch.setattr(index, "answer", answer)
    monkeypatch.setattr(answers, "best", too_late)
    monkeypatch.setattr(answers, "BLOCK", 50)
    call = asyncio.create_task(searching.search(SearchCall(DLIB_SPACE, (Query(STORES, PROBES, 3),), 20_000)))
    await eventually(failed.is_set)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05), searching._gate.writing():
            pytest.fail("the writer met a search")
    may_end.set()
    with pytest.raises(DeadlineExceeded, match="too late"):
        await call
    assert (searching._running, searching._free.locked()) == (0, False)


async def test_a_call_that_runs_while_the_searcher_is_closed_is_answered(
    index: ShardIndex, searching: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = index.answer(LONG)
    cut = answers._blocks

    def close_first(jobs: Sequence[answers.Job], threads: int, *, exact: bool) -> Iterator[list[answers.Job]]:
        searching.close()
        return cut(jobs, threads, exact=exact)

    monkeypatch.setattr(answers, "_blocks", close_first)
    assert await searching.search(LONG) == alone


class Watched(ShardIndex):
    """Notes how many other threads each call may have, and lasts until the test lets it end."""

    def __init__(self) -> None:
        super().__init__()
        self.others: list[int] = []
        self.may_end = threading.Event()

    def products(self, call: SearchCall) -> int:
        return call.queries[0].top_k * searcher.SHORT

    def answer(self, call: SearchCall, give_up_at: float = 0.0, company: Company = ALONE) -> tuple[QueryReply, ...]:
        self.others.append(company.others)
        assert self.may_end.wait(PATIENCE_S)
        return super().answer(call, give_up_at)


async def test_a_call_has_as_many_threads_as_are_idle_and_as_it_is_worth() -> None:
    index = Watched()
    searching = Searcher(index, Gate(), threads=4)
    calls = []
    for worth, others in ((2, 1), (3, 2), (9, 1), (9, 0)):
        call = SearchCall(DLIB_SPACE, (Query({"A": "i"}, unit(1), worth),), 20_000)
        calls.append(asyncio.create_task(searching.search(call)))
        await eventually(lambda: len(index.others) == len(calls))
        assert index.others[-1] == others
    index.may_end.set()
    await asyncio.gather(*calls)
    searching.close()


async def test_the_others_leave_when_more_calls_have_come(
    index: ShardIndex, searching: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, other = index.answer(LONG), index.answer(OTHER)
    begun, went_on = set[int](), set[int]()
    may_go_on, first_is_over = threading.Event(), threading.Event()

    def noted(pieces: Sequence[Piece], top_k: int, *, exact: bool) -> Found:
        if top_k == OTHER.queries[0].top_k:
            assert first_is_over.wait(PATIENCE_S)
        else:
            (went_on if may_go_on.is_set() else begun).add(threading.get_ident())
            assert may_go_on.wait(PATIENCE_S)
        return best(pieces, top_k, exact=exact)

    monkeypatch.setattr(answers, "best", noted)
    monkeypatch.setattr(answers, "BLOCK", 8)
    calls = [asyncio.create_task(searching.search(LONG))]
    await eventually(lambda: len(begun) == THREADS)
    calls += [asyncio.create_task(searching.search(OTHER)) for _ in range(THREADS - 1)]
    await eventually(lambda: searching._running == THREADS)
    may_go_on.set()
    await calls[0]
    first_is_over.set()
    assert await asyncio.gather(*calls) == [alone, *[other] * (THREADS - 1)]
    assert len(went_on) == 1


async def test_a_thread_that_comes_too_late_to_help_is_not_waited_for(index: ShardIndex, searching: Searcher) -> None:
    """The others are busy with something else by the time the work is shared."""
    may_end = threading.Event()
    busy = [searching._threads.submit(may_end.wait, PATIENCE_S) for _ in range(THREADS - 1)]
    assert await searching.search(LONG) == index.answer(LONG)
    assert not any(one.done() for one in busy)
    may_end.set()


def test_blocks_are_cut_so_that_every_thread_gets_some_but_none_too_few_probes(
    index: ShardIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def noted(pieces: Sequence[Piece], top_k: int, *, exact: bool) -> Found:
        sizes.append(sum(len(piece.probes) for piece in pieces))
        return best(pieces, top_k, exact=exact)

    monkeypatch.setattr(answers, "best", noted)
    for probes, others, expected in (
        (150, 0, [64, 64, 22]),
        (150, 1, [64, 64, 22]),
        (60, 0, [60]),
        (60, 3, [15] * 4),
        (10, 3, [8, 2]),
    ):
        sizes.clear()
        call = SearchCall(DLIB_SPACE, (Query(STORES, PROBES[:probes], 3),), 1000)
        index.answer_fully(call, time.monotonic() + PATIENCE_S, Company(others))
        assert sizes == expected


def test_a_block_of_few_probes_among_very_many_rows_is_cut_no_smaller_than_one(
    index: ShardIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "SCANNED_AT_ONCE", 3 * 80)  # three probes a block
    call = SearchCall(DLIB_SPACE, (Query(STORES, PROBES[:7], 3),), 1000)
    assert index.answer_fully(call, time.monotonic() + PATIENCE_S, Company(30)) == index.answer(call)
