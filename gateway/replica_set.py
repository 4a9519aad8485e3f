"""The replicas of the shards as the read path sees them: asks the right one, and what it lacks, its siblings.

Queries to one shard leave together (`lane`). It owns what calls told about each replica (by URL) and each shard's pace.
`hedging` says in what order to ask and when a second one is asked too, `race` does it. A replica that does not serve a
store yet is followed by its siblings for what is still missing, a query of a call that was refused goes alone. Every
cause stays in the result.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from common.cluster_map import Heartbeat, StoreConfig
from common.errors import ShardFault, ShardUnreachable
from common.types import StoreView, Vectors
from common.wire import AwaitCall, Query, QueryReply, SearchCall
from gateway.deadline import Deadline
from gateway.hedging import Health, Pace, in_order
from gateway.lane import First, Lane, Waiting, outcomes
from gateway.race import Race
from gateway.shard_client import Cause, ShardClient

DOUBTED_WAIT_S = 0.1
"""how long a write waits for a replica in doubt: one that hangs must not make every enrolment slow"""
FORGET_ABOVE = 10_000
"""replicas remembered; more are surely long gone (a shard takes a new port at every start)"""
NOBODY = First(None, (), (Cause(None, ShardUnreachable.code),))
"""what a query gets of a shard that has no replica"""


class Question(NamedTuple):
    """What to ask of a set of stores."""

    space: str
    probes: Vectors
    """(n, d) unit length"""
    top_k: int
    exact: bool = False
    homes: Sequence[str] | None = None
    """per probe the store whose rows are passed over, "" for none"""

    def to(self, stores: Mapping[str, str]) -> Query:
        """`stores`: store → incarnation."""
        return Query(stores, self.probes, self.top_k, self.exact, self.homes)

    def track(self, shard: str, stores: Mapping[str, str]) -> Track:
        return Track(shard, self.space, self.exact, len(stores) > 1)


class Track(NamedTuple):
    """Queries of one lane may leave in one call: long ones must not hold up short ones."""

    shard: str
    space: str
    exact: bool
    wide: bool
    """in more than one store"""


class ToShard(NamedTuple):
    """What to ask of one shard, together."""

    track: Track
    beats: Sequence[Heartbeat]
    """its replicas"""
    queries: Sequence[Query]


@dataclass(slots=True)
class ShardAnswer:
    """What one shard said, from as many replicas as it took, and why the rest of it is missing."""

    replies: list[QueryReply]
    searched: Mapping[str, StoreView]
    causes: list[Cause]

    def take(self, reply: QueryReply) -> None:
        self.replies.append(reply)
        self.searched = {**self.searched, **reply.searched}


class ReplicaSet:
    def __init__(self, client: ShardClient, call_timeout_s: float) -> None:
        self._client = client
        self._call_timeout_s = call_timeout_s
        self._known: dict[str, Health] = {}
        self._paces: defaultdict[Track, Pace] = defaultdict(Pace)
        self._lanes: dict[Track, Lane] = {}
        self._beats: dict[str, Sequence[Heartbeat]] = {}
        """of each shard, as its last search knew them"""

    async def search_each(self, asks: Sequence[ToShard], deadline: Deadline) -> list[list[ShardAnswer]]:
        """Ask the shards at the same time, until every store of each query has answered; never raises a ShardFault, it
        reports them."""
        if len(asks) > 1 and any(len(ask.beats) > 1 for ask in asks):
            # What one shard lacks is asked of its siblings at once, not when the slowest of the others has answered.
            found = await asyncio.gather(*(self.search_each([ask], deadline) for ask in asks))
            return [answers for (answers,) in found]
        waiting = [self._enter(ask, deadline) for ask in asks]
        firsts = iter(await outcomes([one for each in waiting for one in each]))
        answered, further = [], []
        for track, beats, queries in asks:
            answers = []
            for query in queries:
                first = next(firsts) if beats else NOBODY
                answer = _answer(first)
                if first.left and len(answer.searched) < len(query.stores):
                    further.append(self._ask_on(track, list(first.left), query, answer, deadline))
                answers.append(answer)
            answered.append(answers)
        if further:
            await asyncio.gather(*further)
        return answered

    def _enter(self, ask: ToShard, deadline: Deadline) -> list[Waiting]:
        if not ask.beats:
            return []
        self._beats[ask.track.shard] = ask.beats
        return self._lane(ask.track).enter(ask.queries, deadline)

    async def search_by(self, track: Track, beat: Heartbeat, query: Query, deadline: Deadline) -> ShardAnswer:
        """The same by one replica and nobody else."""
        answer = ShardAnswer([], {}, [])
        await self._ask_on(track, [beat], query, answer, deadline)
        return answer

    def _lane(self, track: Track) -> Lane:
        if track not in self._lanes:
            pace = self._paces[track]
            self._lanes[track] = Lane(
                partial(self._together, track), lambda: len(self._beats[track.shard]), lambda: pace.patience_s
            )
        return self._lanes[track]

    async def _together(self, track: Track, waiting: Sequence[Waiting]) -> Sequence[First]:
        """One call with all that waited."""
        beats = self._beats[track.shard]
        queries = tuple([one.query for one in waiting])
        longest_s = max([deadline.remaining_s() for deadline in {one.deadline for one in waiting}])
        race = self._race(track, list(beats), queries, longest_s)
        replies = await race.run()
        causes = _causes(race)
        if replies is not None:
            return [First(reply, race.left, causes) for reply in replies]
        if len(waiting) > 1 and any(not fault.replica_may_help for _, fault in race.faults):
            # What one of them asks may be wrong. Each goes alone, and is told what is wrong with itself.
            return [First(None, beats)] * len(waiting)
        return [First(None, (), causes)] * len(waiting)

    async def _ask_on(
        self, track: Track, left: list[Heartbeat], query: Query, answer: ShardAnswer, deadline: Deadline
    ) -> None:
        """Ask those left for what is still missing, until there is nothing missing or nobody left."""
        while left and len(answer.searched) < len(query.stores):
            missing = {store: one for store, one in query.stores.items() if store not in answer.searched}
            race = self._race(track, left, (query._replace(stores=missing),), deadline.remaining_s())
            replies = await race.run()
            answer.causes += _causes(race)
            if replies is None:
                return
            answer.take(replies[0])
            left = race.left

    def _race(
        self, track: Track, beats: list[Heartbeat], queries: tuple[Query, ...], remaining_s: float
    ) -> Race[tuple[QueryReply, ...]]:
        pace = self._paces[track]
        call = SearchCall(track.space, queries, _milliseconds(min(self._call_timeout_s, remaining_s)))
        beats = in_order(beats, self._health, time.monotonic(), pace.can_hedge)
        return Race(beats, lambda beat: self._client.search(beat.url, call), pace, self._health)

    async def has_version(self, beat: Heartbeat, store: StoreConfig, version: int, deadline: Deadline) -> bool:
        """Whether the replica serves `version` of the store before the deadline; a failed call is a no."""
        in_doubt = self._health(beat.url).doubted_at is not None
        longest_s = DOUBTED_WAIT_S if in_doubt else self._call_timeout_s
        reached = await self._version(beat, store, version, min(longest_s, deadline.remaining_s()))
        return reached is not None and reached >= version

    async def first_with(
        self, beats: Sequence[Heartbeat], store: StoreConfig, version: int, wait_s: float
    ) -> Heartbeat | None:
        """The first replica to serve `version` of the store, all asked at once; None if none does within `wait_s`."""

        async def confirmed(beat: Heartbeat) -> Heartbeat | None:
            reached = await self._version(beat, store, version, wait_s)
            return beat if reached is not None and reached >= version else None

        asked = [asyncio.create_task(confirmed(beat)) for beat in beats]
        try:
            async with asyncio.timeout(wait_s):  # on top of the replica's own: one that hangs has no say in it
                for answered in asyncio.as_completed(asked):
                    if (beat := await answered) is not None:
                        return beat
        except TimeoutError:
            pass
        finally:
            for task in asked:
                task.cancel()
        return None

    async def _version(self, beat: Heartbeat, store: StoreConfig, version: int, wait_s: float) -> int | None:
        """The version that the replica has once it is `version` or `wait_s` is over; None: the call failed."""
        call = AwaitCall(store.store, store.incarnation, version, _milliseconds(wait_s))
        known = self._health(beat.url)
        try:
            reached = await self._client.await_version(beat.url, call)
        except ShardFault:
            known.failed(time.monotonic())
            return None
        known.doubted_at = None
        return reached

    def _health(self, url: str) -> Health:
        if url not in self._known:
            if len(self._known) >= FORGET_ABOVE:
                self._known = {known: health for known, health in self._known.items() if health.in_flight}
            self._known[url] = Health()
        return self._known[url]


def _answer(first: First) -> ShardAnswer:
    if first.reply is None:
        return ShardAnswer([], {}, list(first.causes))
    return ShardAnswer([first.reply], first.reply.searched, list(first.causes))


def _causes(race: Race[Any]) -> list[Cause]:
    return [Cause(beat.replica, fault.code) for beat, fault in race.faults]


def _milliseconds(seconds: float) -> int:
    return max(1, int(1000 * seconds))
