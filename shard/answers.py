"""The queries of one call, answered together.

Queries that name the very same stores become one piece of work. What is asked of different stores of a group, one store
each as at home, is scored and ranked in one go. A block of such work is at most `BLOCK` probes: that bounds its memory,
and the time between two looks at the clock. Where several threads answer a call, each takes the next block until there
is none left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, groupby
from typing import NamedTuple, TypeAlias

import numpy as np

from common.errors import DeadlineExceeded
from common.types import Candidate, StoreView
from common.wire import Query, QueryReply
from shard.group import Group
from shard.nominees import Owners, Part
from shard.ranking import Found, Piece, best, rank
from shard.rows import NOBODY

BLOCK = 64
SHARED = 8
"""probes that a block has at least where it is cut smaller so that every thread gets one"""
SCANNED_AT_ONCE = 8_000_000
"""rows times probes of a block whose rows are all scanned: 0.1 to 0.2 s of one core"""

Homes: TypeAlias = Callable[[Group, Sequence[str]], Owners]
"""the numbers that stores of these names have in the group"""
Task: TypeAlias = Callable[[], None]
"""one block"""


def one_by_one(tasks: Iterable[Task]) -> None:
    for task in tasks:
        task()


class Company(NamedTuple):
    """Who answers a call: the thread that asks, and how many others."""

    others: int = 0
    share: Callable[[Sequence[Task]], None] = one_by_one
    """do these, each on one of the threads, and come back when all are done; raises what any of them raised"""


ALONE = Company()


class Asked(NamedTuple):
    """What a query's stores come to at this moment."""

    searched: dict[str, StoreView]
    parts: tuple[Part, ...]
    """one a group"""


class Job(NamedTuple):
    piece: Piece
    numbers: range
    """of its probes among all probes of the call"""


def answered(
    queries: Sequence[Query], asked: Sequence[Asked], homes: Homes, give_up_at: float, company: Company = ALONE
) -> list[QueryReply]:
    """Raises DeadlineExceeded once `time.monotonic()` passes `give_up_at`."""
    found: list[Found] = [[] for query in queries for _ in query.probes]

    def answer(block: Sequence[Job], top_k: int, *, exact: bool) -> None:
        if time.monotonic() >= give_up_at:
            raise DeadlineExceeded("The search ran out of time.")
        numbers = chain.from_iterable(job.numbers for job in block)
        for number, hits in zip(numbers, best(_joined(block), top_k, exact=exact), strict=True):
            found[number].append(hits)

    tasks = [
        partial(answer, block, top_k, exact=exact)
        for (_, top_k, exact), jobs in _jobs(queries, asked, homes).items()
        for block in _blocks(jobs, 1 + company.others, exact=exact)
    ]
    company.share(tasks)
    each = iter(found)
    return [
        QueryReply(one.searched, tuple([_merged(next(each), query.top_k) for _ in query.probes]))
        for query, one in zip(queries, asked, strict=True)
    ]


def _jobs(queries: Sequence[Query], asked: Sequence[Asked], homes: Homes) -> dict[tuple[int, int, bool], list[Job]]:
    """What can be done together: of one group, with as many candidates, all exact or none. Those that ask about the
    same part are neighbours."""
    jobs: dict[tuple[int, int, bool], list[Job]] = {}
    first = 0
    for query, one in zip(queries, asked, strict=True):
        numbers = range(first, first + len(query.probes))
        first = numbers.stop
        for part in (part for part in one.parts if part.rows):
            theirs = homes(part.group, query.homes) if query.homes and any(query.homes) else None
            together = jobs.setdefault((id(part.group), query.top_k, query.exact), [])
            together.append(Job(Piece(part, query.probes, theirs), numbers))
    for together in jobs.values():
        if len(together) > 1:
            together.sort(key=lambda job: id(job.piece.part))
    return jobs


def _blocks(jobs: Sequence[Job], threads: int, *, exact: bool) -> Iterator[list[Job]]:
    weight = sum([_weight(job, exact=exact) for job in jobs])
    most = min(BLOCK, max(SHARED, -(-weight // threads)))
    if weight <= most:  # as searches at home are
        yield list(jobs)
        return
    block: list[Job] = []
    left = most
    cut = (_cut(job, max(1, _most(job.piece.part, exact=exact) * most // BLOCK)) for job in jobs)
    for job in chain.from_iterable(cut):
        weight = _weight(job, exact=exact)
        if block and weight > left:
            yield block
            block, left = [], most
        block.append(job)
        left -= weight
    if block:
        yield block


def _weight(job: Job, *, exact: bool) -> int:
    """Of `BLOCK`, how much the job is."""
    return len(job.numbers) * BLOCK // _most(job.piece.part, exact=exact)


def _most(part: Part, *, exact: bool) -> int:
    """How many probes a block may have that asks about this part."""
    scan = exact or part.group.codes is None
    return max(1, min(BLOCK, SCANNED_AT_ONCE // part.rows)) if scan else BLOCK


def _cut(job: Job, most: int) -> Iterator[Job]:
    part, probes, homes = job.piece.part, job.piece.probes, job.piece.homes
    if len(probes) <= most:
        yield job
        return
    for at in range(0, len(probes), most):
        here = slice(at, at + most)
        yield Job(Piece(part, probes[here], None if homes is None else homes[here]), job.numbers[here])


def _joined(block: Sequence[Job]) -> list[Piece]:
    """One piece for all jobs about the same part."""
    if len(block) == 1:
        return [block[0].piece]
    return [_one_piece([job.piece for job in jobs]) for _, jobs in groupby(block, key=lambda job: id(job.piece.part))]


def _one_piece(pieces: Sequence[Piece]) -> Piece:
    if len(pieces) == 1:
        return pieces[0]
    homes = None
    if any(piece.homes is not None for piece in pieces):
        homes = np.concatenate([_homes(piece) for piece in pieces])
    return Piece(pieces[0].part, np.concatenate([piece.probes for piece in pieces]), homes)


def _homes(piece: Piece) -> Owners:
    return np.full(len(piece.probes), NOBODY, dtype=np.int32) if piece.homes is None else piece.homes


def _merged(of_groups: Found, top_k: int) -> tuple[Candidate, ...]:
    if len(of_groups) == 1:
        return of_groups[0]
    return tuple(sorted(chain.from_iterable(of_groups), key=rank)[:top_k])
